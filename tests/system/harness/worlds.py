"""Many different worlds: a domain each, with faults, and what must come of it.

A world is a policy, what DNS says, and one or two mail hosts, each of a kind
from the tables below. A kind says two things: how it is built with the
servers of this folder, and what a sender sees of it. `expect` puts the latter
together by the rules of RFC 5321, RFC 8461 and RFC 7672, in a few lines and
without a look at Hauberk.
"""

import hashlib
import socket
import ssl
import struct
from collections import namedtuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from . import mx as mxmod, policyhost

SLOW_S = 2  # what only takes its time
SLOW_DNS_S = 1  # the same of DNS, which is asked again after 2.5 s

# when the outcome is there: at once; when the test lets go of what it holds;
# when a timer of the server is over
NOW, HELD, TIMED = "now", "held", "timed"

# What a mail host is to a sender:
# lost: no session comes about, and why
# tls, cert: what a policy would hold against it
# answer: the outcome of a transaction, if that is not "taken"
Host = namedtuple("Host", "lost tls cert answer when")
Host.__new__.__defaults__ = (None, None, None, None, NOW)

# What a policy comes to: the mode that counts (None: no policy), whether it
# lists the domain's hosts
Policy = namedtuple("Policy", "mode listed when")
Policy.__new__.__defaults__ = (None, True, NOW)

# What DANE records of each host come to (RFC 7672 s2.2): what is held against
# the host before and after its certificate is seen; is it the certificate
# that they vouch for?
Dane = namedtuple("Dane", "before match tls_demanded")
Dane.__new__.__defaults__ = (None, None, False)

# What DNS comes to: an outcome of its own, hosts that drop out
Dns = namedtuple("Dns", "outcome when")
Dns.__new__.__defaults__ = (None, NOW)

# result: ok, defer, fail. tls: none, unverified, verified. sts: as logged.
Outcome = namedtuple("Outcome", "result reason host tls sts")
Outcome.__new__.__defaults__ = (None, None, None)

HOSTS = {
    "good": Host(),
    "alias": Host(),
    "strip": Host(tls="no-starttls"),
    "refuse": Host(tls="starttls-refused"),
    "rubbish": Host(tls="tls-handshake"),
    "tls-1.1": Host(tls="tls-handshake"),
    "self-signed": Host(cert="cert-self-signed"),
    "untrusted": Host(cert="cert-untrusted"),
    "name": Host(cert="cert-name"),
    "cn-only": Host(cert="cert-name"),
    "expired": Host(cert="cert-expired"),
    "early": Host(cert="cert-expired"),
    "down": Host(lost="connect-refused"),
    "reset": Host(lost="connection-lost"),
    "hangs-up": Host(lost="connection-lost"),
    "greets-4xx": Host(lost="remote-reply"),
    "greets-5xx": Host(lost="remote-reply"),
    "no-mail": Host(answer=("next", "remote-reply")),
    "no-user": Host(answer=("fail", "remote-reply")),
    "user-later": Host(answer=("defer", "remote-reply")),
    "no-data": Host(answer=("fail", "remote-reply")),
    "data-later": Host(answer=("defer", "remote-reply")),
    "slow": Host(),
    "held-greeting": Host(when=HELD),
    "held-ehlo": Host(when=HELD),
    "held-starttls": Host(when=HELD),
    "held-handshake": Host(when=HELD),
    "held-mail": Host(when=HELD),
    "held-data": Host(when=HELD),
    "mute": Host(lost="reply-timeout", when=TIMED),
    "black-hole": Host(lost="connect-timeout", when=TIMED),
}

POLICIES = {
    "absent": Policy(),
    "enforce": Policy("enforce"),
    "testing": Policy("testing"),
    "none": Policy("none"),
    "enforce-others": Policy("enforce", listed=False),
    "testing-others": Policy("testing", listed=False),
    "no-id": Policy(),
    "two-records": Policy(),
    "other-version": Policy(),
    "no-policy-host": Policy(),
    "host-resets": Policy(),
    "not-found": Policy(),
    "server-error": Policy(),
    "redirect": Policy(),
    "host-name": Policy(),
    "host-cn-only": Policy(),
    "host-expired": Policy(),
    "host-self-signed": Policy(),
    "html": Policy(),
    "no-mode": Policy(),
    "no-mx": Policy(),
    "too-long": Policy(),
    "slow": Policy("enforce"),
    "drips": Policy("enforce"),
    "held": Policy("enforce", when=HELD),
    "txt-held": Policy("enforce", when=HELD),
    "host-mute": Policy(when=TIMED),
    "txt-servfail": Policy(when=TIMED),
}

