"""DANE (RFC 7672), end to end: signed names, records, certificates.

The name server answers as a validating resolver that is trusted by the
operator's word; names below a signed suffix carry AD."""

import hashlib
import time

import pytest

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness import client

TRUST = ["trust-ad yes", "retry first=1s max=1s"]


def send(hb, domain="far.test", subject="dane"):
    hb.send("alice@hb.test", "x@" + domain, client.text(subject))


def spki(der):
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(serialization.Encoding.DER,
                            serialization.PublicFormat.SubjectPublicKeyInfo)


def ee(cert):
    """Usage 3: this key."""
    return "3 1 1 " + hashlib.sha256(spki(cert.der)).hexdigest()


def ta(ca):
    """Usage 2: this authority."""
    der = ca.cert.public_bytes(serialization.Encoding.DER)
    return "2 0 1 " + hashlib.sha256(der).hexdigest()


def publish(world, name, *records):
    world.dns.set("_%d._tcp.%s" % (world.port, name), "TLSA", *records)


class Signed:
    """far.test, signed, with one host whose certificate DANE alone saves."""

    def __init__(self, world, other_ca):
        self.world = world
        self.cert = other_ca.issue("mx.far.test")
        self.mx = world.domain("far.test", cert=self.cert)
        world.dns.sign("far.test")

    def publish(self, *records):
        publish(self.world, "mx.far.test", *records)


@pytest.fixture
def far(world, other_ca):
    return Signed(world, other_ca)


def delivered(hb, **want):
    record = hb.wait_record(ev="delivery", result="ok")
    for key, value in want.items():
        assert record[key] == value, record
    return record


def waits(hb, reason):
    """Queued for this reason, and said so in the log."""
    assert hb.wait_reason()["reason"] == reason
    return hb.wait_record(ev="delivery", result="defer", reason=reason)


def not_offered(*hosts):
    return not any("MAIL" in h.verbs() for h in hosts)


@pytest.mark.both
def test_DANE_11_16_usage_3_alone_decides(world, other_ca, far):
    """An expired certificate of nobody's for another name: the key is the
    published one, so it is the host; SNI is the base."""
    far.mx.cert = other_ca.issue("elsewhere.test", days=(-9, -2))
    far.publish(ee(far.mx.cert))
    hb = world.server(TRUST)
    send(hb)
    assert far.mx.wait(1)[0].tls["sni"] == "mx.far.test"
    delivered(hb, tls="TLSv1.3/dane", dane="secure-usable", reason="ok")


def test_DANE_08_every_record_counts(world, far):
    """As many as fit into an answer: the one that matches is found, at the
    end too, and the delivery is not held up by the others."""
    others = ["3 1 1 %064x" % n for n in range(1, 1200)]
    far.publish(*others)
    hb = world.server(TRUST)
    send(hb)
    waits(hb, "dane-mismatch")
    far.publish(*others, ee(far.cert))
    hb.ctl("flush", "all")
    far.mx.wait(1)
    record = delivered(hb, tls="TLSv1.3/dane", dane="secure-usable")
    assert int(record["delay_ms"]) < 10000


def chained(ca, cert):
    """The certificate with its authority behind it: the server must send the
    anchor."""
    with open(cert.chain, "ab") as f, open(ca.file, "rb") as anchor:
        f.write(anchor.read())
    return cert


def test_DANE_12_usage_2(world, other_ca, far):
    """The published authority, and the name."""
    far.mx.cert = chained(other_ca, other_ca.issue("mx.far.test"))
    far.publish(ta(other_ca))
    hb = world.server(TRUST)
    send(hb)
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/dane")


def test_DANE_12_usage_2_another_name(world, other_ca, far):
    """The right authority, another name: waits."""
    far.mx.cert = chained(other_ca, other_ca.issue("elsewhere.test"))
    far.publish(ta(other_ca))
    hb = world.server(TRUST)
    send(hb)
    waits(hb, "dane-mismatch")
    assert not_offered(far.mx)


