"""Failure and delay notices: their form, and when there is none."""

import email
import email.policy

import pytest

from harness import client
from harness.wait import until


@pytest.fixture
def bouncer(make_server, mx_factory):
    """make(lines): a server that relays all to `.mx`."""
    def make(lines=()):
        mx = mx_factory("127.0.0.1", name="hop.test")
        hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port,
                          *lines])
        hb.mx = mx
        return hb
    return make


def notice(hb, index=0):
    data = hb.wait_mail("alice", index + 1)[index]
    return email.message_from_bytes(data, policy=email.policy.default)


def groups(message):
    """The field groups of the delivery-status part."""
    part, = [p for p in message.walk()
             if p.get_content_type() == "message/delivery-status"]
    return part.get_payload()


def test_DSN_05_07_form(bouncer):
    """multipart/report with all the fields, from <>, original attached."""
    hb = bouncer()
    hb.mx.reply["rcpt"] = "550 5.1.1 no such person"
    hb.send("alice@hb.test", "x@far.test", client.text("to bounce"))
    message = notice(hb)
    assert message["Return-Path"].strip() == "<>"
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"].split(";")[0].strip() == "auto-replied"
    assert "alice@hb.test" in message["To"]
    assert message["Date"] and message["Message-ID"] and message["From"]
    kinds = [p.get_content_type() for p in message.iter_parts()]
    assert kinds[:2] == ["text/plain", "message/delivery-status"]
    assert kinds[2] in ("message/rfc822", "text/rfc822-headers")
    about, rcpt = groups(message)
    assert about["Reporting-MTA"].replace(" ", "") == "dns;mx.hb.test"
    assert rcpt["Final-Recipient"].replace(" ", "") == "rfc822;x@far.test"
    assert rcpt["Action"] == "failed"
    assert rcpt["Status"] == "5.1.1"
    assert rcpt["Remote-MTA"].startswith("dns;")
    assert "550 5.1.1 no such person" in rcpt["Diagnostic-Code"]
    assert "Subject: to bounce" in message.as_string()
    hb.wait_record(ev="bounce")
    record = hb.wait_record(ev="delivery", result="fail")
    assert (record["code"], record["status"]) == ("550", "5.1.1")


def test_only_failed_recipients_are_named(bouncer):
    """Of two recipients one fails: the notice names that one alone."""
    hb = bouncer()
    hb.mx.reply["rcpt"] = lambda s, p: (
        "550 5.7.1 no" if p.startswith("bad") else None)
    hb.send("alice@hb.test", ["bad@far.test", "good@far.test"],
            client.text("half"))
    message = notice(hb)
    assert len(groups(message)) == 2
    assert "good@far.test" not in str(groups(message)[1])
    assert hb.mx.wait(1)[0].rcpts == ["good@far.test"]


def test_SMTP_08_no_notice_about_a_notice(bouncer):
    """Mail from <> that fails ends silently, and leaves the queue."""
    hb = bouncer()
    hb.mx.reply["rcpt"] = "550 5.1.1 no"
    hb.send("", "x@far.test", client.text("null"))
    hb.wait_record(ev="delivery", result="fail")
    hb.wait_empty()
    assert hb.maildir("alice") == []
    assert len(hb.records(ev="delivery")) == 1


def test_notice_that_cannot_be_delivered(bouncer):
    """A notice to an unreachable sender does not make another."""
    hb = bouncer()
    hb.mx.reply["rcpt"] = "550 5.1.1 no"
    hb.send("ghost@other.test", "x@far.test", client.text("ghost"))
    until(lambda: len(hb.records(ev="delivery", result="fail")) == 2, 15,
          "mail and notice have failed")
    hb.wait_empty()
    assert len(hb.records(ev="bounce")) == 1
    senders = [l for _, l in hb.mx.lines if l.startswith(b"MAIL")]
    assert any(l.startswith(b"MAIL FROM:<>") for l in senders)


@pytest.mark.parametrize("stage", ["mail", "data", "eod"])
def test_refused_at_a_stage(bouncer, stage):
    """5xx at any stage is final and quoted."""
    hb = bouncer()
    hb.mx.reply[stage] = lambda s, a: "554 5.6.0 not " + stage
    hb.send("alice@hb.test", "x@far.test", client.text(stage))
    assert "554 5.6.0 not " + stage in groups(notice(hb))[1][
        "Diagnostic-Code"]


def test_lifetime(bouncer):
    """When the lifetime is over: a notice with the last answer."""
    hb = bouncer(["lifetime 4s", "delay-warning off"])
    hb.mx.reply["rcpt"] = "451 4.3.2 come back later"
    hb.send("alice@hb.test", "x@far.test", client.text("old"))
    message = notice(hb)
    rcpt = groups(message)[1]
    assert rcpt["Action"] == "failed"
    assert rcpt["Status"][:2] in ("4.", "5.")
    assert "451 4.3.2 come back later" in rcpt["Diagnostic-Code"]
    hb.wait_empty()
    assert hb.mx.verbs().count("RCPT") >= 2


def test_delay_warning(bouncer):
    """One notice of a delay, and the mail still goes out."""
    hb = bouncer(["delay-warning 2s"])
    hb.mx.reply["rcpt"] = "451 4.3.2 come back later"
    hb.send("alice@hb.test", "x@far.test", client.text("slow"))
    rcpt = groups(notice(hb))[1]
    assert rcpt["Action"] == "delayed"
    assert rcpt["Will-Retry-Until"]
    hb.mx.reply.clear()
    hb.mx.wait(1)
    hb.wait_empty()
    assert len(hb.maildir("alice")) == 1


def test_notice_survives_a_kill(bouncer):
    """Killed right after the failure: one notice, no second attempt."""
    hb = bouncer()
    hb.mx.reply["rcpt"] = "550 5.1.1 no"
    hb.send("alice@hb.test", "x@far.test", client.text("kill"))
    hb.wait_record(ev="delivery", result="fail", timeout=15)
    hb.kill_all()
    hb.start()
    notice(hb)
    hb.wait_empty()
    assert len(hb.maildir("alice")) <= 2


def test_hostile_reply_text(bouncer):
    """Control bytes in a remote reply cannot add fields to a notice."""
    hb = bouncer()
    hb.mx.reply["rcpt"] = "550-5.1.1 no\x01\x02\r\n550 5.1.1 " \
        "Action: relayed\x0bX-Evil: 1" + "y" * 3000
    hb.send("alice@hb.test", "x@far.test", client.text("evil"))
    rcpt = groups(notice(hb))[1]
    assert rcpt["Action"] == "failed" and rcpt["X-Evil"] is None
    data = hb.maildir("alice")[0].replace(b"\r\n", b"\n")
    assert max(len(l) for l in data.split(b"\n")) <= 998
    assert b"\x01" not in data
