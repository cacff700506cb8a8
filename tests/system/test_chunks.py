"""CHUNKING and BINARYMIME (RFC 3030), from one end to the other."""

import email

import pytest

from harness import client
from harness.hauberk import free_port
from harness.mx import strip_trace
from harness.wait import until
from test_interop import exim_domain  # a fixture; noqa: F401
from test_relay import relay

# what would be commands if a server took them for that
MESSAGE = (b"Subject: chunk\r\n\r\nRSET\r\nMAIL FROM:<evil@x.test>\r\n"
           b"RCPT TO:<evil@x.test>\r\nDATA\r\nevil\r\n")
DOTTED = b"Subject: dots\r\n\r\n.\r\n..two\r\nend\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 40000


@pytest.fixture
def mx(mx_factory):
    made = mx_factory("127.0.0.1")
    made.keywords.append("CHUNKING")
    return made


def octets(c, text, step, params="BODY=BINARYMIME"):
    """TEXT in chunks of STEP octets; the last reply."""
    for reply in c.envelope("alice@hb.test", "x@far.test", params=params):
        assert reply.code == 250, reply
    parts = [text[i:i + step] for i in range(0, len(text), step)]
    for part in parts[:-1]:
        c.send(b"BDAT %d\r\n" % len(part) + part)
        assert c.read().code == 250
    c.send(b"BDAT %d LAST\r\n" % len(parts[-1]) + parts[-1])
    return c.read()


def test_BDAT_04_sent_by_chunks(make_server, mx):
    """Octet for octet, in memory or from a file; stuffed dots go by DATA."""
    hb = relay(make_server, mx.port)
    for i, (message, chunked) in enumerate(
            ((MESSAGE, True), (DOTTED, False), (LARGE, True)), 1):
        hb.send("alice@hb.test", "x@far.test", message)
        got = mx.wait(i)[-1]
        assert got.chunked == chunked
        assert strip_trace(got.data) == message
    hb.wait_empty()
    assert mx.verbs(1)[:5] == ["EHLO", "MAIL", "RCPT", "BDAT", "BDAT"]


def test_BDAT_01_no_recipient_no_octets(make_server, mx):
    """One octet of a message goes where nobody takes it."""
    mx.reply["rcpt"] = "550 5.1.1 nobody"
    hb = relay(make_server, mx.port)
    hb.send("alice@hb.test", "x@far.test", MESSAGE)
    assert b"nobody" in hb.wait_mail("alice")[0]
    assert [l for _, l in mx.lines if l.startswith(b"BDAT")] == [b"BDAT 1"]


def test_BDAT_01_announced_and_unknown(make_server, mx_factory):
    """One octet of the message is said before BDAT is known to work: then
    DATA comes, and no word of the message is a command."""
    mx = mx_factory("127.0.0.1")
    mx.clear_keywords.append("CHUNKING")
    hb = relay(make_server, mx.port)
    for i in (1, 2):
        hb.send("alice@hb.test", "x@far.test", MESSAGE)
        got = mx.wait(i)[-1]
        assert not got.chunked and strip_trace(got.data) == MESSAGE
    hb.wait_empty()
    assert mx.verbs().count("BDAT") == 1
    assert not any(b"evil" in line for _, line in mx.lines)
    assert not hb.records(ev="delivery", result="defer")


@pytest.mark.parametrize("stage", ["bdat", "chunk", "eod"])
def test_BDAT_01_cut_off_at_a_chunk(make_server, mx, stage):
    """Who closes at BDAT gets the message by DATA the next time."""
    mx.drop = {stage}
    hb = relay(make_server, mx.port)
    hb.send("alice@hb.test", "x@far.test", MESSAGE)
    hb.wait_record(ev="delivery", result="defer")
    mx.drop -= {"eod"}
    got = mx.wait(1)[0]
    hb.wait_empty()
    assert not got.chunked and strip_trace(got.data) == MESSAGE
    assert hb.maildir("alice") == []


def test_BDAT_01_not_now(make_server, mx):
    """452 to a chunk delays; the message goes whole later."""
    mx.reply["bdat"] = "452 4.3.1 full"
    hb = relay(make_server, mx.port)
    hb.send("alice@hb.test", "x@far.test", MESSAGE)
    assert hb.wait_record(ev="delivery", result="defer")["code"] == "452"
    del mx.reply["bdat"]
    got = mx.wait(1)[0]
    assert got.chunked and strip_trace(got.data) == MESSAGE
    hb.wait_empty()


