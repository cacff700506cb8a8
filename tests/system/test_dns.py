"""MX selection and what DNS trouble does to mail."""

import os
import struct
import subprocess

import pytest

from harness import client, dns as dnsmod
from harness.hauberk import free_port
from harness.wait import until


def send(hb, domain, subject="dns", sender="alice@hb.test"):
    hb.send(sender, "x@" + domain, client.text(subject))


def notice(hb):
    """The one notice to alice, as text."""
    return hb.wait_mail("alice")[0].decode("latin-1")


def test_mx_delivery(world):
    """The plain case: MX, A, opportunistic TLS, delivered."""
    mx = world.domain("far.test")
    hb = world.server()
    send(hb, "far.test")
    assert mx.wait(1)[0].rcpts == ["x@far.test"]
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["mx"].rstrip(".") == "mx.far.test"
    assert record["tls"] == "TLSv1.3/verified"
    assert record["sts"] == "none"


def test_opportunistic_takes_any_certificate(world, other_ca):
    """Without a policy an untrusted certificate is better than none."""
    mx = world.domain("far.test", cert=other_ca.issue("x.test"))
    hb = world.server()
    send(hb, "far.test")
    assert mx.wait(1)[0].tls
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["tls"] == "TLSv1.3/unverified"


def test_opportunistic_goes_on_in_clear(world):
    """Without a policy a broken STARTTLS does not stop the mail."""
    for how in ("strip", "refuse", "fail"):
        name = how + ".test"
        mx = world.domain(name)
        mx.starttls = how
        hb = world.server()
        send(hb, name)
        assert mx.wait(1)[0].tls is None
        record = hb.wait_record(ev="delivery", result="ok")
        assert record["tls"] == "none"


def test_preference_order(world):
    """The lowest preference first, the next when it cannot be reached."""
    first, second = world.domain("far.test", "10 a.far.test",
                                 "20 b.far.test")
    hb = world.server()
    send(hb, "far.test", "one")
    first.wait(1)
    first.stop()
    send(hb, "far.test", "two")
    second.wait(1)
    assert len(first.accepted()) == len(second.accepted()) == 1


def test_next_mx_after_4xx_greeting(world):
    """A host that says 421 is passed over for the next."""
    first, second = world.domain("far.test", "10 a.far.test",
                                 "20 b.far.test")
    first.reply["greeting"] = "421 4.3.2 busy"
    hb = world.server()
    send(hb, "far.test")
    second.wait(1)
    assert not first.accepted()


def test_SMTP_09_equal_preference_is_shuffled(world):
    """Hosts of one preference share the load."""
    hosts = world.domain("far.test", "10 a.far.test", "10 b.far.test")
    hb = world.server(["max-messages-per-connection 1"])
    for i in range(24):
        send(hb, "far.test", "m%d" % i)
    until(lambda: sum(len(h.accepted()) for h in hosts) == 24, 30, "all")
    assert all(len(h.accepted()) >= 1 for h in hosts)


def test_SMTP_09_null_mx(world):
    """`MX 0 .` is final at once: 5.1.10."""
    world.dns.set("none.test", "MX", "0 .")
    hb = world.server()
    send(hb, "none.test")
    assert "5.1.10" in notice(hb)
    hb.wait_record(ev="delivery", result="fail", reason="null-mx")


def test_SMTP_09_no_such_domain(world):
    """NXDOMAIN is final at once."""
    hb = world.server()
    send(hb, "nosuch.invalid")
    assert "nosuch.invalid" in notice(hb)
    record = hb.wait_record(ev="delivery", result="fail")
    assert record["reason"] == "dns-no-domain"


def test_SMTP_09_no_fallback_to_A(world, mx_factory, address):
    """MX records of which none is usable: the domain's A is not used."""
    a = world.host("far.test")
    world.dns.set("far.test", "MX", "10 gone.far.test")
    hb = world.server()
    send(hb, "far.test")
    hb.wait_record(ev="delivery", rcpt="x@far.test")
    assert a.connections == 0


def test_implicit_mx(world):
    """No MX record: the domain's address is its mail host."""
    mx = world.host("plain.test")
    hb = world.server()
    send(hb, "plain.test")
    mx.wait(1)


