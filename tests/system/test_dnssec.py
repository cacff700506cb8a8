"""DANE beside real signed zones: ldns signs them, nsd serves them, unbound
validates them from an anchor of ours, Hauberk asks unbound and believes it
because the probe says so. DANE-01 to DANE-10, DANE-17."""

import collections
import os
import socket
import threading

import pytest

from harness import client, policyhost
from harness.hauberk import free_port
from harness.signed import DAY, Zones, ask

from test_dane import ee, ta
from test_trust import statuses, wait_told

ANY = "f" * 64  # a digest of no certificate

# name: the zone; records: what else stands in it, %(...)s from `names`;
# how: for Zones.zone
Zone = collections.namedtuple("Zone", "name records how")

_HOST = ("@ MX 10 mx", "mx A %(address)s")
_GOOD = _HOST + ("_%(port)d._tcp.mx TLSA %(ee)s",)
_OTHER = _HOST + ("_%(port)d._tcp.mx TLSA 3 1 1 " + ANY,)
_POLICY = ('_mta-sts TXT "v=STSv1; id=1;"',)

ZONES = (
    Zone("good.test", _GOOD, {}),
    Zone("good3.test", _GOOD, {"nsec3": True}),
    Zone("anchor.test", _HOST + ("_%(port)d._tcp.mx TLSA %(ta)s",), {}),
    Zone("mismatch.test", _OTHER, {}),
    # a name server that lies about one record of a signed zone
    Zone("tlsa-forged.test", _OTHER,
         {"change": (r"(TLSA\s+3 1 1 )f{64}", r"\g<1>" + "0" * 64)}),
    Zone("mx-forged.test", _GOOD,
         {"change": (r"(\sMX\s+)10 ", r"\g<1>5 ")}),
    Zone("a-forged.test", _GOOD,
         {"change": (r"(mx\S*\s+\d+\s+IN\s+A\s+127\.)\d+", r"\g<1>79")}),
    # one that hides a record that NSEC says is there
    Zone("tlsa-hidden.test", _OTHER,
         {"change": (r"(?m)^_\S+\s+\d+\s+IN\s+(TLSA|RRSIG\s+TLSA).*\n", "")}),
    Zone("expired.test", _GOOD, {"age": 3 * DAY}),
    Zone("wrong-ds.test", _GOOD, {"ds": "wrong"}),
    Zone("none.test", _HOST, {}),
    Zone("none3.test", _HOST, {"nsec3": True}),
    Zone("none-sts.test", _HOST + _POLICY, {}),
    # not signed: what they say of TLSA is worth nothing
    Zone("plain.test", _OTHER, {"signed": False}),
    Zone("plain-sts.test", _OTHER + _POLICY, {"signed": False}),
    Zone("island.test", _OTHER, {"ds": "none"}),
    # from a signed zone to another one
    Zone("out.test", ("@ MX 10 mx.plain.test.",), {}),
    Zone("in.test", ("@ MX 10 mx.good.test.",), {"signed": False}),
    Zone("alias-out.test", ("@ MX 10 mx", "mx CNAME mx.none-signed.test.",
                            "_%(port)d._tcp.mx TLSA %(ee)s"), {}),
    Zone("none-signed.test", ("mx A %(address)s",), {"signed": False}),
    Zone("alias-in.test", ("@ MX 10 mx", "mx CNAME mx.good.test."), {}),
    Zone("alias-forged.test", ("@ MX 10 mx", "mx CNAME mx.expired.test."),
         {}),
    # wildcards, aliases at the records' name, no MX
    Zone("wild.test", _HOST + ("*._tcp.mx TLSA %(ee)s",), {}),
    Zone("wild-mx.test", ("@ MX 10 a.b", "*.b A %(address)s",
                          "*.b TLSA %(ee)s"), {}),
    Zone("shared.test", _HOST + ("_%(port)d._tcp.mx CNAME keys",
                                 "keys TLSA %(ee)s"), {}),
    Zone("no-mx.test", ("@ A %(address)s",
                        "_%(port)d._tcp TLSA %(ee)s"), {}),
)


class Land:
    """The zones, their resolver, and the one certificate of all hosts."""

    def __init__(self, peers, folder, ca):
        self.ca = ca
        self.port = free_port()
        self.address = "127.78.%d.%d" % (os.getpid() >> 8 & 255,
                                         os.getpid() & 255)
        self.cert = ca.issue(*["mx." + z.name for z in ZONES])
        with open(self.cert.chain, "ab") as f, open(ca.file, "rb") as anchor:
            f.write(anchor.read())
        names = {"address": self.address, "port": self.port,
                 "ee": ee(self.cert), "ta": ta(ca)}
        self.zones = Zones(peers, folder)
        for zone in ZONES:
            self.zones.zone(zone.name, *[r % names for r in zone.records],
                            **zone.how)
        self.zones.start()

    def ask(self, name, qtype):
        return ask(self.zones.resolver, name % {"port": self.port}, qtype)

    def lines(self, resolver=None):
        """No word of the operator's but a probe with a name that must
        fail."""
        return ["resolver %s" % (resolver or self.zones.resolver),
                "dnssec-probe good.test bad=expired.test",
                "smtp-port %d" % self.port, "retry first=1s max=1s"]


