"""Mail filters: what they see, what they may say, and what becomes of it."""

import os
import struct

import pytest

from harness import client, milter
from harness.client import Closed
from harness.hauberk import free_port
from harness.milter import (ACCEPT, CLOSE, CONTINUE, DISCARD, PROGRESS,
                            REJECT, SHUTDOWN, SKIP, TEMPFAIL, Milter)
from harness.wait import until

MESSAGE = b"Subject: one\r\nX-Old: a\r\nX-Old: b\r\n\r\n..dots\r\nbody\r\n"
NO_ANSWERS = 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | \
    0x40000 | 0x80000
SILENT = {w: None for w in ("connect", "helo", "mail", "rcpt", "data",
                            "header", "eoh", "body", "unknown")}
LEADING_SPACE = 0x100000
CAN_SKIP, WANTS_REFUSED = 0x400, 0x800


@pytest.fixture
def filtered(make_server, space):
    """filtered(Milter(...), ...): a server that asks them."""
    made = []

    def make(*filters, options="", lines=()):
        hb = make_server(start=False)
        names = []
        for n, f in enumerate(filters):
            if f.place is None:
                f.place = os.path.join(hb.dir, "filter%d" % n)
            names.append("milter %s %s" % (f.line, options))
            f.__enter__()
            made.append(f)
        hb.configure(names + list(lines))
        return hb.start()
    yield make
    for f in made:
        f.__exit__()


def deliver(hb, message=MESSAGE, rcpts=("alice@hb.test",)):
    return hb.send("a@client.test", list(rcpts), message)


def mail_of(hb, user="alice", count=1):
    return hb.wait_mail(user, count)


def test_T_7_what_a_filter_sees(filtered):
    """Every step of a session in order, with its data and symbols."""
    f = Milter(None)
    hb = filtered(f)
    with hb.client() as c:
        c.ehlo("client.test")
        assert c.cmd("WHAT is this").code == 500
        assert c.cmd("MAIL FROM:<A@client.test> SIZE=100 BODY=8BITMIME"
                     ).code == 250
        assert c.cmd("RCPT TO:<alice@hb.test> NOTIFY=NEVER").code == 250
        assert c.data(MESSAGE).code == 250
        c.quit()
    assert until(lambda: f.steps().endswith("Q"), 10)
    assert f.steps() == "CHUMRTLLLNBEQ"
    seen = dict(f.seen("CHUMRN"))
    assert seen["C"].startswith(b"[127.0.0.1]\0004")
    assert seen["C"].endswith(b"127.0.0.1\0")
    assert seen["H"] == b"client.test\0"
    assert seen["U"] == b"WHAT is this\0"
    assert seen["M"] == b"<A@client.test>\0SIZE=100\0BODY=8BITMIME\0"
    assert seen["R"] == b"<alice@hb.test>\0NOTIFY=NEVER\0"
    assert [d for _, d in f.seen("L")] == [
        b"Subject\0one\0", b"X-Old\0a\0", b"X-Old\0b\0"]
    assert f.conversations[0].body == b"..dots\r\nbody\r\n"
    symbols = f.conversations[0].symbols
    assert symbols["j"] == "mx.hb.test"
    assert symbols["_"] == "[127.0.0.1]"
    assert symbols["{client_addr}"] == symbols["{daemon_addr}"] == "127.0.0.1"
    assert symbols["{daemon_port}"] == str(hb.port)
    assert symbols["{mail_addr}"] == "A@client.test"
    assert symbols["{rcpt_addr}"] == "alice@hb.test"
    assert symbols["{nrcpts}"] == "1"
    assert len(symbols["i"]) == 16
    assert b"id " + symbols["i"].encode() in mail_of(hb)[0]