DNS = {
    "fine": Dns(),
    "slow": Dns(),
    "truncated": Dns(),
    "alias": Dns(),
    "mx-servfail": Dns(("defer", "dns-temporary")),
    "mx-refused": Dns(("defer", "dns-temporary")),
    "a-servfail": Dns(("defer", "dns-temporary")),
    "no-address": Dns(("fail", "dns-no-address")),
    "null-mx": Dns(("fail", "null-mx")),
    "no-domain": Dns(("fail", "dns-no-domain")),
    "mx-silent": Dns(("defer", "dns-temporary"), TIMED),
}


DANE = {
    "unsigned": Dane(),
    "signed": Dane(),
    "match": Dane(match=True, tls_demanded=True),
    "mismatch": Dane(match=False, tls_demanded=True),
    "unusable": Dane(tls_demanded=True),
    "bogus": Dane(before="dane-dns"),
    "forged-ad": Dane(),
}


class Spec(namedtuple("Spec", "policy dns hosts dane")):
    """What one world is made of."""

    def __str__(self):
        return "%s, %s, %s: %s" % (self.policy, self.dns, self.dane,
                                   " ".join(self.hosts))


Spec.__new__.__defaults__ = ("unsigned",)


def _before(policy, dane):
    """What is held against a host that nobody connected to yet."""
    if dane.before:
        return dane.before
    if policy.mode == "enforce" and not policy.listed and dane.match is None:
        return "mx-mismatch"
    return None


def _after(policy, dane, host):
    """What is held against its channel."""
    enforce = policy.mode == "enforce"
    if host.tls and (enforce or dane.tls_demanded):
        return host.tls
    if dane.match is not None:
        return None if dane.match else "dane-mismatch"
    return host.cert if enforce else None


def _judge(spec, host):
    """(proceed, reason, tls): may mail be sent to this host, and how?"""
    policy, dane = POLICIES[spec.policy], DANE[spec.dane]
    why = _before(policy, dane) or host.lost or _after(policy, dane, host)
    if why:
        return False, why, None
    return True, None, "none" if host.tls else "dane" if dane.match else \
        "unverified" if host.cert else "verified"


# said of a host before anybody connects to it
BEFORE = {"mx-mismatch", "dane-dns"}
# what a policy says, and trouble with a connection does not
POLICY_FAULTS = BEFORE | {"dane-mismatch"} | {
    f for h in HOSTS.values() for f in (h.tls, h.cert) if f}


def _without_hosts(policy, dns):
    """DNS gives no host. That there is none is final, unless a policy that
    lists some is in force: nobody signed the word, and it may be forged."""
    outcome = Outcome(*dns.outcome)
    if outcome.result == "defer":
        return outcome, dns.when
    if policy.mode == "enforce":
        outcome = Outcome("defer", "dns-contradicted")
    return outcome, _last({dns.when, policy.when})


def expect(spec):
    """The outcome that this world must have, and when: (Outcome, when)."""
    policy, dns = POLICIES[spec.policy], DNS[spec.dns]
    if dns.outcome:
        return _without_hosts(policy, dns)
    when, why = {policy.when}, None
    for number, kind in enumerate(spec.hosts):
        host = HOSTS[kind]
        good, reason, tls = _judge(spec, host)
        if reason not in BEFORE:
            when.add(host.when)
        if good:
            result, reason = host.answer or ("ok", "ok")
            if result != "next":
                return Outcome(result, reason, number, tls,
                               policy.mode or "none"), _last(when)
        # what a policy says is said before what a connection met
        if why not in POLICY_FAULTS or reason in POLICY_FAULTS:
            why = reason
    return Outcome("defer", why), _last(when)


def _last(when):
    return next(w for w in (TIMED, HELD, NOW) if w in when)


def specs():
    """All worlds, in an order that mixes them well."""
    main = "absent", "enforce", "testing", "none"
    some = "good", "strip", "name", "down", "user-later"
    out = [Spec(p, "fine", (h,)) for p in main for h in HOSTS]
    out += [Spec(p, "fine", (h, "good")) for p in main for h in HOSTS]
    out += [Spec(p, "fine", ("strip", h)) for p in ("enforce", "enforce-others")
            for h in HOSTS]
    out += [Spec(p, "fine", (h,)) for p in POLICIES for h in some]
    out += [Spec(p, d, (h,)) for d in DNS for p in main
            for h in ("good", "strip", "expired", "held-ehlo")]
    out += [Spec(p, "fine", (h,), d) for d in DANE
            for p in ("absent", "enforce", "enforce-others", "testing")
            for h in ("good", "strip", "refuse", "rubbish", "self-signed",
                      "name", "expired", "tls-1.1", "down", "held-ehlo")]
    out += [Spec("enforce", "fine", ("strip", "good"), d) for d in DANE]
    out = list(dict.fromkeys(out))
    # a prime step, so that neighbours differ and no kind comes late
    return [out[i * 211 % len(out)] for i in range(len(out))]


