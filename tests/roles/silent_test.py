#!/usr/bin/python3
"""A role that is there but serves nobody any more is replaced.

It takes a minute, most of which is sleep.  Runs unprivileged; called by root
it becomes nobody.
"""

import os
import shutil
import signal
import sys
import tempfile

from parent_test import Parent, become_nobody, has_record, is_alive, wait_for


def test_A_6_a_silent_role_is_replaced(p):
    p.pid_before = p.pid()
    old = {role: p.role_pids(role) for role in ("smtpd", "delivery")}
    stopped = old["smtpd"][0]
    os.kill(stopped, signal.SIGSTOP)
    wait_for(lambda: not is_alive(stopped), 150)
    wait_for(lambda: len(set(p.role_pids("smtpd")) - set(old["smtpd"])) == 1)
    assert has_record(p, "state=silent")
    # the others have answered
    assert p.role_pids("delivery") == old["delivery"]
    assert is_alive(old["smtpd"][1])


def main():
    os.umask(0o022)
    top = tempfile.mkdtemp(prefix="hauberk-silent-")
    p = Parent(top)
    become_nobody(top)
    assert p.start().returncode == 0
    try:
        test_A_6_a_silent_role_is_replaced(p)
    finally:
        os.kill(p.pid(), signal.SIGTERM)
        wait_for(lambda: not is_alive(p.pid()))
    shutil.rmtree(top, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
