"""The words of the world: domains, hosts, policies, and what owners change."""

import secrets

from harness import policyhost

from . import names, wire
from .language import RAW, rule
from .world import CERTIFICATES, VERSIONS, tlsa

KINDS = "|".join(CERTIFICATES)


@rule("world", "domain DOMAIN", below="domain")
def domain(lab, v):
    """A mail domain. Without lines below it has one MX, `mx.DOMAIN`."""
    name = v["domain"]
    if not any(n.rule.run in (mx, no_mx, null_mx) for n in v.below):
        lab.host("mx." + name)
        lab.dns.set(name, "MX", "10 mx." + name)
    _apply(lab, v, name)


def _apply(lab, v, name):
    """The lines of a domain: hosts first, for policies name them."""
    hosts = [n for n in v.below if n.word == "mx"]
    for node in hosts:
        lab.host(node["name"])
    if hosts:
        lab.dns.set(name, "MX", *["%d %s" % (n["n"], n["name"])
                                  for n in hosts])
    for node in v.below:
        node.run(lab, name)


@rule("world", "host NAME [attacker]", below="host")
def host(lab, v):
    """A mail host. `attacker`: it must never be given a message."""
    made = lab.host(v["name"], "attacker" in v)
    for node in v.below:
        node.run(lab, made.name)


@rule("world", "hauberk", below=RAW)
def hauberk(lab, v):
    """Lines of Hauberk's configuration. `$port` is the port of all mail
    hosts, `$day+3` the day after three days."""
    lab.extra += v.below


@rule("world", "record NAME TYPE TEXT...")
def record(lab, v):
    """Any record, for what has no word of its own."""
    lab.dns.set(v["name"], v["type"], *v["text"])


@rule("world", "ttl TIME")
def ttl(lab, v):
    """How long answers may be kept (0s: every question is asked)."""
    lab.dns.ttl = int(v["time"])


# a domain's lines; its owner may publish them later too


@rule("domain", "mx N NAME")
def mx(lab, v, name):
    """An MX record; those of one block are all there are. A host that the
    world does not describe is made."""


@rule("domain", "no mx")
def no_mx(lab, v, name):
    """No MX record: the domain is a host itself."""
    lab.host(name)
    lab.dns.remove(name, "MX")


@rule("domain", "no txt|policy")
def no_policy(lab, v, name):
    """No TXT record, or neither TXT record nor policy."""
    lab.dns.remove("_mta-sts." + name, "TXT")
    if v["choice"] == "policy":
        lab.https.own(name).text = None


@rule("domain", "null-mx")
def null_mx(lab, v, name):
    """The domain takes no mail (RFC 7505)."""
    lab.dns.set(name, "MX", "0 .")


@rule("domain", "signed")
@rule("host", "signed")
def signed(lab, v, name):
    """All at and below the name is signed: answers carry AD."""
    lab.dns.sign(name)


@rule("domain", "unsigned")
@rule("host", "unsigned")
def unsigned(lab, v, name):
    """All at and below the name is not signed."""
    lab.dns.unsign(name)


@rule("domain", "txt TEXT...")
def txt(lab, v, name):
    """The TXT records at `_mta-sts`, one a word, as they are."""
    lab.dns.set("_mta-sts." + name, "TXT", *v["text"])


@rule("domain", "policy enforce|testing|none [id=WORD] [max_age=TIME]"
                " [txt=keep|new]", below="policy")
def policy(lab, v, name):
    """A policy and its TXT record, with a new id unless it is given. Without
    lines below its patterns are the names of the domain's MX hosts.
    `txt=keep` changes the policy and leaves the record alone."""
    patterns = [n["text"] for n in v.below if n.word == "mx"]
    if not v.below and v["choice"] != "none":
        patterns = [r.split()[1] for r in lab.dns.records(name, "MX")] \
            or [name]
    text = policyhost.policy(v["choice"], patterns,
                             int(v.get("max_age", 86400)))
    text += "".join(n["text"] + "\r\n" for n in v.below if n.word == "line")
    _publish(lab, v, name, text)


@rule("domain", "policy-text [id=WORD] [eol=crlf|lf] [txt=keep|new]",
      below=RAW)
