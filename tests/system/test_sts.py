"""MTA-STS, end to end: policies, attacks, and what survives them."""

import datetime
import json
import os
import re
import socket
import ssl
import threading
import time

import pytest

from harness import client, hauberk, policyhost
from harness.wait import until

ATTACKS = {
    "strip": ("no-starttls",),
    "refuse": ("starttls-refused",),
    "fail": ("tls-handshake",),
    "self-signed": ("cert-self-signed", "cert-untrusted"),
    "untrusted": ("cert-untrusted",),
    "name": ("cert-name",),
    "expired": ("cert-expired",),
    "old-tls": ("tls-version", "tls-handshake"),
    "unlisted": ("mx-mismatch",),
}


def send(hb, domain="far.test", subject="sts"):
    hb.send("alice@hb.test", "x@" + domain, client.text(subject))


class Attack:
    """One way to weaken the channel to a domain, and its end."""

    def __init__(self, world, how, mx, other_ca, domain="far.test"):
        self.world, self.how, self.mx = world, how, mx
        self.domain = domain
        self.good = mx.cert
        self.evil = None
        ca, name = world.ca, mx.name
        certs = {
            "self-signed": lambda: ca.issue(name, self_signed=True),
            "untrusted": lambda: other_ca.issue(name),
            "name": lambda: ca.issue("mx.other.test"),
            "expired": lambda: ca.issue(name, days=(-9, -2)),
        }
        if how in certs:
            mx.cert = certs[how]()
        elif how == "old-tls":
            self._old_tls(True)
        elif how == "unlisted":
            self.evil = world.host("evil.test")
            world.dns.set(domain, "MX", "10 evil.test")
        else:
            mx.starttls = how

    def _old_tls(self, on):
        v = ssl.TLSVersion
        self.mx.tls_minimum = v.TLSv1 if on else v.TLSv1_2
        self.mx.tls_maximum = v.TLSv1_1 if on else None

    def stop(self):
        self.mx.cert = self.good
        self.mx.starttls = "offer"
        self._old_tls(False)
        self.world.dns.set(self.domain, "MX", "10 " + self.mx.name)

    def mail_was_offered(self):
        hosts = [self.mx] + ([self.evil] if self.evil else [])
        return any("MAIL" in h.verbs() for h in hosts)


def explained(hb, address, reasons):
    """True if explain says one of the reasons, live or not."""
    return any(r in hb.ctl("explain", address, *more).out
               for r in reasons for more in ((), ("--live",)))


def test_STS_07_25_33_enforce_delivers_verified(world):
    """An enforce policy that is met: verified TLS, and said so."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    send(hb)
    message = mx.wait(1)[0]
    assert message.tls["sni"] == "mx.far.test"
    record = hb.wait_record(ev="delivery", result="ok")
    assert (record["tls"], record["sts"]) == ("TLSv1.3/verified", "enforce")
    hb.wait_record(ev="policy", domain="far.test", action="fetched")
    request, = world.policies.asked("far.test")
    assert request.path == policyhost.WELL_KNOWN
    assert request.host == request.sni == "mta-sts.far.test"
    shown = hb.ctl("sts", "show", "far.test", json=True)
    shown = shown[0] if isinstance(shown, list) else shown
    assert shown["mode"] == "enforce" and shown["mx"] == ["mx.far.test"]
    assert shown["id"] == "1" and shown["source"] == "fetched"
    listed = hb.ctl("sts", "list", json=True)
    assert [p["domain"] for p in listed] == ["far.test"]
    keys = ["mode", "id", "fetched", "refreshed", "expires", "max_age",
            "last_error", "source", "mx"]
    assert hb.ctl("sts", "show", "far.test").out == "far.test\n" + "".join(
        "    %s %s\n" % (k, (shown[k] if k != "mx" else shown[k][0]) or "-")
        for k in keys)


@pytest.mark.parametrize("how", sorted(ATTACKS))
def test_STS_26_30_attack_delays(world, other_ca, how):
    """Under attack: queued with the reason, not sent, not bounced; the
    mail goes out when the attack ends."""
    mx = world.domain("far.test")
    world.policy("far.test")
    attack = Attack(world, how, mx, other_ca)
    hb = world.server()
    send(hb)
    last = hb.wait_reason()
    assert last["reason"] in ATTACKS[how], last
    assert not attack.mail_was_offered()
    record = hb.wait_record(ev="delivery", result="defer")
    assert record["reason"] in ATTACKS[how] and record["sts"] == "enforce"
    assert explained(hb, "x@far.test", ATTACKS[how])
    attack.stop()
    message = mx.wait(1)[0]
    assert message.tls
    hb.wait_empty()
    assert hb.maildir("alice") == []


@pytest.mark.both
@pytest.mark.parametrize("how", ["strip", "self-signed", "unlisted"])
def test_STS_19_policy_survives_kill(world, other_ca, how):
    """Killed and restarted, TXT and policy host blocked: the cached
    policy still holds, and mail goes out when the attack ends."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    send(hb, subject="first")
    mx.wait(1)
    hb.wait_empty()
    hb.kill_all()
    mx.lines.clear()
    world.dns.fault("_mta-sts.far.test", "servfail")
    world.dns.fault("mta-sts.far.test", "servfail")
    world.policies.block()
    attack = Attack(world, how, mx, other_ca)
    hb.start()
    send(hb, subject="second")
    assert hb.wait_reason()["reason"] in ATTACKS[how]
    hb.kill_all()
    hb.start()
    assert hb.wait_reason()["reason"] in ATTACKS[how]
    assert not attack.mail_was_offered()
    attack.stop()
    assert mx.wait(2)[1].tls
    hb.wait_empty()
    assert hb.maildir("alice") == []


