"""Filters of others between real clients and the next host.

harness/filter.c is made with libmilter, so that what it may do is what real
filters do; harness/milter.py lies, and test_milter.py is about that.
"""

import re

import dkim
import pytest

from harness import client, filters
from harness.clients import CLIENTS, USER
from harness.dns import DnsServer
from harness.filters import (OpenDKIM, OpenDMARC, Rspamd, Scripted,
                             SpamAssassin)
from harness.mx import strip_trace
from test_clients import passes, serve  # noqa: F401 (a fixture)

TEXT = b"From: a@client.test\r\nSubject: one\r\nX-Old: a\r\nX-Old:  b\r\n" \
    b"\r\n..dots\r\nbody\r\n"
RCPTS = "x@far.test", "y@far.test"


@pytest.fixture
def scripted(folder, closing):
    """scripted(row, ...): a filter that does this."""
    def make(*rows, **kw):
        return closing(Scripted(folder, *rows, **kw))
    return make


def behind(serve, *some, options=""):  # noqa: F811
    return serve(["milter %s %s" % (f.word, options) for f in some])


def say(c, text=TEXT, sender="a@client.test", rcpts=RCPTS):
    """One message; the first reply that refuses something, or the last."""
    for line in ["MAIL FROM:<%s>" % sender] + \
            ["RCPT TO:<%s>" % r for r in rcpts]:
        reply = c.cmd(line)
        if reply.code != 250:
            return reply
    return c.data(text)


def sent(hb, text=TEXT, **kw):
    """What the next host got of one message."""
    before = len(hb.mx.accepted())
    with hb.client() as c:
        c.ehlo()
        reply = say(c, text, **kw)
    assert reply.code == 250, reply
    return hb.mx.wait(before + 1)[before]


# what libmilter sees and does


def test_T_7_each_stage_is_told(serve, scripted):  # noqa: F811
    """In order, with arguments and macros, the text as the client sent it:
    with the blanks of the fields, when it asks for them."""
    f = scripted(("negotiate", "steps", "100000"))
    hb = behind(serve, f)
    with hb.client() as c:
        c.ehlo("client.test")
        assert c.cmd("WHAT").code == 500
        c.envelope("a@client.test", *RCPTS, params="BODY=8BITMIME")
        assert c.data(TEXT).code == 250
        c.quit()
    hb.mx.wait(1)
    stages = ("connect", "helo", "mail", "rcpt", "data", "header", "eoh",
              "body", "eom", "unknown")
    notes = f.notes_of(*stages)
    assert [n[0] for n in notes] == [
        "connect", "helo", "unknown", "mail", "rcpt", "rcpt", "data",
        "header", "header", "header", "header", "eoh", "body", "eom"]
    assert notes[1] == ("helo", "client.test")
    assert notes[3] == ("mail", "<a@client.test>", "BODY=8BITMIME")
    assert notes[5] == ("rcpt", "<y@far.test>")
    assert notes[9:11] == [("header", "X-Old", " a"),
                           ("header", "X-Old", "  b")]
    assert notes[-2] == ("body", "..dots\r\nbody\r\n")
    assert f.macros("connect")["j"] == "mx.hb.test"
    assert f.macros("mail")["mail_addr"] == "a@client.test"
    assert f.macros("rcpt")["rcpt_addr"] == "y@far.test"
    assert hb.wait_record(ev="accept")["msg"] == f.macros("eom")["i"]


def test_T_7_what_it_may_change(serve, scripted, folder):  # noqa: F811
    """Fields, sender, recipients and body, all at once."""
    with open(folder + "/body", "wb") as f:
        f.write(b".new\r\n" * 40000)
    f = scripted(
        ("eom", "addheader", "X-Added", "one\n\ttwo"),
        ("eom", "insheader", "0", "X-First", "yes"),
        ("eom", "chgheader", "1", "Subject", "two"),
        ("eom", "chgheader", "2", "X-Old"),
        ("eom", "chgfrom", "<b@client.test>"),
        ("eom", "addrcpt", "<z@far.test>"),
        ("eom", "delrcpt", "<x@far.test>"),
        ("eom", "progress"),
        ("eom", "body", folder + "/body"))
    hb = behind(serve, f)
    got = sent(hb)
    assert f.notes_of("failed") == []
    assert got.sender == "b@client.test"
    assert sorted(got.rcpts) == ["y@far.test", "z@far.test"]
    first, _, rest = got.data.partition(b"\r\nReceived: ")
    text = strip_trace(got.data) if first.startswith(b"Received") \
        else first + b"\r\n" + strip_trace(b"Received: " + rest)
    assert text == b"X-First: yes\r\nFrom: a@client.test\r\n" \
        b"Subject: two\r\nX-Old: a\r\nX-Added: one\r\n\ttwo\r\n\r\n" + \
        b".new\r\n" * 40000


