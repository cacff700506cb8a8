"""The memory of downgrades: what was seen of a channel, and its fall."""

import re
import time

import pytest

from harness import client
from test_dane import TRUST, ee, publish


def send(hb, domain="far.test"):
    hb.send("alice@hb.test", "x@" + domain, client.text("memory"))


def fell(hb, **want):
    record = hb.wait_record(ev="downgrade")
    for key, value in want.items():
        assert record[key] == value, record


def seen_good(world, hb, mx):
    send(hb)
    mx.wait(1)
    hb.wait_empty()
    mx.cut()


def test_fall_is_told(world):
    """`warn': it goes on, and ev=downgrade names domain, host and both
    ranks."""
    mx = world.domain("far.test")
    hb = world.server()
    seen_good(world, hb, mx)
    mx.starttls = "strip"
    send(hb)
    mx.wait(2)
    message = hb.wait_record(ev="delivery", tls="none")["msg"]
    fell(hb, domain="far.test", mx="mx.far.test", to="plain", msg=message,
         **{"from": "verified"})


@pytest.mark.both
def test_fall_waits_and_is_remembered(world, other_ca):
    """`defer': it waits for as good a channel, after a restart too."""
    mx = world.domain("far.test")
    hb = world.server(["downgrade-memory defer", "retry first=1s max=1s"])
    seen_good(world, hb, mx)
    hb.stop()
    good, mx.cert = mx.cert, other_ca.issue("mx.far.test")
    hb.start()
    send(hb)
    hb.wait_reason("downgrade")
    assert len(mx.messages) == 1
    fell(hb, to="tls", **{"from": "verified"})
    mx.cert = good
    mx.wait(2)
    hb.wait_empty()


def test_a_rise_that_was_faked_is_ended_by_one_command(world, other_ca):
    """Somebody in front of a plain host takes mail over TLS once: later mail
    waits. Explain and the notice name the command that ends it."""
    mx = world.domain("far.test")
    mx.starttls, mx.cert = "offer", other_ca.issue("elsewhere.test")
    hb = world.server(["downgrade-memory defer", "retry first=1s max=1s",
                       "delay-warning 2s"])
    seen_good(world, hb, mx)
    mx.starttls = "strip"
    send(hb)
    hb.wait_reason("downgrade")
    fell(hb, to="plain", **{"from": "tls"})
    notice, = hb.wait_mail("alice", 1)
    assert b"`hauberkctl ledger forget" in b" ".join(notice.split())
    said = " ".join(hb.ctl("explain", "x@far.test").out.split())
    command = re.search("`hauberkctl (ledger forget far.test)'", said)
    assert hb.ctl(*command[1].split()).code == 0
    mx.wait(2)
    hb.wait_empty()


def test_fall_from_records(world, other_ca):
    """TLSA records that are gone with proof are a fall as well."""
    cert = other_ca.issue("mx.far.test")
    mx = world.domain("far.test", cert=cert)
    world.dns.sign("far.test")
    publish(world, "mx.far.test", ee(cert))
    hb = world.server(TRUST + ["downgrade-memory defer"])
    seen_good(world, hb, mx)
    world.dns.remove("_%d._tcp.mx.far.test" % world.port)
    time.sleep(1.2)  # answers live for a second
    send(hb)
    hb.wait_reason("downgrade")
    fell(hb, to="tls", **{"from": "dane"})
    publish(world, "mx.far.test", ee(cert))
    mx.wait(2)


@pytest.mark.limit(120)
def test_DANE_02_records_seen_and_a_resolver_not_probed_yet(world, other_ca):
    """While nobody knows whether the resolver can be trusted, a host that had
    records before gets nothing; others do."""
    cert = other_ca.issue("mx.far.test")
    mx = world.domain("far.test", cert=cert)
    world.dns.sign("")
    publish(world, "mx.far.test", ee(cert))
    hb = world.server(["retry first=1s max=1s"])
    hb.wait_record(ev="dns", action="trust", state="yes")
    seen_good(world, hb, mx)
    hb.stop()
    new = world.domain("new.test", cert=other_ca.issue("mx.new.test"))
    world.dns.fault(".", "drop")
    hb.start()
    send(hb)
    hb.wait_reason("dane-unprobed")
    send(hb, "new.test")
    new.wait(1)
    assert len(mx.messages) == 1
    world.dns.heal()
    mx.wait(2, timeout=90)
    hb.wait_empty()


def test_off(world):
    """`off': nothing is remembered."""
    mx = world.domain("far.test")
    hb = world.server(["downgrade-memory off"])
    seen_good(world, hb, mx)
    mx.starttls = "strip"
    send(hb)
    mx.wait(2)
    hb.wait_empty()
    assert not hb.records(ev="downgrade")


@pytest.mark.parametrize("smarthost", ["smtp://mx.relay.test:%d",
                                       "mx://relay.test"])
@pytest.mark.parametrize("word, reason", [("encrypt", "no-starttls"),
                                          ("verify", "no-starttls")])
def test_operators_word_for_a_domain_holds_behind_a_smarthost(
        world, smarthost, word, reason):
    """What the operator demands for a domain is demanded of the smarthost
    that its mail goes by; nobody else's mail waits with it, and explain says
    what happens."""
    relay = world.domain("relay.test")
    relay.starttls = "strip"
    if "%d" in smarthost:
        smarthost %= world.port
    hb = world.server(["smarthost " + smarthost,
                       "tls-policy strict.test " + word])
    hb.send("alice@hb.test", ["a@loose.test", "b@strict.test",
                              "c@other.test"], client.text("words"))
    hb.wait_record(ev="delivery", rcpt="b@strict.test", result="defer",
                   reason=reason)
    relay.wait(1)
    assert not hb.records(ev="delivery", rcpt="b@strict.test", result="ok")
    for rcpt in ("a@loose.test", "c@other.test"):
        assert hb.wait_record(ev="delivery", rcpt=rcpt, result="ok")
    told = hb.ctl("explain", "b@strict.test", "--live", json=True)
    assert told["operator"]["level"] == word
    assert told["reason"] == reason
    relay.starttls = "offer"
    hb.ctl("flush", "all")
    relay.wait(2)
    hb.wait_empty()
