#!/usr/bin/python3
"""The parent with roles that do nothing: start, restart, reload, stop.

Runs unprivileged; called by root it becomes nobody.
"""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)),
                                "../system"))
from harness import wait  # noqa: E402

BUILD = os.environ.get("HB_BUILDDIR", ".")
ROLES = ["keyagent", "router", "queue", "delivery", "smtpd", "control"]
NOBODY = 65534


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Parent:
    """One tree: programs, configuration, log."""

    def __init__(self, top):
        self.top = top
        self.libexec = os.path.join(top, "libexec")
        os.mkdir(self.libexec)
        for role in ROLES:
            shutil.copy(os.path.join(BUILD, "tests/roles/role"),
                        os.path.join(self.libexec, "hauberk-" + role))
        self.program = os.path.join(top, "hauberkd")
        shutil.copy(os.path.join(BUILD, "common/parent/hauberkd"),
                    self.program)
        self.conf = os.path.join(top, "hauberk.conf")
        self.log = os.path.join(top, "log")
        self.port = free_port()
        self.pid_before = 0
        self.write_conf()

    def write_conf(self, more="", name="mx.example.org", listen=None):
        listen = listen or f"127.0.0.1:{self.port} smtp"
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f"hostname {name}\nlisten {listen}\nspool spool\n"
                    f"run-dir run\nlog {self.log}\nworkers smtpd=2\n{more}")

    def start(self, *options):
        env = dict(os.environ, HAUBERK_LIBEXEC=self.libexec)
        return subprocess.run(
            [self.program, "-f", self.conf, *options], env=env, check=False,
            timeout=wait.most(30), stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, stdout=subprocess.PIPE)

    def records(self):
        with open(self.log, encoding="ascii") as f:
            return f.read().splitlines()

    def pid(self):
        return int(re.search(r"parent\[(\d+)\]", "\n".join(
            r for r in self.records() if "ev=start" in r).split("\n")[-1])[1])

    def role_pids(self, role):
        """The last process of each instance."""
        found = {}
        for r in self.records():
            m = re.search(rf"ev=role name={role} state=ready instance=(\d+) "
                          r"pid=(\d+)", r)
            if m:
                found[m[1]] = int(m[2])
        return sorted(found.values())


