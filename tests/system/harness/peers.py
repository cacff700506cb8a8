"""Real mail programs from Debian's packages, unpacked and never installed.

Packages come by `apt-get download` and `dpkg -x` into a cache, once. A peer
that cannot be fetched skips the tests that need it. `python3 -m harness.peers`
fetches all of them.
"""

import fcntl
import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
import time

import pytest

from . import wait
from .wait import ended, most, now, until
from .client import Client

FETCH_S = 300
AGAIN_S = 600   # what could not be fetched is asked for again

# package -> what is missing on a plain system to run it
POSTFIX = ("postfix", "libicu72", "libsasl2-modules")
EXIM = ("exim4-daemon-light", "libidn12", "libgnutls-dane0", "libdb5.3",
        "libunbound8", "libpcre2-8-0")
DOVECOT = ("dovecot-core", "dovecot-lmtpd", "libexttextcat-2.0-0",
           "libsodium23", "liblua5.3-0", "libstemmer0d", "libwrap0",
           "libtirpc3", "libnsl2")
SAMPLES = ("spamassassin", "libpython3.11-testsuite", "python3-dkim")
SWAKS = ("swaks", "libnet-ssleay-perl")
MSMTP = ("msmtp", "libgsasl18", "libntlm0", "libgssglue1", "libidn12",
         "libsecret-1-0", "libsecret-common")
GSASL = ("gsasl", "libgsasl18", "libntlm0", "libgssglue1", "libidn12")
# git's, and those of Perl that speak SMTP
PERL = ("git-email", "libauthen-sasl-perl", "libio-socket-ssl-perl",
        "libnet-ssleay-perl", "libmailtools-perl", "libtimedate-perl")
NODEMAILER = ("node-nodemailer",)
# filters
OPENDKIM = ("opendkim", "libopendkim11", "libopendbx1", "librbl1", "libvbr2",
            "libmemcached11", "libhashkit2", "liblua5.3-0", "libunbound8",
            "libmilter1.0.1", "libdb5.3")
OPENDMARC = ("opendmarc", "libopendmarc2", "libspf2-2", "libmilter1.0.1",
             "libbsd0", "libmd0", "publicsuffix")
RSPAMD = ("rspamd", "libluajit-5.1-2", "libluajit-5.1-common",
          "libhyperscan5", "libsodium23", "libunwind8", "libglib2.0-0",
          "libicu72", "libsqlite3-0", "libpcre2-8-0")
SPAMASS = ("spamass-milter", "libmilter1.0.1", "spamd", "spamc",
           "spamassassin", "libhtml-parser-perl", "libhtml-tagset-perl",
           "libnetaddr-ip-perl", "libnet-dns-perl", "libnet-ip-perl",
           "libsocket6-perl", "libsys-hostname-long-perl",
           "libhttp-date-perl", "libtimedate-perl", "libio-string-perl",
           "libmail-dkim-perl", "libcrypt-openssl-rsa-perl",
           "libcrypt-openssl-bignum-perl")
UNBOUND = ("unbound", "libevent-2.1-7", "libnghttp2-14", "libprotobuf-c1",
           "libpython3.11")
NSD = ("nsd", "libevent-2.1-7", "libfstrm0", "libprotobuf-c1")
LDNS = ("ldnsutils", "libldns3")
# what calls sendmail
CLIENTS = ("php8.2-cli", "php8.2-common", "libsodium23", "libargon2-1",
           "libedit2", "libbsd0", "libmd0", "libmagic1", "libxml2",
           "libicu72", "mutt", "libgsasl18", "libtokyocabinet9", "libntlm0",
           "libgssglue1", "libgpgme11", "libassuan0", "libidn12",
           "libncursesw6", "cron", "cron-daemon-common",
           "libmailtools-perl", "libtimedate-perl", "bsd-mailx",
           "liblockfile1")
ALL = (POSTFIX, EXIM, DOVECOT, SAMPLES, SWAKS, MSMTP, GSASL, PERL, NODEMAILER,
       OPENDKIM, OPENDMARC, RSPAMD, SPAMASS, UNBOUND, NSD, LDNS, CLIENTS)


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or \
        os.path.expanduser("~/.cache")
    return os.path.join(base, "hauberk-tests")