def test_T_7_channel_and_login_are_told(serve, scripted):  # noqa: F811
    """Macros of a client inside TLS that has logged in."""
    f = scripted()
    hb = behind(serve, f)
    passes(hb, "smtplib", "small", "plain")
    told = f.macros("mail")
    assert told["auth_authen"] == USER and told["auth_type"] == "PLAIN"
    assert told["tls_version"].startswith("TLSv1") and told["cipher"]


def test_T_7_one_recipient_is_refused(serve, scripted):  # noqa: F811
    """The others get it; the next message is asked about anew."""
    f = scripted(("rcpt=x@", "reject"))
    hb = behind(serve, f)
    with hb.client() as c:
        c.ehlo()
        for _ in range(2):
            replies = c.envelope("a@client.test", *RCPTS)
            assert [r.code for r in replies] == [250, 550, 250]
            assert c.data(TEXT).code == 250
    assert [m.rcpts for m in hb.mx.wait(2)] == [["y@far.test"]] * 2
    assert len(f.notes_of("rcpt")) == 4


STAGES = ("connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body",
          "eom")


@pytest.mark.parametrize("stage", STAGES)
def test_T_7_a_word_of_its_own(serve, scripted, stage):  # noqa: F811
    """A reply with code and text ends what the stage is about."""
    f = scripted((stage, "reply", "554", "5.7.1", "%d no", "and no"),
                 (stage, "reject"))
    hb = behind(serve, f)
    with hb.client() as c:
        reply = c.greeting
        if reply.code == 220:
            reply = c.cmd("EHLO client.test")
        if reply.code == 250:
            reply = say(c)
    assert reply.code == 554, reply
    if stage != "connect":
        assert reply.lines == ["554-5.7.1 %d no", "554 5.7.1 and no"]
    hb.wait_record(ev="reject", code="554")
    assert hb.mx.accepted() == []


@pytest.mark.parametrize("verdict, code, arrives", [
    ("reject", 550, 0), ("tempfail", 451, 0), ("discard", 250, 0),
    ("accept", 250, 1)])
@pytest.mark.parametrize("stage", ["mail", "header", "eom"])
def test_T_7_verdicts(serve, scripted, stage, verdict, code,  # noqa: F811
                      arrives):
    """Of the protocol, without words; the next message is asked about."""
    match = {"mail": "mail=first@", "header": "header=first",
             "eom": "eom"}[stage]
    f = scripted((match, verdict))
    hb = behind(serve, f)
    with hb.client() as c:
        c.ehlo()
        reply = say(c, TEXT.replace(b"one", b"first"), "first@client.test")
        assert reply.code == code, reply
        if stage != "eom":
            c.cmd("RSET")
            assert say(c).code == 250
            arrives += 1
    hb.mx.wait(arrives) if arrives else hb.wait_empty()
    assert len(f.notes_of("mail")) == (1 if stage == "eom" else 2)
    hb.wait_empty()
    assert len(hb.mx.accepted()) == arrives


def test_T_7_skip_and_less(serve, scripted):  # noqa: F811
    """`skip' ends the pieces of the body; steps that it does not want are
    not told."""
    f = scripted(("negotiate", "steps", "443"), ("body", "skip"))
    hb = behind(serve, f)
    large = TEXT + (b"x" * 70 + b"\r\n") * 5000
    assert strip_trace(sent(hb, large).data) == large
    told = [n[0] for n in f.notes_of(*STAGES)]
    assert "connect" not in told and "helo" not in told
    assert told.count("body") == 1


def test_T_7_quarantine(serve, scripted):  # noqa: F811
    """It is kept, held with the filter's words, and goes when released."""
    hb = behind(serve, scripted(("eom", "quarantine", "looks odd")))
    with hb.client() as c:
        c.ehlo()
        assert say(c).code == 250
    entry = hb.queue()[0]
    assert entry["state"] == "held"
    assert "looks odd" in hb.ctl("show", entry["id"]).out
    assert hb.mx.accepted() == []
    assert hb.ctl("release", entry["id"]).code == 0
    assert strip_trace(hb.mx.wait(1)[0].data) == TEXT


def test_T_7_the_second_sees_what_the_first_did(serve,  # noqa: F811
                                                scripted, folder):
    """Two filters, one over TCP: fields and body of the first."""
    with open(folder + "/body", "wb") as f:
        f.write(b"changed\r\n")
    first = scripted(("eom", "chgheader", "1", "Subject", "two"),
                     ("eom", "addheader", "X-Added", "yes"),
                     ("eom", "body", folder + "/body"), inet=True)
    second = scripted()
    hb = behind(serve, first, second)
    assert sent(hb).data.endswith(b"X-Added: yes\r\n\r\nchanged\r\n")
    seen = second.notes_of("header", "body")
    assert ("header", "Subject", "two") in seen
    assert ("header", "X-Added", "yes") in seen
    assert ("body", "changed\r\n") in seen