def test_STS_06_txt_gone_keeps_policy(world):
    """The TXT record taken away does not end a cached policy."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    send(hb)
    mx.wait(1)
    world.dns.remove("_mta-sts.far.test")
    mx.starttls = "strip"
    mx.cut()
    send(hb)
    hb.wait_reason("no-starttls")
    mx.starttls = "offer"
    mx.wait(2)


def test_STS_19_failed_fetch_keeps_policy(world):
    """A new id whose fetch fails leaves the cached policy in force."""
    mx = world.domain("far.test")
    site = world.policy("far.test")
    hb = world.server()
    send(hb)
    mx.wait(1)
    site.status = 500
    world.txt("far.test", "2")
    mx.starttls = "strip"
    mx.cut()
    send(hb)
    hb.wait_reason("no-starttls")
    hb.wait_record(ev="policy", domain="far.test", action="kept")
    mx.starttls = "offer"
    mx.wait(2)


@pytest.mark.parametrize("cached", [True, False])
def test_STS_16_restarts_spare_the_policy_host(world, cached):
    """The wait after a failed fetch outlives restarts, with and without a
    policy to go by; a newer id ends it at once."""
    mx = world.domain("far.test")
    site = world.policy("far.test")
    hb = world.server()
    if cached:
        send(hb)
        mx.wait(1)
        world.txt("far.test", "2")
    site.status = 500
    before = len(world.policies.asked("far.test"))
    for n in range(3):
        if n > 0:
            hb.stop()
            hb.start()
        send(hb)
        mx.wait(n + 1 + cached)
    assert len(world.policies.asked("far.test")) == before + 1
    # which is no policy
    listed = hb.ctl("sts", "list", json=True)
    assert [p["id"] for p in listed] == ["1"] * cached
    site.status = 200
    world.txt("far.test", "3")
    hb.stop()
    hb.start()
    send(hb)
    mx.wait(4 + cached)
    assert hb.ctl("sts", "show", "far.test", json=True)["id"] == "3"


def test_STS_16_forget_ends_the_wait(world):
    mx = world.domain("far.test")
    site = world.policy("far.test")
    site.status = 500
    hb = world.server()
    send(hb)
    mx.wait(1)
    site.status = 200
    hb.stop()
    hb.start()
    assert hb.ctl("sts", "forget", "far.test").code == 0
    assert hb.ctl("sts", "forget", "far.test").code == 1
    send(hb)
    mx.wait(2)
    assert hb.ctl("sts", "show", "far.test", json=True)["mode"] == "enforce"


def test_STS_36_new_id_is_honoured(world):
    """A new id with a new policy counts from the next message on."""
    mx = world.domain("far.test")
    world.policy("far.test", mxs=["old.far.test"])
    hb = world.server()
    send(hb)
    hb.wait_reason("mx-mismatch")
    world.policy("far.test", mxs=["mx.far.test"], ident="2")
    mx.wait(1)
    hb.wait_empty()


def test_STS_29_txt_is_looked_at_before_the_end(world):
    """A failure that a policy caused is final only after the lifetime and
    another look at the TXT record, past the cache; the notice says why."""
    world.dns.ttl = 60
    mx = world.domain("far.test")
    world.policy("far.test")
    mx.starttls = "strip"
    hb = world.server(["lifetime 5s", "delay-warning off"])
    send(hb)
    notice = hb.wait_mail("alice")[0]
    assert b"no-starttls" in notice or b"STARTTLS" in notice
    first, last = [q.when for q in world.dns.asked("_mta-sts.far.test", "TXT")]
    assert last - first > 3
    assert "MAIL" not in mx.verbs()
    hb.wait_empty()


def test_STS_29_new_id_at_the_end(world):
    """The policy was mended while its record is cached: the last attempt
    sees it, and nothing is returned."""
    world.dns.ttl = 60
    mx = world.domain("far.test")
    world.policy("far.test", mxs=["old.far.test"])
    hb = world.server(["lifetime 5s", "delay-warning off"])
    send(hb)
    hb.wait_reason("mx-mismatch")
    world.policy("far.test", mxs=["mx.far.test"], ident="2")
    mx.wait(1)
    hb.wait_empty()
    assert hb.maildir("alice") == []


def test_STS_27_testing_delivers(world):
    """Mode testing: a failing host gets the mail, and it is noted."""
    mx = world.domain("far.test")
    world.policy("far.test", "testing")
    mx.starttls = "strip"
    hb = world.server()
    send(hb)
    mx.wait(1)
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["sts"] == "testing" and record["tls"] == "none"


def test_STS_28_none(world):
    """Mode none, without mx lines: as if there were no policy."""
    mx = world.domain("far.test")
    world.policy("far.test", "none", mxs=[])
    mx.starttls = "strip"
    hb = world.server()
    send(hb)
    mx.wait(1)
    assert hb.wait_record(ev="delivery", result="ok")["tls"] == "none"


def good_text(**kw):
    return policyhost.policy("enforce", ["mx.far.test"], **kw)


BAD_POLICIES = {
    "status": dict(status=404),
    "redirect": dict(status=301, headers={
        "Location": "https://mta-sts.far.test/other"}),
    "type": dict(ctype="text/html"),
    "size": dict(text=good_text() + "x: " + "y" * 70000 + "\r\n"),
    "version": dict(text=good_text(version="STSv2")),
    "mode": dict(text=good_text().replace("enforce", "perhaps")),
    "no-mx": dict(text="version: STSv1\r\nmode: enforce\r\n"
                       "max_age: 86400\r\n"),
    "no-age": dict(text="version: STSv1\r\nmode: enforce\r\n"
                        "mx: mx.far.test\r\n"),
    "bad-mx": dict(text=good_text().replace("mx.far", "*.*.far")),
    "empty": dict(text=""),
}


@pytest.mark.parametrize("what", sorted(BAD_POLICIES))
def test_STS_18_bad_policy_is_no_policy(world, what):
    """A policy that cannot be had, nothing cached: as without STS."""
    mx = world.domain("far.test")
    site = world.policy("far.test")
    for name, value in BAD_POLICIES[what].items():
        setattr(site, name, value)
    mx.starttls = "strip"
    hb = world.server()
    send(hb)
    mx.wait(1)
    record = hb.wait_record(ev="policy", domain="far.test",
                            action="rejected")
    assert record["reason"].startswith("sts-")
    assert hb.ctl("sts", "list", json=True) == []


CHUNKED = b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\n" \
          b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("how", ["extension", "chunks", "trailers"])
@pytest.mark.limit(120)
def test_A_15_what_frames_a_policy_is_counted(world, how):
    """Octets without end that are no body end the fetch."""
    mx = world.domain("far.test")
    block = {"extension": b";x=" + b"y" * 1000, "trailers": b"X: y\r\n" * 100,
             "chunks": b"1;" + b"z" * 1000 + b"\r\n\n\r\n"}[how]
    sent = []

    def raw(tls):
        tls.sendall(CHUNKED + {"extension": b"5", "chunks": b"",
                               "trailers": b"0\r\n"}[how])
        while len(sent) < 20000:
            tls.sendall(block)
            sent.append(len(block))
    world.policy("far.test").raw = raw
    hb = world.server()
    send(hb)
    mx.wait(1)
    record = hb.wait_record(ev="policy", domain="far.test",
                            action="rejected")
    # a body of single octets, or trailers, may meet another bound before
    assert record["reason"] in ("sts-fetch-size", "sts-fetch-http")
    assert sum(sent) < 8 << 20


@pytest.mark.parametrize("how", ["name", "untrusted", "expired"])
def test_STS_14_policy_host_certificate(world, other_ca, how):
    """A policy host without a valid certificate publishes nothing."""
    mx = world.domain("far.test")
    name = "mta-sts.far.test"
    cert = {"name": lambda: world.ca.issue("far.test"),
            "untrusted": lambda: other_ca.issue(name),
            "expired": lambda: world.ca.issue(name, days=(-9, -2))}[how]()
    world.policy("far.test").cert = cert
    mx.starttls = "strip"
    hb = world.server()
    send(hb)
    mx.wait(1)
    record = hb.wait_record(ev="policy", domain="far.test",
                            action="rejected")
    assert record["reason"] == "sts-fetch-cert"


def test_STS_14_no_subject_names(world):
    """A certificate with the name in its subject only does not count."""
    mx = world.domain("far.test")
    world.policy("far.test").cert = world.ca.issue(
        cn="mta-sts.far.test", san=False)
    mx.starttls = "strip"
    hb = world.server()
    send(hb)
    mx.wait(1)


BAD_TXT = {
    "two": ["v=STSv1; id=1;", "v=STSv1; id=2;"],
    "no-id": ["v=STSv1;"],
    "long-id": ["v=STSv1; id=" + "a" * 33 + ";"],
    "bad-id": ["v=STSv1; id=a-b;"],
    "version": ["v=STSv2; id=1;"],
    "order": ["id=1; v=STSv1;"],
}


@pytest.mark.parametrize("what", sorted(BAD_TXT))
def test_STS_04_05_bad_txt(world, what):
    """Not exactly one valid record: as if there were none."""
    mx = world.domain("far.test")
    world.policy("far.test")
    world.dns.set("_mta-sts.far.test", "TXT", *BAD_TXT[what])
    mx.starttls = "strip"
    hb = world.server()
    send(hb)
    mx.wait(1)
    assert world.policies.asked("far.test") == []


@pytest.mark.parametrize("records", [
    ["v=STSv1; id=1", "v=spf1 -all"], [("v=STSv1; i", "d=1;")],
    ["v=STSv1;id=1;x=y;"]], ids=["other", "split", "unknown"])
def test_STS_03_04_good_txt(world, records):
    """Other records, split strings and unknown fields do no harm."""
    mx = world.domain("far.test")
    world.policy("far.test")
    world.dns.set("_mta-sts.far.test", "TXT", *records)
    mx.starttls = "strip"
    hb = world.server()
    send(hb)
    hb.wait_reason("no-starttls")
    mx.starttls = "offer"
    mx.wait(1)


def test_STS_02_txt_through_cname(world):
    """The TXT record may be behind an alias."""
    mx = world.domain("far.test")
    world.policy("far.test")
    world.dns.remove("_mta-sts.far.test")
    world.dns.set("_mta-sts.far.test", "CNAME", "_mta-sts.host.test")
    world.dns.set("_mta-sts.host.test", "TXT", "v=STSv1; id=1;")
    mx.starttls = "strip"
    hb = world.server()
    send(hb)
    hb.wait_reason("no-starttls")
    mx.starttls = "offer"
    mx.wait(1)


def test_STS_23_parent_policy_does_not_count(world):
    """A policy of the parent domain says nothing about the child."""
    mx = world.domain("sub.far.test")
    world.policy("far.test", mxs=["mx.far.test"])
    mx.starttls = "strip"
    hb = world.server()
    send(hb, "sub.far.test")
    mx.wait(1)


@pytest.mark.parametrize("pattern, host, ok", [
    ("*.far.test", "mx.far.test", True),
    ("*.far.test", "a.mx.far.test", False),
    ("*.far.test", "far.test", False),
    ("MX.FAR.Test", "mx.far.test", True)])
def test_STS_24_patterns(world, pattern, host, ok):
    """A star is one label; case does not matter."""
    mx = world.host(host)
    world.dns.set("far.test", "MX", "10 " + host)
    world.policy("far.test", mxs=[pattern])
    hb = world.server()
    send(hb)
    if ok:
        mx.wait(1)
    else:
        hb.wait_reason("mx-mismatch")
        assert mx.connections == 0


@pytest.mark.parametrize("names, ok", [
    (["*.far.test"], True), (["x.test", "mx.far.test"], True),
    (["*.mx.far.test"], False), (["m*.far.test"], False),
    (["far.test"], False)])
def test_STS_25_certificate_names(world, names, ok):
    """Wildcard certificates: one whole left label, no more."""
    mx = world.domain("far.test", cert=world.ca.issue(*names))
    world.policy("far.test", mxs=["*.far.test"])
    hb = world.server()
    send(hb)
    if ok:
        mx.wait(1)
    else:
        hb.wait_reason("cert-name")
        assert mx.messages == []


def test_STS_31_next_mx(world):
    """A host that fails the policy is passed over for the next one."""
    bad, good = world.domain("far.test", "10 a.far.test", "20 b.far.test")
    world.policy("far.test", mxs=["*.far.test"])
    bad.starttls = "strip"
    hb = world.server()
    send(hb)
    assert good.wait(1)[0].tls
    assert "MAIL" not in bad.verbs()
    hb.wait_empty()


def test_STS_22_smarthost_is_the_policy_domain(world, mx_factory):
    """With mx:// the policy is looked for at the smarthost's domain."""
    mx = world.domain("hub.test")
    world.policy("hub.test")
    world.domain("far.test")
    world.policy("far.test", mxs=["other.far.test"])
    hb = world.server(["smarthost mx://hub.test"])
    send(hb)
    mx.wait(1)
    assert world.policies.asked("far.test") == []
    assert hb.wait_record(ev="delivery", result="ok")["sts"] == "enforce"


