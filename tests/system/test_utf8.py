"""International addresses: SMTPUTF8 (RFC 6531) on both sides, and domains that
are written in UTF-8 and looked up as A-labels."""

import email
import smtplib

import pytest

from harness import client
from test_interop import exim_domain  # noqa: F401  a fixture

IDN = "bücher.test"
ALABEL = "xn--bcher-kva.test"
KAETHE = "käthe@far.test"
UTF8 = "SMTPUTF8 BODY=8BITMIME"


def seen(address):
    """As the scripted MX has it, which knows no UTF-8."""
    return address.encode().decode("latin-1")


def submit(hb, sender, rcpts, message, params=UTF8):
    """The final reply, or the first refusal."""
    with hb.client() as c:
        assert "SMTPUTF8" in c.ehlo()
        for reply in c.envelope(sender, *rcpts, params=params):
            if reply.code != 250:
                return reply
        return c.data(message)


@pytest.fixture
def far(world):
    """far.test, whose MX takes UTF-8."""
    mx = world.domain("far.test")
    mx.keywords.append("SMTPUTF8")
    return mx


def test_EAI_01_03_goes_on_as_it_came(far, world):
    """Local part and header section in UTF-8 arrive byte for byte."""
    hb = world.server()
    message = client.text("utf8", extra="X-Name: Käse\r\n")
    assert submit(hb, "jörg@" + IDN, [KAETHE], message).code == 250
    got = far.wait(1)[0]
    assert got.rcpts == [seen(KAETHE)]
    assert got.sender == seen("jörg@" + ALABEL)
    assert "SMTPUTF8" in got.sender_params
    assert "X-Name: Käse".encode() in got.data
    assert b"with UTF8SMTP\r\n" in got.data and b"\tfor <" not in got.data
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["rcpt"] == seen(KAETHE)


def test_EAI_01_not_without_need(far, world):
    """The parameter goes on when something needs it, and not else: 8-bit text
    in a header field whose sender said nothing is no need."""
    hb = world.server()
    assert submit(hb, "a@b.test", ["x@far.test"], client.text("plain")
                  ).code == 250
    assert submit(hb, "a@b.test", ["x@far.test"],
                  client.text("eight", extra="X-Name: Käse\r\n"),
                  params="BODY=8BITMIME").code == 250
    for got in far.wait(2):
        assert "SMTPUTF8" not in got.sender_params


def test_EAI_02_comes_back_from_a_host_without_it(world):
    """Nothing of it is sent, no address becomes another one, the other
    recipient gets his mail, and the notice names the address."""
    mx = world.domain("far.test")
    hb = world.server()
    assert submit(hb, "alice@hb.test", [KAETHE, "x@far.test"],
                  client.text("utf8")).code == 250
    assert mx.wait(1)[0].rcpts == ["x@far.test"]
    notice = email.message_from_bytes(hb.wait_mail("alice")[0])
    human, status, _ = notice.get_payload()
    assert KAETHE in human.get_payload(decode=True).decode()
    assert status.get_content_type() == "message/global-delivery-status"
    assert status["Content-Transfer-Encoding"] == "quoted-printable"
    raw = hb.maildir("alice")[0]
    assert b"Final-Recipient: utf-8; k=C3=A4the@far.test" in raw
    assert b"Status: 5.6.7" in raw
    assert b"X-Hauberk-Reason: no-smtputf8" in raw
    hb.wait_empty()
    assert len(mx.accepted()) == 1


def test_EAI_02_another_mail_host_takes_it(world):
    """The first host is passed over for who needs SMTPUTF8."""
    old, new = world.domain("far.test", "10 old.far.test", "20 new.far.test")
    new.keywords.append("SMTPUTF8")
    hb = world.server()
    assert submit(hb, "alice@hb.test", [KAETHE, "x@far.test"],
                  client.text("utf8")).code == 250
    assert new.wait(1)[0].rcpts == [seen(KAETHE)]
    assert old.wait(1)[0].rcpts == ["x@far.test"]
    hb.wait_empty()
    assert hb.maildir("alice") == []


