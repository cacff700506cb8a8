"""Hostile and broken servers on the other side (A-5): nothing counts as
delivered that was not taken whole, nobody else's mail suffers, and the process
that delivers lives on."""

import pytest

from harness import client
from harness.mx import Hangup
from harness.wait import until

BIG = "x" * 70 + "\r\n"


class Peer:
    """The server's side of a session, line by line."""

    def __init__(self, session):
        self.session = session
        self.mx = session.mx

    def say(self, text):
        """`|' ends a line."""
        data = text if isinstance(text, bytes) else text.encode("latin-1")
        self.session.conn.sendall(data.replace(b"|", b"\r\n"))

    def hear(self, verb):
        """The next command, which is this one."""
        line = self.session.line()
        assert line.upper().startswith(verb.encode()), line
        return line

    def to_mail(self, ehlo="250 mx|"):
        self.say("220 mx|")
        self.hear("EHLO")
        self.say(ehlo)
        return self.hear("MAIL")

    def to_data(self):
        self.to_mail()
        self.say("250 ok|")
        self.hear("RCPT")
        self.say("250 ok|")
        self.hear("DATA")

    def take(self):
        """The message, whole."""
        self.session.body()
        self.mx.whole += 1

    def wait_end(self):
        """Until the client has gone; what it says meanwhile is lost."""
        while self.session.conn.recv(65536):
            pass

    def flood(self, block):
        """Until the client has gone, or has taken far too much."""
        for _ in range(4000):
            self.session.conn.sendall(block)
        raise AssertionError("all of it was taken")


def all_at_once(p):
    p.say("220 mx|250 mx|250 ok|250 ok|354 go|250 taken|")
    p.wait_end()


def ahead_of_mail(p):
    p.to_mail()
    p.say("250 ok|250 ok|354 go|250 taken|")
    p.wait_end()


def ahead_in_group(p):
    p.to_mail("250-mx|250 PIPELINING|")
    p.say("250 ok|250 ok|354 go|250 taken|")
    p.wait_end()


def behind_ehlo(p):
    p.say("220 mx|")
    p.hear("EHLO")
    p.say("250 mx|250 ok|")
    p.wait_end()


def early_250(p):
    p.to_data()
    p.say("354 go|")
    assert len(p.session.conn.recv(2000)) > 0
    p.say("250 taken|")
    p.session.conn.settimeout(10)
    read = 0
    while part := p.session.conn.recv(65536):
        read += len(part)
        assert not part.endswith(b"\r\n.\r\n"), "the end of the message"


def early_552(p):
    p.to_data()
    p.say("354 go|")
    assert len(p.session.conn.recv(2000)) > 0
    p.say("552 5.3.4 too large|")
    p.wait_end()


def two_354(p):
    p.to_data()
    p.say("354 go|354 go|")
    p.wait_end()


def final_354(p):
    p.to_data()
    p.say("354 go|")
    p.take()
    p.say("354 go|")
    p.wait_end()


def data_250(p):
    p.to_data()
    p.say("250 taken|")
    p.wait_end()


def codes_alone(p):
    p.say("220|")
    p.hear("EHLO")
    p.say("250 |")
    p.hear("MAIL")
    p.say("250|")
    p.hear("RCPT")
    p.say("250 |")
    p.hear("DATA")
    p.say("354 |")
    p.take()
    p.say("250 |")
    p.wait_end()


def strange_octets(p):
    p.to_mail()
    p.say(b"550 5.1.0 \0\1\xff\xfe\x1b[2J no|")
    p.wait_end()


def not_smtp(p):
    p.say(b"\x16\x03\x01\0\xff" * 100 + b"|")
    p.wait_end()


def endless_greeting(p):
    p.flood(b"220-welcome\r\n" * 5000)


def endless_line(p):
    p.say("220 mx|")
    p.hear("EHLO")
    p.flood(b"250 " + b"x" * 65536)


