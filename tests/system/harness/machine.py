"""A machine of its own: namespaces, and a file system that is thrown away.

    with Machine(folder, "site", peers_root) as m:
        m.sh("make -C /build install")
        m.sh("sendmail bob", user="alice", input="...")

What is written to /usr, /etc, /var, /home, /root, /run and /tmp is seen by this
machine alone and gone with it. `join` puts two machines on one wire.
"""

import os
import signal
import subprocess

from .wait import ended, most, until

WRITTEN = ("usr", "etc", "var", "home", "root", "run", "tmp")
# no MTA of the machine below is to be taken for the one under test
HIDDEN = ("usr/sbin/sendmail", "usr/lib/sendmail", "usr/bin/mailq",
          "usr/bin/newaliases", "etc/mail", "etc/aliases")

# $1: folder for what is written; $2: more lower folders of /usr, or nothing
SETUP = r"""
set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
for d in %s; do
    mkdir -p "$1/$d" "$1/.work-$d"
    lower=/$d
    if [ $d = usr ] && [ -n "$2" ]; then lower=$2:/usr; fi
    mount -t overlay -o "lowerdir=$lower,upperdir=$1/$d,workdir=$1/.work-$d" \
        none /$d
done
for f in %s; do rm -rf "/$f"; done
# the run of the tests may have an /etc of its own, with accounts
sed -i '/^_hauberk/d' /etc/passwd /etc/group
chmod 1777 /tmp /var/mail
ip link set lo up
hostname "$3"
echo ready
# the first process, to which every orphan falls: the shell reaps them
sleep infinity &
wait
""" % (" ".join(WRITTEN), " ".join(HIDDEN))


# a name server that knows no name; $1: the folder with this package
EMPTY_DNS = """import sys, time
sys.path.insert(0, sys.argv[1])
from harness import dns
server = dns.DnsServer("127.0.0.1", 53)
print("ready", flush=True)
time.sleep(3600)
"""


class Machine:
    def __init__(self, folder, name, usr=""):
        """`folder` has to be on no path that WRITTEN covers up."""
        self.name = name
        self.dns = None
        upper = os.path.join(folder, name)
        os.mkdir(upper)
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--uts", "--pid", "--fork",
             "--kill-child", "--mount-proc", "sh", "-c", SETUP, "sh", upper,
             usr, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = self.process.stdout.readline()
        if said != b"ready\n":
            self.close()
            raise OSError("no machine: %s" % said.decode())
        self.init = self._first_process()
        self._name_server()

    def _name_server(self):
        """It ends with the machine."""
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.dns = subprocess.Popen(
            self.command(["/usr/bin/python3", "-c", EMPTY_DNS,
                          os.path.dirname(os.path.dirname(__file__))]),
            stdout=subprocess.PIPE)
        if self.dns.stdout.readline() != b"ready\n":
            self.close()
            raise OSError("no name server")

    def _first_process(self):
        path = "/proc/%d/task/%d/children" % ((self.process.pid,) * 2)
        with open(path) as f:
            return int(f.read().split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End every process of the machine."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        for process in (self.process, self.dns):
            if process is not None:
                ended(process, 10)
                process.stdout.close()

    def command(self, words, user=None):
        enter = ["nsenter", "-t", str(self.init), "-m", "-n", "-u", "-p"]
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                 "/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        if user:
            return enter + ["runuser", "-u", user, "--"] + clean + \
                ["HOME=/home/" + user, "USER=" + user] + words
        return enter + clean + ["HOME=/root"] + words

    def run(self, words, user=None, input="", timeout=most(60)):
        done = subprocess.run(self.command(words, user), input=input,
                              text=True, capture_output=True,
                              timeout=timeout)
        return done

    def sh(self, text, code=0, **kw):
        """What a shell prints to both outputs; it has to end with `code`."""
        done = self.run(["sh", "-c", text], **kw)
        assert done.returncode == code, "%s: %d %s%s" % (
            text, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def write(self, path, text, mode=0o644):
        self.sh("mkdir -p '%s' && cat >'%s' && chmod %o '%s'" % (
            os.path.dirname(path), path, mode, path), input=text)

    def read(self, path):
        return self.sh("cat " + path)

    def wait_for(self, text, what, timeout=20):
        """Until a shell command succeeds; what it prints."""
        def look():
            done = self.run(["sh", "-c", text])
            return (done.stdout + " ") if done.returncode == 0 else None
        return until(look, timeout, what, step=0.1)


def join(one, two, addresses):
    """A wire between two machines, an address for each."""
    subprocess.run(["nsenter", "-t", str(one.init), "-n", "ip", "link", "add",
                    "wire", "type", "veth", "peer", "name", "wire", "netns",
                    str(two.init)], check=True)
    for machine, address in zip((one, two), addresses):
        machine.sh("ip address add %s dev wire && ip link set wire up"
                   % address)