def test_DANE_14_usage_2_the_domain_is_a_reference_name(world, other_ca, far):
    """After secure MX records a certificate for the domain is good too."""
    far.mx.cert = chained(other_ca, other_ca.issue("far.test"))
    far.publish(ta(other_ca))
    hb = world.server(TRUST)
    send(hb)
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/dane")


@pytest.mark.both
def test_DANE_08_mismatch_waits_until_it_matches(world, far):
    """Another key than the published one: waits; after the records are put
    right it goes out."""
    far.publish(ee(world.ca.issue("mx.far.test")))
    hb = world.server(TRUST)
    send(hb)
    record = waits(hb, "dane-mismatch")
    assert record["dane"] == "secure-usable"
    assert not_offered(far.mx)
    far.publish(ee(far.cert))
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/dane")


@pytest.mark.parametrize("how", ["strip", "refuse", "fail"])
def test_DANE_08_no_tls_waits(world, far, how):
    """Records there, STARTTLS not: never in clear."""
    far.publish(ee(far.cert))
    far.mx.starttls = how
    hb = world.server(TRUST)
    send(hb)
    assert hb.wait_reason()["reason"] in (
        "no-starttls", "starttls-refused", "tls-handshake")
    assert not_offered(far.mx)


def test_DANE_08_next_host(world, other_ca, far):
    """The first host does not match, the second does."""
    far.publish(ee(world.ca.issue("mx.far.test")))
    second = world.host("mx2.far.test",
                        cert=other_ca.issue("mx2.far.test"))
    world.dns.set("far.test", "MX", "10 mx.far.test", "20 mx2.far.test")
    publish(world, "mx2.far.test", ee(second.cert))
    hb = world.server(TRUST)
    send(hb)
    second.wait(1)
    delivered(hb, mx="mx2.far.test", tls="TLSv1.3/dane")
    skipped = hb.wait_record(ev="host", action="skipped")
    assert (skipped["mx"], skipped["reason"], skipped["dane"]) == (
        "mx.far.test", "dane-mismatch", "secure-usable")


def test_DANE_09_unusable_records_demand_tls(world, far):
    """Records of usage 1 alone: any certificate, but no clear text."""
    far.publish("1 0 1 " + "00" * 32)
    far.mx.starttls = "strip"
    hb = world.server(TRUST)
    send(hb)
    assert waits(hb, "no-starttls")["dane"] == "secure-unusable"
    far.mx.starttls = "offer"
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/unverified", dane="secure-unusable")


def test_DANE_10_records_removed(world, far):
    """Removed with proof: TLS as it comes, as without DANE."""
    far.publish(ee(far.cert))
    hb = world.server(TRUST)
    send(hb)
    far.mx.wait(1)
    delivered(hb, dane="secure-usable")
    hb.wait_empty()
    world.dns.remove("_%d._tcp.mx.far.test" % world.port)
    far.mx.cut()
    far.mx.starttls = "strip"
    send(hb)
    far.mx.wait(2)
    hb.wait_record(ev="delivery", result="ok", dane="secure-none",
                   tls="none")


@pytest.mark.parametrize("kind", ["bogus", "servfail", "drop"])
def test_DANE_01_error_is_never_absent(world, far, kind):
    """Bogus, SERVFAIL and silence: the host is not used, the mail waits."""
    far.publish(ee(far.cert))
    world.dns.fault("_%d._tcp.mx.far.test" % world.port, kind)
    hb = world.server(TRUST)
    send(hb)
    hb.wait_reason("dane-dns", timeout=60)
    assert far.mx.connections == 0
    world.dns.heal()
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/dane")