def choose(count, patient):
    """The first worlds that show every kind, then others up to COUNT. Those
    whose policy takes a minute to be given up are for the PATIENT."""
    left = [s for s in specs() if patient or POLICIES[s.policy].when != TIMED]
    out, shown = [], set()
    for spec in list(left):
        kinds = {("p", spec.policy), ("d", spec.dns)} | \
            {("h", h, spec.dane) for h in spec.hosts}
        if not kinds <= shown:
            shown |= kinds
            out.append(spec)
            left.remove(spec)
    return (out + left)[:count]


class BlackHole:
    """An address whose connections are never answered: a listener that
    takes none, and whose line is full."""

    def __init__(self, address, port):
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind((address, port))
        self._sock.listen(0)
        self._line = []
        while self._fits((address, port)):
            pass

    def _fits(self, where):
        s = socket.socket()
        self._line.append(s)
        s.settimeout(0.2)
        try:
            s.connect(where)
        except OSError:
            return False
        return True

    def close(self):
        for s in self._line + [self._sock]:
            s.close()


class World:
    """One world, built inside an internet (the fixture `world`)."""

    def __init__(self, net, number, spec):
        self.net = net
        self.spec = spec
        self.domain = "w%d.test" % number
        self.expected, self.when = expect(spec)
        self.hosts = []
        self.names = []
        self._build_hosts()
        _sign(self)
        getattr(self, "_dns_" + spec.dns.replace("-", "_"), lambda: None)()
        _publish(self)

    def __repr__(self):
        return "%s (%s)" % (self.domain, self.spec)

    @property
    def rcpt(self):
        return "x@" + self.domain

    # mail hosts

    def _build_hosts(self):
        for number, kind in enumerate(self.spec.hosts):
            name = "mx%d.%s" % (number, self.domain)
            self.names.append(name)
            self.hosts.append(HOST_MAKERS.get(kind, _plain)(self, name, kind))
        self.net.dns.set(self.domain, "MX", *[
            "%d %s" % (10 * (i + 1), n) for i, n in enumerate(self.names)])

    def make(self, name, **kw):
        return self.net.host(name, **kw)

    # DNS

    def _dns_slow(self):
        self.net.dns.delay(self.domain, SLOW_DNS_S)
        self.net.dns.delay(self.names[0], SLOW_DNS_S)

    def _dns_truncated(self):
        for name in [self.domain, "_mta-sts." + self.domain] + self.names:
            self.net.dns.fault(name, "truncate")

    def _dns_alias(self):
        records = self.net.dns.zone[self.domain].pop("MX")
        self.net.dns.set("real." + self.domain, "MX", *records)
        self.net.dns.set(self.domain, "CNAME", "real." + self.domain)

    def _dns_mx_servfail(self):
        self.net.dns.fault(self.domain, "servfail", qtype="MX")

    def _dns_mx_refused(self):
        self.net.dns.fault(self.domain, "refused", qtype="MX")

    def _dns_mx_silent(self):
        self.net.dns.fault(self.domain, "drop", qtype="MX")

    def _dns_a_servfail(self):
        for name in self.names:
            self.net.dns.fault(name, "servfail")

    def _dns_no_address(self):
        for name in self.names:
            self.net.dns.remove(name, "A")

    def _dns_null_mx(self):
        self.net.dns.set(self.domain, "MX", "0 .")

    def _dns_no_domain(self):
        self.net.dns.remove(self.domain, "MX")
        self.net.dns.fault(self.domain, "nxdomain")

    # looking

    def accepted(self):
        """[(number of the host, message)] of what was taken."""
        return [(i, m) for i, h in enumerate(self.hosts)
                for m in getattr(h, "messages", ()) if m.code == 250]

    def check(self, record, entry):
        """Problems with the outcome: RECORD is its last ev=delivery, ENTRY
        what the queue shows, or None."""
        want, out = self.expected, self._offered_in_vain()
        if record is None:
            return ["no outcome, expected %s" % (want,)]
        if (record["result"], record["reason"]) != want[:2]:
            out.append("%s %s, expected %s %s" % (
                record["result"], record["reason"], *want[:2]))
        if (entry is not None) != (want.result == "defer"):
            out.append("queued: %s" % (entry,))
        elif entry is not None and entry["reason"] != want.reason:
            out.append("the queue says %s" % entry["reason"])
        return out + self._check_channel(record)

    def _offered_in_vain(self):
        """Hosts that the policy forbids and that heard of the message."""
        return ["MAIL at host %d" % i for i, h in enumerate(self.hosts)
                if "MAIL" in getattr(h, "verbs", list)() and
                not _judge(self.spec, HOSTS[self.spec.hosts[i]])[0]]

    def _check_channel(self, record):
        want, got = self.expected, self.accepted()
        if want.result != "ok":
            return ["taken by %s" % [n for n, _ in got]] if got else []
        tls = record["tls"].split("/")[-1]
        where = [number for number, _ in got]
        out = []
        if record["mx"].rstrip(".") != self.names[want.host] or \
                where != [want.host]:
            out.append("at %s, taken by %s, expected host %d" % (
                record["mx"], where, want.host))
        if (tls, record["sts"]) != (want.tls, want.sts):
            out.append("tls %s, sts %s, expected %s, %s" % (
                tls, record["sts"], want.tls, want.sts))
        if any((m.tls is None) != (want.tls == "none") for _, m in got):
            out.append("not over the channel that the log tells of")
        return out


