"""Real mails go through byte for byte, but for the trace header."""

import re

import dkim
import pytest

from harness.client import Closed
from harness.mx import strip_trace

SELECTOR = b"test"
DOMAIN = b"client.test"


def whole(data):
    """What DATA can carry: the last line has an end."""
    return data if data.endswith(b"\r\n") else data + b"\r\n"


@pytest.fixture
def relay(make_server, mx_factory):
    mx = mx_factory("127.0.0.1", keep=False)
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port])
    hb.mx = mx
    return hb


def pass_through(hb, message):
    """Send a message through; what arrives, without our trace."""
    before = len(hb.mx.accepted())
    params = "BODY=8BITMIME" if max(message) > 127 else ""
    with hb.client() as c:
        c.ehlo()
        c.envelope("a@client.test", "x@far.test", params=params)
        reply = c.data(message)
    assert reply.code == 250, (reply, message[:200])
    data = hb.mx.wait(before + 1)[before].data
    assert data.startswith(b"Received: "), data[:60]
    return strip_trace(data)


def carriable(samples):
    """The samples SMTP can carry: no bare CR or LF, no NUL."""
    out = {n: whole(s) for n, s in samples.items()
           if b"\r" not in s.replace(b"\r\n", b"") and b"\0" not in s}
    assert len(out) > 40
    return out


def test_samples_byte_for_byte(relay, peers):
    """All the sample mails of SpamAssassin, Python and dkimpy."""
    for name, message in carriable(peers.samples()).items():
        assert pass_through(relay, message) == message, name


def test_awkward_messages(relay):
    """Long lines, dots, spaces at line ends, no header, no body."""
    for message in (
            b"Subject: x\r\n\r\n" + b"y" * 998 + b"\r\n",
            b"Subject: x\r\n\r\n.\r\n..\r\n. \r\n",
            b"Subject: x \t\r\n\r\n \t \r\n\r\n\r\n\r\n",
            b"\r\nbody without header\r\n",
            b"Subject: no body\r\n",
            b"no header and no empty line\r\n",
            b"From x@y Sat Aug  1 10:00:00 2026\r\nSubject: z\r\n\r\nb\r\n",
            b"Subject: 8bit\r\n\r\n" + bytes(range(128, 256)) + b"\r\n",
            b"Subject: folded\r\n\twith tab\r\n  and spaces\r\n\r\nx\r\n"):
        assert pass_through(relay, message) == message


@pytest.mark.parametrize("form", [(b"simple", b"simple"),
                                  (b"relaxed", b"relaxed")])
def test_dkim_signatures_still_verify(relay, peers, form):
    """Samples that are signed before they are sent verify afterwards."""
    key = peers.dkim_data("test.private")
    record = peers.dkim_data("test.txt")
    count = 0
    for name, message in carriable(peers.samples()).items():
        try:
            signature = dkim.sign(message, SELECTOR, DOMAIN, key,
                                  canonicalize=form)
        except dkim.DKIMException:
            continue
        signed = signature + message

        def answer(_name, timeout=5):
            return record
        if not dkim.verify(signed, dnsfunc=answer):
            continue
        assert dkim.verify(pass_through(relay, signed), dnsfunc=answer), \
            name
        count += 1
    assert count > 20


# where the keys of the signed samples are published: a file of the samples,
# or the key itself (RFC 8032 s7.1)
KEYS = {
    b"brisbane._domainkey.football.example.com.":
        b"v=DKIM1; k=ed25519; "
        b"p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    b"test._domainkey.football.example.com.": "test.txt",
    b"sed._domainkey.test.ex.": "eximtest.dns",
    b"test._domainkey.example.com.": "test.txt",
}


def test_signed_samples_still_verify(relay, peers):
    """Samples that come with a DKIM signature verify after the way."""
    def answer(name, timeout=5):
        found = KEYS.get(name)
        return peers.dkim_data(found) if isinstance(found, str) else found
    good = {n: m for n, m in carriable(peers.samples()).items()
            if b"DKIM-Signature:" in m and verifies(m, answer)}
    assert {"rfc6376.signed.msg", "ed25519test2.msg"} <= set(good)
    for name, message in good.items():
        assert dkim.verify(pass_through(relay, message),
                           dnsfunc=answer), name


def verifies(message, answer):
    try:
        return dkim.verify(message, dnsfunc=answer)
    except dkim.DKIMException:
        return False


def without_return_path(message):
    """The message (LF) without that field, folded lines and all."""
    header, blank, body = message.partition(b"\n\n")
    header = re.sub(rb"(?im)^return-path[ \t]*:.*\n?(?:[ \t].*\n?)*", b"",
                    header + b"\n")
    return header[:-1] + blank + body


def test_samples_survive_a_maildir(make_server, peers):
    """Delivered locally: the stored text is the sent text, but for the
    Return-Path that it came with."""
    hb = make_server()
    samples = carriable(peers.samples())
    sent = []
    with hb.client() as c:
        c.ehlo()
        for name, message in samples.items():
            params = "BODY=8BITMIME" if max(message) > 127 else ""
            c.envelope("a@client.test", "alice@hb.test", params=params)
            assert c.data(message).code == 250, name
            sent.append(without_return_path(
                message.replace(b"\r\n", b"\n")))
    got = [m.replace(b"\r\n", b"\n")
           for m in hb.wait_mail("alice", len(sent), 30)]
    for message in sent:
        assert any(g.endswith(message) for g in got), message[:400]


def test_bare_line_ends_are_made_harmless(relay):
    """A bare CR or LF is refused or defused; it never leaves as it is."""
    for data in (b"Subject: x\r\n\r\na\nb\r\n", b"Subject: x\r\n\r\na\rb\r\n",
                 b"Subject: x\nInjected: y\r\n\r\nb\r\n"):
        try:
            with relay.client() as c:
                c.ehlo()
                c.mail("a@client.test", "x@far.test", data)
        except Closed:
            pass
    relay.wait_empty()
    for m in relay.mx.accepted():
        assert not set(m.data.replace(b"\r\n", b"")) & {10, 13}
