"""What strangers are asked for: a name, a good standing, a little patience."""

import contextlib
import time

import pytest

from harness import client
from harness.client import Client, Closed
from harness.hauberk import free_port
from harness.wait import Watch, until

STRANGERS = ["relay-from 192.0.2.1", "workers smtpd=1"]
SENDER, RCPT = "a@client.test", "bob@hb.test"


def from_(hb, source, **kw):
    return hb.client(source=source, **kw)


def try_rcpt(hb, source, sender=SENDER, rcpt=RCPT, **kw):
    """The reply to a recipient."""
    with from_(hb, source, **kw) as c:
        c.ehlo()
        return c.envelope(sender, rcpt)[-1]


def send(hb, source, sender=SENDER, rcpt=RCPT, text="test"):
    hb.send(sender, rcpt, client.text(text), source=source)


def reverse(address, zone="in-addr.arpa"):
    return ".".join(address.split(".")[::-1] + [zone])


# names

def slowly(hb, dns, source):
    """A mail whose DATA comes when the name was asked for."""
    with from_(hb, source) as c:
        c.ehlo()
        c.envelope(SENDER, RCPT)
        until(lambda: dns.asked(reverse(source), "PTR"), 15, "a question")
        time.sleep(0.5)
        assert c.data(client.text()).code == 250


def test_NAME_01_name_of_a_client(make_server, dns):
    """It is in Received and in the log when it resolves back."""
    hb = make_server(STRANGERS + ["resolver %s" % dns])
    dns.set(reverse("127.0.0.5"), "PTR", "other.client.test",
            "mail.client.test")
    dns.set("other.client.test", "A", "127.0.0.6")
    dns.set("mail.client.test", "A", "127.0.0.4", "127.0.0.5")
    slowly(hb, dns, "127.0.0.5")
    mail = hb.wait_mail("bob")[0]
    assert b"from client.test (mail.client.test [127.0.0.5])\n" in \
        mail.replace(b"\r\n", b"\n")
    assert hb.wait_record(ev="accept")["client_name"] == "mail.client.test"


def test_NAME_01_name_that_does_not_resolve_back(make_server, dns):
    hb = make_server(STRANGERS + ["resolver %s" % dns])
    dns.set(reverse("127.0.0.5"), "PTR", "mail.client.test")
    dns.set("mail.client.test", "A", "127.0.0.6")
    slowly(hb, dns, "127.0.0.5")
    assert b"from client.test ([127.0.0.5])" in hb.wait_mail("bob")[0]
    assert "client_name" not in hb.wait_record(ev="accept")


def test_NAME_01_nobody_waits_for_a_name(make_server, dns):
    """Neither for the greeting nor for the mail."""
    hb = make_server(STRANGERS + ["resolver %s" % dns])
    dns.fault(reverse("127.0.0.5"), "drop")
    watch = Watch(hb)
    send(hb, "127.0.0.5")
    assert watch.seconds() < 3
    assert dns.asked(reverse("127.0.0.5"), "PTR")


def test_NAME_01_not_asked_for_a_relay(make_server, dns):
    hb = make_server(["resolver %s" % dns])
    hb.send(SENDER, RCPT, client.text())
    assert not dns.asked(reverse("127.0.0.1"))


# dnsbl

def listed(dns, address, zone="bl.test", code="127.0.0.2"):
    dns.set(reverse(address, zone), "A", code)


def trouble(hb, kind="dnsbl"):
    return [t for t in hb.ctl("status", json=True)["trouble"]
            if t["kind"] == kind]


