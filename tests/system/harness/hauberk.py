"""The server under test, in a folder of its own.

    hb = Hauberk(space, "plain", ["domain hb.test"])
    hb.start()
    hb.ctl("queue", json=True)
    hb.kill("queue")

Modes: "plain" is without root (called by root it runs as nobody), "root" has
an account for each role.
"""

import collections
import json as jsonlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

from . import client, records
from .wait import ended, most, now, until

NOBODY = 65534
READY_S = 20
STOP_S = 20

SBIN = os.environ.get("HAUBERK_SBIN")
BIN = os.environ.get("HAUBERK_BIN") or \
    (SBIN and os.path.join(os.path.dirname(SBIN), "bin"))

LOCAL_USERS = "alice", "bob", "carol"

# what every test server says unless the test says it; %(x)s from `names`
DEFAULTS = {
    "hostname": "mx.hb.test",
    "domain": "hb.test",
    "spool": "spool",
    "run-dir": "run",
    "listen": "%(address)s:%(port)d smtp",
    "deliver": "maildir %(mail)s/%%u",
    "local-users": "%(users)s",
    "resolver": "%(resolver)s",
    "hosts-file": "%(hosts)s",
    "log": "%(log)s level=info",
    "lab": "on",
    "retry": "first=1s max=2s",
    "host-memory": "0",
}


# the latest ports that were given out, bound so that none is given out twice,
# to whatever run of the tests in this network
GIVEN_MOST = 100
_given = collections.deque()


def free_port(address="127.0.0.1", low=20000, high=32000):
    """A port below the ephemeral range that nobody listens on, or will."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(200):
        port = low + int.from_bytes(os.urandom(2), "big") % (high - low)
        s = socket.socket(family)
        try:
            s.bind((address, port))
        except OSError:
            s.close()
            continue
        # who sets this before he binds, as servers do, may have it now
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if len(_given) == GIVEN_MOST:
            _given.popleft().close()
        _given.append(s)
        return port
    raise OSError("no free port")


def hashed(password):
    """A line's hash for `auth passwd-file`."""
    return subprocess.run(["openssl", "passwd", "-6", password], check=True,
                          capture_output=True, text=True).stdout.strip()