def test_DANE_01_error_of_one_host(world, other_ca, far):
    """The other host gets the mail."""
    world.dns.fault("_%d._tcp.mx.far.test" % world.port, "bogus")
    second = world.host("mx2.far.test", cert=other_ca.issue("x.test"))
    world.dns.set("far.test", "MX", "10 mx.far.test", "20 mx2.far.test")
    publish(world, "mx2.far.test", ee(second.cert))
    hb = world.server(TRUST)
    send(hb)
    second.wait(1)
    assert far.mx.connections == 0


def test_DANE_08_lifetime_over(world, far):
    """It waits until its lifetime is over; the notice says why."""
    far.publish(ee(world.ca.issue("mx.far.test")))
    hb = world.server(TRUST + ["lifetime 3s", "delay-warning off"])
    send(hb)
    notice = hb.wait_mail("alice")[0]
    assert b"dane-mismatch" in notice or b"(DANE)" in notice
    assert not_offered(far.mx)


def test_backup_without_name_server_holds_nobody_up(world, other_ca, far):
    """Records of a host whose turn does not come are not asked for."""
    far.publish(ee(far.cert))
    world.host("mx2.far.test", cert=other_ca.issue("x.test"))
    world.dns.set("far.test", "MX", "10 mx.far.test", "20 mx2.far.test")
    world.dns.fault("_%d._tcp.mx2.far.test" % world.port, "drop")
    hb = world.server(TRUST)
    send(hb)
    far.mx.wait(1)
    assert not world.dns.asked("_%d._tcp.mx2.far.test" % world.port)


def test_DANE_08_rolled_over(world, other_ca, far):
    """Old and new key published; the host changes its key: no mail waits."""
    new = other_ca.issue("mx.far.test")
    far.publish(ee(far.cert), ee(new))
    hb = world.server(TRUST)
    send(hb)
    far.mx.wait(1)
    hb.wait_empty()
    far.mx.cert = new
    far.mx.cut()
    send(hb)
    far.mx.wait(2)
    hb.wait_empty()
    assert [r["tls"] for r in hb.records(ev="delivery")] == [
        "TLSv1.3/dane"] * 2


def test_DANE_03_insecure_mx(world, other_ca):
    """The MX records are not signed: no DANE on the hosts they name."""
    mx = world.host("mx.signed.test", cert=other_ca.issue("mx.signed.test"))
    world.dns.set("open.test", "MX", "10 mx.signed.test")
    world.dns.sign("signed.test")
    publish(world, "mx.signed.test", ee(world.ca.issue("a.test")))
    hb = world.server(TRUST)
    send(hb, "open.test")
    mx.wait(1)
    delivered(hb, dane="insecure", mx="mx.signed.test",
              tls="TLSv1.3/unverified")
    assert not world.dns.asked("_%d._tcp.mx.signed.test" % world.port)


def test_DANE_18_insecure_mx_is_named_as_it_stands(world, other_ca):
    """The log has the name that the MX record holds, not where its alias
    leads, and no word of a secure delivery though the records match."""
    mx = alias(world, other_ca, "mid.test", "end.test")
    publish(world, "real.end.test", ee(mx.cert))
    world.dns.set("open.test", "MX", "10 mx.far.test")
    hb = world.server(TRUST)
    send(hb, "open.test")
    mx.wait(1)
    delivered(hb, dane="insecure", mx="mx.far.test",
              tls="TLSv1.3/unverified")


def test_DANE_04_no_mx(world, other_ca):
    """A domain without MX records is its own host."""
    mx = world.host("lone.test", cert=other_ca.issue("other.test"))
    world.dns.sign("lone.test")
    publish(world, "lone.test", ee(mx.cert))
    hb = world.server(TRUST)
    send(hb, "lone.test")
    mx.wait(1)
    delivered(hb, tls="TLSv1.3/dane", mx="lone.test")


def alias(world, other_ca, *signed):
    """mx.far.test is an alias of a.mid.test, that of real.end.test; the
    host's certificate."""
    cert = other_ca.issue("whatever.test")
    mx = world.host("real.end.test", cert=cert)
    world.dns.set("a.mid.test", "CNAME", "real.end.test")
    world.dns.set("mx.far.test", "CNAME", "a.mid.test")
    world.dns.set("far.test", "MX", "10 mx.far.test")
    for suffix in ("far.test",) + signed:
        world.dns.sign(suffix)
    return mx