class Peers:
    def __init__(self, space):
        """`space` is None where the machine's network is our own."""
        self.space = space
        self.outside = space.outside() if space else []
        self.cache = cache_folder()
        self._done = {}

    def root(self, packages):
        """The folder these packages are unpacked in, or skip."""
        key = packages[0]
        if key not in self._done:
            # the first test that wants them is not to blame for a slow line
            with wait.uncounted():
                self._done[key] = self.fetch(packages)
        folder, problem = self._done[key]
        if problem:
            pytest.skip("%s cannot be fetched: %s" % (key, problem))
        return folder

    def fetch(self, packages):
        """(folder, None) or (None, what is in the way)."""
        os.makedirs(self.cache, exist_ok=True)
        name = os.path.join(self.cache, packages[0])
        # others may want the same at the same time
        with open(name + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._fetch(name, packages)

    def _fetch(self, folder, packages):
        if _read(os.path.join(folder, ".complete")) == "\n".join(packages):
            return folder, None
        failed = folder + ".failed"
        try:
            if time.time() - os.stat(failed).st_mtime < AGAIN_S:
                return None, _read(failed)
        except OSError:
            pass
        try:
            self._unpack(folder, packages)
        except (OSError, subprocess.SubprocessError) as err:
            text = str(getattr(err, "stderr", None) or err).strip()[-200:]
            with open(failed, "w") as f:
                f.write(text)
            return None, text
        return folder, None

    def _unpack(self, folder, packages):
        """What is half done when we are ended is not taken for whole."""
        new = folder + ".new"
        debs = os.path.join(new, ".debs")
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(debs)
        self._download(debs, packages)
        for deb in sorted(os.listdir(debs)):
            subprocess.run(["dpkg", "-x", os.path.join(debs, deb), new],
                           check=True, timeout=FETCH_S, capture_output=True,
                           text=True)
        shutil.rmtree(debs)
        with open(os.path.join(new, ".complete"), "w") as f:
            f.write("\n".join(packages))
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(new, folder)

    def _download(self, debs, packages):
        subprocess.run(self.outside + [
            "apt-get", "-q", "-o", "APT::Sandbox::User=root",
            "-o", "Acquire::Retries=3", "download", *packages], cwd=debs,
            check=True, capture_output=True, text=True, timeout=FETCH_S)

    # Postfix's test programs

    def postfix(self, program):
        root = self.root(POSTFIX)
        return os.path.join(root, "usr/sbin", program), _libs(
            root, "usr/lib/postfix")

    def source(self, target, *args, timeout=most(300)):
        """Run smtp-source to its end; its exit code."""
        program, env = self.postfix("smtp-source")
        done = subprocess.run([program, *args, "inet:" + target], env=env,
                              capture_output=True, text=True,
                              timeout=timeout)
        assert done.returncode == 0, done.stderr
        return done

    def sink(self, folder, address, port, *args):
        """Start smtp-sink; it writes what it gets to one file."""
        return Sink(self, folder, address, port, args)

    def gsasl(self, *args, timeout=most(60)):
        """GNU SASL's tool, which makes verifiers. (As a client of SMTP it
        says STARTTLS before EHLO, which we do not take.)"""
        root = self.root(GSASL)
        return subprocess.run(
            [os.path.join(root, "usr/bin/gsasl"), *args], input="",
            env=_libs(root), capture_output=True, text=True, timeout=timeout)

    def msmtp(self, text, *args, timeout=most(60)):
        """msmtp, which speaks SCRAM by itself (GNU SASL)."""
        root = self.root(MSMTP)
        return subprocess.run(
            [os.path.join(root, "usr/bin/msmtp"), *args], input=text,
            env=dict(os.environ, LD_LIBRARY_PATH=os.path.join(
                root, "usr/lib/x86_64-linux-gnu")),
            capture_output=True, text=True, timeout=timeout)

    # sample mails

    def samples(self):
        """{name: message bytes with CRLF} of the samples Debian ships."""
        root = self.root(SAMPLES)
        found = {}
        for folder, suffixes in (
                ("usr/share/doc/spamassassin/examples", (".txt",)),
                ("usr/lib/python3.11/test/test_email/data", (".txt",)),
                ("usr/lib/python3/dist-packages/dkim/tests/data",
                 (".message", ".msg"))):
            path = os.path.join(root, folder)
            for name in sorted(os.listdir(path)):
                if name.endswith(suffixes):
                    with open(os.path.join(path, name), "rb") as f:
                        found[name] = crlf(f.read())
        return found

    def dkim_data(self, name):
        path = "usr/lib/python3/dist-packages/dkim/tests/data"
        with open(os.path.join(self.root(SAMPLES), path, name), "rb") as f:
            return f.read()

    # whole servers

    def exim(self, folder, address, port, cert):
        return Exim(self, folder, address, port, cert)

    def postfix_server(self, folder, address, port):
        return Postfix(self, folder, address, port)

    def dovecot(self, folder, address, port, users=""):
        return Dovecot(self, folder, address, port, users)


def _read(path):
    try:
        with open(path) as f:
            return f.read()
    except FileNotFoundError:
        return ""


def crlf(data):
    """A file's text with the line ends of mail."""
    return b"\r\n".join(data.replace(b"\r\n", b"\n").split(b"\n"))


def _libs(root, *more):
    folders = [os.path.join(root, f) for f in (
        "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu") + more]
    return dict(os.environ, LD_LIBRARY_PATH=":".join(folders))


def laid_over(root, *command):
    """A command that sees the unpacked packages laid over /usr.

    Whole servers have their paths built in; a mount namespace of their own
    gives them what they look for."""
    script = "mount -t overlay -o lowerdir=%s/usr:/usr none /usr && " \
        "exec \"$@\"" % root
    return ["unshare", "-m", "sh", "-c", script, "sh", *command]


class Server:
    """A program in the foreground, ended by its pid."""

    ending = signal.SIGTERM

    def launch(self, command, **kw):
        self.output = open(os.path.join(self.folder, "output"), "ab")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.output,
            stderr=self.output, start_new_session=True, **kw)

    def wait_port(self):
        def up():
            if self.process.poll() is not None:
                raise AssertionError("ended: " + self.printed())
            try:
                Client(self.address, self.port, timeout=5).close()
                return True
            except OSError:
                return False
        until(up, 15, "a greeting at %s:%d" % (self.address, self.port))

    def printed(self):
        with open(os.path.join(self.folder, "output"),
                  errors="replace") as f:
            return f.read()[-2000:]

    def close(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            os.killpg(self.process.pid, self.ending)
            try:
                ended(self.process, 5)
            except AssertionError:
                os.killpg(self.process.pid, signal.SIGKILL)
                ended(self.process, 5)
        self.output.close()
        self.process = None


class Sink(Server):
    def __init__(self, peers, folder, address, port, args):
        self.folder, self.address, self.port = folder, address, port
        self.dump = os.path.join(folder, "sink.dump")
        program, env = peers.postfix("smtp-sink")
        user = ["-u", "root"] if os.geteuid() == 0 else []
        self.launch([program, *user, "-D", self.dump, *args,
                     "inet:%s:%d" % (address, port), "256"], env=env)
        self.wait_port()

    def recipients(self):
        """The recipients of all messages, one entry each time."""
        if not os.path.exists(self.dump):
            return []
        out = []
        with open(self.dump, "rb") as f:
            for line in f:
                if line.startswith(b"X-Rcpt-Args: "):
                    out.append(line[13:].strip().decode("latin-1"))
        return out

    def wait(self, count, timeout):
        seen, size = [], -1
        end = now() + timeout
        while len(seen) < count:
            assert now() < end, "%d of %d at the sink" % (
                len(seen), count)
            time.sleep(0.2)
            there = os.path.exists(self.dump) and os.path.getsize(self.dump)
            if there != size:
                size, seen = there, self.recipients()
        return seen


EXIM_CONF = """
primary_hostname = exim.far.test
spool_directory = %(dir)s/spool
log_file_path = %(dir)s/%%slog
pid_file_path = %(dir)s/pid
local_interfaces = %(address)s
daemon_smtp_ports = %(port)d
tls_advertise_hosts = *
tls_certificate = %(chain)s
tls_privatekey = %(key)s
host_lookup =
smtputf8_advertise_hosts = *
rfc1413_query_timeout = 0s
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
acl_smtp_rcpt = rcpt
acl_smtp_data = data
message_size_limit = 60M
recipients_max = 1000
# deliver at once, however many messages a connection brings
smtp_accept_queue_per_connection = 0
keep_environment =
begin acl
rcpt:
  deny local_parts = nobody
       message = no such mailbox
  accept
data:
  accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = %(dir)s/mail
  maildir_format
  create_directory
  return_path_add
  user = Debian-exim
  group = Debian-exim
"""


class Exim(Server):
    """Exim as the receiving server; needs the private accounts."""

    def __init__(self, peers, folder, address, port, cert):
        if not peers.space.private:
            pytest.skip("Exim needs root to be started with our accounts")
        root = peers.root(EXIM)
        self.folder, self.address, self.port = folder, address, port
        os.makedirs(os.path.join(folder, "spool"))
        self.conf = os.path.join(folder, "exim.conf")
        key = os.path.join(folder, "key.pem")
        with open(cert.key, "rb") as old, open(key, "wb") as new:
            new.write(old.read())
        with open(self.conf, "w") as f:
            f.write(EXIM_CONF % dict(dir=folder, address=address, port=port,
                                     chain=cert.chain, key=key))
        subprocess.run(["chown", "-R", "Debian-exim:Debian-exim", folder],
                       check=True)
        os.chown(self.conf, 0, 0)
        os.chmod(self.conf, 0o644)
        # -bdf: a daemon in the foreground
        self.launch(laid_over(root, "/usr/sbin/exim4", "-C", self.conf,
                               "-bdf"))
        self.wait_port()

    def messages(self):
        new = os.path.join(self.folder, "mail/new")
        if not os.path.isdir(new):
            return []
        out = []
        for name in sorted(os.listdir(new)):
            with open(os.path.join(new, name), "rb") as f:
                out.append(f.read())
        return out

    def wait(self, count, timeout=20):
        until(lambda: len(self.messages()) >= count, timeout,
              lambda: "%d messages at Exim: %s" % (len(self.messages()),
                                                   self.printed()))
        return self.messages()

    def log(self):
        with open(os.path.join(self.folder, "mainlog"),
                  errors="replace") as f:
            return f.read()


POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = %(dir)s/spool
data_directory = %(dir)s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.far.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
default_database_type = inline
alias_maps =
mydestination =
mynetworks_style = host
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = far.test
virtual_mailbox_base = %(dir)s/mail
virtual_mailbox_maps = inline:{ { x@far.test = x/ } }
virtual_uid_maps = static:%(uid)d
virtual_gid_maps = static:%(uid)d
virtual_minimum_uid = 100
maillog_file = %(dir)s/log
maillog_file_prefixes = %(dir)s
"""

# service, type, private, its program
POSTFIX_SERVICES = (
    ("cleanup", "unix", "n", "cleanup"), ("qmgr", "unix", "n", "qmgr"),
    ("rewrite", "unix", "-", "trivial-rewrite"),
    ("bounce", "unix", "-", "bounce"), ("defer", "unix", "-", "bounce"),
    ("trace", "unix", "-", "bounce"), ("proxymap", "unix", "-", "proxymap"),
    ("error", "unix", "-", "error"), ("retry", "unix", "-", "error"),
    ("virtual", "unix", "-", "virtual"), ("anvil", "unix", "-", "anvil"),
    ("postlog", "unix-dgram", "n", "postlogd"))
# programs that want to be one, or as many as are asked for
POSTFIX_MOST = {"cleanup": "0", "bounce": "0", "qmgr": "1", "anvil": "1",
                "postlogd": "1"}


class Postfix(Server):
    """Postfix as the receiving server: the mailbox x@far.test."""

    def __init__(self, peers, folder, address, port):
        if not peers.space.private:
            pytest.skip("Postfix needs root to be started with our accounts")
        root = peers.root(POSTFIX)
        self.folder, self.address, self.port = folder, address, port
        os.chmod(folder, 0o755)
        uid, gid = pwd.getpwnam("postfix").pw_uid, \
            grp.getgrnam("postdrop").gr_gid
        for name in ("active", "bounce", "corrupt", "defer", "deferred",
                     "flush", "hold", "incoming", "private", "saved",
                     "trace", "public", "maildrop", "pid"):
            path = os.path.join(folder, "spool", name)
            os.makedirs(path)
            group = gid if name in ("public", "maildrop") else 0
            os.chown(path, 0 if name == "pid" else uid, group)
        for name in ("data", "mail", "mail/x"):
            os.mkdir(os.path.join(folder, name))
            os.chown(os.path.join(folder, name), uid, uid)
        with open(os.path.join(folder, "main.cf"), "w") as f:
            f.write(POSTFIX_MAIN % dict(dir=folder, uid=uid))
        with open(os.path.join(folder, "master.cf"), "w") as f:
            f.write("%s:%d inet n - n - - smtpd\n" % (address, port))
            for name, kind, private, program in POSTFIX_SERVICES:
                f.write("%s %s %s %s n - %s %s\n" % (
                    name, kind, private, "n" if name == "virtual" else "-",
                    POSTFIX_MOST.get(program, "-"), program))
        self.launch(laid_over(root, "/usr/lib/postfix/sbin/master", "-d",
                              "-c", folder))
        self.wait_port()

    def messages(self):
        new = os.path.join(self.folder, "mail/x/new")
        if not os.path.isdir(new):
            return []
        out = []
        for name in sorted(os.listdir(new)):
            with open(os.path.join(new, name), "rb") as f:
                out.append(f.read())
        return out

    def wait(self, count, timeout=20):
        until(lambda: len(self.messages()) >= count, timeout,
              lambda: "%d messages at Postfix: %s" % (
                  len(self.messages()), _read(self.folder + "/log")[-2000:]))
        return self.messages()

    def log(self):
        return _read(os.path.join(self.folder, "log"))


DOVECOT_CONF = """
base_dir = %(dir)s/base
state_dir = %(dir)s/state
log_path = %(dir)s/log
protocols = lmtp
ssl = no
mail_location = maildir:%(dir)s/mail/%%n
first_valid_uid = 1
auth_mechanisms = plain
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
hostname = dovecot.far.test
postmaster_address = postmaster@far.test
passdb {
  driver = passwd-file
  args = %(dir)s/users
}
service auth {
  unix_listener %(dir)s/auth {
    mode = 0666
  }
}
userdb {
  driver = static
  args = uid=dovecot gid=dovecot home=%(dir)s/mail/%%n allow_all_users=yes
}
service lmtp {
  inet_listener lmtp {
    address = %(address)s
    port = %(port)d
  }
  unix_listener lmtp {
    mode = 0666
  }
}
service stats {
  unix_listener stats-reader {
    mode = 0666
  }
  unix_listener stats-writer {
    mode = 0666
  }
}
"""


class Dovecot(Server):
    """Dovecot's LMTP server, and in `folder`/auth its judge of logins: the
    lines of passwd-file in `users`.  Needs the private accounts."""

    def __init__(self, peers, folder, address, port, users=""):
        if not peers.space.private:
            pytest.skip("Dovecot needs root to be started with our accounts")
        root = peers.root(DOVECOT)
        self.folder, self.address, self.port = folder, address, port
        os.makedirs(os.path.join(folder, "mail"))
        os.chown(os.path.join(folder, "mail"), 7112, 7112)
        with open(os.path.join(folder, "users"), "w") as f:
            f.write(users)
        conf = os.path.join(folder, "dovecot.conf")
        with open(conf, "w") as f:
            f.write(DOVECOT_CONF % dict(dir=folder, port=port,
                                        address=address))
        self.launch(laid_over(root, "/usr/sbin/dovecot", "-F", "-c", conf))
        self.wait_port()

    def messages(self, user):
        new = os.path.join(self.folder, "mail", user, "new")
        if not os.path.isdir(new):
            return []
        out = []
        for name in sorted(os.listdir(new)):
            with open(os.path.join(new, name), "rb") as f:
                out.append(f.read())
        return out

    def wait(self, user, count=1, timeout=20):
        until(lambda: len(self.messages(user)) >= count, timeout,
              lambda: "no mail at Dovecot: " + self.printed())
        return self.messages(user)


def main():
    peers = Peers(None)
    for packages in ALL:
        _, problem = peers.fetch(packages)
        print(packages[0], problem or "is there")


if __name__ == "__main__":
    main()
