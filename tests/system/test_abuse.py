"""Patience with strangers: guesses at logins and recipients, handshakes."""

import base64
import os
import re
import signal
import socket
import time

import pytest

from harness import client, pki
from harness.client import Client, Closed
from harness.hauberk import free_port, hashed
from harness.wait import most, until

PASSWORD = "correct horse"
# as in hauberkd(8), with fail2ban's <ADDR> spelled out
FILTER = re.compile(r'ev=auth login=(?:"(?:[^"\\]|\\.)*"|[^" ]*) '
                    r'client=(?P<addr>[0-9.:a-f]+) mech=\S+ result=fail')


@pytest.fixture
def submissions(make_server):
    hb = make_server(start=False)
    hb.subs = free_port()
    hb.write("passwd", "alice:%s\n" % hashed(PASSWORD))
    hb.configure(["workers smtpd=2",
                  "listen 127.0.0.1:%d smtp" % hb.port,
                  "listen 127.0.0.1:%d submissions" % hb.subs,
                  "relay-from 192.0.2.1",
                  "auth passwd-file " + hb.path("passwd")])
    return hb.start()


def count(hb, family, value):
    return hb.ctl("stats", json=True)[family][value]


def try_login(hb, user, password):
    with Client("127.0.0.1", hb.subs, tls=True) as c:
        c.ehlo()
        return c.auth_plain(user, password).code


def found_by_fail2ban(hb):
    with open(hb.log) as f:
        return [m["addr"] for m in map(FILTER.search, f) if m]


def test_A_4_failures_count_across_sessions(submissions):
    """The fourth try waits, whatever it is; a login that was right before
    does not, and each failure is one record that fail2ban finds."""
    hb = submissions
    for user in ("alice", "nobody", "alice"):
        assert try_login(hb, user, "wrong") == 535
    assert count(hb, "tries_delayed", "login") == 0
    assert try_login(hb, "alice", PASSWORD) == 235
    assert count(hb, "tries_delayed", "login") == 1
    assert try_login(hb, "alice", PASSWORD) == 235
    assert count(hb, "tries_delayed", "login") == 1
    assert try_login(hb, 'x client=192.0.2.9 "', "wrong") == 535
    # a record is written after the answer
    until(lambda: len(found_by_fail2ban(hb)) >= 4, 15, "four records")
    assert found_by_fail2ban(hb) == ["127.0.0.1"] * 4
    assert count(hb, "logins", "ok") == 2 and count(hb, "logins", "fail") == 4


def test_A_4_who_goes_away_has_tried(submissions):
    """A guess whose answer is not awaited counts."""
    hb = submissions
    token = base64.b64encode(b"\0alice\0wrong")
    for _ in range(3):
        with Client("127.0.0.1", hb.subs, tls=True) as c:
            c.ehlo()
            c.send(b"AUTH PLAIN " + token + b"\r\n")
    assert try_login(hb, "alice", "wrong") == 535
    assert try_login(hb, "alice", "wrong") == 535
    assert count(hb, "tries_delayed", "login") >= 1


def test_A_7_recipients_of_a_stranger(submissions):
    """10,000 recipients that do not exist are not looked up in one go."""
    hb = submissions
    seen = []
    with hb.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@client.test>").code == 250
        c.send(b"".join(b"RCPT TO:<u%d@hb.test>\r\n" % i
                        for i in range(10000)))
        while len(seen) < 20:
            seen.append(c.read().code)
        c.sock.settimeout(1)
        try:
            while True:
                seen.append(c.read().code)
        except (Closed, socket.timeout):
            pass
    assert seen[:20] == [550] * 20
    assert len(seen) < 40
    assert count(hb, "tries_delayed", "rcpt") >= 1
    # another address is served at once
    hb.send("a@client.test", "bob@hb.test", client.text(),
            source="127.0.0.2")
    assert hb.wait_mail("bob")


def test_A_7_known_clients_do_not_wait(make_server):
    """A client that may relay has its refusals at once, and a bound."""
    hb = make_server()
    with hb.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@client.test>").code == 250
        codes = [c.cmd("RCPT TO:<u%d@hb.test>" % i).code for i in range(100)]
        assert set(codes) == {550}
        assert c.read().code == 421


def test_A_12_who_may_relay_is_not_bounded(server):
    """A hub of the own network opens a connection for each message."""
    for _ in range(45):
        with server.client() as c:
            c.ehlo()
            c.starttls()
    assert count(server, "tries_delayed", "tls") == 0


def test_A_12_handshakes_have_a_rate(submissions):
    """Beyond twenty at once the handshakes of an address wait."""
    hb = submissions
    socks = [socket.create_connection(("127.0.0.1", hb.subs), most(20))
             for _ in range(45)]
    until(lambda: count(hb, "tries_delayed", "tls") > 0, 15, "a delay")
    # all of them are served in the end
    for sock in socks:
        with pki.client_context().wrap_socket(
                sock, server_hostname="localhost") as tls:
            assert tls.recv(3) == b"220"
    with hb.client() as c:
        c.ehlo()
        c.starttls()
        assert c.ehlo()


def plain(user, password):
    return b"AUTH PLAIN " + base64.b64encode(
        ("\0%s\0%s" % (user, password)).encode()) + b"\r\n"


def test_A_32_an_answer_is_for_the_session_that_asked(make_server):
    """One asks and goes away; the next session takes its place in the
    listener, and asks: the answer to the first is none for the second."""
    hb = make_server(start=False)
    hb.subs = free_port()
    hb.write("passwd", "alice:%s\n" % hashed(PASSWORD))
    hb.configure(["workers smtpd=1",
                  "listen 127.0.0.1:%d submissions" % hb.subs,
                  "auth passwd-file " + hb.path("passwd")])
    hb.start()
    assert try_login(hb, "alice", PASSWORD) == 235
    routers = hb.role("router")
    for pid in routers:
        os.kill(pid, signal.SIGSTOP)
    with Client("127.0.0.1", hb.subs, tls=True) as first:
        first.ehlo()
        first.send(plain("alice", PASSWORD))
        time.sleep(0.2)
    with Client("127.0.0.1", hb.subs, tls=True) as second:
        second.ehlo()
        second.send(plain("alice", "wrong"))
        time.sleep(0.2)  # both are asked about before router goes on
        for pid in routers:
            os.kill(pid, signal.SIGCONT)
        assert second.read().code == 535
