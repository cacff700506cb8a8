"""Neighbours of the listener: balancers, old clients, local deliverers."""

import smtplib
import socket
import struct

import pytest

from harness.client import Client
from harness.hauberk import free_port
from harness.wait import most

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
MESSAGE = b"From: a@client.test\r\nTo: alice@hb.test\r\nSubject: x\r\n\r\nx\r\n"
EARLY = b"EHLO early.test\r\n"


def version_1(address, family="TCP4", to="127.0.0.1"):
    return ("PROXY %s %s %s 40000 25\r\n" % (family, address, to)).encode()


def version_2(address, family=socket.AF_INET):
    to = "127.0.0.1" if family == socket.AF_INET else "::1"
    body = b"".join(socket.inet_pton(family, a) for a in (address, to)) + \
        struct.pack("!HH", 40000, 25)
    kind = 0x11 if family == socket.AF_INET else 0x21
    return SIGNATURE + struct.pack("!BBH", 0x21, kind, len(body)) + body


def through(port, header, **kw):
    """A client behind a balancer."""
    c = Client("127.0.0.1", port, greet=False)
    c.send(header)
    if kw:
        c.wrap(**kw)
    c.greeting = c.read()
    return c


@pytest.fixture
def balanced(make_server):
    """A server with balancers at 127.0.0.1 that relays for 192.0.2.7."""
    hb = make_server(start=False)
    hb.subs = free_port()
    hb.configure(["listen 127.0.0.1:%d smtp proxy-protocol=127.0.0.1"
                  % hb.port,
                  "listen 127.0.0.1:%d submissions auth=off "
                  "proxy-protocol=127.0.0.1" % hb.subs,
                  "max-sessions-per-client 2",
                  "relay-from 192.0.2.7"])
    return hb.start()


@pytest.mark.both
def test_PRXY_06_client_of_a_balancer(balanced):
    """Its address counts for relaying, limits, Received and the log."""
    hb = balanced
    with through(hb.port, version_1("192.0.2.1")) as c:
        assert c.greeting.code == 220
        c.ehlo()
        assert [r.code for r in c.envelope("a@client.test",
                                           "x@else.test")] == [250, 550]
        assert c.cmd("RCPT TO:<alice@hb.test>").code == 250
        assert c.data(MESSAGE).code == 250
    accepted = hb.wait_record(ev="accept")
    assert accepted["client"] == "192.0.2.1"
    assert hb.wait_record(ev="reject")["client"] == "192.0.2.1"
    assert b"([192.0.2.1])" in hb.wait_mail("alice")[0]
    with through(hb.port, version_2("192.0.2.7")) as c:
        c.ehlo()
        assert [r.code for r in c.envelope("a@client.test",
                                           "x@else.test")] == [250, 250]
    two = [through(hb.port, version_2("2001:db8::1", socket.AF_INET6))
           for _ in range(2)]
    with through(hb.port, version_1("2001:db8::1", "TCP6", "::1")) as c:
        assert c.greeting.code == 421
    with through(hb.port, version_1("192.0.2.1")) as c:
        assert c.greeting.code == 220
    for c in two:
        c.close()


def test_PRXY_06_header_in_front_of_tls(balanced):
    """What follows the header is the handshake, however it is cut."""
    hb = balanced
    with through(hb.subs, version_2("192.0.2.1"), name="localhost") as c:
        assert c.greeting.code == 220
        c.ehlo()
    c = Client("127.0.0.1", hb.port, greet=False)
    for octet in version_2("192.0.2.1"):
        c.send(bytes([octet]))
    assert c.read().code == 220
    c.close()
    # LOCAL: the balancer itself
    with through(hb.port, SIGNATURE + b"\x20\0\0\0") as c:
        assert c.greeting.code == 220


def test_PRXY_07_who_sends_a_header(balanced, make_server):
    """A balancer has to send one, whole and in time; from others it is a
    client that talks before the greeting."""
    hb = balanced
    for header in (EARLY, b"PROXY TCP4 192.0.2.1\r\n", b"PROXY " + b"x" * 200,
                   SIGNATURE + b"\x21\x11\xff\xff"):
        with through(hb.port, header) as c:
            assert (c.greeting.code, c.greeting.status) == (421, "4.3.5")
    assert hb.wait_record(ev="reject")["reason"] == "proxy-header"
    with through(hb.port, version_1("192.0.2.1") + EARLY) as c:
        assert c.greeting.code == 554
    cut = Client("127.0.0.1", hb.port, greet=False)
    cut.send(b"PROXY TCP4 192")
    # one that goes away meanwhile leaves nothing behind
    Client("127.0.0.1", hb.port, greet=False).close()
    assert cut.read().code == 421
    other = make_server(["listen 127.0.0.1:%d smtp proxy-protocol=192.0.2.9"
                         % free_port()], start=False)
    other.configure(["listen 127.0.0.1:%d smtp proxy-protocol=192.0.2.9"
                     % other.port])
    other.start()
    with other.client() as c:
        assert c.greeting.code == 220
        assert c.cmd("PROXY TCP4 192.0.2.9 127.0.0.1 1 2").code == 500
    with through(other.port, version_1("192.0.2.1")) as c:
        # the header was there before the greeting, or it is a wrong command
        if c.greeting.code != 554:
            assert c.greeting.code == 220
            assert c.read().code == 500
    assert not other.records(ev="reject", client="192.0.2.1")