class Result:
    """What a command printed, and its exit code."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    def __repr__(self):
        return "<exit %d: %s %s>" % (self.code, self.out, self.err)


class Hauberk:
    def __init__(self, space, mode, lines=(), resolver="127.0.0.1:9",
                 drop=(), wrap=(), address="127.0.0.1"):
        """`lines` replace the default lines of the same keyword; `drop`
        names defaults to leave out; `wrap` is put before the command;
        `resolver` is ADDR:PORT of the name server unless lines say it."""
        self.space = space
        self.mode = mode
        self.wrap = list(wrap)
        self.dir = os.path.join(space.folder, "hb" + os.urandom(4).hex())
        self.conf = self.path("hauberk.conf")
        self.mail = self.path("mail")
        self.log = self.path("log")
        self.control = self.path("run", "control.sock")
        self.address = address
        self.port = free_port(address)
        self.drop = drop
        self.resolver = str(resolver)
        self.process = None
        self.errors = []
        self.killed = set()
        os.mkdir(self.dir)
        os.mkdir(self.mail)
        # somebody reads root's mail, else each check warns of it
        self.write("users", "".join("%s\t%s\n" % (u, u)
                                    for u in LOCAL_USERS + ("root",)))
        self.write("hosts", "127.0.0.1 localhost\n")
        self.configure(lines)

    # files

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        """A file in the server's folder; its path."""
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, 0o644)
        return path

    def configure(self, lines=()):
        """Write the configuration: these lines over the defaults."""
        self.lines = list(lines)
        names = {"address": self.address, "port": self.port, "mail": self.mail, "log": self.log,
                 "users": self.path("users"), "hosts": self.path("hosts"),
                 "resolver": self.resolver}
        given = {l.split(" ")[0] for l in lines}
        text = ["%s %s" % (k, v % names) for k, v in DEFAULTS.items()
                if k not in given and k not in self.drop]
        if self.mode == "root" and "user" not in given:
            text.append("user local hbalice")
        self.write("hauberk.conf", "\n".join(text + self.lines) + "\n")
        self._own()

    def _own(self):
        """The folder belongs to whoever runs the server."""
        if os.geteuid() != 0:
            return
        owner = NOBODY if self.mode == "plain" else 0
        for folder, _, files in os.walk(self.dir):
            if os.path.relpath(folder, self.dir).split("/")[0] in ("spool",
                                                                   "run"):
                continue
            for path in [folder] + [os.path.join(folder, f) for f in files]:
                os.chown(path, owner, owner, follow_symlinks=False)
        if self.mode == "root":
            os.chown(self.mail, 7101, 7101)

    # processes

    def identity(self):
        """The arguments that make a child run as the server's user."""
        if self.mode != "plain" or os.geteuid() != 0:
            return {}
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def start(self, wait=True):
        """Start in the foreground; returns when `ready` was printed."""
        command = self.wrap + [os.path.join(SBIN, "hauberkd"), "-d", "-f",
                               self.conf]
        self.errors = []
        self.is_ready = False
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, cwd="/", start_new_session=True,
            **self.identity())
        ready = threading.Event()
        self._reader = threading.Thread(
            target=self._read_errors, args=(self.process.stderr, ready),
            daemon=True)
        self._reader.start()
        end = now() + READY_S
        while wait and now() < end and not ready.wait(0.2):
            pass
        if wait and not ready.is_set():
            pids = self.pids()
            self.kill_all()
            raise AssertionError("not ready in %d s (%d processes): %s" % (
                READY_S, len(pids), self.stderr()))
        if wait and not self.is_ready:
            # what it said has an end, and so has it, a moment later
            ended(self.process, STOP_S)
            raise AssertionError("ended at once: " + self.stderr())
        return self

    def _read_errors(self, stream, ready):
        for line in stream:
            self.errors.append(line.decode("utf-8", "replace"))
            if line.strip() == b"ready":
                self.is_ready = True
                ready.set()
        stream.close()
        ready.set()

    def stderr(self):
        return "".join(self.errors[-40:])

    def pids(self):
        """{pid: command line} of the daemon and all below it."""
        if self.process is None:
            return {}
        return family(self.process.pid)

    @property
    def pid(self):
        """The parent's pid, also when it runs under another program."""
        program = os.path.join(SBIN, "hauberkd")
        return min(p for p, line in self.pids().items()
                   if program in line.split(" ")[:2])

    def role(self, role):
        """The pids of one role, lowest first."""
        name = "libexec/hauberk/hauberk-" + role
        return sorted(p for p, line in self.pids().items()
                      if re.search(re.escape(name) + r"(\s|$)", line))

    def kill(self, role, number=signal.SIGKILL):
        """Send a signal to every process of a role; their pids."""
        pids = self.role(role)
        assert pids, "no process of role " + role
        self.killed.update(pids)
        for pid in pids:
            os.kill(pid, number)
        return pids

    def wait_role(self, role, gone=(), timeout=5):
        """The role's pids, once there is one that is not in `gone`."""
        return until(lambda: [p for p in self.role(role) if p not in gone],
                     timeout, "a new " + role)

    def kill_all(self):
        """SIGKILL everything at once, and what was just being started: a
        parent that dies last starts a role anew."""
        sent = set()

        def rest():
            pids = self._kill_each()
            sent.update(pids)
            return pids or _alive(sent)
        until(lambda: not rest(), 5, "processes after SIGKILL")
        self._reap()

    def _kill_each(self):
        """SIGKILL to all that live; their pids."""
        pids = list(self.pids())
        self.killed.update(pids)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return pids

    def terminate(self, timeout=STOP_S):
        """SIGTERM to the parent; its exit code when all are gone."""
        pids = list(self.pids())
        os.kill(self.pid, signal.SIGTERM)
        return self.terminated(pids, timeout)

    def terminated(self, pids=(), timeout=STOP_S):
        """Wait for the end of the parent and all roles; the exit code."""
        pids = pids or list(self.pids())
        code = ended(self.process, timeout)
        until(lambda: not _alive(pids), 5,
              lambda: "roles after the end: %s" % _alive(pids))
        self._reap()
        return code

    def stop(self):
        """`hauberkctl stop`; nothing may be left of it."""
        pids = list(self.pids())
        done = self.ctl("stop")
        assert done.code == 0, done
        assert not _alive(pids), "left after stop: %s" % _alive(pids)
        self._reap()

    def _reap(self):
        process, self.process = self.process, None
        if process is not None:
            ended(process, STOP_S)
            self._reader.join(most(5))

    def close(self):
        """End whatever still runs, and remove the folder."""
        if self.process is not None:
            self.kill_all()
        self._show_log()
        if not os.environ.get("HAUBERK_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def _show_log(self):
        """Print the last records: pytest shows them if the test failed."""
        try:
            with open(self.log, errors="replace") as f:
                print("".join(f.readlines()[-60:]))
        except FileNotFoundError:
            pass

    # commands

    def run(self, *command, input=b"", timeout=most(60), **kw):
        """A command as the server's user."""
        data = input.encode() if isinstance(input, str) else input
        done = subprocess.run(command, input=data, timeout=timeout, cwd="/",
                              capture_output=True,
                              **{**self.identity(), **kw})
        done.stdout = done.stdout.decode("utf-8", "replace")
        done.stderr = done.stderr.decode("utf-8", "replace")
        return Result(done)

    def ctl(self, *args, json=False):
        """hauberkctl; with json the parsed answer, else a Result."""
        command = [os.path.join(SBIN, "hauberkctl"), "-f", self.conf]
        done = self.run(*command, *(["--json"] if json else []), *args)
        if not json:
            return done
        assert done.code == 0, done
        return jsonlib.loads(done.out)

    def sendmail(self, *args, message=b"", name="sendmail", **kw):
        """sendmail, mailq or newaliases with this configuration."""
        folder = SBIN if name == "sendmail" else BIN
        return self.run(os.path.join(folder, name), "-C", self.conf, *args,
                        input=message, **kw)

    # looking

    def client(self, **kw):
        return client.Client(self.address, self.port, **kw)

    def send(self, sender, rcpts, message, **kw):
        return client.send(self.address, self.port, sender, rcpts, message,
                           **kw)

    def queue(self):
        return self.ctl("queue", json=True)

    def wait_empty(self, timeout=30):
        until(lambda: self.queue() == [], timeout,
              lambda: "queue still holds %s" % self.queue()[:3], step=0.1)

    def wait_reason(self, reason=None, timeout=20):
        """The queue's `last` of the first recipient with a reason."""
        def look():
            for entry in self.queue():
                for rcpt in entry["recipients"]:
                    last = rcpt.get("last") or {}
                    if last.get("reason") and reason in (None,
                                                         last["reason"]):
                        return last
            return None
        return until(look, timeout, lambda: "reason %s in %s"
                     % (reason, self.queue()[:3]), step=0.1)

    def records(self, **want):
        return records.match(records.read(self.log, want.get("ev", "")),
                             **want)

    def deaths(self):
        """The records of roles that died of themselves."""
        return [r for r in self.records(ev="role", state="died")
                if int(r["pid"]) not in self.killed]

    def wait_record(self, timeout=15, **want):
        return until(lambda: self.records(**want), timeout,
                     "a log record with %s" % want)[0]

    def maildir(self, user):
        """The messages delivered to a user, oldest first."""
        new = os.path.join(self.mail, user, "new")
        try:
            names = os.listdir(new)
        except FileNotFoundError:
            return []
        paths = [os.path.join(new, n) for n in names]
        out = []
        for path in sorted(paths, key=lambda p: os.stat(p).st_mtime_ns):
            with open(path, "rb") as f:
                out.append(f.read())
        return out

    def wait_mail(self, user, count=1, timeout=15):
        until(lambda: len(self.maildir(user)) >= count, timeout,
              lambda: "%d of %d messages for %s"
              % (len(self.maildir(user)), count, user))
        return self.maildir(user)


def _stat(pid):
    """(parent, session, state) of a process, or None."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[1]), int(fields[3]), fields[0]


def family(root):
    """The process, its descendants and all of its session."""
    stats = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(int(entry))
            if stat and stat[2] != "Z":
                stats[int(entry)] = stat
    found, size = {root}, 0
    while len(found) != size:
        size = len(found)
        found |= {p for p, s in stats.items()
                  if s[0] in found or s[1] == root}
    return {p: _command(p) for p in found if p in stats}


def _command(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read().replace(b"\0", b" ").decode("latin-1").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _alive(pids):
    return [p for p in pids if (_stat(p) or (0, 0, "Z"))[2] not in "ZX"]