def test_T_7_what_is_not_wanted_is_not_sent(filtered):
    """Flags of the terms: no steps, no answers, the leading space."""
    quiet = Milter(None, steps=0x1 | 0x2 | 0x8 | 0x40 | 0x100 | 0x200)
    silent = Milter(None, steps=NO_ANSWERS | LEADING_SPACE,
                    **SILENT)
    old = Milter(None, version=2, may=0x1f)
    hb = filtered(quiet, silent, old)
    with hb.client() as c:
        c.ehlo("client.test")
        assert c.cmd("WHAT").code == 500
        assert c.mail("a@client.test", ["alice@hb.test"], MESSAGE).code == 250
    assert quiet.steps().startswith("MLLLBE")
    assert silent.steps().startswith("CHUMRTLLLNBE")
    assert silent.seen("L")[0][1] == b"Subject\0 one\0"
    assert old.steps().startswith("CHMRLLLNBE")


def test_T_7_lists_of_symbols(filtered):
    """A filter that lists symbols gets those."""
    f = Milter(None, symbols=struct.pack(">I", 0) + b"j {client_port}\0" +
               struct.pack(">I", 2) + b"\0")
    hb = filtered(f)
    assert deliver(hb).code == 250
    symbols = f.conversations[0].symbols
    assert int(symbols["{client_port}"]) > 0
    assert "_" not in symbols and "{mail_addr}" not in symbols


@pytest.mark.parametrize("step,code", [
    ("connect", 554), ("helo", 550), ("mail", 550), ("rcpt", 550),
    ("data", 550), ("header", 550), ("eoh", 550), ("body", 550),
    ("eom", 550)])
def test_T_7_refused_at_each_step(filtered, step, code):
    """A refusal at each step reaches the client there; it is logged."""
    f = Milter(None, **{step: REJECT})
    hb = filtered(f)
    got = refusals(hb)
    assert got[0] == ({"connect": "connect", "helo": "helo", "mail": "mail",
                       "rcpt": "rcpt"}.get(step, "data"), code)
    record = hb.wait_record(ev="milter", action="reject")
    assert record["stage"] == step
    assert hb.wait_record(ev="reject")["reason"] == "filtered"


def refusals(hb):
    """(where, code) of what was refused in a session."""
    out = []
    with hb.client() as c:
        if c.greeting.code != 220:
            return [("connect", c.greeting.code)]
        r = c.cmd("EHLO client.test")
        if r.code != 250:
            return [("helo", r.code)]
        for where, line in (("mail", "MAIL FROM:<a@client.test>"),
                            ("rcpt", "RCPT TO:<alice@hb.test>"),
                            ("data", "DATA")):
            r = c.cmd(line)
            if r.code >= 400:
                return [(where, r.code)]
        c.send(client.stuff(MESSAGE) + b".\r\n")
        r = c.read()
        if r.code >= 400:
            out.append(("data", r.code))
    return out


def test_T_8_words_of_a_filter(filtered):
    """Its code, status and lines are the client's reply."""
    f = Milter(None, rcpt=milter.reply("451 4.7.9 wait\t100%% of it"),
               eom=milter.reply("550-5.7.1 one\r\n550 5.7.1 two"))
    hb = filtered(f)
    with hb.client() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<a@client.test>")
        r = c.cmd("RCPT TO:<alice@hb.test>")
        assert r.lines == ["451 4.7.9 wait?100% of it"]
        f.reactions["R"] = CONTINUE
        assert c.cmd("RCPT TO:<alice@hb.test>").code == 250
        assert c.data(MESSAGE).lines == ["550-5.7.1 one", "550 5.7.1 two"]
        assert c.cmd("NOOP").code == 250


def test_T_7_accept_ends_with_its_message(filtered):
    """The next message of the session is asked about again."""
    f = Milter(None, mail=ACCEPT)
    hb = filtered(f)
    with hb.client() as c:
        c.ehlo()
        for _ in range(2):
            assert c.mail("a@client.test", ["alice@hb.test"],
                          MESSAGE).code == 250
    assert f.steps().count("M") == 2
    assert "E" not in f.steps()


