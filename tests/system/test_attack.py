"""Hostile peers: what they send must cost nobody but themselves."""

import select

import pytest

from harness import client
from harness.wait import most, now


def push(sock, line, most):
    """How much of LINE, repeated, the server takes while nobody reads."""
    block = line * (65536 // len(line))
    sent = 0
    sock.setblocking(False)
    while sent < most and select.select([], [sock], [], 2)[1]:
        sent += sock.send(block)
    return sent


@pytest.mark.parametrize("line", [b"NOOP\r\n", b"EHLO a\r\n"])
def test_unread_replies_stop_the_client(make_server, line):
    """Replies that nobody reads are not piled up without end."""
    hb = make_server()
    with hb.client() as c:
        c.ehlo()
        # more than the buffers of both kernels hold
        assert push(c.sock, line, 30 << 20) < 30 << 20
        hb.send("a@client.test", "alice@hb.test", client.text())
        # and whoever reads again is served to the end
        end = now() + 20
        while now() < end:
            c.sock.setblocking(True)
            c.sock.settimeout(1)
            try:
                c.sock.recv(1 << 20)
            except TimeoutError:
                break
        c.buffer = b""
        c.sock.settimeout(most(20))
        c.send(b"\r\nQUIT\r\n")
        seen = b""
        while b"\r\n221 " not in seen:
            part = c.sock.recv(65536)
            assert part, seen[-200:]
            seen += part