@pytest.fixture(scope="module")
def land(space, peers, other_ca):
    folder = os.path.join(space.folder, "signed" + os.urandom(4).hex())
    os.mkdir(folder, 0o755)
    land = Land(peers, folder, other_ca)
    yield land
    land.zones.close()


@pytest.fixture
def host(land, mx_factory):
    """The host behind all names; nobody trusts its certificate."""
    return mx_factory(land.address, land.port, cert=land.cert)


def send(hb, domain):
    hb.send("alice@hb.test", "x@" + domain, client.text("signed"))


ANSWERS = (
    (".", "NS", "NOERROR", True, 1),
    ("good.test", "MX", "NOERROR", True, 1),
    ("_%(port)d._tcp.mx.good.test", "TLSA", "NOERROR", True, 1),
    ("_1._tcp.mx.good.test", "TLSA", "NXDOMAIN", True, 0),
    ("_1._tcp.mx.good3.test", "TLSA", "NXDOMAIN", True, 0),
    ("_%(port)d._tcp.mx.wild.test", "TLSA", "NOERROR", True, 1),
    ("_%(port)d._tcp.mx.shared.test", "TLSA", "NOERROR", True, 1),
    ("plain.test", "MX", "NOERROR", False, 1),
    ("island.test", "MX", "NOERROR", False, 1),
    ("nowhere.test", "MX", "NXDOMAIN", True, 0),
    ("mx.alias-in.test", "A", "NOERROR", True, 1),
    ("mx.alias-out.test", "A", "NOERROR", False, 1),
    ("mx.alias-out.test", "CNAME", "NOERROR", True, 1),
    ("expired.test", "MX", "SERVFAIL", False, 0),
    ("wrong-ds.test", "MX", "SERVFAIL", False, 0),
    ("mx-forged.test", "MX", "SERVFAIL", False, 0),
    ("mx.mx-forged.test", "A", "NOERROR", True, 1),
    ("mx.a-forged.test", "A", "SERVFAIL", False, 0),
    ("mx.tlsa-forged.test", "A", "NOERROR", True, 1),
    ("_%(port)d._tcp.mx.tlsa-forged.test", "TLSA", "SERVFAIL", False, 0),
    ("_%(port)d._tcp.mx.tlsa-hidden.test", "TLSA", "SERVFAIL", False, 0),
    ("mx.alias-forged.test", "A", "SERVFAIL", False, 0),
)


def test_what_the_resolver_says_of_the_zones(land):
    """The ground that the other tests stand on."""
    wrong = []
    for name, qtype, rcode, ad, count in ANSWERS:
        got = land.ask(name, qtype)
        if (got[0], got[1], len(got[2])) != (rcode, ad, count):
            wrong.append((name, qtype, got))
    assert not wrong


@pytest.mark.both
@pytest.mark.parametrize("domain, tls, dane", [
    ("good.test", "dane", "secure-usable"),
    ("good3.test", "dane", "secure-usable"),
    ("anchor.test", "dane", "secure-usable"),
    ("wild.test", "dane", "secure-usable"),
    ("shared.test", "dane", "secure-usable"),
    ("no-mx.test", "dane", "secure-usable"),
    ("alias-in.test", "dane", "secure-usable"),
    ("alias-out.test", "dane", "secure-usable"),
    ("wild-mx.test", "dane", "secure-usable"),
    ("none.test", "unverified", "secure-none"),
    ("none3.test", "unverified", "secure-none"),
    ("out.test", "unverified", "insecure"),
    ("plain.test", "unverified", "insecure"),
    ("island.test", "unverified", "insecure"),
    ("in.test", "unverified", "insecure"),
])
def test_DANE_03_to_10_delivered(land, host, make_server, domain, tls, dane):
    """Signed all the way: by DANE. Signed, and proven to have no records, or
    not signed: as ever. Bogus records in zones that nobody signed are not
    even asked for."""
    hb = make_server(land.lines())
    wait_told(hb, "yes")
    send(hb, domain)
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["tls"] == "TLSv1.3/" + tls
    assert record["dane"] == dane
    assert len(host.wait(1)) == 1


@pytest.mark.parametrize("domain, reason", [
    ("mismatch.test", "dane-mismatch"),
    ("tlsa-forged.test", "dane-dns"),
    ("tlsa-hidden.test", "dane-dns"),
    ("mx-forged.test", "dns-temporary"),
    ("a-forged.test", "dns-temporary"),
    ("expired.test", "dns-temporary"),
    ("wrong-ds.test", "dns-temporary"),
    ("alias-forged.test", "dns-temporary"),
])
def test_DANE_01_deferred(land, host, make_server, domain, reason):
    """A forged answer is no answer: the mail waits, and again."""
    hb = make_server(land.lines())
    wait_told(hb, "yes")
    send(hb, domain)
    hb.wait_record(ev="delivery", result="defer", reason=reason)
    assert hb.wait_reason(reason)["reason"] == reason
    assert hb.ctl("flush", "all").code == 0
    hb.wait_record(ev="delivery", result="defer", reason=reason)
    assert not hb.records(ev="delivery", result="ok")
    assert "MAIL" not in host.verbs()