def test_DANE_06_alias_signed_to_the_end(world, other_ca):
    """The records at the end count, and the end is the base."""
    mx = alias(world, other_ca, "mid.test", "end.test")
    publish(world, "real.end.test", ee(mx.cert))
    publish(world, "mx.far.test", ee(world.ca.issue("a.test")))
    hb = world.server(TRUST)
    send(hb)
    assert mx.wait(1)[0].tls["sni"] == "real.end.test"
    delivered(hb, tls="TLSv1.3/dane", mx="mx.far.test")


def test_DANE_06_alias_without_records_at_the_end(world, other_ca):
    """Then those at the original name; never those in the middle."""
    mx = alias(world, other_ca, "mid.test", "end.test")
    publish(world, "a.mid.test", ee(world.ca.issue("a.test")))
    publish(world, "mx.far.test", ee(mx.cert))
    hb = world.server(TRUST)
    send(hb)
    assert mx.wait(1)[0].tls["sni"] == "mx.far.test"
    delivered(hb, tls="TLSv1.3/dane")
    assert not world.dns.asked("_%d._tcp.a.mid.test" % world.port)


@pytest.mark.parametrize("signed", [(), ("mid.test",)])
def test_DANE_06_alias_into_the_insecure(world, other_ca, signed):
    """The first link is signed, the end is not: the original name only."""
    mx = alias(world, other_ca, *signed)
    publish(world, "real.end.test", ee(world.ca.issue("a.test")))
    publish(world, "mx.far.test", ee(mx.cert))
    hb = world.server(TRUST)
    send(hb)
    assert mx.wait(1)[0].tls["sni"] == "mx.far.test"
    delivered(hb, tls="TLSv1.3/dane")
    assert not world.dns.asked("_%d._tcp.real.end.test" % world.port)


def test_DANE_06_alias_that_is_insecure_itself(world, other_ca):
    """No DANE: not even a question."""
    mx = world.host("real.end.test", cert=other_ca.issue("a.test"))
    world.dns.set("mx.open.test", "CNAME", "real.end.test")
    world.dns.set("far.test", "MX", "10 mx.open.test")
    world.dns.sign("far.test")
    world.dns.sign("end.test")
    publish(world, "real.end.test", ee(world.ca.issue("b.test")))
    hb = world.server(TRUST)
    send(hb)
    mx.wait(1)
    delivered(hb, dane="insecure")


def test_DANE_07_alias_at_the_records_name(world, far):
    """Records kept elsewhere; the base stays the host."""
    world.dns.set("tlsa.far.test", "TLSA", ee(far.cert))
    world.dns.set("_%d._tcp.mx.far.test" % world.port, "CNAME",
                  "tlsa.far.test")
    hb = world.server(TRUST)
    send(hb)
    assert far.mx.wait(1)[0].tls["sni"] == "mx.far.test"
    delivered(hb, tls="TLSv1.3/dane")


def test_DANE_07_records_alias_into_the_insecure(world, far):
    """The host is signed, the place where its records are kept is not: they
    do not count."""
    world.dns.set("tlsa.open.test", "TLSA",
                  ee(world.ca.issue("mx.far.test")))
    world.dns.set("_%d._tcp.mx.far.test" % world.port, "CNAME",
                  "tlsa.open.test")
    hb = world.server(TRUST)
    send(hb)
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/unverified", dane="insecure")


def test_DANE_14_domain_that_is_an_alias(world, other_ca, far):
    """After a secure alias its end is a reference name as well."""
    world.dns.set("real.test", "MX", "10 mx.far.test")
    world.dns.set("alias.test", "CNAME", "real.test")
    world.dns.sign("real.test")
    world.dns.sign("alias.test")
    far.mx.cert = chained(other_ca, other_ca.issue("real.test"))
    far.publish(ta(other_ca))
    hb = world.server(TRUST)
    send(hb, "alias.test")
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/dane")
    send(hb, "far.test")
    waits(hb, "dane-mismatch")