@pytest.mark.parametrize("stage", ["mail", "header", "body"])
def test_T_7_one_that_dies(serve, scripted, stage):  # noqa: F811
    """Temporary, and nothing is kept; the session goes no further; when it is
    back, mail goes through it again."""
    f = scripted((stage + "=die", "die"))
    hb = behind(serve, f)
    text = TEXT.replace(b"one", b"die").replace(b"body", b"die")
    with hb.client() as c:
        c.ehlo()
        assert say(c, text, "die@client.test").code == 421
        assert c.at_end()
    f.close()
    assert hb.client().greeting.code == 421
    f.start()
    sent(hb)
    assert len(hb.mx.accepted()) == 1


def test_T_7_lost_in_the_middle_of_a_body(serve, scripted,  # noqa: F811
                                          folder):
    """`on-failure=accept': it goes as it came, not with half of the change."""
    with open(folder + "/body", "wb") as f:
        f.write(b"half\r\n" * 20000)
    f = scripted(("eom", "addheader", "X-Added", "yes"),
                 ("eom", "body", folder + "/body"), ("eom", "die"))
    hb = behind(serve, f, options="on-failure=accept")
    assert strip_trace(sent(hb).data) == TEXT


# filters of others


def test_opendkim_signs(serve, peers, folder, closing):  # noqa: F811
    """What leaves has a signature that holds."""
    f = closing(OpenDKIM(peers, folder))
    hb = behind(serve, f)
    text = TEXT.replace(b"a@client.test", b"a@hb.test")
    got = strip_trace(sent(hb, text).data)
    assert b"DKIM-Signature:" in got
    at = got.index(b"DKIM-Signature:")
    assert dkim.verify(got[at:], dnsfunc=lambda *a, **kw: f.record.encode())


@pytest.mark.parametrize("body, result", [(b"", "pass"), (b"more", "fail")])
def test_opendkim_verifies(serve, peers, folder, closing,  # noqa: F811
                           body, result):
    """A signature that came holds, or does not when the body was changed: so
    the filter was told the very octets."""
    f = closing(OpenDKIM(peers, folder, mode="v"))
    hb = behind(serve, f)
    text = TEXT.replace(b"a@client.test", b"a@hb.test")
    signature = dkim.sign(text, filters.SELECTOR.encode(), b"hb.test",
                          peers.dkim_data("test.private"))
    got = sent(hb, signature + text + body + (b"\r\n" if body else b""))
    found = re.search(rb"Authentication-Results: [^\0]*?dkim=(\w+)", got.data)
    assert found[1].decode() == result, got.data


def test_opendmarc_refuses(serve, peers, folder, closing,  # noqa: F811
                           space):
    """Behind OpenDKIM, whose field it reads: a signed mail passes a domain
    that rejects the others."""
    if not space.private:
        pytest.skip("the port of DNS needs root")
    dns = closing(DnsServer("127.0.0.1", 53))
    dns.set("hb.test", "TXT", "v=spf1 -all")
    dns.set("_dmarc.hb.test", "TXT", "v=DMARC1; p=reject; aspf=s")
    hb = behind(serve, closing(OpenDKIM(peers, folder, mode="v")),
                closing(OpenDMARC(peers, folder)))
    text = TEXT.replace(b"a@client.test", b"a@hb.test")
    signature = dkim.sign(text, filters.SELECTOR.encode(), b"hb.test",
                          peers.dkim_data("test.private"))
    got = sent(hb, signature + text)
    assert re.search(rb"dmarc=pass", got.data), got.data
    with hb.client() as c:
        c.ehlo()
        assert say(c, text).code == 550


@pytest.mark.parametrize("kind, text", [
    (Rspamd, TEXT.replace(b"one", b"spam")),
    (SpamAssassin, TEXT + b"spam for all\r\n")],
    ids=["rspamd", "spamassassin"])
@pytest.mark.limit(180)
def test_scanners(serve, peers, folder, closing, kind, text):  # noqa: F811
    """They mark what they let through, and refuse the rest."""
    f = closing(kind(peers, folder))
    hb = behind(serve, f, options="timeout=60s")
    got = sent(hb)
    assert (f.adds[0] + ": ").encode() in got.data
    with hb.client() as c:
        c.ehlo()
        assert say(c, text).code in (550, 554)


# real clients through filters


FILTERS = {
    "libmilter": lambda peers, folder: Scripted(
        folder, ("eom", "addheader", "X-Seen", "yes")),
    "opendkim": OpenDKIM,
    "opendmarc": OpenDMARC,
    "rspamd": Rspamd,
    "spamassassin": SpamAssassin,
}


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.limit(300)
def test_clients_through(serve, peers, folder, closing,  # noqa: F811
                         full, name, kind):
    """What a client sent arrives as it was, but for what the filter adds."""
    if not full and name != "smtplib" and kind != "libmilter":
        pytest.skip("with --full")
    f = closing(FILTERS[kind](peers, folder))
    hb = behind(serve, f, options="timeout=60s")
    hb.added = f.adds
    for row in ("small", "dots", "8bit", "large") if full else ("dots",):
        for way in CLIENTS[name].ways[0], CLIENTS[name].ways[-1]:
            passes(hb, name, row, way)
