"""SMTP dialogues: the session machine seen from outside."""

import base64
import socket
import time

import pytest

from harness import client, sasl
from harness.client import Client, Closed
from harness.hauberk import free_port, hashed
from harness.wait import Watch, now, until

PASSWORD = "correct horse"
HOSTILE = "MAIL FROM:<smuggler@client.test>\r\nRCPT TO:<bob@hb.test>\r\n" \
    "DATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"


@pytest.fixture
def submission(make_server):
    """A server with a submission and a submissions port and a login."""
    hb = make_server(start=False)
    hb.sub, hb.subs = free_port(), free_port()
    hb.write("passwd", "alice:%s\n" % hashed(PASSWORD))
    hb.configure(["listen 127.0.0.1:%d smtp" % hb.port,
                  "listen 127.0.0.1:%d submission" % hb.sub,
                  "listen 127.0.0.1:%d submissions" % hb.subs,
                  "auth passwd-file " + hb.path("passwd")])
    return hb.start()


def codes(replies):
    return [r.code for r in replies]


# greeting, EHLO, verbs


@pytest.mark.both
def test_ehlo_keywords(server):
    """EHLO lists the extensions; the greeting names the host."""
    with server.client() as c:
        assert c.greeting.code == 220
        assert c.greeting.lines[0][4:].split()[0] == "mx.hb.test"
        words = c.ehlo()
        assert {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES",
                "STARTTLS"} <= set(words)
        assert int(words["SIZE"]) == 50 * 1024 * 1024
        assert "AUTH" not in words
        assert c.quit().code == 221


def test_SMTP_03_verbs_without_case(server):
    """Verbs and domains are case-blind."""
    with server.client() as c:
        assert c.cmd("eHlO client.test").code == 250
        assert c.cmd("mail from:<A@Client.Test> body=8bitmime").code == 250
        assert c.cmd("RcPt tO:<alice@HB.TEST>").code == 250
        assert c.cmd("rset").code == 250
        assert c.cmd("quit").code == 221


def test_order_of_commands(server):
    """Commands out of order get 503, unknown ones 500, bad ones 501."""
    with server.client() as c:
        c.ehlo()
        assert c.cmd("RCPT TO:<alice@hb.test>").code == 503
        assert c.cmd("DATA").code == 503
        assert c.cmd("MAIL FROM:<a@client.test>").code == 250
        assert c.cmd("MAIL FROM:<b@client.test>").code == 503
        assert c.cmd("DATA").code in (503, 554)
        assert c.cmd("WHAT").code == 500
        assert c.cmd("MAIL TO:<a@client.test>").code in (501, 503)
        assert c.cmd("RCPT TO:alice@hb.test@").code == 501
        assert c.cmd("RSET").code == 250
        assert c.cmd("MAIL FROM:<a@client.test> FOO=1").code == 555
        assert c.cmd("MAIL FROM:<a b@client.test>").code == 501
        assert c.cmd("HELP").code == 214
        assert c.cmd("VRFY alice").code in (250, 252, 502, 550)


def test_SMTP_15_noop_and_rset(server):
    """NOOP takes an argument; RSET forgets the transaction."""
    with server.client() as c:
        c.ehlo()
        assert c.cmd("NOOP whatever this is").code == 250
        c.envelope("a@client.test", "alice@hb.test")
        assert c.cmd("RSET").code == 250
        assert c.cmd("RCPT TO:<alice@hb.test>").code == 503


def test_SMTP_13_ehlo_resets(server):
    """EHLO works like RSET; a refused EHLO changes nothing."""
    with server.client() as c:
        c.ehlo()
        c.envelope("a@client.test", "alice@hb.test")
        assert c.cmd("EHLO").code == 501
        assert c.cmd("RCPT TO:<bob@hb.test>").code == 250
        c.ehlo()
        assert c.cmd("RCPT TO:<alice@hb.test>").code == 503