def test_policies_of_two_domains_on_one_mx(world):
    """A session opened for one domain is judged anew for the next."""
    mx = world.host("mx.far.test")
    mx.cert = world.ca.issue("mx.other.test")
    for name in ("lax.test", "strict.test"):
        world.dns.set(name, "MX", "10 mx.far.test")
    world.policy("strict.test", mxs=["mx.far.test"])
    hb = world.server()
    for i in range(3):
        send(hb, "lax.test")
        send(hb, "strict.test")
    mx.wait(3)
    until(lambda: len(hb.queue()) == 3, 15, "three deferred")
    assert all(m.rcpts == ["x@lax.test"] for m in mx.accepted())


def test_mta_sts_off(world):
    """`mta-sts off` asks for nothing, and is said at start."""
    mx = world.domain("far.test")
    world.policy("far.test", mxs=["other.far.test"])
    hb = world.server(["mta-sts off"])
    send(hb)
    mx.wait(1)
    assert world.dns.asked("_mta-sts.far.test") == []
    assert hb.wait_record(ev="delivery", result="ok")["sts"] == "off"
    assert "mta-sts" in open(hb.log).read()


@pytest.mark.parametrize("word, how, reason", [
    ("encrypt", "strip", "no-starttls"), ("verify", "name", "cert-name"),
    ("verify", "self-signed", "cert-self-signed")])