@pytest.mark.parametrize("limits,messages,connections", [
    ("RCPTMAX=2", [2, 2, 1], 1),
    ("RCPTMAX=2 MAILMAX=1", [2, 2, 1], 3),
    ("MAILMAX=1", [5], 1),
    ("RCPTMAX=0 MAILMAX=0", [5], 1)])
def test_LIM_02_limits_of_a_server(make_server, mx_factory, limits, messages,
                                   connections):
    """Recipients beyond its limit come in messages of their own, and a
    message beyond its limit over another connection."""
    mx = mx_factory("127.0.0.1")
    mx.keywords.append("LIMITS " + limits)
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port])
    rcpts = ["r%d@far.test" % i for i in range(5)]
    assert hb.send("a@client.test", rcpts, MESSAGE).code == 250
    mx.wait(len(messages))
    hb.wait_empty()
    assert [len(m.rcpts) for m in mx.accepted()] == messages
    assert sorted(r for m in mx.accepted() for r in m.rcpts) == rcpts
    assert mx.connections == connections


def test_ETRN_01_mail_that_waits_is_tried(make_server, mx_factory):
    """What waits for the domain is tried at once, what is below it with an
    @, and the reply has the number; a stranger gets 459."""
    mx = mx_factory("127.0.0.1")
    mx.reply["mail"] = "451 4.3.0 not now"
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port,
                      "retry first=1h max=1h"])
    for rcpt in "x@far.test", "y@a.far.test", "z@else.test":
        assert hb.send("a@client.test", rcpt, MESSAGE).code == 250
        hb.wait_record(ev="delivery", rcpt=rcpt, result="defer")
    del mx.reply["mail"]
    with hb.client() as c:
        assert "ETRN" in c.ehlo()
        reply = c.cmd("ETRN FAR.test")
        assert (reply.code, reply.text.split()[1]) == (253, "1")
        hb.wait_record(ev="delivery", rcpt="x@far.test", result="ok")
        assert c.cmd("ETRN far.test").code == 251
        assert c.cmd("ETRN @far.test").code == 253
        hb.wait_record(ev="delivery", rcpt="y@a.far.test", result="ok")
    assert len(hb.queue()) == 1
    hb.configure(hb.lines + ["relay-from none"])
    hb.ctl("reload")
    with hb.client() as c:
        assert "ETRN" not in c.ehlo()
        assert c.cmd("ETRN far.test").code == 459


class Deliverer(smtplib.LMTP):
    """Python's LMTP client, with a reply for each recipient."""

    def deliver(self, sender, rcpts, message):
        self.ehlo_or_helo_if_needed()
        assert self.mail(sender)[0] == 250
        taken = [r for r in rcpts if self.rcpt(r)[0] == 250]
        code, _ = self.docmd("DATA")
        if not taken:
            assert code == 503
            return []
        assert code == 354
        self.send(message + b".\r\n")
        return [self.getreply()[0] for _ in taken]


def test_LMTP_01_as_a_listener(make_server):
    """RFC 2033: LHLO alone, a reply for each recipient that was taken, none
    for those that were not, and LMTP in Received."""
    hb = make_server(start=False)
    hb.configure(["listen 127.0.0.1:%d lmtp" % hb.port])
    hb.start()
    with hb.client() as c:
        assert c.cmd("HELO client.test").code == 500
        assert c.cmd("EHLO client.test").code == 500
        words = c.ehlo(verb="LHLO")
        assert {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"} <= set(words)
        assert "ETRN" not in words
    with Deliverer("127.0.0.1", hb.port, timeout=most(20)) as lmtp:
        assert lmtp.deliver("a@client.test", [
            "alice@hb.test", "nobody@hb.test", "bob@hb.test"],
            MESSAGE) == [250, 250]
        assert lmtp.deliver("a@client.test", ["nobody@hb.test"], b"") == []
        lmtp.starttls()
        assert lmtp.sendmail("", ["carol@hb.test"], MESSAGE) == {}
    assert b" with LMTP\r\n" in hb.wait_mail("alice")[0].replace(
        b"\n", b"\r\n").replace(b"\r\r", b"\r")
    assert b" with LMTPS " in hb.wait_mail("carol")[0]


@pytest.mark.both
def test_sessions_are_listed(make_server):
    """hauberkctl sessions: of all processes, with what is known of each."""
    hb = make_server(["workers smtpd=2"])
    assert hb.ctl("sessions", json=True) == []
    assert "nobody" in hb.ctl("sessions").out
    with hb.client() as a, hb.client() as b:
        a.ehlo()
        a.starttls()
        a.ehlo("one.test")
        assert a.mail("a@client.test", "alice@hb.test", MESSAGE).code == 250
        assert a.cmd("MAIL FROM:<a@client.test>").code == 250
        rows = {r["port"]: r for r in hb.ctl("sessions", json=True)}
        one = rows[a.sock.getsockname()[1]]
        two = rows[b.sock.getsockname()[1]]
        assert one["tls"].startswith("TLSv1.3") and one["since"]
        assert [one[k] for k in ("client", "state", "helo", "user",
                                 "transactions")] == [
            "127.0.0.1", "envelope", "one.test", None, 1]
        assert one["bytes"] >= len(MESSAGE)
        assert (two["state"], two["helo"], two["tls"]) == ("hello", None, None)
        assert "one.test" in hb.ctl("sessions").out