def test_DANE_05_insecure_address_is_not_asked_about(world, other_ca):
    """Servers of unsigned zones may choke on TLSA questions."""
    mx = world.host("mx.open.test", cert=other_ca.issue("mx.open.test"))
    world.dns.set("far.test", "MX", "10 mx.open.test")
    world.dns.sign("far.test")
    hb = world.server(TRUST)
    send(hb)
    mx.wait(1)
    delivered(hb, dane="insecure")
    assert not world.dns.asked("_%d._tcp.mx.open.test" % world.port)


# DANE and MTA-STS disagree


def listed(world, name="mx.far.test"):
    world.policy("far.test", mxs=[name])


def test_DANE_08_good_records_beat_a_policy_that_is_not_met(world, far):
    """Not listed and no chain, but the records match: goes."""
    far.publish(ee(far.cert))
    listed(world, "mx.other.test")
    hb = world.server(TRUST)
    send(hb)
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/dane", sts="enforce")


def test_DANE_08_a_policy_that_is_met_saves_no_mismatch(world, far):
    """Listed and a good chain, but the records do not match: waits."""
    far.publish(ee(far.cert))
    far.mx.cert = world.ca.issue("mx.far.test")
    listed(world)
    hb = world.server(TRUST)
    send(hb)
    waits(hb, "dane-mismatch")
    assert not_offered(far.mx)


def test_DANE_09_unusable_records_leave_the_policy_in_force(world, far):
    """TLS is there, the chain is not: the policy says no."""
    far.publish("1 0 1 " + "00" * 32)
    listed(world)
    hb = world.server(TRUST)
    send(hb)
    assert hb.wait_reason()["reason"] == "cert-untrusted"
    assert not_offered(far.mx)


def test_DANE_10_no_records_leave_the_policy_in_force(world, far):
    """Signed, no records, not listed: the policy says no."""
    listed(world, "mx.other.test")
    hb = world.server(TRUST)
    send(hb)
    waits(hb, "mx-mismatch")
    assert far.mx.connections == 0


# the operator's word


def test_DANE_19_off(world, far):
    """`dane off`: nothing is asked and nothing is held against the host."""
    far.publish(ee(world.ca.issue("mx.far.test")))
    hb = world.server(TRUST + ["dane off"])
    send(hb)
    far.mx.wait(1)
    delivered(hb, dane="off")
    hb.wait_record(ev="config", word="dane", state="off")
    assert "dane" in hb.ctl("status", json=True)["off"]
    assert not world.dns.asked("_%d._tcp.mx.far.test" % world.port)


def test_DANE_17_mandatory(world, far):
    """`tls-policy D dane`: no records, no mail; a policy does not help."""
    far.mx.cert = world.ca.issue("mx.far.test")
    listed(world)
    hb = world.server(TRUST + ["tls-policy far.test dane"])
    send(hb)
    waits(hb, "dane-required")
    assert far.mx.connections == 0
    far.publish(ee(far.mx.cert))
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/dane")


def test_DANE_02_resolver_that_is_not_trusted(world, far):
    """Its AD bit says nothing."""
    far.publish(ee(world.ca.issue("mx.far.test")))
    hb = world.server(["trust-ad no"])
    send(hb)
    far.mx.wait(1)
    delivered(hb, dane="untrusted")


def test_DANE_04_smarthost(world, other_ca):
    """The host of a route has its own records, at its own port."""
    smart = world.host("smart.test", cert=other_ca.issue("x.test"))
    world.dns.sign("smart.test")
    publish(world, "smart.test", ee(world.ca.issue("smart.test")))
    hb = world.server(TRUST + ["smarthost smtp://smart.test:%d" % world.port])
    send(hb)
    waits(hb, "dane-mismatch")
    publish(world, "smart.test", ee(smart.cert))
    smart.wait(1)
    delivered(hb, tls="TLSv1.3/dane", mx="smart.test")