def test_RBL_01_listed_client(make_server, dns):
    """Refused with the zone's words, for all but who hears complaints."""
    hb = make_server(STRANGERS + ["resolver %s" % dns,
                                  "dnsbl clean.test bl.test"])
    listed(dns, "127.0.0.5")
    dns.set(reverse("127.0.0.5", "bl.test"), "TXT",
            "see https://bl.test/q\r\n250 fine")
    with from_(hb, "127.0.0.5") as c:
        c.ehlo()
        replies = c.envelope(SENDER, RCPT, "postmaster@hb.test",
                             "abuse@hb.test", "nobody@hb.test")
        assert [r.code for r in replies] == [250, 550, 250, 250, 550]
        assert (replies[1].status, replies[1].text) == ("5.7.1", "5.7.1 "
            "127.0.0.5 is listed by bl.test: see https://bl.test/q??250 fine")
        assert replies[4].text == replies[1].text
        assert c.cmd("NOOP").code == 250
    record = hb.wait_record(ev="reject", reason="listed")
    assert (record["stage"], record["client"], record["rcpt"]) == \
        ("rcpt", "127.0.0.5", RCPT)
    send(hb, "127.0.0.6")
    stats = hb.ctl("stats", json=True)["dnsbl_answers"]
    assert stats["listed"] == 1 and stats["clean"] >= 2
    # it lives in the cache, not here: both are asked once
    assert try_rcpt(hb, "127.0.0.5").code == 550


def test_RBL_01_version_6(make_server, dns):
    port = free_port("::1")
    hb = make_server(STRANGERS + ["resolver %s" % dns, "dnsbl bl.test",
                                  "listen [::1]:%d smtp" % port])
    dns.set("1." + "0." * 31 + "bl.test", "A", "127.0.0.4")
    with Client("::1", port) as c:
        c.ehlo()
        reply = c.envelope(SENDER, RCPT)[-1]
    assert reply.text == "5.7.1 ::1 is listed by bl.test"
    assert hb.wait_record(ev="reject", reason="listed")["client"] == "::1"


def test_RBL_01_codes_count(make_server, dns):
    """Other codes, and what no list answers, refuse nobody."""
    hb = make_server(STRANGERS + ["resolver %s" % dns,
                                  "dnsbl bl.test codes=127.0.0.2-4"])
    for last, code, answer in ((5, "127.0.0.4", 550), (6, "127.0.0.5", 250),
                               (7, "127.0.0.1", 250), (8, "192.0.2.1", 250)):
        listed(dns, "127.0.0.%d" % last, code=code)
        assert try_rcpt(hb, "127.0.0.%d" % last).code == answer, code


def test_RBL_01_relays_are_not_asked_about(make_server, dns):
    hb = make_server(["resolver %s" % dns, "dnsbl bl.test"])
    listed(dns, "127.0.0.1")
    hb.send(SENDER, RCPT, client.text())
    assert not dns.asked(reverse("127.0.0.1", "bl.test"))


@pytest.mark.alone
def test_RBL_01_dead_zone(make_server, dns):
    """Its clients wait five seconds, all at once; then it rests, which the
    operator is told, and the other zone counts as before."""
    hb = make_server(STRANGERS + ["resolver %s" % dns,
                                  "dnsbl dead.test bl.test"])
    with contextlib.ExitStack() as stack:
        clients = []
        for last in range(10, 16):
            address = "127.0.0.%d" % last
            dns.fault(reverse(address, "dead.test"), "drop")
            clients.append(stack.enter_context(from_(hb, address)))
        watch = Watch(hb)
        for c in clients:
            c.send(b"EHLO client.test\r\nMAIL FROM:<a@client.test>\r\n"
                   b"RCPT TO:<bob@hb.test>\r\n")
        for c in clients:
            assert [c.read().code for _ in range(3)] == [250] * 3
        assert watch.seconds() < 12
    rows = until(lambda: trouble(hb), 15, "a trouble")
    assert rows[0]["what"] == "dead.test"
    address = "127.0.0.20"
    listed(dns, address)
    watch = Watch(hb)
    assert try_rcpt(hb, address).code == 550
    assert try_rcpt(hb, "127.0.0.21").code == 250
    assert watch.seconds() < 3
    assert not dns.asked(reverse("127.0.0.21", "dead.test"))


