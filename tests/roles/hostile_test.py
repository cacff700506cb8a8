#!/usr/bin/python3
"""A listener that was taken over, beside a good one: whatever it sends, the
other roles live, and mail that was taken is delivered.

Runs unprivileged; called by root it becomes nobody.  HOSTILE_LIVES says how
many lives of it are watched.
"""

import os
import shutil
import signal
import smtplib
import sys
import tempfile
import time

import parent_test
from parent_test import (BUILD, become_nobody, free_port, is_alive, wait,
                         wait_for)

LIVES = int(os.environ.get("HOSTILE_LIVES", "8"))
PROGRAMS = {"router": "queue", "queue": "queue", "delivery": "delivery",
            "control": "common/control", "keyagent": ".", "local": "."}

# the first is the good one, and it never dies
WRAPPER = """#!/bin/sh
mkdir {top}/good 2>/dev/null && exec {top}/smtpd-good
HOSTILE_GAME=0
while ! mkdir {top}/lives/$HOSTILE_GAME 2>/dev/null; do
    HOSTILE_GAME=$((HOSTILE_GAME + 1))
done
export HOSTILE_GAME
exec {top}/smtpd-hostile
"""


class Server(parent_test.Parent):
    """The real roles, and one that is not."""

    def __init__(self, top):
        self.mail = os.path.join(top, "mail")
        os.mkdir(self.mail)
        os.mkdir(os.path.join(top, "lives"))
        super().__init__(top)
        for role, folder in PROGRAMS.items():
            shutil.copy(os.path.join(BUILD, folder, "hauberk-" + role),
                        os.path.join(self.libexec, "hauberk-" + role))
        shutil.copy(os.path.join(BUILD, "hauberk-smtpd"),
                    os.path.join(top, "smtpd-good"))
        shutil.copy(os.path.join(BUILD, "tests/roles/hostile"),
                    os.path.join(top, "smtpd-hostile"))
        wrapper = os.path.join(self.libexec, "hauberk-smtpd")
        os.unlink(wrapper)
        with open(wrapper, "w", encoding="ascii") as f:
            f.write(WRAPPER.format(top=top))
        os.chmod(wrapper, 0o755)

    def write_conf(self, more="", name="mx.hb.test", listen=None):
        with open(os.path.join(self.top, "users"), "w",
                  encoding="ascii") as f:
            f.write("bob bob\ncarol carol\n")
        for file in "passwd", "hosts":
            with open(os.path.join(self.top, file), "w",
                      encoding="ascii") as f:
                f.write("alice:$6$salt$hash\n" if file == "passwd" else "")
        super().write_conf(
            f"domain hb.test\nlocal-users {self.top}/users\n"
            f"auth passwd-file {self.top}/passwd\n"
            f"hosts-file {self.top}/hosts\nresolver 127.0.0.1:9\nlab on\n"
            f"deliver maildir {self.mail}/%u\n"
            "max-sessions 20\n", name)

    def lives(self):
        return len(os.listdir(os.path.join(self.top, "lives")))

    def good(self):
        """The process of the good listener."""
        for pid in self.role_pids("smtpd"):
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith("smtpd-good"):
                    return pid
            except OSError:
                pass
        return None

    def bodies(self, user):
        new = os.path.join(self.mail, user, "new")
        out = []
        for name in os.listdir(new) if os.path.isdir(new) else []:
            with open(os.path.join(new, name), "rb") as f:
                out.append(f.read())
        return out


def send(port, number):
    """True when the message was taken."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=wait.stretched(20)) as c:
            c.ehlo("client.test")
            refused = c.sendmail("a@client.test", ["bob@hb.test"],
                                 f"Subject: s\r\n\r\nnumber {number} end\r\n")
            return not refused
    except (OSError, smtplib.SMTPException):
        return False


def watched(p):
    """Who must not end."""
    return {role: p.role_pids(role)
            for role in ("router", "queue", "delivery", "keyagent",
                         "control")} | {"good": p.good()}


def play(p):
    wait_for(lambda: p.good() is not None)
    before = watched(p)
    taken, tried, end = [], 0, wait.now() + 100
    while p.lives() < LIVES or tried < 20:
        assert wait.now() < end, f"{p.lives()} lives"
        tried += 1
        if send(p.port, tried):
            taken.append(tried)
        time.sleep(0.05)
    assert is_alive(p.pid_before)
    assert watched(p) == before, (before, watched(p))
    # the good listener took nearly all; nothing that was taken is lost
    assert len(taken) >= tried * 3 // 4, (len(taken), tried)
    wait_for(lambda: len(p.bodies("bob")) >= len(taken))
    text = b"\n".join(p.bodies("bob"))
    for number in taken:
        assert text.count(b"number %d end" % number) == 1, number
    # who is not ready has nothing to say of others
    assert parent_test.has_record(p, 'error="frame out of its time"')
    # nothing of what the hostile one handed in without wire form
    assert not [b for b in p.bodies("carol") if b"injected" in b]


def test_A_6_a_hostile_listener(top):
    p = Server(top)
    become_nobody(top)
    r = p.start()
    assert r.returncode == 0, r
    p.pid_before = p.pid()
    try:
        play(p)
    except BaseException:
        print("\n".join(p.records()[-60:]))
        raise
    finally:
        os.kill(p.pid_before, signal.SIGTERM)
        wait_for(lambda: not is_alive(p.pid_before))


def main():
    os.umask(0o022)
    top = tempfile.mkdtemp(prefix="hauberk-hostile-")
    os.chmod(top, 0o755)
    test_A_6_a_hostile_listener(top)
    shutil.rmtree(top, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