def test_cname_of_the_domain(world):
    """A domain that is an alias: the MX of its target, address kept."""
    mx = world.domain("real.test")
    world.dns.set("alias.test", "CNAME", "real.test")
    hb = world.server()
    send(hb, "alias.test")
    assert mx.wait(1)[0].rcpts == ["x@alias.test"]


def test_cname_of_the_host(world):
    """An MX that is an alias is tolerated."""
    mx = world.host("real.far.test")
    world.dns.set("mx.far.test", "CNAME", "real.far.test")
    world.dns.set("far.test", "MX", "10 mx.far.test")
    hb = world.server()
    send(hb, "far.test")
    mx.wait(1)


def test_SMTP_09_self_and_worse_are_dropped(world):
    """Our own name among the MX: better hosts only, never worse ones."""
    better, worse = world.domain("far.test", "10 a.far.test",
                                 "30 c.far.test")
    world.dns.set("far.test", "MX", "10 a.far.test", "20 mx.hb.test",
                  "30 c.far.test")
    better.stop()
    hb = world.server()
    send(hb, "far.test")
    hb.wait_reason("connect-refused")
    assert worse.connections == 0
    better.start()
    better.wait(1)


def test_SMTP_09_only_self(world):
    """We are the best MX but the domain is not ours: an error, no loop."""
    world.dns.set("far.test", "MX", "10 mx.hb.test")
    world.dns.set("mx.hb.test", "A", "127.0.0.1")
    hb = world.server()
    send(hb, "far.test")
    assert "far.test" in notice(hb)
    hb.wait_record(ev="delivery", result="fail", reason="mx-self")


def test_two_addresses(world, address, mx_factory):
    """The second address of a host is tried when the first refuses."""
    mx = world.domain("far.test")
    world.dns.set("mx.far.test", "A", address(), mx.address)
    hb = world.server()
    for i in range(4):
        send(hb, "far.test", "m%d" % i)
    mx.wait(4)


def test_servfail_delays(world):
    """SERVFAIL and refusal delay; mail goes when they end."""
    hb = world.server()
    for kind in ("servfail", "refused"):
        mx = world.domain(kind + ".test")
        world.dns.fault(kind + ".test", kind)
        send(hb, kind + ".test", kind)
        hb.wait_reason("dns-temporary")
        world.dns.heal()
        mx.wait(1, 30)
    assert hb.maildir("alice") == []


@pytest.mark.limit(120)
@pytest.mark.parametrize("how", ["formerr", "notimp", "refused", "servfail",
                                 "drop"])
def test_F_7_resolver_without_edns(world, how):
    """Questions with EDNS fail: asked without, remembered, and said."""
    mx = world.domain("far.test")
    world.dns.without_edns = how
    hb = world.server(["retry first=2s max=2s"])
    send(hb, "far.test")
    mx.wait(1, 90)
    assert hb.wait_record(ev="dns", action="edns", state="no")
    until(lambda: "does not speak EDNS" in str(hb.ctl("status", json=True)),
          20)
    # from then on without trying
    world.domain("other.test")
    send(hb, "other.test")
    hb.wait_empty()
    assert len(world.dns.asked("other.test", "MX")) == 1


def test_truncated_answer(world):
    """A truncated answer is asked again over TCP."""
    mx = world.domain("far.test")
    world.dns.fault("far.test", "truncate", qtype="MX")
    hb = world.server()
    send(hb, "far.test")
    mx.wait(1)
    assert any(q.proto == "tcp" for q in world.dns.asked("far.test", "MX"))


def test_many_mx_records(world):
    """An answer too big for UDP, and hosts without addresses in it."""
    mx = world.domain("far.test")
    dead = ["%d long-name-of-a-host-%d.far.test" % (20 + i, i)
            for i in range(40)]
    world.dns.set("far.test", "MX", "10 mx.far.test", *dead)
    hb = world.server()
    send(hb, "far.test")
    mx.wait(1)


@pytest.mark.limit(200)
def test_no_resolver_at_boot(make_server, closing, world):
    """No name server at start, one later: mail goes out by itself."""
    mx = world.domain("far.test")
    port = free_port()
    lines = [l for l in world.lines() if not l.startswith("resolver")]
    hb = make_server(lines + ["resolver 127.0.0.1:%d" % port])
    send(hb, "far.test")
    assert hb.wait_reason(timeout=40)["reason"] in (
        "dns-temporary", "sts-dns-temporary")
    late = closing(dnsmod.DnsServer("127.0.0.1", port))
    late.zone = world.dns.zone
    # without a word on MTA-STS the domain is looked at again after 30 s
    mx.wait(1, 100)
    hb.wait_empty()