# --- mail hosts ------------------------------------------------------------


def _plain(world, name, kind):
    return world.make(name)


def _with_cert(**how):
    def make(world, name, kind):
        return world.make(name, cert=world.net.ca.issue(name, **how))
    return make


def _without_name(world, name, kind):
    cert = world.net.ca.issue(cn=name, san=False) if kind == "cn-only" \
        else world.net.ca.issue("mx.other.test")
    return world.make(name, cert=cert)


def _untrusted(world, name, kind):
    return world.make(name, cert=world.net.other_ca.issue(name))


def _starttls(how):
    def make(world, name, kind):
        host = world.make(name)
        host.starttls = how
        return host
    return make


def _old_tls(world, name, kind):
    host = world.make(name)
    host.tls_minimum = ssl.TLSVersion.TLSv1
    host.tls_maximum = ssl.TLSVersion.TLSv1_1
    return host


def _alias(world, name, kind):
    real = "real." + name
    host = world.make(real, cert=world.net.ca.issue(name))
    world.net.dns.set(name, "CNAME", real)
    return host


def _down(world, name, kind):
    host = world.make(name)
    host.stop()
    return host


def _black_hole(world, name, kind):
    address = world.net.address()
    world.net.dns.set(name, "A", address)
    return world.net.keep(BlackHole(address, world.net.port))


def _reset(session, _arg):
    session.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
    raise mxmod.Hangup


def _replies(stage, what):
    def make(world, name, kind):
        host = world.make(name)
        host.reply[stage] = what
        return host
    return make


def _hangs_up(world, name, kind):
    host = world.make(name)
    host.drop.add("greeting")
    return host


def _slow(world, name, kind):
    host = world.make(name)
    host.delay["greeting"] = SLOW_S
    host.delay["rcpt"] = SLOW_S
    return host


def _held(stage):
    def make(world, name, kind):
        host = world.make(name)

        def reply(_session, _arg):
            world.net.gate.wait()
        host.reply[stage] = reply
        return host
    return make


def _held_handshake(world, name, kind):
    host = world.make(name)
    usual = host.context

    def context():
        world.net.gate.wait()
        return usual()
    host.context = context
    return host


def _mute(world, name, kind):
    host = world.make(name)

    def reply(_session, _arg):
        world.net.end.wait()
        raise mxmod.Hangup
    host.reply["greeting"] = reply
    return host


HOST_MAKERS = {
    "alias": _alias,
    "strip": _starttls("strip"),
    "refuse": _starttls("refuse"),
    "rubbish": _starttls("fail"),
    "tls-1.1": _old_tls,
    "self-signed": _with_cert(self_signed=True),
    "untrusted": _untrusted,
    "name": _without_name,
    "cn-only": _without_name,
    "expired": _with_cert(days=(-9, -2)),
    "early": _with_cert(days=(2, 9)),
    "down": _down,
    "reset": _replies("ehlo", _reset),
    "hangs-up": _hangs_up,
    "greets-4xx": _replies("greeting", "421 4.3.2 busy"),
    "greets-5xx": _replies("greeting", "554 5.3.2 no"),
    "no-mail": _replies("mail", "451 4.3.0 not now"),
    "no-user": _replies("rcpt", "550 5.1.1 who"),
    "user-later": _replies("rcpt", "450 4.2.1 not now"),
    "no-data": _replies("eod", "554 5.6.0 no"),
    "data-later": _replies("eod", "451 4.3.0 not now"),
    "slow": _slow,
    "held-greeting": _held("greeting"),
    "held-ehlo": _held("ehlo"),
    "held-starttls": _held("starttls"),
    "held-handshake": _held_handshake,
    "held-mail": _held("mail"),
    "held-data": _held("data"),
    "mute": _mute,
    "black-hole": _black_hole,
}