def test_tls_policy_word(world, other_ca, word, how, reason):
    """The operator's word is enforced without any published policy."""
    mx = world.domain("far.test")
    attack = Attack(world, how, mx, other_ca)
    hb = world.server(["tls-policy far.test " + word])
    send(hb)
    hb.wait_reason(reason)
    assert world.dns.asked("_mta-sts.far.test") == []
    attack.stop()
    assert mx.wait(1)[0].tls


def test_tls_policy_exemption(world):
    """`none` for one destination lets it through, others stay strict."""
    hosts = [world.domain(n) for n in ("free.test", "strict.test")]
    for host, name in zip(hosts, ("free.test", "strict.test")):
        host.starttls = "strip"
        world.policy(name)
    hb = world.server(["tls-policy free.test none reason=migration"])
    for name in ("free.test", "strict.test"):
        send(hb, name)
    hosts[0].wait(1)
    hb.wait_reason("no-starttls")
    assert not hosts[1].messages
    said = hb.wait_record(ev="policy", action="exempted")
    assert (said["domain"], said["mode"]) == ("free.test", "none")
    assert said["text"] == "migration"


def test_explain_before_anything_was_sent(world):
    """explain shows route, policy and a verdict for each MX."""
    world.domain("far.test", "10 mx.far.test", "20 evil.test")
    world.policy("far.test")
    hb = world.server()
    told = hb.ctl("explain", "x@far.test", json=True)
    assert told["address"] == "x@far.test"
    assert told["policy_domain"] == "far.test"
    assert told["policy"]["mode"] == "enforce"
    verdicts = {m["name"].rstrip("."): m for m in told["mx"]}
    assert verdicts["mx.far.test"]["verdict"] == "proceed"
    assert verdicts["evil.test"]["verdict"] == "skip"
    assert verdicts["evil.test"]["reason"] == "mx-mismatch"
    assert told["verdict"] == "proceed"


