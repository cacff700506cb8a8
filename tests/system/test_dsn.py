"""DSN (RFC 3461): what a sender asks for, on its way and in what he is told."""

import email
import email.policy

import pytest

from harness import client


@pytest.fixture
def hop(make_server, mx_factory):
    """hop(keywords): a server that relays all but hb.test to `.mx`."""
    def make(*keywords):
        mx = mx_factory("127.0.0.1", name="hop.test")
        mx.keywords += keywords
        hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port])
        hb.mx = mx
        return hb
    return make


def submit(hb, rcpts, mail="RET=HDRS ENVID=Q+2Bx"):
    """One message; RCPTS: addresses with their parameters."""
    with hb.client() as c:
        assert "DSN" in str(c.ehlo())
        assert c.cmd("MAIL FROM:<alice@hb.test> " + mail).code == 250
        for rcpt in rcpts:
            assert c.cmd("RCPT TO:" + rcpt).code == 250
        assert c.data(client.text("asked")).code == 250


def told(hb, index=0):
    """(of the message, of each recipient) what a notice says."""
    data = hb.wait_mail("alice", index + 1)[index]
    message = email.message_from_bytes(data, policy=email.policy.default)
    part, = [p for p in message.walk()
             if p.get_content_type() == "message/delivery-status"]
    return part.get_payload()[0], part.get_payload()[1:]


def test_DSN_02_parameters_go_to_a_host_that_offers_it(hop):
    """As they came; we tell of nothing."""
    hb = hop("DSN")
    asked = ["<x@far.test> NOTIFY=SUCCESS,DELAY ORCPT=Rfc822;X+2B@Far.test",
             "<y@far.test> NOTIFY=NEVER", "<z@far.test>"]
    submit(hb, asked)
    hb.mx.wait(1)
    hb.wait_empty()
    lines = [l.decode().rstrip() for _, l in hb.mx.lines]
    mail, = [l for l in lines if l.startswith("MAIL ")]
    assert mail.endswith(" RET=HDRS ENVID=Q+2Bx")
    assert sorted(l for l in lines if l.startswith("RCPT ")) == sorted(
        "RCPT TO:" + a for a in asked)
    assert hb.maildir("alice") == []


def test_DSN_02_05_relayed_survives_a_kill(hop):
    """Without DSN there: we tell, once it is durable, also after a kill."""
    hb = hop()
    submit(hb, ["<x@far.test> NOTIFY=SUCCESS ORCPT=Rfc822;X+2B@Far.test"])
    hb.wait_record(ev="delivery", result="ok", rcpt="x@far.test")
    hb.kill_all()
    hb.start()
    about, rcpts = told(hb)
    hb.wait_empty()
    assert about["Original-Envelope-Id"] == "Q+x"
    rcpt, = rcpts
    assert rcpt["Original-Recipient"] == "Rfc822;X+@Far.test"
    assert rcpt["Final-Recipient"] == "rfc822; x@far.test"
    assert rcpt["Action"] == "relayed" and rcpt["Status"][0] == "2"
    assert rcpt["Remote-MTA"].startswith("dns;")
    assert rcpt["Diagnostic-Code"].startswith("smtp; 250 ")
    assert len(hb.mx.wait(1)) == 1
    assert not any(b"NOTIFY" in l or b"ENVID" in l for _, l in hb.mx.lines)
    hb.wait_record(ev="receipt")


def test_DSN_02_05_delivered_here(server):
    """A mailbox of this host, by SMTP and by sendmail, -bs too."""
    submit(server, ["<bob@hb.test> NOTIFY=SUCCESS"])
    assert told(server)[1][0]["Action"] == "delivered"
    done = server.sendmail("-N", "success", "-R", "hdrs", "-V", "my id",
                           "-f", "alice@hb.test", "bob@hb.test",
                           message="Subject: x\n\nx\n")
    assert done.code == 0, done
    about, rcpts = told(server, 1)
    assert about["Original-Envelope-Id"] == "my id"
    assert rcpts[0]["Action"] == "delivered"
    done = server.sendmail("-bs", message=(
        "EHLO x\nMAIL FROM:<alice@hb.test> ENVID=third\n"
        "RCPT TO:<bob@hb.test> NOTIFY=SUCCESS\nDATA\n"
        "Subject: x\n\nx\n.\nQUIT\n"))
    assert done.code == 0, done
    assert told(server, 2)[0]["Original-Envelope-Id"] == "third"
    server.wait_empty()
    assert len(server.maildir("bob")) == 3