@pytest.mark.parametrize("code", ["127.255.255.254", "192.0.2.7"])
def test_RBL_01_zone_that_refuses(make_server, dns, code):
    """The codes of refused questions list nobody, nor does who bought the
    name of a zone; the zone rests, and a reload asks it again."""
    hb = make_server(STRANGERS + ["resolver %s" % dns, "dnsbl bl.test"])
    listed(dns, "127.0.0.5", code=code)
    assert try_rcpt(hb, "127.0.0.5").code == 250
    assert until(lambda: trouble(hb), 15, "a trouble")[0]["what"] == "bl.test"
    listed(dns, "127.0.0.6")
    assert try_rcpt(hb, "127.0.0.6").code == 250
    assert hb.ctl("reload").code == 0
    until(lambda: try_rcpt(hb, "127.0.0.6").code == 550, 15, "it is asked")
    until(lambda: not trouble(hb), 15, "its trouble is over")


# greylist

@pytest.fixture
def grey(make_server):
    return make_server(STRANGERS + ["greylist on delay=10m"])


def test_GREY_01_first_contact_waits(grey):
    """Once; then its network is known, also to a server that was killed."""
    first = try_rcpt(grey, "127.0.0.5")
    assert (first.code, first.status) == (450, "4.7.1")
    assert first.text.endswith("try again in 600 seconds")
    assert try_rcpt(grey, "127.0.0.5").code == 450
    grey.ctl("lab", "advance", "5m")
    again = try_rcpt(grey, "127.0.0.9")
    assert again.code == 450 and int(again.text.split()[-2]) <= 300
    grey.kill("queue")
    grey.wait_role("queue")
    until(lambda: try_rcpt(grey, "127.0.0.5").code == 450, 15, "the queue")
    grey.ctl("lab", "advance", "6m")
    assert try_rcpt(grey, "127.0.0.5").code == 250
    assert try_rcpt(grey, "127.0.0.77", "b@client.test").code == 250
    assert try_rcpt(grey, "127.0.1.5").code == 450
    grey.stop()
    grey.start()
    assert try_rcpt(grey, "127.0.0.78", "c@client.test",
                    "alice@hb.test").code == 250
    assert grey.wait_record(ev="reject", reason="greylisted")["code"] == "450"


def test_GREY_01_who_does_not_wait(grey):
    """Complaints, and recipients that do not exist; an empty sender does."""
    with from_(grey, "127.0.0.5") as c:
        c.ehlo()
        codes = [r.code for r in c.envelope(
            "", "postmaster@hb.test", "nobody@hb.test", RCPT)]
    assert codes == [250, 250, 550, 450]


def test_GREY_01_off_and_on(grey):
    """A reload ends it and begins it; what was known stays."""
    assert try_rcpt(grey, "127.0.0.5").code == 450
    grey.configure(STRANGERS)
    assert grey.ctl("reload").code == 0
    until(lambda: try_rcpt(grey, "127.0.2.5").code == 250, 15, "it is off")
    grey.configure(STRANGERS + ["greylist on delay=10m"])
    assert grey.ctl("reload").code == 0
    until(lambda: try_rcpt(grey, "127.0.3.5").code == 450, 15, "it is on")
    grey.ctl("lab", "advance", "11m")
    assert try_rcpt(grey, "127.0.0.5").code == 250


def test_GREY_01_relays_do_not_wait(make_server):
    hb = make_server(["greylist on"])
    hb.send(SENDER, RCPT, client.text())


# errors

def fail(hb, source):
    """A session that ends for its errors."""
    with from_(hb, source) as c:
        c.send(b"WHAT\r\n" * 30)
        with pytest.raises(Closed):
            while True:
                c.read()


def test_NET_01_errors_keep_a_network_out(make_server):
    """After five such sessions it is not greeted; its neighbour is, and the
    next honest client within a second."""
    hb = make_server(["relay-from 192.0.2.1", "workers smtpd=2"])
    for _ in range(5):
        fail(hb, "127.0.0.9")
    with from_(hb, "127.0.0.9") as c:
        assert (c.greeting.code, c.greeting.text[:5]) == (421, "4.7.0")
        assert c.at_end()
    assert hb.wait_record(ev="reject", reason="penalty")["stage"] == "connect"
    watch = Watch(hb)
    send(hb, "127.0.0.8")
    assert watch.seconds() < 1


def test_NET_01_known_clients_stay(server):
    for _ in range(8):
        fail(server, "127.0.0.1")
    server.send(SENDER, RCPT, client.text())