def test_sts_forget(world):
    """`sts forget` drops a policy; the next message fetches it again."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    send(hb)
    mx.wait(1)
    assert hb.ctl("sts", "forget", "far.test").code == 0
    assert hb.ctl("sts", "list", json=True) == []
    send(hb)
    mx.wait(2)
    assert len(world.policies.asked("far.test")) == 2


def test_STS_17_slow_policy_host_holds_up_nobody(world):
    """A policy host that hangs delays its own domain only."""
    world.domain("slow.test")
    world.policy("slow.test").delay = 30
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    send(hb, "slow.test")
    until(lambda: world.policies.asked("slow.test"), 10, "the fetch")
    send(hb)
    mx.wait(1, 5)


@pytest.mark.limit(90)
def test_record_unanswered_when_nobody_waits(world):
    """DNS answers for the TXT record with a failure after the attempt ended
    over the MX record: who asks then hears of it once more, soon."""
    mx = world.domain("far.test")
    world.dns.fault("far.test", "servfail", qtype="MX")
    world.dns.fault("_mta-sts.far.test", "servfail")
    world.dns.delay("_mta-sts.far.test", 0.5)
    hb = world.server()
    send(hb)
    assert hb.wait_reason()["reason"] == "dns-temporary"
    until(lambda: len(world.dns.asked("_mta-sts.far.test")) == 4, 10)
    time.sleep(0.6)  # the last answer
    world.dns.heal()
    mx.wait(1, 45)   # 30 s after the failure


def test_policies_of_two_workers(world):
    """Two delivery workers: each policy has one owner, which lists it,
    answers for it and alone refreshes it."""
    names = ["%s.test" % c for c in "abcdefgh"]
    for name in names:
        world.domain(name)
        world.policy(name)
    hb = world.server(["workers smtpd=1 delivery=2"])
    for name in names:
        send(hb, name)
    hb.wait_empty()
    with open(hb.log) as log:
        pids = set(re.findall(r" delivery\[(\d+)\] .*ev=policy", log.read()))
    assert len(pids) == 2
    listed = hb.ctl("sts", "list", json=True)
    assert sorted(p["domain"] for p in listed) == names
    for name in names:
        assert hb.ctl("sts", "refresh", name).code == 0
        assert len(world.policies.asked(name)) == 2
        assert hb.ctl("sts", "forget", name).code == 0
    assert hb.ctl("sts", "list", json=True) == []


EXPORTED = ("domain", "id", "mode", "mx", "max_age", "fetched", "expires",
            "refreshed", "source", "text")


def exported(hb):
    done = hb.ctl("sts", "export")
    assert done.code == 0, done
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.mark.parametrize("workers", [1, 2])
def test_sts_export_and_import(world, make_server, workers):
    """What one server exports another one imports, and enforces: no TXT
    record and no policy host is there any more."""
    names = ["%s.test" % c for c in "abcdef"]
    hosts = {name: world.domain(name) for name in names}
    for name in names:
        world.policy(name)
    hb = world.server()
    for name in names:
        send(hb, name)
    hb.wait_empty()
    rows = exported(hb)
    assert sorted(r["domain"] for r in rows) == names
    assert all(set(EXPORTED) <= set(r) for r in rows)
    assert "policies: kept 6, refresh failing 0" in hb.ctl("status").out
    text = hb.ctl("sts", "export").out
    world.policies.block()
    other = world.server(["workers smtpd=1 delivery=%d" % workers])
    file = other.write("policies", text)
    done = other.ctl("sts", "import", file)
    assert done.code == 0 and done.err == "", done
    assert done.out == "imported 6, newer ones kept 0, damaged lines 0\n"
    assert "policies: kept 6, refresh failing 0" in other.ctl("status").out
    shown = other.ctl("sts", "show", "a.test", json=True)
    assert shown["source"] == "imported" and shown["mx"] == ["mx.a.test"]
    for name in names:
        world.dns.remove("_mta-sts." + name)
        hosts[name].starttls = "strip"
        hosts[name].cut()
        send(other, name)
    until(lambda: len(other.queue()) == 6, 15, "six deferred")
    assert other.wait_reason("no-starttls")
    again = other.ctl("sts", "import", file, json=True)
    assert again == {"imported": 0, "kept": 6, "damaged": 0}


def test_sts_import_keeps_what_is_newer(world):
    """An imported policy never replaces a newer one; an older one goes."""
    mx = world.domain("far.test")
    site = world.policy("far.test", "testing")
    hb = world.server()
    send(hb)
    mx.wait(1)
    old = hb.ctl("sts", "export").out
    site.text = policyhost.policy("enforce", ["mx.far.test"])
    world.txt("far.test", "2")
    assert hb.ctl("sts", "refresh", "far.test").code == 0
    new = hb.ctl("sts", "export").out
    done = hb.ctl("sts", "import", hb.write("old", old), json=True)
    assert done == {"imported": 0, "kept": 1, "damaged": 0}
    assert hb.ctl("sts", "show", "far.test", json=True)["mode"] == "enforce"
    assert hb.ctl("sts", "forget", "far.test").code == 0
    for text, mode in ((old, "testing"), (new, "enforce")):
        done = hb.ctl("sts", "import", hb.write("file", text), json=True)
        assert done == {"imported": 1, "kept": 0, "damaged": 0}
        shown = hb.ctl("sts", "show", "far.test", json=True)
        assert (shown["mode"], shown["source"]) == (mode, "imported")
    # and it is in use, though the record in memory was another
    mx.starttls = "strip"
    mx.cut()
    world.policies.block()
    send(hb)
    hb.wait_reason("no-starttls")


def test_sts_import_names_damaged_lines(world):
    """Damaged lines are named by file and line, the others are taken."""
    hb = world.server()
    now = datetime.datetime.utcnow()
    day = datetime.timedelta(days=1)

    def stamp(t):
        return t.strftime("%Y-%m-%dT%H:%M:%SZ")

    def row(**kw):
        good = {"domain": "a.test", "id": "7", "mode": "enforce",
                "mx": ["mx.a.test", "*.b.test"], "max_age": 864000,
                "fetched": stamp(now - day), "refreshed": stamp(now - day),
                "expires": stamp(now + 90 * day), **kw}
        return json.dumps(good)

    lines = [row(), "", "{", "[1]", row(domain="b c.test"),
             row(domain="c.test", mode="perhaps"),
             row(domain="d.test", fetched="yesterday"),
             row(domain="e.test", refreshed=stamp(now + 2 * day)),
             row(domain="f.test", expires=stamp(now - day)),
             row(domain="g.test", id="a-b"),
             row(domain="h.test", mx=["mx.h.test\nmode: none"] * 2),
             row(domain="B\u00fccher.test"), "x" * 600000,
             row(domain="XN--BCHER-KVA.test")]
    file = hb.write("policies", "\n".join(lines))
    done = hb.ctl("sts", "import", file)
    assert done.code == 1
    assert done.out == "imported 3, newer ones kept 0, damaged lines 10\n"
    named = [l.split(": ", 1) for l in done.err.splitlines()]
    assert sorted(n for n, _ in named) == sorted(
        "%s:%d" % (file, n) for n in (3, 4, 5, 6, 7, 8, 9, 10, 12, 13))
    listed = {p["domain"]: p for p in hb.ctl("sts", "list", json=True)}
    assert sorted(listed) == ["a.test", "h.test", "xn--bcher-kva.test"]
    # no longer than the policy itself allows
    assert listed["a.test"]["expires"].startswith(
        stamp(now + 9 * day)[:10])
    assert hb.ctl("sts", "import", hb.path("nothing")).code == 1


def resumes(mx, address, port):
    """Does the host resume a session of a client that wants to?"""
    seen, session = [], None
    for _ in range(2):
        with socket.create_connection((address, port)) as plain:
            file = plain.makefile("rb")
            file.readline()
            plain.sendall(b"EHLO probe.test\r\n")
            while file.readline()[3:4] == b"-":
                pass
            plain.sendall(b"STARTTLS\r\n")
            assert file.readline().startswith(b"220")
            ctx = resumes.context
            with ctx.wrap_socket(plain, session=session) as tls:
                tls.sendall(b"NOOP\r\n")
                tls.recv(100)
                session = tls.session
                seen.append(tls.session_reused)
                tls.sendall(b"QUIT\r\n")
    return seen == [False, True]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_STS_25_no_session_is_resumed(world, version):
    """A TLS session that was verified under one policy is never resumed
    under another, nor at all: proved at a host that would resume it."""
    mx = world.host("mx.far.test")
    if version == "1.2":
        mx.tls_maximum = ssl.TLSVersion.TLSv1_2
    shared = mx.context()
    mx.context = lambda: shared
    for name in ("far.test", "near.test"):
        world.dns.set(name, "MX", "10 mx.far.test")
        world.policy(name, mxs=["mx.far.test"])
    resumes.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    resumes.context.check_hostname = False
    resumes.context.verify_mode = ssl.CERT_NONE
    assert resumes(mx, mx.address, mx.port)
    hb = world.server()
    for i in range(3):
        for name in ("far.test", "near.test"):
            send(hb, name)
            mx.wait(2 * i + (1 if name == "far.test" else 2))
            hb.wait_empty()
            mx.cut()
    world.policy("far.test", "testing", mxs=["mx.far.test"], ident="2")
    hb.ctl("sts", "refresh", "far.test")
    send(hb)
    sessions = mx.wait(7)
    assert {m.tls["version"] for m in sessions} == {"TLSv" + version}
    assert [m.tls["resumed"] for m in sessions] == [False] * 7
    assert len({m.session for m in sessions}) == 7


def test_STS_22_smarthost_by_name(world):
    """With smtp:// the host's own name is the policy domain."""
    mx = world.host("hub.test")
    world.policy("hub.test", mxs=["hub.test"])
    world.domain("far.test")
    world.policy("far.test", mxs=["other.far.test"])
    hb = world.server(["smarthost smtp://hub.test:%d" % world.port])
    mx.starttls = "strip"
    send(hb)
    hb.wait_reason("no-starttls")
    mx.starttls = "offer"
    mx.wait(1)
    assert world.policies.asked("far.test") == []
    assert len(world.policies.asked("hub.test")) == 1
    assert hb.wait_record(ev="delivery", result="ok")["sts"] == "enforce"


