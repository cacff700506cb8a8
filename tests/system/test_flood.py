"""Peers that send what TLS keeps to itself, without end: key changes and
requests to begin anew.  They lose their session; nobody waits for them."""

import socket
import ssl
import threading

import pytest

from harness import client, pki, rawtls
from harness.wait import most

ROUNDS = 30000
KEY_UPDATE = b"\x18\0\0\1\0"  # RFC 8446 s4.6.3
HELLO_REQUEST = b"\0\0\0\0"   # RFC 5246 s7.4.1.1
CLIENT_HELLO = b"\1\0\0\0"    # each is answered by an alert


def key_updates(peer):
    out = []
    for _ in range(ROUNDS):
        out.append(peer.records([(rawtls.HANDSHAKE, KEY_UPDATE)]))
        peer.rekey()
    return b"".join(out)


def hello_requests(peer):
    return peer.records([(rawtls.HANDSHAKE, HELLO_REQUEST)] * ROUNDS)


def client_hellos(peer):
    return peer.records([(rawtls.HANDSHAKE, CLIENT_HELLO)] * ROUNDS)


FLOODS = {"TLSv1.3": key_updates, "TLSv1.2": hello_requests}
CLIENT_FLOODS = {"TLSv1.3": key_updates, "TLSv1.2": client_hellos}
VERSIONS = {"TLSv1.3": None, "TLSv1.2": ssl.TLSVersion.TLSv1_2}


def is_ended(sock):
    """Does the other side end the connection?"""
    sock.settimeout(most(20))
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


class Flooder(threading.Thread):
    """A mail host that floods its first client once TLS is up."""

    def __init__(self, address, port, cert, version):
        super().__init__(daemon=True)
        self._listener = socket.create_server((address, port))
        self._cert = cert
        self._version = version
        self.ended = None
        self.start()

    def _line(self, conn):
        line = b""
        while not line.endswith(b"\r\n"):
            line += conn.recv(1)
        return line

    def run(self):
        conn = self._listener.accept()[0]
        for reply in b"220 flood", b"250-flood\r\n250 STARTTLS", b"220 go":
            conn.sendall(reply + b"\r\n")
            if not reply.endswith(b"go"):
                self._line(conn)
        peer = rawtls.RawTls(conn, pki.server_context(
            self._cert, maximum=VERSIONS[self._version]))
        peer.handshake()
        assert peer.version == self._version
        try:
            conn.sendall(FLOODS[self._version](peer))
        except ConnectionError:
            pass
        self.ended = is_ended(conn)

    def close(self):
        self._listener.close()


@pytest.mark.parametrize("version", sorted(FLOODS))
def test_mail_host_that_floods(world, ca, address, closing, version):
    at = address()
    world.dns.set("bad.test", "MX", "10 mx.bad.test")
    world.dns.set("mx.bad.test", "A", at)
    flooder = closing(Flooder(at, world.port, ca.issue("mx.bad.test"),
                              version))
    good = world.domain("good.test")
    hb = world.server(["workers smtpd=1 delivery=1"])
    hb.send("a@hb.test", "x@bad.test", client.text())
    flooder.join(60)
    assert flooder.ended
    hb.send("a@hb.test", "x@good.test", client.text())
    good.wait(1)


@pytest.mark.parametrize("version", sorted(CLIENT_FLOODS))
def test_client_that_floods(make_server, version):
    hb = make_server(["workers smtpd=1 delivery=1"])
    with hb.client() as c:
        c.ehlo()
        assert c.cmd("STARTTLS").code == 220
        context = pki.client_context()
        if VERSIONS[version]:
            context.maximum_version = VERSIONS[version]
        peer = rawtls.RawTls(c.sock, context, server=False)
        peer.handshake()
        assert peer.version == version
        try:
            peer.sock.sendall(CLIENT_FLOODS[version](peer))
        except ConnectionError:
            pass
        assert is_ended(peer.sock)
    hb.send("a@client.test", "alice@hb.test", client.text())


def policy_reply(peer):
    body = b"version: STSv1\nmode: none\nmax_age: 86400\n"
    return peer.records([(rawtls.DATA, b"HTTP/1.1 200 OK\r\n"
                          b"Content-Type: text/plain\r\n"
                          b"Content-Length: %d\r\n\r\n" % len(body) + body)])


def flood_fetch(listener, cert, asked, go):
    conn = listener.accept()[0]
    peer = rawtls.RawTls(conn, pki.server_context(cert))
    peer.handshake()
    peer.recv()
    flood = key_updates(peer) + policy_reply(peer)
    asked.set()
    go.wait(60)
    conn.sendall(flood)


def test_policy_host_that_floods(world, ca, closing):
    """Mail of others goes out in the middle of it."""
    world.policies.block()
    listener = closing(socket.create_server((world.policies.address,
                                             world.policies.port)))
    asked, go = threading.Event(), threading.Event()
    threading.Thread(target=flood_fetch, daemon=True, args=(
        listener, ca.issue("mta-sts.bad.test"), asked, go)).start()
    world.domain("bad.test")
    world.txt("bad.test", "1")
    good = world.domain("good.test")
    hb = world.server(["workers smtpd=1 delivery=1"])
    hb.send("a@hb.test", "y@good.test", client.text())
    good.wait(1)
    hb.send("a@hb.test", "x@bad.test", client.text())
    assert asked.wait(60)
    go.set()
    hb.send("a@hb.test", "x@good.test", client.text())
    good.wait(2)
    hb.wait_record(ev="policy", domain="bad.test", timeout=60)
    order = [r["ev"] for r in hb.records()
             if r.get("rcpt") == "x@good.test"
             or (r["ev"], r.get("domain")) == ("policy", "bad.test")]
    assert order == ["delivery", "policy"]