def test_SMTP_04_postmaster(server):
    """Postmaster without a domain and at our domain, in any case."""
    with server.client() as c:
        c.ehlo()
        replies = c.envelope("a@client.test", "Postmaster", "POSTMASTER",
                             "postmaster@hb.test", "PostMaster@HB.test")
        assert codes(replies) == [250] * 5


def test_DSN_06_status_class(server):
    """Status class equals reply class; none on greeting, EHLO and 354."""
    with server.client() as c:
        plain = [c.greeting, c.cmd("EHLO client.test")]
        coded = [c.cmd(l) for l in (
            "NOOP", "WHAT", "MAIL FROM:<a@client.test>",
            "RCPT TO:<alice@hb.test>", "RCPT TO:<nobody@hb.test>",
            "RCPT TO:<x@far.test> FOO")]
        plain.append(c.cmd("DATA"))
        c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        coded += [c.read(), c.cmd("RSET")]
    assert all(r.status is None for r in plain), plain
    assert all(r.status and r.status[0] == str(r.code)[0]
               for r in coded), coded


def test_unknown_user(server):
    """No such mailbox is 550 5.1.1, at RCPT and not later."""
    with server.client() as c:
        c.ehlo()
        reply = c.envelope("a@client.test", "nobody@hb.test")[1]
        assert (reply.code, reply.status) == (550, "5.1.1")
    server.wait_record(ev="reject", reason="user-unknown")


# size and limits


def test_SIZE_01_too_large(make_server):
    """552 for a declared and for a counted size over the limit."""
    hb = make_server(["max-message-size 100K"])
    with hb.client() as c:
        assert c.ehlo()["SIZE"] == "102400"
        assert c.cmd("MAIL FROM:<a@client.test> SIZE=102401").code == 552
        assert c.cmd("MAIL FROM:<a@client.test> SIZE=10").code == 250
        assert c.cmd("RCPT TO:<alice@hb.test>").code == 250
        big = client.text("big", ("x" * 70 + "\r\n") * 2000)
        assert c.data(big).code == 552
        small = client.text("small", ("x" * 70 + "\r\n") * 100)
        assert c.mail("a@client.test", "alice@hb.test", small).code == 250
    assert b"Subject: small" in hb.wait_mail("alice")[0]


def test_SMTP_05_long_lines(server):
    """512 octets of command line are taken, a huge one is refused."""
    with server.client() as c:
        c.ehlo()
        assert c.cmd("NOOP " + "x" * 505).code == 250
        assert c.cmd("NOOP " + "x" * 60000).code == 500
        assert c.cmd("NOOP").code == 250
        local = "a" * 64 + "@client.test"
        assert c.cmd("MAIL FROM:<%s>" % local).code == 250


def test_SMTP_05_recipients(make_server):
    """One recipient over the limit gets 452; the others are kept."""
    hb = make_server(["max-recipients 2"])
    with hb.client() as c:
        c.ehlo()
        replies = c.envelope("a@client.test", "alice@hb.test",
                             "bob@hb.test", "carol@hb.test")
        assert codes(replies) == [250, 250, 250, 452]
        assert c.data(client.text("limit")).code == 250
    assert len(hb.wait_mail("alice")) == len(hb.wait_mail("bob")) == 1


def test_sessions_per_client(make_server):
    """Sessions over the client's share get 421; a freed place is usable."""
    hb = make_server(["max-sessions-per-client 2"])
    first, second = hb.client(), hb.client()
    third = hb.client()
    assert third.greeting.code == 421
    other = hb.client(source="127.0.0.9")
    assert other.greeting.code == 220
    first.quit()

    def again():
        with hb.client() as c:
            return c.greeting.code == 220
    until(again, 5, "a place for a new session")
    for c in (second, third, other):
        c.close()


@pytest.mark.alone
def test_SMTP_06_command_timeout(make_server):
    """A silent and a dripping client both end after command-timeout."""
    hb = make_server(["command-timeout 2s"])
    began = now()
    with hb.client() as quiet, hb.client() as drip:
        quiet.ehlo()
        with pytest.raises((Closed, OSError)):
            for _ in range(50):
                drip.send(b"x")
                time.sleep(0.1)
            drip.read()
            drip.read()
        assert now() - began < 6
        try:
            assert quiet.read().code == 421
        except Closed:
            pass
        assert quiet.at_end()