def test_other_resolvers_under_a_question(world):
    """A reload that brings other name servers is no trouble of DNS for mail
    that waits for an answer of those before."""
    mx = world.domain("far.test")
    world.dns.delay("far.test", 2)
    hb = world.server()
    send(hb, "far.test")
    until(lambda: world.dns.asked("far.test", "MX"), 10)
    hb.configure(world.lines() + ["resolver 127.0.0.1:%d" % free_port()])
    assert hb.ctl("reload").code == 0
    mx.wait(1, 20)
    hb.wait_empty()
    assert [r["result"] for r in hb.records(ev="delivery")] == ["ok"]


def test_source_address(world):
    """Connections are made from `source-address`."""
    mx = world.domain("far.test")
    hb = world.server(["source-address 127.0.0.77"])
    send(hb, "far.test")
    assert mx.wait(1)[0].client == "127.0.0.77"


def test_address_literal(make_server, mx_factory):
    """`user@[127.0.0.1]` goes to that address, with no DNS at all."""
    port = free_port()
    mx = mx_factory("127.0.0.99", port)
    hb = make_server(["smtp-port %d" % port])
    hb.send("a@client.test", "x@[127.0.0.99]", client.text("literal"))
    assert mx.wait(1)[0].rcpts == ["x@[127.0.0.99]"]


def test_route(world, mx_factory):
    """`route` wins over MX records, for names, subdomains and errors."""
    mx = world.domain("far.test")
    routed = mx_factory("127.0.0.1", name="routed")
    url = "smtp://127.0.0.1:%d" % routed.port
    hb = world.server(["route one.test " + url, "route .two.test " + url,
                       "route bad.test error:5.7.1 not there"])
    for domain in ("one.test", "a.two.test", "far.test"):
        send(hb, domain)
    routed.wait(2)
    mx.wait(1)
    with hb.client() as c:
        c.ehlo()
        replies = c.envelope("a@client.test", "x@bad.test")
        assert replies[1].code == 550


def anonymous_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return sum(int(line.split()[1]) for line in f
                   if line.startswith("Anonymous:"))


def fat_answer(packet, proto):
    """3200 MX records of a day's life with one long name, which stands there
    once; or, over UDP, the word that TCP has to be asked."""
    end = packet.index(b"\0", 12) + 5
    n = 3200 if proto == "tcp" else 0
    flags = 0x8180 if n else 0x8380
    name = b"".join(bytes([62]) + c * 62 for c in (b"a", b"b", b"c"))
    name += b"\4test\0"
    head = b"\xc0\x0c" + struct.pack("!HHI", 15, 1, 86400)
    first = head + struct.pack("!HH", 2 + len(name), 0) + name
    at = 0xc000 | (end + len(head) + 4)
    rest = b"".join(head + struct.pack("!HHH", 4, k, at)
                    for k in range(1, n))
    return (packet[:2] + struct.pack("!HHHHH", flags, 1, n, 0, 0) +
            packet[12:end] + (first + rest if n else b""))


@pytest.mark.limit(200)
def test_fat_answers_do_not_fill_the_memory(world, monkeypatch):
    """Answers of 56 KiB with a long name in each record, which stands there
    compressed: a megabyte when they are read. Their owner says that they may
    be kept for a day, and has as many domains as he likes."""
    n = 60
    mx = world.domain("far.test")
    plain = world.dns.answer

    def answer(packet, proto):
        fat = b"\3fat\4test\0\0\x0f" in packet
        return fat_answer(packet, proto) if fat else plain(packet, proto)

    monkeypatch.setattr(world.dns, "answer", answer)
    hb = world.server(["delay-warning off"])
    send(hb, "far.test")
    mx.wait(1)
    pid = hb.role("delivery")[0]
    before = anonymous_kib(pid)
    for i in range(n):
        send(hb, "n%d.fat.test" % i)
    until(lambda: len(hb.records(ev="delivery", result="fail")) >= n, 60,
          lambda: len(hb.records(ev="delivery")))
    assert anonymous_kib(pid) - before < 24 * 1024


