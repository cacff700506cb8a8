"""`auth pam`: libpam, its real modules, and one with odd habits."""

import base64
import os
import statistics
import subprocess
import time

import pytest

from harness import client, hauberk as hauberkmod
from harness.hauberk import free_port, hashed
from harness.wait import until

PASSWORD = "correct horse"
SERVICE = "hauberk-test"
# of shadow(5): hash, last change, and the day on which the account ends
SHADOW = "%s:%s:%s:0:99999:7::%s:\n"


@pytest.fixture(scope="session")
def odd_module(tmp_path_factory):
    """The module of harness/pam_odd.c."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = str(tmp_path_factory.mktemp("pam") / "pam_odd.so")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", path,
                    os.path.join(here, "harness/pam_odd.c"), "-lpam"],
                   check=True)
    return path


class Pam:
    """A server with `auth pam` whose rules are RULES."""

    def __init__(self, make_server, rules, *lines):
        self.rules(rules)
        self.hb = make_server(start=False)
        self.port = free_port()
        self.hb.write("passwd", "carol:%s\n" % hashed(PASSWORD))
        self.hb.configure(["listen 127.0.0.1:%d smtp" % self.hb.port,
                           "listen 127.0.0.1:%d submissions" % self.port,
                           "auth pam " + SERVICE,
                           "auth passwd-file " + self.hb.path("passwd"),
                           *lines])
        self.hb.start()

    @staticmethod
    def rules(text):
        """In the /etc of this run alone."""
        with open("/etc/pam.d/" + SERVICE, "w", encoding="ascii") as f:
            f.write(text)

    def login(self, user, password=PASSWORD):
        """The codes of AUTH and of a MAIL as that user."""
        with client.Client("127.0.0.1", self.port, tls=True) as c:
            c.ehlo()
            code = c.auth_plain(user, password).code
            return code, c.cmd("MAIL FROM:<%s@hb.test>" % user.lower()).code

    def time(self, user, password):
        """Seconds of a login that is refused."""
        with client.Client("127.0.0.1", self.port, tls=True) as c:
            c.ehlo()
            began = time.monotonic()
            assert c.auth_plain(user, password).code == 535
            return time.monotonic() - began

    def expect_kills(self):
        """The test ended processes of PAM: that is no fault."""
        self.hb.killed |= {int(r["pid"]) for r in
                           self.hb.records(ev="role", name="pam")}

    def helpers(self):
        """Processes of hauberk-pam."""
        return [p for p in os.listdir("/proc") if p.isdigit()
                and name_of(p) == "hauberk-pam"]


def name_of(pid):
    try:
        with open("/proc/%s/comm" % pid, encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return ""


@pytest.fixture(scope="session")
def passwords(space):
    """Of three accounts in this run's own /etc/shadow: one is good, one has
    ended, and one has to change it."""
    if not space.private:
        pytest.skip("needs an /etc of its own")
    with open("/etc/shadow", "a", encoding="ascii") as f:
        f.write(SHADOW % ("hbalice", hashed(PASSWORD), "19000", ""))
        f.write(SHADOW % ("hbbob", hashed(PASSWORD), "19000", "19001"))
        f.write(SHADOW % ("dovecot", hashed(PASSWORD), "0", ""))


@pytest.fixture
def pam(make_server, passwords):
    return lambda *args: Pam(make_server, *args)


@pytest.mark.root
def test_AUTH_01_pam_unix(pam):
    """Accounts of the system: right and wrong passwords, one that is not
    there, one that has ended, one that must change its password; who is in
    our own file is not asked about."""
    p = pam("auth required pam_unix.so\naccount required pam_unix.so\n")
    assert p.login("hbalice") == (235, 250)
    assert p.login("carol") == (235, 250)
    for user, password in (("hbalice", PASSWORD + "x"), ("hbalice", "\x01"),
                           ("nobody-at-all", PASSWORD), ("hbbob", PASSWORD),
                           ("dovecot", PASSWORD), ("root", PASSWORD)):
        assert p.login(user, password)[0] == 535, user
    assert not p.hb.ctl("status", json=True)["trouble"]
    p.hb.wait_record(ev="auth", login="hbalice", result="ok")
    until(lambda: not p.helpers(), 10, "helpers that end")


@pytest.mark.root
def test_AUTH_04_pam_takes_the_same(pam):
    """An unknown login, a wrong password and one in our own file are refused
    after the same time, which no module's delay prolongs."""
    p = pam("auth required pam_unix.so\naccount required pam_unix.so\n")
    times = {user: p.time(user, "wrong")
             for user in ("hbalice", "nobody-at-all", "carol")}
    assert max(times.values()) < 2 * statistics.median(times.values()), times
    assert min(times.values()) >= 2, times