@pytest.mark.alone
def test_slow_clients_do_not_stop_service(make_server):
    """300 idle sessions; a new client is served at once."""
    hb = make_server(["max-sessions-per-client 1000"])
    idle = [hb.client() for _ in range(300)]
    watch = Watch(hb)
    hb.send("a@client.test", "alice@hb.test", client.text("quick"))
    assert watch.seconds() < 2
    for c in idle:
        c.close()


def test_SMTP_10_hops(make_server):
    """A message with more Received lines than max-hops goes no further."""
    hb = make_server(["max-hops 30"])
    trace = "Received: from a.test by b.test; Sat, 1 Aug 2026 10:00:00 " \
        "+0000\r\n"
    with hb.client() as c:
        c.ehlo()
        loop = trace.encode() * 40 + client.text("loop")
        reply = c.mail("a@client.test", "alice@hb.test", loop)
        assert (reply.code, reply.status) == (554, "5.4.6")
        some = trace.encode() * 20 + client.text("some")
        assert c.mail("a@client.test", "alice@hb.test", some).code == 250


# pipelining


def test_PIPE_02_replies_in_order(server):
    """A whole session in one write: one reply each, in order."""
    with server.client(greet=False) as c:
        c.read()
        c.ehlo()
        c.send("MAIL FROM:<a@client.test>\r\nRCPT TO:<alice@hb.test>\r\n"
               "RCPT TO:<nobody@hb.test>\r\nRCPT TO:<bob@hb.test>\r\n"
               "DATA\r\n")
        assert [c.read().code for _ in range(5)] == [250, 250, 550, 250, 354]
        c.send("Subject: one\r\n\r\none\r\n.\r\n"
               "MAIL FROM:<a@client.test>\r\nRCPT TO:<alice@hb.test>\r\n"
               "RSET\r\nNOOP\r\nQUIT\r\n")
        assert [c.read().code for _ in range(6)] == [250, 250, 250, 250,
                                                     250, 221]
        assert c.at_end()
    assert b"Subject: one" in server.wait_mail("bob")[0]


def test_PIPE_03_no_recipient(server):
    """All recipients refused in a group: DATA is refused, nothing sent."""
    with server.client() as c:
        c.ehlo()
        c.send("MAIL FROM:<a@client.test>\r\nRCPT TO:<nobody@hb.test>\r\n"
               "DATA\r\n")
        assert [c.read().code for _ in range(2)] == [250, 550]
        reply = c.read()
        if reply.code == 354:
            c.send(b".\r\n")
            reply = c.read()
        assert reply.code in (503, 554)
        assert c.cmd("NOOP").code == 250
    assert server.queue() == []


# line ends and smuggling


@pytest.mark.parametrize("end", [
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r",
    b"\r\n\0.\r\n", b"\n\n.\r\n", b"\r\r\n.\r\r\n"],
    ids=lambda b: b.hex())
def test_SMTP_01_smuggling(server, end):
    """Only CRLF.CRLF ends the data, so nothing behind a false end runs."""
    with server.client() as c:
        c.ehlo()
        c.envelope("a@client.test", "alice@hb.test")
        assert c.cmd("DATA").code == 354
        c.send(b"Subject: outer\r\n\r\nouter" + end + HOSTILE.encode())
        reply = c.read()
        try:
            after = c.cmd("NOOP")
            assert after.code == 250 and c.cmd("QUIT").code == 221
        except Closed:
            assert reply.code >= 400
        assert reply.code == 250 or 400 <= reply.code < 600
    if reply.code == 250:
        message, = server.wait_mail("alice")
        assert b"smuggled" in message
    server.wait_empty()
    assert server.maildir("bob") == []


