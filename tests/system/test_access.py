"""sendmail's access table: who may send, whom and through here."""

import hashlib
import os

import pytest

from harness import client, hauberk as hauberkmod, pki
from harness.wait import until

PROGRAM = hauberkmod.SBIN and os.path.join(hauberkmod.SBIN, "hauberkd")
MAKEMAP = hauberkmod.SBIN and os.path.join(hauberkmod.SBIN, "makemap")

TABLE = """# who may send
Connect:127.0.0.2\tREJECT
connect:127.0.3 \t ERROR:4.7.1:"450 your 100% [net] waits"
127.0.4.128/25 RELAY
From:bad.test\t550 5.7.2 no %s for "you"
From:odd@held.test QUARANTINE:looks odd
From:trash.test DISCARD
From:bob@ REJECT
From:hb.test OK
To:carol@ ERROR:5.2.1:"550 no mail for carol"
To:bob@hb.test DISCARD
To:far.test RELAY
far.test REJECT
From:slip.test REJETC
TLS_Clt:127.0.5 ENCR:128
"""


def lines(table="text:access"):
    return ["relay-from 192.0.2.1", "access " + table]


@pytest.fixture
def hb(make_server):
    server = make_server(start=False)
    server.write("access", TABLE.replace("\n", "\r\n"))
    server.configure(lines())
    return server.start()


def mail(hb, sender, source=None):
    """The reply to MAIL."""
    with hb.client(source=source) as c:
        c.ehlo()
        return c.cmd("MAIL FROM:<%s>" % sender)


def rcpt(hb, to, sender="s@x.test", source=None):
    """The reply to RCPT."""
    with hb.client(source=source) as c:
        c.ehlo()
        return c.envelope(sender, to)[1]


def rule(hb, key):
    """How the log names an entry of TABLE."""
    row = [l.split()[0] for l in TABLE.split("\n") if l].index(key)
    return "%s (%s:%d)" % (key, hb.path("access"), row + 1)


def test_M_7_three_checks_stand_alone(hb):
    """A client, a sender and a recipient are refused each for itself, and the
    log names the entry."""
    r = mail(hb, "a@x.test", "127.0.0.2")
    assert (r.code, r.status) == (550, "5.7.1") and "operator" in r.text
    assert hb.wait_record(ev="reject", client="127.0.0.2")["rule"] == \
        rule(hb, "Connect:127.0.0.2")
    assert hb.records(ev="reject", client="127.0.0.2", reason="access")
    assert mail(hb, "a@x.test", "127.0.0.21").code == 250
    r = mail(hb, "u@sub.bad.test")
    assert (r.code, r.status, r.text) == \
        (550, "5.7.2", '5.7.2 no %s for "you"')
    assert mail(hb, "u@notbad.test").code == 250
    # what may relay is refused as a sender and for a recipient, too
    assert mail(hb, "u@bad.test", "127.0.4.200").code == 550
    assert rcpt(hb, "carol@hb.test", source="127.0.4.200").status == "5.2.1"
    assert mail(hb, "bob@hb.test").code == 550
    assert mail(hb, "ann@hb.test").code == 250
    assert mail(hb, "", "127.0.0.3").code == 250
    stats = hb.ctl("stats", json=True)["access_decisions"]
    assert stats == {"refused": 5, "deferred": 0, "discarded": 0, "held": 0,
                     "relayed": 0}


def test_M_9_relay_by_client_or_domain(hb):
    assert rcpt(hb, "u@far.test").code == 250
    assert rcpt(hb, "u@sub.far.test").code == 250
    assert rcpt(hb, "u@xfar.test").code == 550
    assert rcpt(hb, "u%else.test@far.test").code == 550
    assert rcpt(hb, "u@else.test", source="127.0.4.127").code == 550
    assert rcpt(hb, "u@else.test", source="127.0.4.128").code == 250


def test_M_10_spellings_and_a_value_nobody_knows(hb):
    """Text as it stands, CRLF line ends; a slip waits and is told."""
    r = mail(hb, "a@x.test", "127.0.3.9")
    assert (r.code, r.text) == (450, "4.7.1 your 100% [net] waits")
    r = mail(hb, "u@slip.test")
    assert (r.code, r.status) == (451, "4.3.5")
    until(lambda: "REJETC" in hb.ctl("status").out, 10, "the trouble")
    assert rule(hb, "From:slip.test") in hb.ctl("status").out
    hb.write("access", TABLE.replace("REJETC", "REJECT"))
    until(lambda: mail(hb, "u@slip.test").code == 550, 10, "a new table")
    until(lambda: "REJETC" not in hb.ctl("status").out, 10, "no trouble")


