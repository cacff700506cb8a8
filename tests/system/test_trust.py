"""Whether the resolver's word counts that an answer is signed (DANE-02):
trust-ad, dnssec-probe, and what becomes of mail meanwhile."""

import hashlib
import time

import pytest

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness import client
from harness.wait import until

RETRY = "retry first=1s max=1s"


def spki_sha256(der):
    key = x509.load_der_x509_certificate(der).public_key()
    return hashlib.sha256(key.public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


@pytest.fixture
def far(world, other_ca):
    """far.test: signed, its host with a certificate that DANE alone
    saves."""
    cert = other_ca.issue("mx.far.test")
    mx = world.domain("far.test", cert=cert)
    world.dns.set("_%d._tcp.mx.far.test" % world.port, "TLSA",
                  "3 1 1 " + spki_sha256(cert.der))
    world.dns.sign("far.test")
    return mx


def send(hb):
    hb.send("alice@hb.test", "x@far.test", client.text("trust"))


def told(hb):
    """What was said of the trust, in order."""
    return [(r["state"], r["level"])
            for r in hb.records(ev="dns", action="trust")]


def wait_told(hb, *states):
    until(lambda: [s for s, _ in told(hb)] == list(states), 15,
          lambda: "trust said: %s" % told(hb))


def statuses(hb):
    """(trust_ad, trust_ad_why) of every delivery worker."""
    found = []

    def walk(value):
        if isinstance(value, dict):
            if "trust_ad" in value:
                found.append((value["trust_ad"], value["trust_ad_why"]))
            value = list(value.values())
        for part in value if isinstance(value, list) else ():
            walk(part)
    walk(hb.ctl("status", json=True))
    return found


def delivered(hb):
    return hb.wait_record(ev="delivery", result="ok")["tls"]


@pytest.mark.both
def test_DANE_02_auto_trusts_a_resolver_that_passed(world, far):
    world.dns.sign(".", below=False)
    hb = world.server([RETRY])
    wait_told(hb, "yes")
    assert told(hb) == [("yes", "info")]
    assert "\nDANE: trust_ad yes, the probe was" in hb.ctl("status").out
    send(hb)
    assert delivered(hb) == "TLSv1.3/dane"
    assert set(statuses(hb)) == {("yes",
                                  "the probe was answered as signed")}
    assert {q.qtype for q in world.dns.asked(".")} == {"NS"}
    assert all(q.ad for q in world.dns.asked("."))


def test_DANE_02_the_first_mail_waits_for_the_first_probe(world, far):
    """What was queued before a start does not go out by less, only because
    the resolver takes a moment."""
    world.dns.sign(".", below=False)
    world.dns.delay(".", 1)
    hb = world.server([RETRY])
    send(hb)
    assert delivered(hb) == "TLSv1.3/dane"
    hb.terminate()
    assert hb.sendmail("-f", "alice@hb.test", "x@far.test",
                       message=client.text("first")).code == 0
    hb.start()
    until(lambda: len(hb.records(ev="delivery", result="ok")) == 2, 15,
          "the second mail")
    assert {r["tls"] for r in hb.records(ev="delivery")} == {"TLSv1.3/dane"}


def test_DANE_02_auto_and_no_signature_turns_dane_off(world, far):
    hb = world.server([RETRY])
    wait_told(hb, "no")
    assert told(hb) == [("no", "warn")]
    send(hb)
    assert delivered(hb) == "TLSv1.3/unverified"
    assert not world.dns.asked("_%d._tcp.mx.far.test" % world.port)


@pytest.mark.parametrize("words, state, why", [
    (["trust-ad no"], "no", "the configuration says so"),
    (["trust-ad yes"], "yes", "the configuration says so"),
])
def test_DANE_02_said_by_the_configuration(world, far, words, state, why):
    if state == "no":
        world.dns.sign(".")
    hb = world.server(words + [RETRY])
    wait_told(hb, state)
    assert told(hb) == [(state, "info")]
    send(hb)
    assert delivered(hb) == "TLSv1.3/" + ("dane" if state == "yes"
                                          else "unverified")
    assert set(statuses(hb)) == {(state, why)}
    assert not world.dns.asked(".")


def test_DANE_02_one_resolver_elsewhere_is_enough_for_no(world, far):
    world.dns.sign(".")
    lines = [l for l in world.lines() if not l.startswith("resolver ")]
    hb = world._make_server(lines + [
        "resolver %s 192.0.2.1:53" % world.dns, RETRY])
    wait_told(hb, "no")
    assert set(statuses(hb)) == {
        ("no", "not every resolver runs on this host")}
    assert not world.dns.asked(".")
    send(hb)
    assert delivered(hb) == "TLSv1.3/unverified"


def test_DANE_02_the_probe_is_the_operators(world, far):
    world.dns.set("probe.test", "A", "192.0.2.1")
    world.dns.sign("probe.test")
    world.dns.fault("bad.test", "bogus")
    hb = world.server(["dnssec-probe probe.test bad=bad.test",
                       "trust-ad yes", RETRY])
    wait_told(hb, "yes")
    assert not world.dns.asked(".")
    assert world.dns.asked("probe.test", "A")
    assert world.dns.asked("bad.test", "A")
    send(hb)
    assert delivered(hb) == "TLSv1.3/dane"


def test_DANE_02_a_bad_name_that_is_answered(world, far):
    """A resolver that says AD of everything validates nothing."""
    world.dns.sign(".")
    hb = world.server(["dnssec-probe probe.test bad=bad.test",
                       "trust-ad yes", RETRY])
    wait_told(hb, "no")
    assert set(statuses(hb)) == {("no", "a name that must fail was answered")}
    send(hb)
    assert delivered(hb) == "TLSv1.3/unverified"


def test_DANE_02_silence_is_not_known_and_asked_again(world, far):
    world.dns.fault(".", "refused")
    world.dns.sign(".", below=False)
    hb = world.server([RETRY])
    wait_told(hb, "unknown")
    assert {s for s, _ in statuses(hb)} == {"unknown"}
    until(lambda: len(world.dns.asked(".")) >= 6, 10, "more probes")
    assert told(hb) == [("unknown", "info")]
    world.dns.heal(".")
    wait_told(hb, "unknown", "yes")
    send(hb)
    assert delivered(hb) == "TLSv1.3/dane"


def test_DANE_02_reload_asks_again_and_a_loss_is_a_warning(world, far):
    world.dns.ttl = 600
    world.dns.sign(".", below=False)
    hb = world.server([RETRY])
    wait_told(hb, "yes")
    asked = len(world.dns.asked("."))
    assert hb.ctl("reload").code == 0
    until(lambda: len(world.dns.asked(".")) > asked, 5, "a probe")
    world.dns.fault(".", "servfail")  # is no answer: nothing changes
    asked = len(world.dns.asked("."))
    assert hb.ctl("reload").code == 0
    until(lambda: len(world.dns.asked(".")) >= asked + 2, 5, "a probe")
    assert set(statuses(hb)) == {("yes",
                                  "the probe was answered as signed")}
    world.dns.unsign(".")
    world.dns.heal(".")
    wait_told(hb, "yes", "no")
    assert told(hb) == [("yes", "info"), ("no", "warn")]
    world.dns.sign(".", below=False)
    assert hb.ctl("reload").code == 0
    wait_told(hb, "yes", "no", "yes")


def test_F_7_lost_edns_turns_no_dane_off(world, far):
    """Who makes EDNS fail gets no mail for a host whose DANE was seen."""
    hb = world.server([RETRY, "trust-ad yes"])
    send(hb)
    assert delivered(hb).endswith("/dane")
    world.dns.without_edns = "formerr"
    world.dns.unsign("far.test")  # nobody marks anything
    time.sleep(1.2)  # what was learnt is forgotten
    send(hb)
    hb.wait_reason("dane-unprobed")
    assert len(far.accepted()) == 1
    assert "does not speak EDNS" in statuses(hb)[0][1]