def test_SMTP_01_bare_lf_commands(server):
    """A bare LF does not end a command line."""
    with server.client() as c:
        c.ehlo()
        c.send(b"MAIL FROM:<a@client.test>\nRCPT TO:<bob@hb.test>\r\n")
        assert c.read().code >= 500
        assert c.cmd("RCPT TO:<bob@hb.test>").code == 503
        assert c.cmd(b"NOOP\0\r").code >= 500
        assert c.cmd("NOOP").code == 250


def test_SMTP_02_dots(server):
    """Stuffed dots come off, others stay."""
    body = ".\r\n..\r\n.x\r\nx.\r\n...\r\n"
    server.send("a@client.test", "alice@hb.test", client.text("dots", body))
    message = server.wait_mail("alice")[0].replace(b"\r\n", b"\n")
    assert message.endswith(b"\n\n.\n..\n.x\nx.\n...\n")


def test_BDAT_04_chunks(server):
    """A message in chunks arrives octet for octet, and goes on as lines."""
    text = (b"Subject: chunks\r\n\r\n.\r\n..x\r\nQUIT\r\n" +
            b"y" * 70 + b"\r\n.end")
    with server.client() as c:
        assert "CHUNKING" in c.ehlo()
        c.envelope("a@client.test", "alice@hb.test")
        for i in range(0, len(text), 10):
            part = text[i:i + 10]
            last = " LAST" if i + 10 >= len(text) else ""
            c.send(b"BDAT %d%s\r\n" % (len(part), last.encode()) + part)
        for _ in range(0, len(text), 10):
            assert c.read().code == 250
    message = server.wait_mail("alice")[0].replace(b"\r\n", b"\n")
    assert message.endswith(text.split(b"\r\n", 1)[1].replace(
        b"\r\n", b"\n") + b"\n")


def test_message_in_many_pieces(server):
    """The end of data may come one byte at a time."""
    with server.client() as c:
        c.ehlo()
        c.envelope("a@client.test", "alice@hb.test")
        c.cmd("DATA")
        for byte in b"Subject: slow\r\n\r\n..x\r\n.\r\n":
            c.send(bytes([byte]))
            time.sleep(0.005)
        assert c.read().code == 250
    assert b".x" in server.wait_mail("alice")[0]


# STARTTLS


@pytest.mark.both
def test_TLS_02_starttls(server):
    """After STARTTLS all is forgotten, and it is not offered again."""
    with server.client() as c:
        c.ehlo()
        c.envelope("a@client.test", "alice@hb.test")
        assert c.cmd("STARTTLS now").code == 501
        c.starttls()
        assert c.cmd("RCPT TO:<bob@hb.test>").code == 503
        assert c.cmd("MAIL FROM:<a@client.test>").code == 503
        assert "STARTTLS" not in c.ehlo()
        assert c.cmd("STARTTLS").code == 503
        reply = c.mail("a@client.test", "alice@hb.test",
                       client.text("secret"))
        assert reply.code == 250
    record = server.wait_record(ev="accept")
    assert record["tls"].startswith("TLSv1")
    assert b"with ESMTPS" in server.wait_mail("alice")[0]


def test_TLS_01_nothing_survives_in_the_buffer(server):
    """Commands behind STARTTLS in the same write are never obeyed."""
    with server.client() as c:
        c.ehlo()
        c.send("STARTTLS\r\nMAIL FROM:<evil@client.test>\r\n"
               "RCPT TO:<bob@hb.test>\r\n")
        try:
            if c.read().code != 220:
                return
            c.wrap()
            c.send("EHLO client.test\r\n")
            assert len(c.read().lines) > 2
            assert c.cmd("RCPT TO:<bob@hb.test>").code == 503
        except (Closed, OSError):
            pass
    with server.client() as c:
        assert c.greeting.code == 220


def test_TLS_04_required(make_server):
    """With tls=require all but a few commands get 530 in clear."""
    hb = make_server(start=False)
    hb.configure(["listen 127.0.0.1:%d smtp tls=require" % hb.port])
    hb.start()
    with hb.client() as c:
        c.ehlo()
        assert c.cmd("NOOP").code == 250
        reply = c.cmd("MAIL FROM:<a@client.test>")
        assert (reply.code, reply.status) == (530, "5.7.0")
        c.starttls()
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@client.test>").code == 250