def policy_text(lab, v, name):
    """A policy of exactly these lines, and its TXT record."""
    eol = "\n" if v.get("eol") == "lf" else "\r\n"
    _publish(lab, v, name, "".join(l + eol for l in v.below))


def _publish(lab, v, name, text):
    """The policy first, then the record (RFC 8461 s8.1)."""
    lab.https.own(name).text = text
    lab.policy_ids[name] = lab.policy_ids.get(name, 0) + 1
    ident = v.get("id", str(lab.policy_ids[name]))
    if v.get("txt") != "keep":
        lab.dns.set("_mta-sts." + name, "TXT", "v=STSv1; id=%s;" % ident)


@rule("policy", "mx TEXT")
def policy_mx(lab, v, name):
    """A pattern for names of MX hosts."""


@rule("policy", "line TEXT")
def policy_line(lab, v, name):
    """One more line at the end of the policy, as it is."""


@rule("domain", "https certificate " + KINDS,
      "https certificate for NAME...",
      "https status N", "https redirect [TEXT]", "https type TEXT",
      "https slow TIME", "https padding N", "https good")
def https(lab, v, name):
    """What is wrong with the policy host: its certificate, the status, a
    redirect (to another path of the same host, where the policy is), the media
    type, how long it takes, so many bytes too many. `good` ends all that."""
    change_site(lab, v, lab.https.own(name), "mta-sts." + name)


def change_site(lab, v, site, name):
    """Shared with `attack https`, where the same is done by another."""
    words = v.rule.pattern.text.split()
    what = words[words.index("DOMAIN" if "DOMAIN" in words else "https") + 1]
    if what == "certificate":
        site.cert = lab.authority.make(v.get("choice", "good"),
                                       tuple(v.get("name", [name])))
    elif what == "status":
        site.status = v["n"]
    elif what == "redirect":
        site.status = 301
        site.headers = {"Location": v.get("text", names.MOVED)}
    elif what == "type":
        site.ctype = v["text"]
    elif what == "slow":
        site.delay = v["time"]
    elif what == "padding":
        site.text += "padding: %s\r\n" % ("x" * v["n"])
    else:
        site.status, site.headers, site.delay = 200, {}, 0
        site.ctype = "text/plain"
        site.cert = lab.authority.make("good", (name,))


# a host's lines


@rule("host", "certificate " + KINDS + " [with=issuer]",
      "certificate for NAME... [with=issuer]", "certificate next")
def certificate(lab, v, name):
    """What the host shows. `good`: its own name, by the authority that
    Hauberk trusts, and so if this line is missing. `new`: as good, with a
    new key. `none`: no TLS. `next`: the new one that `tlsa ... of=next` spoke
    of. `with=issuer`: the authority's own certificate is sent too."""
    if v.rule.pattern.text == "certificate next":
        lab.hosts[name].renew()
        return
    lab.hosts[name].certificate(v.get("choice", "good"), v.get("name", ()),
                                v.get("with") == "issuer")


@rule("host", "tls VERSION VERSION2")
def tls(lab, v, name):
    """The oldest and the newest TLS version: `1.0 1.1`."""
    lab.hosts[name].tls_minimum = VERSIONS[v["version"]]
    lab.hosts[name].tls_maximum = VERSIONS[v["version2"]]


@rule("host", "ciphers TEXT")
def ciphers(lab, v, name):
    """The cipher suites of TLS 1.2 and before, as OpenSSL writes them."""
    lab.hosts[name].ciphers = v["text"]


@rule("host", "implicit-tls")
def implicit_tls(lab, v, name):
    """TLS from the first byte, as `smtps://` wants it."""
    lab.hosts[name].implicit_tls = True


@rule("host", "starttls offer|strip|refuse|fail", "starttls spelt TEXT")
def starttls(lab, v, name):
    """The host's own STARTTLS: not offered, refused with 454, answered and
    then no TLS; or its keyword in another spelling."""
    if "text" in v:
        lab.hosts[name].starttls_word = v["text"]
    else:
        lab.hosts[name].starttls = v["choice"]


@rule("host", "offers TEXT...", "offers-in-tls TEXT...",
      "offers-in-clear TEXT...")