def test_T_7_the_state_of_a_message_is_its_own(filtered):
    """RSET is heard as an abort; what was said goes with its message."""
    f = Milter(None, rcpt=DISCARD)
    hb = filtered(f)
    with hb.client() as c:
        c.ehlo()
        assert c.mail("a@client.test", ["alice@hb.test"], MESSAGE).code == 250
        f.reactions["R"] = CONTINUE
        c.cmd("MAIL FROM:<a@client.test>")
        c.cmd("RSET")
        assert c.mail("a@client.test", ["bob@hb.test"], MESSAGE).code == 250
    mail_of(hb, "bob")
    assert hb.maildir("alice") == []
    assert f.steps().startswith("CHMRAMAMRTLLLNBE")


def test_T_7_changes_of_fields(filtered):
    """Fields are added, put in, changed, taken out; the next filter sees
    them."""
    first = Milter(None, eom=[
        milter.add("X-Added", "one\n\ttwo"),
        milter.insert(1, "X-Second", "2"), milter.insert(0, "X-Top", "top"),
        milter.change(2, "x-old", "changed"), milter.change(1, "X-Old", ""),
        milter.change(5, "X-New", "new"), CONTINUE])
    second = Milter(None)
    hb = filtered(first, second)
    assert deliver(hb).code == 250
    assert [d for _, d in second.seen("L")] == [
        b"X-Top\0top\0", b"X-Second\x002\0", b"Subject\0one\0",
        b"x-old\0changed\0", b"X-Added\0one\n\ttwo\0", b"X-New\0new\0"]
    text = mail_of(hb)[0].replace(b"\r\n", b"\n")
    head = text.split(b"\n\n")[0].split(b"\n")
    names = [h.split(b":")[0] for h in head if not h[:1].isspace()]
    assert names[-7:] == [b"X-Top", b"Received", b"X-Second", b"Subject",
                          b"x-old", b"X-Added", b"X-New"]


def test_T_7_changes_of_the_envelope(filtered):
    """Sender and recipients."""
    f = Milter(None, eom=[
        milter.sender("<new@client.test>"), milter.add_rcpt("<bob@hb.test>"),
        milter.add_rcpt("carol@hb.test", "NOTIFY=NEVER"),
        milter.delete_rcpt("<alice@hb.test>"), ACCEPT])
    hb = filtered(f)
    assert deliver(hb).code == 250
    text = mail_of(hb, "bob")[0].decode()
    assert "new@client.test" in text.split("\n\n")[0]
    mail_of(hb, "carol")
    assert hb.maildir("alice") == []


def test_T_7_nobody_is_left(filtered):
    """A message whose recipients are all taken out is gone, and logged."""
    f = Milter(None, eom=[milter.delete_rcpt("alice@hb.test"), CONTINUE])
    hb = filtered(f)
    assert deliver(hb).code == 250
    assert hb.wait_record(ev="accept")["reason"] == "discarded"
    assert hb.queue() == []


