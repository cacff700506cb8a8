"""Masses of small things, and one endless thing: what the server holds is
bounded, and whoever comes next is served at once."""

import resource
import socket
import time

import pytest

from harness import client
from harness.client import Client
from harness.wait import Watch, most, until

pytestmark = [pytest.mark.alone, pytest.mark.limit(240)]

STRANGERS = ["relay-from 192.0.2.1", "workers smtpd=2"]
HONEST = "127.200.0.1"
MIB = 1 << 20


def peak_kib(hb):
    """The most memory that a listener has held."""
    out = []
    for pid in hb.role("smtpd"):
        with open("/proc/%d/status" % pid) as f:
            out += [int(line.split()[1]) for line in f
                    if line.startswith("VmHWM:")]
    return max(out)


def serves(hb, source=HONEST):
    """One honest mail, within a second."""
    watch = Watch(hb)
    hb.send("a@client.test", "alice@hb.test", client.text(), source=source)
    assert watch.seconds() < 1


@pytest.fixture
def strangers(make_server):
    hb = make_server(STRANGERS)
    serves(hb)
    return hb


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def push(sock, block, total):
    """Sends until TOTAL bytes are sent or the server ends it; what it said
    at last."""
    sock.settimeout(most(60))
    sent = 0
    try:
        while sent < total:
            sock.sendall(block)
            sent += len(block)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


def test_NET_01_at_once_from_3000_addresses(strangers, many_files):
    """Two thousand are greeted, the rest told to come later; when they have
    gone the next one is served."""
    hb = strangers
    socks = []
    for i in range(3000):
        s = socket.socket()
        s.bind(("127.201.%d.%d" % (i >> 8, i & 255), 0))
        s.settimeout(most(60))
        s.connect((hb.address, hb.port))
        socks.append(s)
    codes = [s.recv(512)[:3] for s in socks]
    assert codes.count(b"220") == 2000 and codes.count(b"421") == 1000
    assert peak_kib(hb) < 64 * 1024
    for s in socks:
        s.close()
    until(lambda: hb.ctl("status", json=True)["sessions"] == 0, 20, "the end")
    serves(hb)


def test_NET_01_quick_connects(strangers, full):
    """Twenty thousand that go at once, in whatever state they are."""
    hb = strangers
    for i in range(20000 if full else 4000):
        s = socket.socket()
        s.bind(("127.202.%d.%d" % (i >> 6 & 255, i & 63), 0))
        s.connect((hb.address, hb.port))
        if i % 3 == 1:
            s.sendall(b"EHLO x\r\n")
        s.close()
        if i % 1000 == 999:
            serves(hb)
    until(lambda: hb.ctl("status", json=True)["sessions"] == 0, 20, "the end")
    assert peak_kib(hb) < 64 * 1024
    serves(hb)


def test_T_2_noops_of_a_stranger(strangers):
    """He is sent away."""
    hb = strangers
    with hb.client(source="127.0.0.5") as c:
        c.ehlo()
        push(c.sock, b"NOOP\r\n" * 1000, 100000 * 6)
    assert hb.wait_record(ev="reject", reason="limit", code="421")
    assert peak_kib(hb) < 64 * 1024
    serves(hb)


def test_T_2_noops_of_a_known_client(server):
    """He has 100,000 answers."""
    with server.client() as c:
        c.ehlo()
        for _ in range(1000):
            c.send(b"NOOP\r\n" * 100)
            assert [c.read().code for _ in range(100)] == [250] * 100
    assert peak_kib(server) < 64 * 1024


def test_T_2_bdats_of_one_octet(strangers):
    """100,000 of them make one message."""
    hb = strangers
    text = client.text(body=("z" * 78 + "\r\n") * 1250)
    with hb.client(source="127.0.0.5") as c:
        c.ehlo()
        c.envelope("a@client.test", "bob@hb.test")
        for at in range(0, len(text), 100):
            part = text[at:at + 100]
            c.send(b"".join(b"BDAT 1\r\n%c" % b for b in part))
            assert [c.read().code for _ in part] == [250] * len(part)
        c.send(b"BDAT 0 LAST\r\n")
        assert c.read().code == 250
    assert len(text) > 100000
    assert hb.wait_mail("bob")[0].count(b"z" * 78) == 1250
    assert peak_kib(hb) < 64 * 1024
    serves(hb)


def test_T_2_endless_header(strangers, full):
    """It is read to its end, kept as little as it may be, and refused."""
    hb = strangers
    with hb.client(source="127.0.0.5") as c:
        c.ehlo()
        c.envelope("a@client.test", "bob@hb.test")
        assert c.cmd("DATA").code == 354
        block = (b"X-Endless: " + b"x" * 60 + b"\r\n") * 1000
        size = (1024 if full else 128) * MIB
        sent = push(c.sock, block, size)
        assert peak_kib(hb) < 64 * 1024
        serves(hb)
        if sent >= size:
            c.send(b"\r\n.\r\n")
            assert c.read().code == 552
    serves(hb)


@pytest.mark.parametrize("first", [b"", b"EHLO ", b"MAIL FROM:<", b"BDAT 1"])
def test_T_2_endless_command_line(strangers, full, first):
    """It is refused once, and not kept."""
    hb = strangers
    with hb.client(source="127.0.0.5") as c:
        c.ehlo()
        c.send(first)
        push(c.sock, b"x" * MIB, (1024 if full else 128) * MIB)
        assert peak_kib(hb) < 64 * 1024
        serves(hb)
        c.send(b"\r\nNOOP\r\n")
        assert [c.read().code, c.read().code] == [500, 250]
    assert len(hb.records(ev="reject")) == 1


def test_T_2_slow_reader_and_slow_writer(make_server):
    """Who reads nothing and who writes a letter a second lose their sessions
    by the time they have, however busy they are."""
    hb = make_server(STRANGERS + ["command-timeout 4s"])
    slow = Client(hb.address, hb.port, source="127.0.0.5")
    deaf = Client(hb.address, hb.port, source="127.0.0.6")
    deaf.send(b"EHLO x\r\n" + b"NOOP\r\n" * 90)
    began = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - began < most(30):
            slow.sock.send(b"E")
            time.sleep(0.5)
    assert hb.wait_record(ev="reject", reason="timeout", client="127.0.0.5")
    assert hb.wait_record(ev="reject", reason="timeout", client="127.0.0.6")
    slow.close()
    deaf.close()
    serves(hb)