def test_M_11_discard_and_quarantine(hb):
    """A recipient is thrown away alone, a message as a whole; one that looks
    odd is taken and held until it is released."""
    text = client.text()
    assert hb.send("a@x.test", ["bob@hb.test", "alice@hb.test"],
                   text).code == 250
    hb.wait_mail("alice")
    r = hb.wait_record(ev="accept", **{"from": "a@x.test"})
    assert r["rule"] == rule(hb, "To:bob@hb.test")
    assert hb.send("a@trash.test", "alice@hb.test", text).code == 250
    r = hb.wait_record(ev="accept", **{"from": "a@trash.test"})
    assert r["reason"] == "discarded"
    assert r["rule"] == rule(hb, "From:trash.test")
    assert hb.send("odd@held.test", "alice@hb.test", text).code == 250
    r = hb.wait_record(ev="accept", **{"from": "odd@held.test"})
    assert r["hold"] == "looks odd"
    assert r["rule"] == rule(hb, "From:odd@held.test")
    held = hb.ctl("show", r["msg"], json=True)
    assert (held["state"], held["held_for"]) == ("held", "looks odd")
    assert "held for: looks odd\n" in hb.ctl("show", r["msg"]).out
    assert hb.ctl("flush").code == 0
    assert len(hb.maildir("alice")) == 1 and not hb.maildir("bob")
    assert hb.ctl("release", r["msg"]).code == 0
    hb.wait_mail("alice", 2)
    hb.wait_empty()
    assert not hb.maildir("bob")


def test_M_13_tls_of_a_client(hb):
    r = mail(hb, "a@x.test", "127.0.5.1")
    assert (r.code, r.status) == (454, "4.7.0")
    with hb.client(source="127.0.5.1") as c:
        c.ehlo()
        c.starttls()
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@x.test>").code == 250
        assert c.cmd("RCPT TO:<alice@hb.test>").code == 250


def test_relay_by_certificate(make_server, other_ca):
    """A certificate is known by its print, whoever issued it."""
    hb = make_server(start=False)
    mine = other_ca.issue("client.test")
    other = other_ca.issue("client.test")
    hb.write("access", "CertPrint:%s RELAY\n"
             % hashlib.sha256(mine.der).hexdigest())
    hb.configure(lines())
    hb.start()
    for cert, code in ((mine, 250), (other, 550), (None, 550)):
        with hb.client() as c:
            c.ehlo()
            assert c.cmd("STARTTLS").code == 220
            ctx = pki.client_context()
            if cert is not None:
                ctx.load_cert_chain(cert.chain, cert.key)
            c.sock = ctx.wrap_socket(c.sock, server_hostname="localhost")
            c.ehlo()
            assert c.envelope("a@x.test", "u@far.test")[1].code == code


def test_M_12_a_table_that_cannot_be_read(hb):
    """What it said stays in force; a router that never read it answers 4xx to
    what needs it; both end without a command."""
    path = hb.path("access")
    os.rename(path, path + ".away")
    assert mail(hb, "u@bad.test").code == 550
    until(lambda: path in hb.ctl("status").out, 15, "the trouble")
    assert rcpt(hb, "u@far.test").code == 250
    hb.kill("router")
    hb.wait_role("router")
    until(lambda: mail(hb, "u@bad.test").status == "4.3.5", 20, "a 451")
    for sender, source in (("u@x.test", None), ("u@x.test", "127.0.0.2")):
        r = mail(hb, sender, source)
        assert (r.code, r.status) == (451, "4.3.5")
    os.rename(path + ".away", path)
    until(lambda: mail(hb, "u@x.test").code == 250, 10, "the table")
    assert mail(hb, "u@bad.test").code == 550


def test_M_12_a_database_as_makemap_makes_it(make_server):
    hb = make_server(start=False)
    path = hb.path("access")

    def make(text):
        done = hb.run(MAKEMAP, "hash", path, input=text)
        assert done.code == 0, done

    os.chmod(hb.dir, 0o777)
    make(TABLE)
    hb.configure(lines("hash:access"))
    hb.start()
    assert mail(hb, "u@bad.test").code == 550
    r = hb.wait_record(ev="reject", **{"from": "u@bad.test"})
    assert r["rule"] == "From:bad.test (%s.db)" % path
    assert mail(hb, "a@x.test", "127.0.0.2").code == 550
    make("From:good.test REJECT\n")
    until(lambda: mail(hb, "u@bad.test").code == 250, 10, "the new table")
    assert mail(hb, "u@good.test").code == 550


def test_M_13_demands_that_are_not_built_are_refused(make_server):
    """A demand that would be left out is a mistake at its line; what only
    does nothing here is warned of."""
    hb = make_server(start=False)
    hb.write("access", "From:a.test REJETC\nTLS_Srv:x.test VERIFY\n"
             "Try_TLS:y.test NO\nTLS_Clt:z.test VERIFY\n")
    hb.configure(lines())
    done = hb.run(PROGRAM, "-n", "-f", hb.conf)
    said = {l.split(": ")[0]: l for l in done.err.split("\n")
            if l.startswith(hb.path("access:"))}
    assert done.code != 0 and len(said) == 4, done
    for line, word in ((1, "warning"), (2, "tls-policy"), (3, "warning"),
                       (4, "tls-policy")):
        assert word in said["%s:%d" % (hb.path("access"), line)], done
    hb.write("access", "From:a.test REJETC\n")
    assert hb.run(PROGRAM, "-n", "-f", hb.conf).code == 0