def become_nobody(top):
    """Called by root: TOP and this process are nobody's from here on."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", str(NOBODY), top], check=True)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def wait_for(what, seconds=20):
    """Until WHAT() holds."""
    wait.until(what, seconds, "waited in vain", step=0.01)


def measured(what, pids):
    """How long it took for WHAT() to hold, less what others took from us and
    from PIDS(), which may be others at the end than now."""
    start = time.monotonic()
    before = {pid: wait.starved(pid) for pid in {os.getpid(), *pids()}}
    wait_for(what)
    lost = sum(max(0, wait.starved(pid) - before.get(pid, 0))
               for pid in {os.getpid(), *pids()})
    return time.monotonic() - start - lost


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] != "Z"


def has_record(p, text):
    return any(text in r for r in p.records())


def check_mistakes(p):
    p.write_conf("bogus 1\nretry x\n")
    for options in (["-n"], []):
        r = p.start(*options)
        assert r.returncode == 78, r
        assert b":7:" in r.stderr and b":8:" in r.stderr, r.stderr
    assert not os.path.exists(os.path.join(p.top, "spool"))
    p.write_conf()
    assert p.start("-n").returncode == 0


def check_start(p):
    r = p.start()
    assert r.returncode == 0, r
    p.pid_before = p.pid()
    assert has_record(p, "ev=start state=ready")
    for role in ROLES:
        pids = p.role_pids(role)
        assert len(pids) == (2 if role == "smtpd" else 1), (role, pids)
        for pid in pids:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                assert f.read().endswith(f"hauberk-{role}\0".encode())
    assert oct(os.stat(os.path.join(p.top, "spool/maildrop")).st_mode) \
        == "0o41730"


def check_second_start(p):
    r = p.start()
    assert r.returncode != 0 and b"another hauberkd" in r.stderr, r


def check_restarts(p):
    for role in ROLES:
        old = p.role_pids(role)[0]
        os.kill(old, signal.SIGKILL)
        took = measured(lambda r=role, o=old: o not in p.role_pids(r),
                        lambda: [p.pid_before] + all_pids(p))
        assert took < 1, (role, took)
        # its peers have a channel to the new process
        new = len([r for r in p.records() if "state=restarted" in r])
        assert new >= 1
    for role in ROLES:
        assert all(is_alive(pid) for pid in p.role_pids(role)), role
    wait_for(lambda: len([r for r in p.records()
                          if "queue[" in r and "peer=router" in r
                          and "state=up" in r]) >= 3)


def check_crash(p):
    """The record of a crash says whether there is a core to look at."""
    old = p.role_pids("router")[0]
    # not SIGSEGV, which a sanitizer would take for itself
    os.kill(old, signal.SIGABRT)
    wait_for(lambda: p.role_pids("router")[0] != old)
    # the sandbox allows none
    assert has_record(p, f"state=died instance=0 pid={old} signal=6 core=no")


def check_backoff(p):
    """A role that dies again and again is started less and less often."""
    begin = len(p.records())

    def restarts():
        return len([r for r in p.records()[begin:]
                    if "name=router state=restarted" in r])
    start, end = time.monotonic(), wait.now() + 20
    while time.monotonic() - start < 1.5 or \
            restarts() < 2 and wait.now() < end:
        for pid in p.role_pids("router"):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    assert 2 <= restarts() <= 6, restarts()
    wait_for(lambda: is_alive(p.role_pids("router")[0]))


def check_reload(p):
    p.write_conf("spool elsewhere\n", name="new.example.org")
    os.kill(p.pid(), signal.SIGHUP)
    wait_for(lambda: has_record(p, "state=kept"))
    p.write_conf(name="new.example.org")
    os.rename(p.log, p.log + ".old")
    os.kill(p.pid_before, signal.SIGHUP)
    wait_for(lambda: os.path.exists(p.log))
    wait_for(lambda: len([r for r in p.records()
                          if "state=new name=new.example.org" in r]) == 7)
    p.write_conf("bogus\n")
    os.kill(p.pid_before, signal.SIGHUP)
    wait_for(lambda: has_record(p, "bogus"))
    p.write_conf()


def listening(p):
    """How many listeners took the sockets of each configuration so far."""
    found = {}
    for r in p.records():
        m = re.search(r"smtpd\[(\d+)\].*state=listening count=(\d+)", r)
        if m:
            found.setdefault(int(m[2]), set()).add(m[1])
    return [len(found[n]) for n in sorted(found)]


def check_refused_reload(p):
    """What one role cannot use, no role keeps; listeners neither."""
    def count(text):
        return len([r for r in p.records() if text in r])
    other = free_port()
    names = count("state=new name=new.example.org")
    p.write_conf(name="refused.example.org",
                 listen=f"127.0.0.1:{other} smtp")
    os.kill(p.pid_before, signal.SIGHUP)
    wait_for(lambda: has_record(
        p, 'state=kept error="smtpd: not this name"'))
    wait_for(lambda: count("state=new name=new.example.org") == names + 7)
    # sockets of it are for the listener that took it; then both have theirs
    wait_for(lambda: listening(p)[-2:] == [1, 2])
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", other)) != 0
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", p.port)) == 0
    done = count("state=reloaded")
    p.write_conf(name="third.example.org")
    for _ in range(3):  # the second one waits for the first
        os.kill(p.pid_before, signal.SIGHUP)
    wait_for(lambda: count("state=reloaded") > done)
    wait_for(lambda: count("state=new name=third.example.org") >= 7)


def test_A_6_who_may_blame_whom(p):
    """A role is believed about its peers alone, and a less trusted one not
    about a more trusted one; two of them end the key agent."""
    rows = [("smtpd", "delivery", "smtpd"), ("smtpd", "smtpd", "smtpd"),
            ("smtpd", "queue", "smtpd"), ("delivery", "router", "delivery"),
            ("queue", "delivery", "delivery"),
            ("control", "smtpd", "smtpd"),
            ("smtpd", "keyagent", "smtpd"),
            ("smtpd", "keyagent", "smtpd keyagent")]
    for by, of, ended in rows:
        before = {r: p.role_pids(r) for r in ROLES}
        p.write_conf(name=f"{by}-blames-{of}.example.org")
        os.kill(p.pid_before, signal.SIGHUP)
        wait_for(lambda: all(p.role_pids(r) != before[r]
                             for r in ended.split()))
        wait_for(lambda: all(is_alive(x) for x in all_pids(p)))
        for role in set(ROLES) - set(ended.split()):
            assert p.role_pids(role) == before[role], (by, of, role)
        for role in ended.split():
            assert len(set(p.role_pids(role)) - set(before[role])) == 1
    p.write_conf()


def check_stop(p, pid, pids):
    os.kill(pid, signal.SIGTERM)
    took = measured(lambda: not is_alive(pid), lambda: pids)
    assert took < 5, took
    assert has_record(p, "ev=stop state=stopped")
    assert not any(is_alive(x) for x in pids)
    assert not os.path.exists(os.path.join(p.top, "run/control.sock"))


def check_orphans(p):
    """Without their parent the roles end; a new one can start."""
    assert p.start().returncode == 0
    pids = [x for r in ROLES for x in p.role_pids(r)]
    os.kill(p.pid(), signal.SIGKILL)
    wait_for(lambda: not any(is_alive(x) for x in pids))
    assert p.start().returncode == 0


def check_failing_role(p):
    """A role that cannot start fails the start, with its reason."""
    p.write_conf(listen="none")  # then there is no key
    r = p.start()
    assert r.returncode == 78 and b"no key" in r.stderr, r
    p.write_conf()
    os.rename(os.path.join(p.libexec, "hauberk-router"),
              os.path.join(p.libexec, "away"))
    r = p.start()
    assert r.returncode != 0 and b"hauberk-router" in r.stderr, r
    os.rename(os.path.join(p.libexec, "away"),
              os.path.join(p.libexec, "hauberk-router"))


def frame_number(name):
    """The number of a frame without fields: its place in ipc.def."""
    path = os.path.join(os.environ.get("HB_SRCDIR", "."),
                        "common/proto/ipc.def")
    with open(path, encoding="ascii") as f:
        return re.findall(r"^I_MSG\((\w+)", f.read(), re.M).index(name)


def check_before_configuration(p):
    """Before its configuration a role answers PING, and takes no more than
    what brings it there."""
    ours, theirs = socket.socketpair()
    with ours:
        r = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {p.libexec}/hauberk-smtpd 3<&0"],
            stdin=theirs)
        theirs.close()
        ours.sendall(struct.pack("<IHH", 0, frame_number("PING"), 0))
        assert ours.recv(8) == struct.pack("<IHH", 0, frame_number("PONG"), 0)
        ours.sendall(struct.pack("<IHH", 0, frame_number("LISTEN_STOP"), 0))
        assert r.wait(20) == os.EX_UNAVAILABLE


def all_pids(p):
    return [x for r in ROLES for x in p.role_pids(r)]


def main():
    os.umask(0o022)
    top = tempfile.mkdtemp(prefix="hauberk-parent-")
    p = Parent(top)
    become_nobody(top)
    check_mistakes(p)
    check_before_configuration(p)
    check_failing_role(p)
    os.unlink(p.log)
    try:
        check_start(p)
        check_restarts(p)
        check_second_start(p)
        check_crash(p)
        check_backoff(p)
        check_reload(p)
        check_refused_reload(p)
        test_A_6_who_may_blame_whom(p)
        check_stop(p, p.pid_before, all_pids(p))
        check_orphans(p)
        p.pid_before = p.pid()
        check_stop(p, p.pid_before, all_pids(p))
    finally:
        if p.pid_before and is_alive(p.pid_before):
            os.kill(p.pid_before, signal.SIGKILL)
    shutil.rmtree(top, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