def test_tls_certificate_by_sni(make_server, ca):
    """The certificate is chosen by the name that the client asks for."""
    hb = make_server(start=False)
    lines = []
    for name in ("mx.hb.test", "other.hb.test"):
        cert = ca.issue(name)
        chain = hb.write(name + ".pem", open(cert.chain, "rb").read())
        key = hb.write(name + ".key", open(cert.key, "rb").read())
        lines.append("tls-certificate %s key=%s" % (chain, key))
    hb.configure(lines)
    hb.start()
    for name in ("mx.hb.test", "other.hb.test"):
        with hb.client() as c:
            c.ehlo()
            c.starttls(ca=ca, name=name)
            assert c.ehlo()


# AUTH


def test_AUTH_01_plain(submission):
    """Login over TLS works, is not offered before, and not twice."""
    with Client("127.0.0.1", submission.sub) as c:
        assert "AUTH" not in c.ehlo()
        assert c.auth_plain("alice", PASSWORD).code >= 500
        c.starttls()
        assert {"PLAIN", "LOGIN"} <= set(c.ehlo()["AUTH"].split())
        reply = c.auth_plain("alice", "wrong")
        assert (reply.code, reply.status) == (535, "5.7.8")
        reply = c.auth_plain("alice", PASSWORD)
        assert (reply.code, reply.status) == (235, "2.7.0")
        assert c.auth_plain("alice", PASSWORD).code == 503
        reply = c.mail("alice@hb.test", "bob@hb.test", client.text("auth"))
        assert reply.code == 250
    assert b"with ESMTPSA" in submission.wait_mail("bob")[0]
    log = open(submission.log).read()
    assert PASSWORD not in log
    assert base64.b64encode(b"\0alice\0" + PASSWORD.encode()).decode() \
        not in log


def test_AUTH_01_login_and_errors(submission):
    """LOGIN; cancel, bad base64 and an unknown mechanism."""
    def b64(text):
        return base64.b64encode(text.encode()).decode()
    with Client("127.0.0.1", submission.subs, tls=True) as c:
        c.ehlo()
        assert c.cmd("AUTH WHAT").code == 504
        assert c.cmd("AUTH PLAIN !!!").code == 501
        assert c.cmd("AUTH PLAIN").code == 334
        assert c.cmd("*").code == 501
        assert c.cmd("AUTH LOGIN").code == 334
        assert c.cmd(b64("alice")).code == 334
        assert c.cmd(b64(PASSWORD)).code == 235