# what the sender asks


def test_RTLS_04_by_records(world, far):
    """Signed MX records and a match: REQUIRETLS needs no policy and no
    authority."""
    far.publish(ee(far.cert))
    far.mx.tls_keywords = ["REQUIRETLS"]
    hb = world.server(TRUST)
    hb.sendmail("-f", "alice@hb.test", "-O", "requiretls=yes", "x@far.test",
                message="Subject: s\n\nhi\n")
    assert "REQUIRETLS" in far.mx.wait(1)[0].sender_params.upper()
    delivered(hb, tls="TLSv1.3/dane")


def test_RTLS_05_records_that_do_not_match(world, far):
    """Judged and unfit: returned at once, never sent."""
    far.publish(ee(world.ca.issue("mx.far.test")))
    far.mx.tls_keywords = ["REQUIRETLS"]
    hb = world.server(TRUST)
    hb.sendmail("-f", "alice@hb.test", "-O", "requiretls=yes", "x@far.test",
                message="Subject: s\n\nhi\n")
    record = hb.wait_record(ev="delivery", result="fail")
    assert (record["reason"], record["code"], record["status"]) == (
        "dane-mismatch", "550", "5.7.30")
    hb.wait_mail("alice")
    assert not_offered(far.mx)


def test_RTLS_06_failed_look_up_waits(world, far):
    """REQUIRETLS, and the records cannot be had: waits."""
    world.dns.fault("_%d._tcp.mx.far.test" % world.port, "bogus")
    hb = world.server(TRUST)
    hb.sendmail("-f", "alice@hb.test", "-O", "requiretls=yes", "x@far.test",
                message="Subject: s\n\nhi\n")
    waits(hb, "dane-dns")
    assert hb.maildir("alice") == []


def test_RTLS_11_not_required_beats_records(world, far):
    """TLS-Required: No: goes though nothing matches."""
    far.publish(ee(world.ca.issue("mx.far.test")))
    hb = world.server(TRUST)
    hb.send("alice@hb.test", "x@far.test",
            client.text("optional", extra="TLS-Required: No\r\n"))
    far.mx.wait(1)
    delivered(hb, tls="TLSv1.3/unverified", dane="secure-usable")


# one host, many domains


def test_RTLS_12_pool_between_policy_and_records(world, other_ca):
    """An MX host of an `enforce` domain and of a signed one: each message is
    judged by what counts for its own domain."""
    mx = world.host("mx.shared.test", cert=world.ca.issue("mx.shared.test"))
    world.dns.sign("shared.test")
    world.dns.sign("dane.test")
    publish(world, "mx.shared.test", ee(other_ca.issue("mx.shared.test")))
    for domain in ("sts.test", "dane.test"):
        world.dns.set(domain, "MX", "10 mx.shared.test")
    world.policy("sts.test", mxs=["mx.shared.test"])
    hb = world.server(["trust-ad yes"])
    send(hb, "sts.test")
    mx.wait(1)
    send(hb, "dane.test")
    waits(hb, "dane-mismatch")
    send(hb, "sts.test")
    mx.wait(2)
    assert all(m.rcpts == ["x@sts.test"] for m in mx.messages)


def test_DANE_08_reused_connection_is_judged_again(world, far):
    """The records change while a connection is idle: it is not used."""
    far.publish(ee(far.cert))
    hb = world.server(["trust-ad yes"])
    send(hb)
    far.mx.wait(1)
    hb.wait_empty()
    far.publish(ee(world.ca.issue("mx.far.test")))
    time.sleep(1.2)  # answers live for a second
    send(hb)
    waits(hb, "dane-mismatch")
    assert len(far.mx.messages) == 1