def offers(lab, v, name):
    """More keywords of EHLO: always, or inside TLS only, or outside only."""
    host = lab.hosts[name]
    words = {"offers-in-tls": host.tls_keywords,
             "offers-in-clear": host.clear_keywords}.get(v.word, host.keywords)
    words += v["text"]


@rule("host", "reply STAGE TEXT", "reply STAGE")
def reply(lab, v, name):
    """The host's own reply at a stage; without text the usual one."""
    if "text" in v:
        lab.hosts[name].reply[v["stage"]] = v["text"]
    else:
        lab.hosts[name].reply.pop(v["stage"], None)


@rule("host", "delay STAGE TIME")
def delay(lab, v, name):
    """The host takes its time at a stage, each time."""
    lab.hosts[name].delay[v["stage"]] = v["time"]


@rule("host", "tlsa N N2 N3 [of=certificate|issuer|next|nothing]")
def tlsa_record(lab, v, name):
    """One more TLSA record, computed from what the host shows now, from a
    new certificate that it will show (`certificate next`), or from nothing
    that exists."""
    der = lab.hosts[name].cert.der
    if v.get("of") == "issuer":
        der = lab.hosts[name].issuer()
    elif v.get("of") == "next":
        der = lab.hosts[name].upcoming().der
    value = tlsa(v["n"], v["n2"], v["n3"], der)
    if v.get("of") == "nothing":
        value = value[:-16] + secrets.token_hex(8)
    lab.dns.add(lab.tlsa_name(name), "TLSA", value)


@rule("host", "no tlsa")
def no_tlsa(lab, v, name):
    """No TLSA record, of those so far."""
    lab.dns.remove(lab.tlsa_name(name), "TLSA")


@rule("host", "alias-of NAME")
def alias_of(lab, v, name):
    """The name is an alias (CNAME); it has no address of its own."""
    lab.dns.remove(name, "A")
    lab.dns.set(name, "CNAME", v["name"])


@rule("host", "no address")
def no_address(lab, v, name):
    """The name has no address."""
    lab.dns.remove(name, "A")


# what an attacker does


@rule("steps", "attack HOST strip-starttls [only=upper]",
      "attack HOST replace-starttls TEXT")
def strip(lab, v):
    """Take STARTTLS out of the reply to EHLO, in any spelling, or (only=upper)
    as a box that knows capitals only; or write something else in its
    place."""
    change = wire.without_starttls
    if "text" in v:
        change = wire.starttls_becomes(v["text"])
    elif "only" in v:
        change = wire.without_upper_starttls
    plan = lab.plan(v["host"])
    plan.ehlo.append(change)
    lab.hosts[v["host"]].attack(plan)


@rule("steps", "attack HOST answer STAGE TEXT",
      "attack HOST before STAGE TEXT", "attack HOST after STAGE TEXT",
      "attack HOST delay STAGE TIME")
def interfere(lab, v):
    """Answer a command in the server's place: a reply, or `close`, `reset`,
    `silence`. Send bytes before the server's reply, or behind it in the same
    segment. Hold it back."""
    what = v.rule.pattern.text.split()[2]
    plan = lab.plan(v["host"])
    value = v.get("text", v.get("time"))
    if what in ("before", "after"):
        value = value.encode()
    getattr(plan, what)[v["stage"]] = value
    lab.hosts[v["host"]].attack(plan)


@rule("steps", "attack HOST certificate " + KINDS,
      "attack HOST certificate for NAME...",
      "attack HOST certificate of HOST2",
      "attack HOST anonymous-tls", "attack HOST old-tls VERSION")
def swap(lab, v):
    """End TLS in the middle: with such a certificate, with one for other
    names, with the very certificate of another host; without a certificate
    (anonymous cipher suites); with a good one and no newer version than
    this."""
    lab.hosts[v["host"]].attack(_impostor(lab, v, lab.plan(v["host"])))