@pytest.mark.parametrize("size", [0, 20, 200000, 900000])
def test_T_7_a_new_body(filtered, size):
    """The new body takes the place of the old one, as a whole."""
    new = (b".start\n" + b"0123456789abcdef\r\n" * (size // 18))[:size]
    f = Milter(None, eom=milter.body(new) + [CONTINUE])
    second = Milter(None)
    hb = filtered(f, second)
    assert deliver(hb).code == 250
    text = mail_of(hb)[0].replace(b"\r\n", b"\n")
    want = new.replace(b"\r\n", b"\n")
    if want and not want.endswith(b"\n"):
        want += b"\n"
    assert text.split(b"\n\n", 1)[1] == want
    assert second.conversations[0].body.replace(b"\r\n", b"\n") == want


@pytest.mark.limit(240)
@pytest.mark.parametrize("steps", [0, NO_ANSWERS])
def test_T_7_a_large_message(filtered, steps):
    """It passes through a file, and not through the heap."""
    f = Milter(None, steps=steps, **(SILENT if steps else {}))
    hb = filtered(f)
    line = b".0123456789" * 5 + b"\r\n"
    big = b"Subject: big\r\n\r\n" + line * (20 * 1024 * 1024 // len(line))
    assert deliver(hb, big).code == 250
    text = mail_of(hb)[0].replace(b"\r\n", b"\n")
    assert text.split(b"\n\n", 1)[1] == \
        big.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]
    assert f.conversations[0].body == big.split(b"\r\n\r\n", 1)[1]
    with open("/proc/%d/status" % hb.role("smtpd")[0]) as status:
        peak = [s for s in status if s.startswith("VmHWM")][0]
    assert int(peak.split()[1]) < 40 * 1024


def test_T_7_quarantine(filtered):
    """The message is held, and its reason is shown."""
    f = Milter(None, eom=[milter.quarantine("looks odd"), CONTINUE])
    hb = filtered(f)
    assert deliver(hb).code == 250
    row = until(lambda: hb.queue(), 10)[0]
    assert row["state"] == "held"
    assert "looks odd" in hb.ctl("show", row["id"]).out
    assert hb.maildir("alice") == []
    assert hb.wait_record(ev="milter", action="quarantine")
    assert hb.ctl("release", row["id"]).code == 0
    mail_of(hb)


def test_T_7_skip_and_progress(filtered):
    """SKIP ends the body, PROGRESS the silence."""
    f = Milter(None, steps=CAN_SKIP, body=SKIP,
               eom=[PROGRESS, PROGRESS, CONTINUE])
    hb = filtered(f)
    big = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 20000
    assert deliver(hb, big).code == 250
    assert f.steps().count("B") == 1


def test_T_7_refused_recipients(filtered):
    """A filter that wants to see them does, and cannot let them in."""
    f = Milter(None, steps=WANTS_REFUSED)
    other = Milter(None)
    hb = filtered(f, other)
    with hb.client() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<a@client.test>")
        assert c.cmd("RCPT TO:<nobody@hb.test>").code == 550
        assert c.cmd("RCPT TO:<alice@hb.test>").code == 250
        assert f.seen("R")[0][1] == b"<nobody@hb.test>\0"
    assert f.steps().count("R") == 2 and other.steps().count("R") == 1


BROKEN = {
    "no NUL": [b"h" + b"X-A\0one"],
    "two fields": [milter.add("X-A", "one\r\nBcc: bob@hb.test")],
    "end of the header": [milter.add("X-A", "one\r\n\r\nbody")],
    "bare CR": [milter.add("X-A", "one\rtwo")],
    "name": [milter.add("X A", "one")],
    "letter": [b"?"],
    "offer": [b"O" + struct.pack(">III", 6, 0, 0)],
    "address": [milter.add_rcpt("<a b@@hb.test>")],
    "code": [milter.reply("250 fine")],
    "class": [milter.reply("550 4.7.1 no")],
    "lines": [milter.reply("550-one\r\n551 two")],
    "body": [b"bbare\rCR\r\n", CONTINUE],
    "too much": [milter.add("X-%d" % i, "x" * 1000) for i in range(1001)],
    "huge": None,
    "closed": [milter.add("X-A", "one"), CLOSE],
    "half a body": [b"bhalf of it\r\n", CLOSE],
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_T_8_a_filter_that_breaks_the_protocol(filtered, what):
    """421, and nothing of it counts; the next session is as the first."""
    def huge(c):
        c.sock.sendall(struct.pack(">I", 1 << 30) + b"h")
        return b""

    def answer(c):
        reaction = BROKEN[what]
        return huge(c) if reaction is None else \
            reaction + ([CONTINUE] if CLOSE not in reaction else [])
    f = Milter(None, eom=answer)
    hb = filtered(f)
    with hb.client() as c:
        c.ehlo()
        r = c.mail("a@client.test", ["alice@hb.test"], MESSAGE)
        assert r.code == 421
        with pytest.raises((Closed, OSError)):
            c.cmd("NOOP")
            c.cmd("NOOP")
    assert hb.wait_record(ev="milter", action="failed")
    assert hb.wait_record(ev="reject")["reason"] == "filter-down"
    assert hb.queue() == []
    f.reactions["E"] = CONTINUE
    assert deliver(hb).code == 250
    text = mail_of(hb)[0]
    assert b"X-A" not in text and b"half" not in text
    assert not hb.deaths()


@pytest.mark.parametrize("policy,codes", [
    ("tempfail", [421]), ("accept", [250, 250]), ("reject", [554])])
def test_T_7_on_failure(filtered, policy, codes):
    """What is done when a filter is lost in the middle of a message."""
    f = Milter(None, eom=[b"bhalf\r\n", milter.add("X-A", "one"), CLOSE])
    hb = filtered(f, options="on-failure=" + policy)
    got = []
    with hb.client() as c:
        c.ehlo()
        for _ in codes:
            got.append(c.mail("a@client.test", ["alice@hb.test"],
                              MESSAGE).code)
    assert got == codes
    if policy == "accept":
        for text in mail_of(hb, count=2):
            assert b"body" in text and b"half" not in text
            assert b"X-A" not in text
        assert f.steps().count("M") == 1


def test_T_7_a_filter_that_is_not_there(make_server):
    """421 at the greeting; the operator is told, until it is back."""
    hb = make_server(start=False)
    path = os.path.join(hb.dir, "filter")
    hb.configure(["milter unix:%s" % path])
    hb.start()
    with hb.client() as c:
        assert c.greeting.code == 421
    assert hb.wait_record(ev="milter", action="failed")
    status = until(lambda: hb.ctl("status", json=True)["trouble"], 10)
    assert "filter" in str(status)
    with Milter(path):
        assert deliver(hb).code == 250
        assert until(lambda: not hb.ctl("status", json=True)["trouble"], 10)


def test_T_7_a_filter_that_is_silent(filtered):
    """Its time ends, and then the session with 421."""
    f = Milter(None, mail=None)
    hb = filtered(f, options="timeout=1s")
    with hb.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@client.test>").code == 421


def test_T_7_over_tcp(filtered):
    """A filter at a TCP port; SHUTDOWN ends the session."""
    f = Milter(("127.0.0.1", free_port()),
               eom=[milter.add("X-A", "one"), CONTINUE])
    hb = filtered(f)
    assert deliver(hb).code == 250
    assert b"X-A: one" in mail_of(hb)[0]
    f.reactions["M"] = SHUTDOWN
    with hb.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@client.test>").code == 421
    f.reactions["M"] = TEMPFAIL
    with hb.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@client.test>").code == 451
        assert c.cmd("NOOP").code == 250


def test_T_7_chunks(filtered):
    """BDAT is filtered as DATA is."""
    f = Milter(None, eom=[milter.add("X-A", "one"), CONTINUE])
    hb = filtered(f)
    with hb.client() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<a@client.test>")
        c.cmd("RCPT TO:<alice@hb.test>")
        c.send(b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE)
        assert c.read().code == 250
    assert f.steps().startswith("CHMRTLLLNBE")
    assert f.conversations[0].body == b"..dots\r\nbody\r\n"


def test_T_7_many_chunks(filtered):
    """The last octets of a body that goes into a file."""
    f = Milter(None)
    hb = filtered(f)
    big = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 20000
    with hb.client() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<a@client.test>")
        c.cmd("RCPT TO:<alice@hb.test>")
        for part in (big[:262159], big[262159:262160], big[262160:]):
            c.send(b"BDAT %d\r\n" % len(part) + part)
            assert c.read().code == 250
        c.send(b"BDAT 0 LAST\r\n")
        assert c.read().code == 250
    assert f.conversations[0].body == big[14:]


def test_T_7_pipelined_recipients(filtered):
    """They reach the filter one after the other, in their order."""
    f = Milter(None)
    hb = filtered(f)
    with hb.client() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<a@client.test>\r\nRCPT TO:<alice@hb.test>\r\n"
               b"RCPT TO:<bob@hb.test>\r\nRCPT TO:<carol@hb.test>\r\n"
               b"DATA\r\n")
        assert [c.read().code for _ in range(5)] == [250] * 4 + [354]
        c.send(client.stuff(MESSAGE) + b".\r\n")
        assert c.read().code == 250
    assert [d for _, d in f.seen("R")] == [
        b"<alice@hb.test>\0", b"<bob@hb.test>\0", b"<carol@hb.test>\0"]