@pytest.mark.root
@pytest.mark.parametrize("rules, code, trouble", (
    ("auth required pam_permit.so\naccount required pam_permit.so\n", 235, ""),
    ("auth required pam_deny.so\naccount required pam_permit.so\n", 535, ""),
    ("auth required pam_permit.so\naccount required pam_deny.so\n", 535, ""),
    ("auth required pam_not_there.so\naccount required pam_permit.so\n", 454,
     "Module is unknown"),
    ("auth required {odd} twice\naccount required pam_permit.so\n", 235, ""),
    ("auth required {odd} code\naccount required pam_permit.so\n", 535,
     "more than a password"),
    ("auth required {odd} endless\naccount required pam_permit.so\n", 535,
     "more than a password"),
    ("auth required {odd} die\naccount required pam_permit.so\n", 454,
     "without an answer"),
), ids=("permit", "deny", "account", "missing", "twice", "code", "endless",
        "die"))
def test_AUTH_03_pam_rules(pam, odd_module, rules, code, trouble):
    """What modules do becomes a code; what is the operator's matter is no
    fault of the user and shows in status."""
    p = pam(rules.format(odd=odd_module))
    assert p.login("dave", "right")[0] == code
    troubles = p.hb.ctl("status", json=True)["trouble"]
    assert bool(troubles) == bool(trouble), troubles
    assert not trouble or trouble in troubles[0]["text"], troubles
    p.rules("auth required pam_permit.so\naccount required pam_permit.so\n")
    assert p.login("dave", "right")[0] == 235
    assert not p.hb.ctl("status", json=True)["trouble"]
    p.expect_kills()


@pytest.mark.root
def test_AUTH_01_pam_has_its_own_name(pam, odd_module):
    """The name that modules make of a login is who he is."""
    p = pam("auth required %s name=erin\naccount required pam_permit.so\n"
            % odd_module)
    with client.Client("127.0.0.1", p.port, tls=True) as c:
        c.ehlo()
        assert c.auth_plain("ERIN@else", "right").code == 235
        assert c.cmd("MAIL FROM:<dave@hb.test>").code == 550
        assert c.cmd("MAIL FROM:<erin@hb.test>").code == 250


@pytest.mark.root
@pytest.mark.limit(120)
def test_AUTH_04_pam_that_hangs(pam, odd_module):
    """Modules that hang are killed with what they started; meanwhile mail is
    taken and other logins are answered; there are never more than 16."""
    p = pam("auth required %s wait\naccount required pam_permit.so\n"
            % odd_module)
    clients = []
    for i in range(20):
        c = client.Client("127.0.0.1", p.port, tls=True)
        c.ehlo()
        c.send("AUTH PLAIN %s\r\n" % base64.b64encode(
            b"\0u%d\0right" % i).decode())
        clients.append(c)
    until(lambda: len(p.helpers()) > 1, 20, "helpers")
    assert len(p.helpers()) <= 16
    assert p.login("carol")[0] == 235
    p.hb.send("a@client.test", "alice@hb.test", client.text("meanwhile"))
    assert p.hb.wait_mail("alice")
    for c in clients:
        assert c.read().code == 454
        c.close()
    until(lambda: not p.helpers(), 30, "helpers that are killed")
    p.expect_kills()


def test_pam_without_root_says_so(make_server):
    """hauberkd -n names what cannot work, and a name that is none."""
    hb = make_server(start=False)
    hb.configure(["auth pam no-such-service"])
    done = hb.run(os.path.join(hauberkmod.SBIN, "hauberkd"), "-n", "-f",
                  hb.conf)
    assert done.code == 0
    assert "no /etc/pam.d/no-such-service" in done.err
    assert "not started by root" in done.err
    hb.configure(["auth pam ../../etc/passwd"])
    assert hb.run(os.path.join(hauberkmod.SBIN, "hauberkd"), "-n", "-f",
                  hb.conf).code == 78