def _impostor(lab, v, plan):
    versions = {}
    if "host2" in v:
        cert = lab.hosts[v["host2"]].cert
    elif v.rule.pattern.text.endswith("anonymous-tls"):
        plan.tls = wire.Impostor(None, maximum=VERSIONS["1.2"],
                                 ciphers="aNULL:@SECLEVEL=0")
        return plan
    else:
        cert = lab.authority.make(v.get("choice", "good"),
                                  tuple(v.get("name", (v["host"],))),
                                  holder="attacker")
    if "version" in v:
        versions = {"minimum": VERSIONS["1.0"],
                    "maximum": VERSIONS[v["version"]],
                    "ciphers": "ALL:@SECLEVEL=0"}
    plan.tls = wire.Impostor(cert, **versions)
    return plan


HELLOS = {"alert": wire.hello_alert, "rubbish": wire.hello_rubbish,
          "1.0": wire.hello_version(0x301), "1.1": wire.hello_version(0x302),
          "1.2": wire.hello_version(0x303),
          # TLS_RSA_WITH_NULL_SHA256, TLS_RSA_EXPORT_WITH_RC4_40_MD5
          "weak-ciphers": wire.hello_ciphers(0x003b, 0x0003)}


@rule("steps", "attack HOST hello " + "|".join(HELLOS))
def hello(lab, v):
    """Let STARTTLS through and spoil the client's hello: answer it with an
    alert or with rubbish, or change it so that it offers an old version or
    weak cipher suites only."""
    plan = lab.plan(v["host"])
    plan.hello = HELLOS[v["choice"]]
    lab.hosts[v["host"]].attack(plan)


@rule("steps", "attack dns NAME TYPE is TEXT...",
      "attack dns NAME TYPE gone|servfail|refused|nxdomain|silence|truncate",
      "attack dns NAME servfail|refused|nxdomain|silence",
      "attack dns NAME clear-ad", "attack dns NAME slow TIME")
def attack_dns(lab, v):
    """Forge answers. In a signed zone a forged record is bogus, and the
    resolver says SERVFAIL. Open connections are cut. TLSA records are named by
    their host: `attack dns mx.example.test tlsa gone`."""
    lab.cut()
    qtype = v.get("type")
    name = lab.record_name(v["name"], qtype)
    if "text" in v:
        lab.dns.forge(name, qtype, v["text"])
    elif "time" in v:
        lab.dns.delay(name, v["time"])
    elif "choice" not in v:
        lab.dns.clear_ad(name)
    elif v["choice"] == "gone":
        lab.dns.forge(name, qtype, [])
    else:
        kind = {"silence": "drop"}.get(v["choice"], v["choice"])
        lab.dns.fault(name, kind, qtype)


@rule("steps", "attack https DOMAIN certificate " + KINDS,
      "attack https DOMAIN certificate for NAME...",
      "attack https DOMAIN status N", "attack https DOMAIN redirect [TEXT]",
      "attack https DOMAIN type TEXT", "attack https DOMAIN slow TIME")
def attack_https(lab, v):
    """The policy host is another's: what `https` says, till healed."""
    change_site(lab, v, lab.https.forged(v["domain"]),
                "mta-sts." + v["domain"])


@rule("steps", "attack https DOMAIN serve", below=RAW)
def attack_policy(lab, v):
    """The policy host serves these lines in place of the policy."""
    lab.https.forged(v["domain"]).text = "".join(l + "\r\n" for l in v.below)


@rule("steps", "block https", "block https DOMAIN reset|silence",
      "block HOST")
def block(lab, v):
    """No connection: to any policy host, to that of one domain (its name is
    read from the hello), to a mail host."""
    if "host" in v:
        plan = lab.plan(v["host"])
        plan.refuse = True
        lab.hosts[v["host"]].attack(plan)
    elif "domain" in v:
        lab.https.forged(v["domain"]).refuse = v["choice"]
    else:
        lab.https.block()


@rule("steps", "heal", "heal dns|https", "heal HOST")
def heal(lab, v):
    """All attacks end, or those on one part."""
    lab.heal(v.get("choice", v.get("host")))


@rule("steps", "publish DOMAIN", below="domain", inline=True)
def publish(lab, v):
    """The owner of a domain changes something, for good. What may stand below
    `domain` stands behind it or below it."""
    _apply(lab, v, v["domain"])


@rule("steps", "change HOST", below="host", inline=True)
def change(lab, v):
    """The owner of a host changes something, for good."""
    for node in v.below:
        node.run(lab, v["host"])
    lab.hosts[v["host"]].cut()