def test_STS_22_address_literal_has_no_policy(world):
    """A smarthost that is an address: no question about a policy."""
    mx = world.host("hub.test")
    world.domain("far.test")
    world.policy("far.test", mxs=["other.far.test"])
    hb = world.server(["smarthost smtp://%s:%d" % (mx.address, world.port)])
    send(hb)
    mx.wait(1)
    assert [q.name for q in world.dns.queries if "_mta-sts" in q.name] == []
    assert hb.wait_record(ev="delivery", result="ok")["sts"] == "none"


IDN = "xn--bcher-kva.test"


def test_STS_07_12_internationalised_domain(world):
    """A-labels end to end: TXT, policy host, SNI, certificate, patterns."""
    mx = world.domain(IDN)
    world.policy(IDN, mxs=["*." + IDN.upper()])
    hb = world.server()
    mx.starttls = "strip"
    send(hb, IDN.upper())
    hb.wait_reason("no-starttls")
    mx.starttls = "offer"
    message = mx.wait(1)[0]
    assert message.tls["sni"] == "mx." + IDN
    request, = world.policies.asked(IDN)
    assert request.host == request.sni == "mta-sts." + IDN
    assert hb.wait_record(ev="delivery", result="ok")["sts"] == "enforce"


LETTERS = [
    "smarthost mx://%s.test", "route .%s.test mx://x.test",
    "route far.test mx://%s.test", "tls-policy %s.test verify"]