# --- DANE ------------------------------------------------------------------


def _key_digest(cert):
    """The data of a TLSA record 3 1 1."""
    public = x509.load_der_x509_certificate(cert.der).public_key()
    return hashlib.sha256(public.public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _sign(world):
    """The zone of a world, and the TLSA records of its hosts."""
    kind, dns = world.spec.dane, world.net.dns
    if kind == "unsigned":
        return
    if kind != "forged-ad":
        dns.sign(world.domain)
    for name, host in zip(world.names, world.hosts):
        data = "00" * 32
        if kind == "match" and getattr(host, "cert", None):
            data = _key_digest(host.cert)
        where = "_%d._tcp.%s" % (world.net.port, name)
        if kind in ("match", "mismatch", "forged-ad"):
            dns.set(where, "TLSA", "3 1 1 " + data)
        if kind == "unusable":
            dns.set(where, "TLSA", "1 1 1 " + data, "3 7 1 " + data)
        if kind == "forged-ad":
            # a record that claims to be signed, below names that are not
            dns.sign(where)
        if kind == "bogus":
            dns.fault(where, "servfail")


# --- policies --------------------------------------------------------------


def _publish(world):
    kind = world.spec.policy
    if kind == "absent":
        return
    mode = POLICIES[kind].mode or "enforce"
    # where a policy must not count it would stop all mail
    listed = world.names if POLICIES[kind].mode and POLICIES[kind].listed \
        else ["mx.elsewhere.test"]
    site = world.net.policy(world.domain, mode=mode, mxs=listed)
    POLICY_MAKERS.get(kind, lambda w, s: None)(world, site)


def _txt(*records):
    def change(world, _site):
        world.net.dns.set("_mta-sts." + world.domain, "TXT", *records)
    return change


def _site(**values):
    def change(_world, site):
        for name, value in values.items():
            setattr(site, name, value)
    return change


def _site_cert(names=None, **how):
    def change(world, site):
        host = "mta-sts." + world.domain
        how.setdefault("cn", host)
        site.cert = world.net.ca.issue(
            *([host] if names is None else names), **how)
    return change


def _text(old, new):
    def change(_world, site):
        assert old in site.text
        site.text = site.text.replace(old, new)
    return change


def _redirect(world, site):
    site.status = 302
    site.headers["Location"] = "https://mta-sts.%s:%d%s" % (
        world.domain, world.net.policies.port, policyhost.WELL_KNOWN)


def _no_site(world, _site):
    del world.net.policies.sites["mta-sts." + world.domain]


def _hold(gate):
    def change(world, site):
        site.hold = getattr(world.net, gate)
    return change


def _txt_servfail(world, _site):
    world.net.dns.fault("_mta-sts." + world.domain, "servfail")


def _txt_held(world, _site):
    _txt_servfail(world, _site)
    world.net.healed.append("_mta-sts." + world.domain)


POLICY_MAKERS = {
    "no-id": _txt("v=STSv1;"),
    "two-records": _txt("v=STSv1; id=1;", "v=STSv1; id=1;"),
    "other-version": _txt("v=STSv2; id=1;"),
    "no-policy-host": _no_site,
    "host-resets": _site(refuse="reset"),
    "not-found": _site(status=404),
    "server-error": _site(status=500),
    "redirect": _redirect,
    "host-name": _site_cert(["mta-sts.other.test"]),
    "host-cn-only": _site_cert(san=False),
    "host-expired": _site_cert(days=(-9, -2)),
    "host-self-signed": _site_cert(self_signed=True),
    "html": _site(ctype="text/html"),
    "no-mode": _text("mode: enforce\r\n", ""),
    "no-mx": _text("mx: mx.elsewhere.test\r\n", ""),
    "too-long": _text("mode", "padding: %s\r\nmode" % ("x" * 70000)),
    "slow": _site(delay=SLOW_S),
    "drips": _site(drip=0.05),
    "held": _hold("gate"),
    "txt-held": _txt_held,
    "host-mute": _hold("end"),
    "txt-servfail": _txt_servfail,
}