def endless_silence(p):
    p.to_mail()
    p.wait_end()


def long_line(p):
    p.to_mail()
    p.say("550 5.1.1 " + "x" * 100000 + "|")
    p.wait_end()


def injected(p):
    p.say("220 mx|")
    p.hear("EHLO")
    p.say("250-mx|250 STARTTLS|")
    p.hear("STARTTLS")
    p.say("220 go|250 mx|250 ok|250 ok|354 go|250 taken|")
    p.wait_end()


def one_too_many(p):
    p.to_data()
    p.say("354 go|")
    p.take()
    p.say("250 taken|250 taken|")
    p.wait_end()


def ends_at(state):
    def script(p):
        steps = [("", "220 mx|"), ("EHLO", "250 mx|"), ("MAIL", "250 ok|"),
                 ("RCPT", "250 ok|"), ("DATA", "354 go|")]
        for verb, reply in steps[:state]:
            if verb:
                p.hear(verb)
            p.say(reply)
        if state > len(steps):
            p.take()
        raise Hangup
    script.__name__ = "ends_at_%d" % state
    return script


# what comes of the mail: the result, and the reason if there is one
CASES = {
    all_at_once: "defer bad-reply", ahead_of_mail: "defer bad-reply",
    ahead_in_group: "defer bad-reply", behind_ehlo: "defer bad-reply",
    early_250: "defer bad-reply", early_552: "fail remote-reply",
    two_354: "defer bad-reply", final_354: "defer bad-reply",
    data_250: "defer bad-reply", codes_alone: "ok ok",
    strange_octets: "fail remote-reply", not_smtp: "defer bad-reply",
    endless_greeting: "defer bad-reply", endless_line: "defer bad-reply",
    endless_silence: "defer reply-timeout", long_line: "fail remote-reply",
    injected: "defer tls-injected", one_too_many: "ok ok",
}
CASES.update({ends_at(i): "defer connection-lost" for i in range(7)})


def play(peer):
    def script(session):
        try:
            peer(Peer(session))
        except AssertionError as e:
            session.mx.wrong.append("%s: %s" % (peer.__name__, e))
    return script


@pytest.mark.limit(180)
@pytest.mark.both
def test_A_5_nothing_counts_that_was_not_taken(world):
    hb = world.server(["reply-timeout 5s", "retry first=1h max=1h",
                       "max-message-size 50M"])
    good = world.domain("good.test")
    pid = hb.role("delivery")
    peers = {}
    for i, (peer, want) in enumerate(CASES.items()):
        name = "bad%d.test" % i
        mx = world.domain(name, cert=None)
        mx.whole, mx.wrong, mx.script = 0, [], play(peer)
        peers[name] = mx, peer.__name__, want
        body = BIG * 100000 if peer.__name__.startswith("early") else "x\r\n"
        hb.send("a@hb.test", "x@" + name, client.text("bad", body))
        hb.send("a@hb.test", "x@good.test", client.text("good %d" % i))
    for name, (mx, what, want) in peers.items():
        r = hb.wait_record(60, ev="delivery", rcpt="x@" + name)
        assert "%s %s" % (r["result"], r["reason"]) == want, (what, r)
        assert not mx.wrong
        # each was taken as often as it counts
        assert r["result"] != "ok" or mx.whole == 1, what
    good.wait(len(peers))
    assert hb.role("delivery") == pid