@pytest.mark.parametrize("line", LETTERS)
def test_EAI_01_names_of_the_configuration_are_a_labels(world, line):
    """Letters are taken (test_utf8.py: as A-labels); what cannot be a name is
    refused where it stands, instead of being asked for as it is not."""
    hb = world.server([line % "b\u00fccher"], start=False)
    program = os.path.join(os.path.dirname(hauberk.SBIN), "sbin", "hauberkd")
    done = hb.run(program, "-n", "-f", hb.conf)
    assert done.code == 0, done
    hb.configure(world.lines() + [line % "b\u00fccher."])
    done = hb.run(program, "-n", "-f", hb.conf)
    assert done.code == 78
    assert re.search(r"hauberk\.conf:\d+: .*A-label", done.err), done


def test_a_burst_makes_one_question_and_one_fetch(world):
    """Forty messages at once to a domain never seen before."""
    world.dns.ttl = 60
    mx = world.domain("far.test")
    world.policy("far.test").delay = 0.5
    hb = world.server(["max-connections-per-destination 10"])
    threads = [threading.Thread(target=send, args=(hb,)) for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    mx.wait(40)
    hb.wait_empty()
    assert len(world.dns.asked("_mta-sts.far.test", "TXT")) == 1
    assert len(world.policies.asked("far.test")) == 1
    assert {r["sts"] for r in hb.records(ev="delivery")} == {"enforce"}


def test_STS_15_no_http_cache(world):
    """Each fetch is a whole one: no condition is sent, 304 is a failure."""
    mx = world.domain("far.test")
    site = world.policy("far.test")
    site.headers = {"ETag": '"1"', "Cache-Control": "max-age=86400",
                    "Last-Modified": "Sun, 22 Nov 2026 02:15:00 GMT"}
    hb = world.server()
    send(hb)
    mx.wait(1)
    assert hb.ctl("sts", "refresh", "far.test").code == 0
    first, second = world.policies.asked("far.test")
    assert not [f for f in second.fields if f.startswith("if-")]
    assert "cache-control" not in second.fields
    site.status, site.text = 304, ""
    assert hb.ctl("sts", "refresh", "far.test").code == 1
    kept = hb.wait_record(ev="policy", domain="far.test", action="kept")
    assert kept["reason"] == "sts-fetch-status"


def test_S_11_policies_that_cannot_be_refreshed(world):
    """Their number stands in status, until each has been fetched again."""
    mx = world.domain("far.test")
    site = world.policy("far.test")
    hb = world.server()
    send(hb)
    mx.wait(1)
    assert hb.ctl("status", json=True)["trouble"] == []
    site.status = 500
    assert hb.ctl("sts", "refresh", "far.test").code == 1
    row, = hb.ctl("status", json=True)["trouble"]
    assert (row["kind"], row["role"]) == ("policy", "delivery")
    assert row["text"].startswith("1 known policies cannot be refreshed")
    assert hb.ctl("status").out.startswith("*** policy refresh: 1 known ")
    site.status = 200
    assert hb.ctl("sts", "refresh", "far.test").code == 0
    assert hb.ctl("status", json=True)["trouble"] == []


def test_STS_37_removal(world):
    """The domain publishes none, and then nothing: mail goes as to a
    domain without policy, without a warning."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    send(hb)
    mx.wait(1)
    world.policy("far.test", "none", mxs=[], ident="2", max_age=60)
    mx.starttls = "strip"
    mx.cut()
    send(hb)
    mx.wait(2)
    world.dns.remove("_mta-sts.far.test")
    world.policies.block()
    send(hb)
    mx.wait(3)
    assert hb.ctl("sts", "show", "far.test", json=True)["mode"] == "none"