@pytest.mark.both
def test_AUTH_01_scram(submission):
    """SCRAM with and without channel binding, once the file has a verifier;
    the server proves that it has one; who has a crypt hash, who is unknown and
    who is wrong cannot be told apart."""
    hb, keys = submission, submission.path("tls-secrets")

    def login(*args, **kw):
        with Client("127.0.0.1", hb.sub) as c:
            assert "AUTH" not in c.ehlo()
            c.starttls(keys=keys)
            c.ehlo()
            return c.auth_scram(*args, **kw)
    reply, _ = login("alice", PASSWORD)
    assert (reply.code, reply.status) == (504, "5.5.4")
    with open(hb.path("passwd"), "a") as f:
        f.write("bob:%s\n" % sasl.verifier(PASSWORD))
    until(lambda: login("bob", PASSWORD)[0].code == 235, 20,
          step=0.5)
    with Client("127.0.0.1", hb.subs, tls=True) as c:
        assert c.ehlo()["AUTH"].split() == [
            "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]
        assert c.auth_plain("bob", PASSWORD).code == 235
    for how in ({}, {"keys": keys}):
        reply, proven = login("bob", PASSWORD, **how)
        assert (reply.code, proven) == (235, True)
    said = {str(login(*who)[0]) for who in (
        ("bob", "wrong"), ("nobody", PASSWORD), ("alice", PASSWORD))}
    assert len(said) == 1 and "535 5.7.8" in said.pop()
    hb.wait_record(ev="auth", login="bob", mech="SCRAM-SHA-256-PLUS",
                   result="ok")
    hb.wait_record(ev="auth", login="nobody", mech="SCRAM-SHA-256",
                   result="fail")


def test_SUB_01_login_needed(submission):
    """Submission without login is 530 at MAIL, even for local mail."""
    with Client("127.0.0.1", submission.sub) as c:
        c.ehlo()
        c.starttls()
        c.ehlo()
        assert c.cmd("MAIL FROM:<alice@hb.test>").code == 530


def test_SUB_03_sender_of_the_login(submission):
    """A login sends as itself and not as another."""
    with Client("127.0.0.1", submission.subs, tls=True) as c:
        c.ehlo()
        assert c.auth_plain("alice", PASSWORD).code == 235
        refused = c.envelope("bob@hb.test", "bob@hb.test")
        assert 550 in codes(refused)
        c.cmd("RSET")
        assert codes(c.envelope("alice@hb.test", "x@far.test")) == [250, 250]


# relaying


def test_relay_rules(make_server, mx_factory):
    """Only the listed clients relay; listed domains are for anyone."""
    mx = mx_factory("127.0.0.1")
    hb = make_server(["relay-from 127.0.0.5/32", "relay-domain ok.test",
                      "smarthost smtp://127.0.0.1:%d" % mx.port])
    with hb.client() as c:
        c.ehlo()
        replies = c.envelope("a@client.test", "x@far.test", "x@ok.test",
                             "alice@hb.test", "x@sub.ok.test")
        assert codes(replies)[:4] == [250, 550, 250, 250]
        assert replies[1].status == "5.7.1"
    with hb.client(source="127.0.0.5") as c:
        c.ehlo()
        assert c.mail("a@client.test", "x@far.test",
                      client.text("relay")).code == 250
    assert mx.wait(1)[0].rcpts == ["x@far.test"]
    hb.wait_record(ev="reject", reason="relay-denied")


@pytest.mark.parametrize("trick", [
    "x%far.test@hb.test", "@hb.test:x@far.test", "\"x@far.test\"@hb.test",
    "far.test!x@hb.test"])
def test_relay_tricks(make_server, mx_factory, trick):
    """Source routes, percent and bang paths do not relay."""
    mx = mx_factory("127.0.0.1")
    hb = make_server(["relay-from 127.0.0.5/32",
                      "smarthost smtp://127.0.0.1:%d" % mx.port])
    with hb.client() as c:
        c.ehlo()
        assert c.envelope("a@client.test", trick)[1].code >= 500
    assert mx.connections == 0


# ends


HALF = b"EHLO client.test\r\nMAIL FROM:<a@client.test>\r\n" \
    b"RCPT TO:<alice@hb.test>\r\n"
TEXT = b"Subject: said\r\n\r\nall\r\n"


@pytest.mark.parametrize("rest, codes", [
    (b"BDAT %d LAST\r\n%sQUIT\r\n" % (len(TEXT), TEXT),
     [220, 250, 250, 250, 250, 221]),
    (b"DATA\r\n" + TEXT + b".\r\n", [220, 250, 250, 250, 354, 250]),
    (b"BDAT %d LAST\r\n%s" % (len(TEXT) + 1, TEXT), [220, 250, 250, 250]),
    (b"DATA\r\n" + TEXT + b".\r", [220, 250, 250, 250, 354]),
    (b"QUIT", [220, 250, 250, 250])],
    ids=["bdat", "data", "half-chunk", "half-data", "half-line"])
def test_SMTP_14_a_client_that_has_said_all(server, rest, codes):
    """Exim ends its half of the connection behind QUIT: what it has said is
    answered.  A message that has no end is not taken, and the session ends
    at once."""
    with server.client() as c:
        got = [c.greeting.code]
        c.send(HALF + rest)
        c.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(Closed):
            while True:
                got.append(c.read().code)
    assert got == codes
    assert bool(server.records(ev="accept")) == (codes[4:].count(250) == 1)
    until(lambda: server.ctl("sessions", json=True) == [], 5, "its end")