@pytest.mark.parametrize("domain, verdict", [
    ("good.test", "dane"), ("out.test", None), ("plain.test", None),
    ("none.test", None),
])
def test_DANE_17_mandatory(land, host, make_server, domain, verdict):
    hb = make_server(land.lines() + ["tls-policy * dane"])
    wait_told(hb, "yes")
    send(hb, domain)
    if verdict:
        record = hb.wait_record(ev="delivery", result="ok")
        assert record["tls"] == "TLSv1.3/" + verdict
    else:
        assert hb.wait_reason()["reason"] == "dane-required"
        assert "MAIL" not in host.verbs()


@pytest.mark.parametrize("domain", ["plain-sts.test", "none-sts.test"])
@pytest.mark.parametrize("trusted", [True, False])
def test_DANE_10_a_policy_decides_where_dane_does_not(
        land, mx_factory, make_server, policies, ca, other_ca, domain,
        trusted):
    policies.site(domain, policyhost.policy("enforce", ["mx." + domain]))
    cert = (ca if trusted else other_ca).issue("mx." + domain)
    mx = mx_factory(land.address, land.port, cert=cert)
    hb = make_server(land.lines() + [
        "ca-file " + ca.file, "policy-port %d" % policies.port,
        "policy-address " + policies.address])
    wait_told(hb, "yes")
    send(hb, domain)
    if trusted:
        record = hb.wait_record(ev="delivery", result="ok")
        assert (record["tls"], record["sts"]) == ("TLSv1.3/verified",
                                                  "enforce")
    else:
        hb.wait_reason("cert-untrusted")
        assert "MAIL" not in mx.verbs()


@pytest.mark.limit(120)
def test_DANE_01_resolver_that_is_gone(land, host, make_server):
    """Nobody answers: the mail waits for the resolver, and then DANE
    decides. (A policy's failed look-up would rest for 30 seconds.)"""
    hb = make_server(land.lines() + ["mta-sts off"])
    wait_told(hb, "yes")
    land.zones.stop_resolver()
    try:
        send(hb, "good.test")
        send(hb, "mismatch.test")
        hb.wait_reason("dns-temporary", timeout=40)
        assert "MAIL" not in host.verbs()
    finally:
        land.zones.start_resolver()
    record = hb.wait_record(ev="delivery", result="ok", timeout=40)
    assert record["tls"] == "TLSv1.3/dane"
    hb.wait_reason("dane-mismatch", timeout=40)


class Stripper:
    """A forwarder between Hauberk and the resolver that clears AD, as many
    do that know nothing of it."""

    def __init__(self, resolver):
        address, _, port = resolver.rpartition(":")
        self.to = address, int(port)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.strips = True
        threading.Thread(target=self._serve, daemon=True).start()

    def __str__(self):
        return "127.0.0.1:%d" % self.sock.getsockname()[1]

    def _serve(self):
        while True:
            try:
                packet, client_address = self.sock.recvfrom(4096)
            except OSError:
                return
            threading.Thread(target=self._pass, daemon=True,
                             args=(packet, client_address)).start()

    def _pass(self, packet, client_address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as up:
            up.settimeout(5)
            up.sendto(packet, self.to)
            answer = bytearray(up.recv(4096))
        if self.strips:
            answer[3] &= ~0x20
        self.sock.sendto(answer, client_address)

    def close(self):
        self.sock.close()


def test_DANE_02_resolver_that_strips_ad(land, host, make_server, closing):
    """The loss is said loudly; what validates is not taken for forged."""
    between = closing(Stripper(land.zones.resolver))
    hb = make_server(land.lines(between))
    wait_told(hb, "no")
    assert hb.records(ev="dns", action="trust")[0]["level"] == "warn"
    send(hb, "mismatch.test")
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["tls"] == "TLSv1.3/unverified"
    assert record["dane"] == "untrusted"
    between.strips = False
    assert hb.ctl("reload").code == 0
    wait_told(hb, "no", "yes")
    send(hb, "good.test")
    record = hb.wait_record(ev="delivery", result="ok", tls="TLSv1.3/dane")
    assert {s for s, _ in statuses(hb)} == {"yes"}


def test_DANE_02_resolver_that_does_not_validate(land, host, make_server):
    """The name server itself, asked as if it were a resolver."""
    hb = make_server(land.lines("127.0.0.1:%d" % land.zones.nsd_port))
    wait_told(hb, "no")
    assert {w for _, w in statuses(hb)} == {
        "the probe was not answered as signed"}