def test_A_5_extra_reply_spoils_the_connection(world):
    """The message before is taken, the next one has a connection of its
    own, and no reply is moved from one to the other."""
    mx = world.domain("far.test", cert=None)
    hb = world.server()
    late = []

    def eod(_session, message):
        late.append(message)
        return "250 2.0.0 kept\r\n550 5.0.0 of what?"
    mx.reply["eod"] = eod
    for i in range(3):
        hb.send("a@hb.test", "x@far.test", client.text("m%d" % i))
        mx.wait(i + 1)
    hb.wait_empty()
    assert mx.connections == 3
    assert [r["result"] for r in hb.records(ev="delivery")] == ["ok"] * 3


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_F_27_session_lost_its_way(world, stage):
    """503 on a connection that carried a message: the next one again, over a
    fresh one."""
    mx = world.domain("far.test", cert=None)
    hb = world.server()
    served = set()

    def lost(session, _arg):
        if session.number in served:
            return "503 5.5.1 bad sequence"
        if stage == "data":
            served.add(session.number)
        return None

    def eod(session, _message):
        served.add(session.number)
        return "250 2.0.0 kept"
    mx.reply[stage] = lost
    mx.reply["eod"] = eod
    for i in range(3):
        hb.send("a@hb.test", "x@far.test", client.text("m%d" % i))
        mx.wait(i + 1)
    hb.wait_empty()
    assert [r["result"] for r in hb.records(ev="delivery")] == ["ok"] * 3


def test_F_4_tls_is_wanted_and_does_not_work(world):
    """454 to STARTTLS, then 530: waits, and the next host is tried."""
    world.dns.set("far.test", "MX", "10 mx.far.test", "20 mx2.far.test")
    first, second = world.host("mx.far.test"), world.host("mx2.far.test")
    for mx in first, second:
        mx.starttls = "refuse"
        mx.reply["mail"] = lambda s, _: \
            None if s.tls else "530 5.7.0 Must issue a STARTTLS command first"
    hb = world.server()
    hb.send("a@hb.test", "x@far.test", client.text("tls"))
    r = hb.wait_record(ev="delivery", result="defer")
    assert (r["reason"], r["code"], r["status"]) == \
        ("starttls-refused", "530", "5.7.0")
    assert first.connections > 0 and second.connections > 0
    second.starttls = "offer"
    second.wait(1)
    hb.wait_empty()
    assert not hb.records(ev="bounce")


@pytest.mark.parametrize("policy", [False, True])
def test_F_11_client_certificate_is_wanted(world, policy):
    """TLS 1.3 ends behind a good handshake: that is a handshake that failed.
    In clear where no policy speaks against it."""
    mx = world.domain("far.test")
    mx.ask_certificate = True
    if policy:
        world.policy("far.test")
    hb = world.server()
    hb.send("a@hb.test", "x@far.test", client.text("certificate"))
    if not policy:
        mx.wait(1)
        assert hb.wait_record(ev="delivery")["tls"] == "none"
        return
    r = hb.wait_record(ev="delivery", result="defer")
    assert r["reason"] == "tls-handshake" and "certificate" in r["text"]
    assert mx.messages == []


def test_F_21_552_is_kept_as_heard(world):
    """A full mailbox is final, and returned at once."""
    mx = world.domain("far.test", cert=None)
    mx.reply["rcpt"] = "552 5.2.2 mailbox full"
    hb = world.server()
    hb.send("alice@hb.test", "x@far.test", client.text("full"))
    r = hb.wait_record(ev="delivery", rcpt="x@far.test")
    assert (r["result"], r["code"], r["status"]) == ("fail", "552", "5.2.2")
    assert b"552 5.2.2 mailbox full" in hb.wait_mail("alice")[0]


def test_S_9_memory_of_a_host_is_no_reason(world):
    """Mail that was not tried because the host was down says why it was."""
    mx = world.domain("far.test", cert=None)
    world.dns.set("other.test", "MX", "10 mx.far.test")
    mx.stop()
    hb = world.server(["host-memory 1h"])
    for name in "far.test", "other.test":
        hb.send("a@hb.test", "x@" + name, client.text("down"))
        hb.wait_record(ev="delivery", rcpt="x@" + name)
    assert hb.records(ev="delivery", reason="host-down")
    until(lambda: len(hb.queue()) == 2, 10)
    assert {m["recipients"][0]["last"]["reason"] for m in hb.queue()} == \
        {"connect-refused"}