def test_EAI_01_T_15_domain_in_utf8_needs_nothing(world):
    """A U-label domain is looked up, matched and sent as A-labels, in mail, in
    the configuration and in aliases; its policy holds."""
    mx = world.domain(ALABEL)
    world.policy(ALABEL, mxs=["*." + ALABEL])
    hb = world.server(["domain hb.test über.test", "aliases text:aliases",
                       "tls-policy .%s encrypt" % IDN], start=False)
    hb.write("aliases", "list: carl@BÜCHER.test\n"
                        "erika@Über.test: alice@über.test\n")
    hb.start()
    assert submit(hb, "a@b.test", ["x@" + IDN, "list@hb.test",
                                   "erika@über.test"],
                  client.text("idn")).code == 250
    rcpts = [r for m in mx.wait(1) for r in m.rcpts]
    hb.wait_empty()
    rcpts = sorted(r for m in mx.accepted() for r in m.rcpts)
    assert rcpts == ["carl@" + ALABEL, "x@" + ALABEL]
    assert all("SMTPUTF8" not in m.sender_params for m in mx.accepted())
    assert all(r["sts"] == "enforce" and r["tls"].endswith("/verified")
               for r in hb.records(ev="delivery", result="ok")
               if r["rcpt"].endswith(ALABEL))
    hb.wait_mail("alice")
    page = hb.ctl("explain", "x@" + IDN, json=True)
    assert page["address"] == "x@" + IDN and page["for"] == "x@" + ALABEL
    assert page["policy_domain"] == ALABEL


@pytest.mark.both
def test_EAI_01_local_users(make_server):
    """Mailboxes and aliases have UTF-8."""
    hb = make_server(["aliases text:aliases"], start=False)
    hb.write("users", "alice alice\nroot root\njörg jörg\n")
    hb.write("aliases", "käthe: jörg\n")
    hb.start()
    assert submit(hb, "a@b.test", ["käthe@hb.test"], client.text("local")
                  ).code == 250
    assert b"Subject: local" in hb.wait_mail("jörg")[0]
    reply = submit(hb, "a@b.test", ["ingë@hb.test"], client.text("nobody"))
    assert reply.code == 550
    with hb.client() as c:
        c.ehlo()
        assert c.envelope("a@b.test", "jörg@hb.test")[1].code == 553


def test_EAI_01_sendmail(far, world):
    """The command takes UTF-8 as sender and recipients, also from the header
    section."""
    hb = world.server()
    assert hb.sendmail("-f", "jörg@" + IDN, KAETHE,
                       message=b"Subject: a\n\nx\n").code == 0
    assert hb.sendmail("-t", message="To: Käthe <käthe@far.test>,"
                       " x@far.test\nSubject: b\n\nx\n".encode()).code == 0
    assert hb.sendmail("k\udcffthe@far.test",
                       message=b"Subject: c\n\nx\n").code == 65
    hb.wait_empty()
    assert sorted(r for m in far.accepted() for r in m.rcpts) == sorted(
        [seen(KAETHE), seen(KAETHE), "x@far.test"])
    assert seen("jörg@" + ALABEL) in [m.sender for m in far.accepted()]


def test_EAI_01_smtplib_to_exim(exim_domain, world):  # noqa: F811
    """Python's client speaks to us, and we to Exim."""
    hb = world.server()
    with smtplib.SMTP("127.0.0.1", hb.port) as c:
        c.ehlo()
        assert c.has_extn("smtputf8")
        c.sendmail("jörg@" + IDN, [KAETHE],
                   client.text("exim", extra="X-Name: Käse\r\n"),
                   mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    message = exim_domain.wait(1)[0]
    assert ("<jörg@%s>" % ALABEL).encode() in message
    assert "X-Name: Käse".encode() in message
    hb.wait_empty()


def test_EAI_01_json_log(world, far):
    """Records in JSON are UTF-8."""
    hb = world.server(start=False)
    hb.configure(world.lines() + ["log %s format=json" % hb.log])
    hb.start()
    assert submit(hb, "a@b.test", [KAETHE], client.text("json")).code == 250
    far.wait(1)
    hb.wait_empty()
    assert hb.wait_record(ev="delivery", result="ok")["rcpt"] == KAETHE