def test_BDAT_01_lmtp(make_server, mx_factory):
    """Over LMTP each recipient has a reply of his own to the last chunk."""
    mx = mx_factory("127.0.0.1", lmtp=True)
    mx.keywords.append("CHUNKING")
    mx.reply["eod"] = lambda s, rcpt: (
        "550 5.2.1 no" if rcpt == "b@far.test" else None)
    hb = make_server(["route far.test lmtp://127.0.0.1:%d" % mx.port])
    hb.send("alice@hb.test", ["a@far.test", "b@far.test"], MESSAGE)
    assert b"b@far.test" in hb.wait_mail("alice")[0]
    assert mx.wait(1)[0].chunked
    assert len(hb.records(ev="delivery", result="ok", rcpt="a@far.test")) == 1


def test_BDAT_04_exim_takes_chunks(exim_domain, world):  # noqa: F811
    """Exim offers CHUNKING: several messages over one connection."""
    hb = world.server()
    for i in range(3):
        hb.send("alice@hb.test", ["x@far.test", "nobody@far.test"],
                client.text("chunk %d" % i, "line\r\n" * 1000))
    got = exim_domain.wait(3)
    assert all(m.replace(b"\r\n", b"\n").endswith(b"line\n" * 1000)
               for m in got)
    hb.wait_empty()
    assert exim_domain.log().count(" K ") >= 3


def test_BDAT_03_binary_is_kept_without_loss(make_server, mx_factory):
    """Every octet comes back, at a host that knows 7 bits alone."""
    mx = mx_factory("127.0.0.1")
    mx.keywords.remove("8BITMIME")
    hb = relay(make_server, mx.port)
    data = bytes(range(256)) * 3000 + b"\r\n.\r\n\r"
    text = b"one\nline \xc3\xa4" + b"x" * 70000
    message = (
        b"Subject: binary\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n"
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n" + text +
        b"\r\n--b\r\nContent-Type: application/x\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n" + data + b"\r\n--b--")
    with hb.client() as c:
        assert "BINARYMIME" in c.ehlo()
        for i, step in enumerate((len(message), 4095), 1):
            assert octets(c, message, step).code == 250
            got = mx.wait(i)[-1].data
            parts = [p for p in email.message_from_bytes(got).walk()
                     if not p.is_multipart()]
            assert [p.get_payload(decode=True) for p in parts] == [text, data]
            assert max(got) < 128
            assert max(map(len, got.split(b"\r\n"))) <= 998
    hb.wait_empty()
    assert hb.ctl("stats", json=True)["messages_made_text"]["binary"] == 2


def test_BDAT_03_binary_that_is_signed_is_refused(make_server, mx):
    hb = relay(make_server, mx.port)
    signed = (b"Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: "
              b"multipart/signed; boundary=b\r\n"
              b"Content-Transfer-Encoding: binary\r\n\r\n--b\r\n"
              b"Content-Transfer-Encoding: binary\r\n\r\n\0\r\n--b--\r\n")
    with hb.client() as c:
        c.ehlo()
        reply = octets(c, signed, 50)
        assert (reply.code, "5.6.3" in str(reply)) == (554, True)
        for reply in c.envelope("a@hb.test", "x@far.test",
                                params="BODY=BINARYMIME"):
            assert reply.code == 250
        assert c.cmd("DATA").code == 503
    assert mx.messages == []


def test_BDAT_04_postfix_takes_chunks(make_server, peers, folder, closing,
                                      address):
    """Postfix, which refuses an empty chunk, takes ours, also over a
    connection that was used; one with all recipients refused disturbs
    nothing."""
    postfix = closing(peers.postfix_server(folder, address(), free_port()))
    hb = relay(make_server, postfix.port,
               ["route far.test smtp://%s:%d" % (postfix.address,
                                                postfix.port)])
    hb.send("alice@hb.test", "nobody@far.test", MESSAGE)
    assert b"nobody@far.test" in hb.wait_mail("alice")[0]
    for i in range(2):
        hb.send("alice@hb.test", ["x@far.test", "nobody@far.test"], MESSAGE)
    hb.send("alice@hb.test", "x@far.test", LARGE)
    got = postfix.wait(3)
    hb.wait_empty()
    assert sorted(m.replace(b"\n", b"\r\n").endswith(
        MESSAGE.split(b"\r\n\r\n", 1)[1]) for m in got) == [False, True, True]
    assert not hb.records(ev="delivery", result="defer")
    # it counts the commands of a session when that is over
    until(lambda: "bdat=" in postfix.log(), 20, postfix.log)
    assert " data=" not in postfix.log()