@pytest.mark.parametrize("hop", ["smtp://smart.test:%d", "mx://smart.test",
                                 "smtp+tls://smart.test:%d"])
def test_smarthost_that_dns_does_not_know(world, mx_factory, hop):
    """The operator's hop, not the recipients' domain, is missing: mail waits
    for it, and is not returned."""
    if "%d" in hop:
        hop %= world.port
    hb = world.server(["smarthost " + hop])
    send(hb, "far.test")
    hb.wait_record(ev="delivery", result="defer", reason="hop-unknown")
    hb.wait_record(ev="mail", state="trouble", word="hop-unknown")
    row, = hb.ctl("status", json=True)["trouble"]
    assert (row["kind"], row["what"]) == ("mail", "hop-unknown")
    told = hb.ctl("explain", "bob@far.test", json=True)
    assert (told["verdict"], told["reason"]) == ("defer", "hop-unknown")
    if hop.startswith("mx:"):
        world.dns.set("smart.test", "MX", "0 .")
        until(lambda: hb.ctl("flush", "all") and hb.records(
            ev="delivery", result="defer", reason="null-mx"), 20, "null MX")
        world.dns.set("smart.test", "MX", "10 mx.smart.test")
        smart = world.host("mx.smart.test")
    else:
        smart = world.host("smart.test")
    until(lambda: hb.ctl("flush", "all") and smart.accepted(), 30, "it goes")
    assert not hb.records(ev="bounce")


@pytest.mark.parametrize("level", ["verify", "sts", "dane"])
@pytest.mark.parametrize("lie", [None, "0 ."])
def test_unsigned_denial_against_the_operators_demand(world, level, lie):
    """Whoever forges one DNS answer destroys no mail of a domain whose hosts
    the operator wants to be proved."""
    if lie:
        world.dns.set("bank.test", "MX", lie)
    hb = world.server(["tls-policy bank.test " + level])
    send(hb, "bank.test")
    hb.wait_record(ev="delivery", result="defer", reason="dns-contradicted")


def test_F_2_own_addresses(make_server, dns):
    """Mail hosts that are this host by an address of an interface, also one
    that comes later, or by an address that means no host: the loop ends at the
    first round."""
    port = free_port()
    hb = make_server(["listen *:%d smtp" % port, "smtp-port %d" % port,
                      "resolver %s" % dns])
    hb.port = port
    for name, kind, address in (("zero", "A", "0.0.0.0"),
                                ("none", "AAAA", "::"),
                                ("mapped", "AAAA", "::ffff:7f00:1"),
                                ("loop", "A", "127.0.0.9"),
                                ("late", "A", "192.0.2.77")):
        dns.set(name + ".test", "MX", "10 mx.%s.test" % name)
        dns.set("mx.%s.test" % name, kind, address)
    domains = ["zero", "none", "mapped", "loop"]
    if os.geteuid() == 0:  # in a network of our own
        subprocess.run(["ip", "addr", "add", "192.0.2.77/32", "dev", "lo"],
                       check=True)
        domains.append("late")
        until(lambda: "mx-self" in hb.ctl("explain", "late.test").out, 20,
              "the new address is not known")
    for name in domains:
        hb.send("a@client.test", "x@%s.test" % name, client.text(name))
    hb.wait_empty()
    if os.geteuid() == 0:
        subprocess.run(["ip", "addr", "del", "192.0.2.77/32", "dev", "lo"],
                       check=True)
    assert [r["reason"] for r in hb.records(ev="delivery", result="fail")
            if r["rcpt"].startswith("x@")] == ["mx-self"] * len(domains)
    taken = [r for r in hb.records(ev="accept") if r["from"] != ""]
    assert len(taken) == len(domains)


def test_F_2_a_smarthost_that_is_ourselves(make_server):
    """The operator's mistake waits and is told; nobody gets it back."""
    hb = make_server(start=False)
    hb.write("hosts", "127.0.0.1 hub.test\n")
    hb.configure(["smarthost smtp://hub.test:%d" % hb.port])
    hb.start()
    hb.send("a@client.test", "x@far.test", client.text("round"))
    record = hb.wait_record(ev="delivery")
    assert (record["result"], record["reason"]) == ("defer", "mx-self")
    assert len(hb.records(ev="accept")) == 1
