"""hauberkctl explain: what delivery would do, and why, for a person; and the
same words in the log, the queue and the notices."""

import email
import re
import time

import pytest

from harness import client, pki
from harness.wait import now, until
from test_dane import TRUST, ee, publish
from test_sts import ATTACKS, Attack

BLOCKS = ["Where it goes", "What far.test asks for", "Signed records (DANE)",
          "The mail host", "The outcome"]


def send(hb, domain="far.test", subject="explain"):
    hb.send("alice@hb.test", "x@" + domain, client.text(subject))


def page(hb, *args):
    """The page as a person sees it, checked for its form."""
    told = hb.ctl("explain", *args)
    assert told.code == 0, told
    for line in told.out.splitlines():
        assert len(line) <= 72 or " " not in line.strip(), line
    return told.out


def words(text):
    """Without the line breaks."""
    return " ".join(text.split())


def told(hb, *args):
    return hb.ctl("explain", *args, json=True)


def facts(hb, *args):
    """The JSON, which has all that was promised."""
    e = told(hb, *args)
    for key in ("address", "route", "policy_domain", "policy", "dane", "mx",
                "verdict", "reason", "why", "change"):
        assert key in e, key
    for m in e["mx"]:
        for key in ("name", "preference", "verdict", "reason", "tls", "why",
                    "dane", "certificate", "ledger"):
            assert key in m, key
    return e


def facts_when(hb, who, *args, **txt):
    """The same, once the TXT record was looked at again (its TTL)."""
    def look():
        e = facts(hb, who, *args)
        return e if all(e["txt"][k] == v for k, v in txt.items()) else None
    return until(look, 10, "the TXT record with %s" % txt)


def not_offered(*hosts):
    return not any("MAIL" in h.verbs() for h in hosts)


def test_page_and_no_connection(world):
    """Without --live nothing is connected to, and the page says so."""
    mx = world.domain("far.test")
    world.policy("far.test", max_age=86400 + 1800)
    hb = world.server()
    text = page(hb, "x@far.test")
    at = [text.index("\n%s\n" % b) for b in BLOCKS]
    assert at == sorted(at)
    flat = words(text)
    assert "in force (mode enforce)" in flat and "(id 1)" in flat
    assert "It lists mx.far.test." in flat
    assert "(in 24 hours)" in flat
    assert "Nothing was connected to" in flat
    assert "[sts-ok]" in flat
    assert mx.connections == 0


def test_live_connects_and_sends_nothing(world):
    """--live: EHLO, STARTTLS, EHLO, and no MAIL; certificate facts."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    e = facts(hb, "x@far.test", "--live")
    assert mx.verbs()[:3] == ["EHLO", "STARTTLS", "EHLO"]
    assert set(mx.verbs()) <= {"EHLO", "STARTTLS", "QUIT"}
    host, = e["mx"]
    assert (host["verdict"], host["reason"]) == ("proceed", "sts-ok")
    assert host["tls"] == "TLSv1.3/verified"
    cert = host["certificate"]
    assert cert["names"] == ["mx.far.test"] and cert["verified"] is True
    assert cert["issuer"] == "CN=Test CA" and cert["error"] is None
    assert cert["expires"].endswith("Z")
    assert e["policy"]["source"] == "fetched"
    assert e["policy"]["last_error"] is None
    assert e["dane"]["resolver"] == "untrusted"
    assert e["operator"] == dict(e["operator"], level="may", rule=None,
                                 reason=None, until=None)
    flat = words(page(hb, "x@far.test", "--live"))
    assert "the host proved its name with its certificate" in flat
    assert 'issued by "CN=Test CA"' in flat
    assert "Nothing was connected to" not in flat
    assert not_offered(mx)


def test_live_looks_at_the_host_anew(world):
    """A connection that waits for more mail is not what is explained."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    send(hb)
    mx.wait(1)
    hb.wait_empty()
    before, mx.lines[:] = mx.connections, []
    mx.cert = world.ca.issue("mx.other.test")
    e = facts(hb, "x@far.test", "--live")
    assert e["reason"] == "cert-name"
    assert mx.connections == before + 1 and not_offered(mx)


@pytest.mark.parametrize("how", sorted(ATTACKS))
def test_every_fault_of_a_host(world, other_ca, how):
    """The reason of each fault, in the word, the sentence and the advice."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    attack = Attack(world, how, mx, other_ca)
    e = facts(hb, "x@far.test", "--live")
    assert e["verdict"] == "defer"
    assert e["reason"] in ATTACKS[how]
    assert e["mx"][0]["verdict"] == "skip"
    assert e["mx"][0]["reason"] == e["reason"]
    assert e["change"].endswith(".")
    flat = words(page(hb, "x@far.test", "--live"))
    assert "[%s]" % e["reason"] in flat
    assert flat.count(e["why"]) == 2 and e["change"] in flat
    assert "Mail would wait and be tried again" in flat
    assert not attack.mail_was_offered()


def stopped(mx):
    mx.stop()


def refusing(mx):
    mx.reply["greeting"] = "554 5.3.2 go away"


def silent(mx):
    mx.drop.add("greeting")


def no_ehlo(mx):
    mx.reply["ehlo"] = mx.reply["helo"] = "421 4.3.2 later"


@pytest.mark.parametrize("fault, reason", [
    (stopped, "connect-refused"), (refusing, "remote-reply"),
    (silent, "connection-lost"), (no_ehlo, "remote-reply")])
def test_host_that_cannot_be_talked_to(world, fault, reason):
    """A host that is listed and does not answer gets no mail; the next is
    looked at all the same."""
    first, second = world.domain("far.test", "10 a.far.test", "20 b.far.test")
    world.policy("far.test", mxs=["*.far.test"])
    fault(first)
    hb = world.server()
    e = facts(hb, "x@far.test", "--live")
    assert [m["verdict"] for m in e["mx"]] == ["defer", "proceed"]
    assert e["mx"][0]["reason"] == reason
    assert (e["verdict"], e["reason"]) == ("proceed", "sts-ok")
    second.stop()
    e = facts(hb, "x@far.test", "--live")
    assert e["verdict"] == "defer" and e["reason"] == "connect-refused"


def test_second_address_of_a_host(world, address):
    """One address is dead, the other is fine: so is the host."""
    world.domain("far.test")
    live, = world.dns.zone["mx.far.test"]["A"]
    world.dns.set("mx.far.test", "A", address(), live)
    hb = world.server()
    e = facts(hb, "x@far.test", "--live")
    host, = e["mx"]
    assert len(host["addresses"]) == 2
    assert (host["verdict"], host["tls"]) == ("proceed", "TLSv1.3/verified")
    assert e["verdict"] == "proceed"


def test_testing_says_what_would_not_fit(world):
    """A fault that a policy on trial only reports is shown."""
    mx = world.domain("far.test", cert=world.ca.issue("mx.other.test"))
    world.policy("far.test", "testing")
    hb = world.server()
    e = facts(hb, "x@far.test", "--live")
    assert (e["verdict"], e["reason"]) == ("proceed", "sts-testing")
    assert e["mx"][0]["report"] == "cert-name"
    flat = words(page(hb, "x@far.test", "--live"))
    assert "A fault that does not stop the mail" in flat
    assert "What did not fit: it is not for mx.far.test." in flat
    assert not_offered(mx)


def test_record_beside_the_policy(world):
    """A newer id whose policy cannot be had, a record that is gone: the
    policy that is held is shown with both."""
    mx = world.domain("far.test")
    site = world.policy("far.test")
    hb = world.server()
    send(hb)
    mx.wait(1)
    site.status = 500
    world.dns.set("_mta-sts.far.test", "TXT", "v=STSv1; id=2;")
    e = facts_when(hb, "x@far.test", id="2")
    assert e["policy"]["id"] == "1"
    assert e["policy"]["last_error"] == "sts-fetch-status"
    flat = words(page(hb, "x@far.test"))
    assert "announces another version now (id 2)" in flat
    assert "The policy holds all the same" in flat
    world.dns.remove("_mta-sts.far.test")
    e = facts_when(hb, "x@far.test", id=None, reason="sts-no-record")
    assert e["policy"]["id"] == "1"
    assert "That does not end a policy that is held" in words(
        page(hb, "x@far.test"))


def test_dead_policy_host_does_not_hold_it_up(world):
    """With a policy in hand and its host dead: an answer in seconds."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    send(hb)
    mx.wait(1)
    world.policies.block()
    world.txt("far.test", "2")
    mx.starttls = "strip"
    facts_when(hb, "x@far.test", id="2")
    began = now()
    e = facts(hb, "x@far.test", "--live")
    assert now() - began < 10
    assert (e["policy"]["id"], e["reason"]) == ("1", "no-starttls")
    assert e["policy"]["last_error"] == "sts-fetch-connect"


@pytest.mark.limit(120)
def test_silent_policy_host_is_waited_for_in_bounds(world, full):
    """A policy host that takes the connection and says nothing."""
    if not full:
        pytest.skip("takes a minute")
    world.domain("far.test")
    world.policy("far.test").refuse = "silence"
    hb = world.server()
    began = now()
    e = facts(hb, "x@far.test", "--live")
    assert now() - began < 75
    assert e["no_policy"] == "sts-fetch-timeout"
    assert e["mx"][0]["tls"] == "TLSv1.3/verified"


def test_signed_records(world, other_ca):
    """DANE: usable and fitting, not fitting, not to be learnt, insecure."""
    cert = other_ca.issue("mx.far.test")
    mx = world.domain("far.test", cert=cert)
    world.dns.sign("far.test")
    publish(world, "mx.far.test", ee(cert))
    hb = world.server(TRUST)
    e = facts(hb, "x@far.test", "--live")
    assert e["dane"] == {"state": "secure-usable", "resolver": "trusted",
                         "mx_signed": True}
    host, = e["mx"]
    assert host["reason"] == e["reason"] == "dane-ok"
    assert host["dane"]["base"] == "mx.far.test"
    assert host["dane"]["records"] == [ee(cert)]
    assert host["certificate"]["verified"] is True
    flat = words(page(hb, "x@far.test", "--live"))
    assert "list of the domain's mail hosts is signed" in flat
    mx.cert = world.ca.issue("mx.far.test")
    e = facts(hb, "x@far.test", "--live")
    assert e["reason"] == "dane-mismatch"
    assert e["mx"][0]["certificate"]["verified"] is False
    assert "is not the one that its signed records (DANE) promise" in words(
        page(hb, "x@far.test", "--live"))
    assert not_offered(mx)


def test_signed_records_that_cannot_be_learnt(world):
    """An error on TLSA is said, and that nobody was connected to for it."""
    mx = world.domain("far.test")
    world.dns.sign("far.test")
    world.dns.fault("_%d._tcp.mx.far.test" % world.port, "servfail")
    hb = world.server(TRUST)
    e = facts(hb, "x@far.test", "--live")
    assert (e["verdict"], e["reason"]) == ("defer", "dane-dns")
    assert e["mx"][0]["dane"]["state"] == "error"
    assert mx.connections == 0


def test_operator(world):
    """tls-policy with names, reason and until; the general words."""
    mx = world.domain("far.test", cert=world.ca.issue("old.test"))
    world.policy("far.test")
    hb = world.server(["tls-policy far.test verify names=old.test "
                       "until=2099-12-31 reason=\"renamed, they know\"",
                       "mta-sts off", "dane off"])
    e = facts(hb, "x@far.test", "--live")
    op = e["operator"]
    assert (op["level"], op["names"]) == ("verify", ["old.test"])
    assert op["reason"] == "renamed, they know"
    assert op["until"] == "2100-01-01T00:00:00.000Z"
    assert op["mta_sts"] is False and op["dane"] is False
    assert (e["verdict"], e["reason"]) == ("proceed", "operator")
    flat = words(page(hb, "x@far.test", "--live"))
    assert '"renamed, they know"' in flat and "`mta-sts off'" in flat
    assert "`dane off'" in flat and not_offered(mx)


def test_hosts_that_are_not_come_to(world):
    """`tls-policy D sts` without a policy: no host is judged, and each is
    shown with the reason."""
    hosts = world.domain("far.test", "10 a.far.test", "20 b.far.test")
    hb = world.server(["tls-policy far.test sts"])
    e = facts(hb, "x@far.test", "--live")
    assert (e["verdict"], e["reason"]) == ("defer", "sts-no-record")
    assert [(m["verdict"], m["reason"]) for m in e["mx"]] \
        == [("defer", "sts-no-record")] * 2
    assert "no reason given" not in page(hb, "x@far.test", "--live")
    assert all(h.connections == 0 for h in hosts)


def test_hosts_without_an_address(world):
    """They cannot be tried, and are shown all the same."""
    mx = world.domain("far.test", "10 none.far.test", "20 mx.far.test",
                      "30 lost.far.test")[1]
    for name in ("none.far.test", "lost.far.test"):
        world.dns.remove(name)
    world.dns.set("none.far.test", "TXT", "nothing else")
    world.dns.fault("lost.far.test", "servfail")
    hb = world.server()
    e = facts(hb, "x@far.test")
    assert [(m["name"], m["preference"], m["verdict"], m["reason"],
             len(m["addresses"])) for m in e["mx"]] == [
        ("mx.far.test", 20, "proceed", "tls-opportunistic", 1),
        ("none.far.test", 10, "skip", "dns-no-address", 0),
        ("lost.far.test", 30, "skip", "dns-temporary", 0)]
    assert e["verdict"] == "proceed"
    flat = words(page(hb, "x@far.test"))
    assert "none.far.test, preference 10, has no address" in flat
    assert "lost.far.test, preference 30, address not known now" in flat
    world.dns.remove("mx.far.test")
    until(lambda: facts(hb, "x@far.test")["verdict"] != "proceed", 10,
          "the address to be asked for anew")
    e = facts(hb, "x@far.test")
    assert (e["verdict"], e["reason"]) == ("defer", "dns-temporary")
    assert [m["verdict"] for m in e["mx"]] == ["skip"] * 3
    assert mx.connections == 0


def test_memory(world):
    """The best channel seen, since when, and a fall; --live itself is no
    sight of a channel that carried mail."""
    mx = world.domain("far.test")
    hb = world.server(["downgrade-memory defer"])
    e = facts(hb, "x@far.test", "--live")
    assert e["ledger"]["best"] == "none" and e["ledger"]["since"] is None
    assert "No mail has gone this way yet." in words(page(hb, "x@far.test"))
    send(hb)
    mx.wait(1)
    hb.wait_empty()
    e = facts(hb, "x@far.test")
    assert e["ledger"]["best"] == "verified"
    assert e["ledger"]["memory"] == "defer" and e["ledger"]["since"]
    assert e["mx"][0]["ledger"] == "verified"
    mx.starttls = "strip"
    e = facts(hb, "x@far.test", "--live")
    assert (e["verdict"], e["reason"]) == ("defer", "downgrade")
    assert e["mx"][0]["fell"] is True
    flat = words(page(hb, "x@far.test", "--live"))
    assert "encryption with proof of the host's name, first seen" in flat
    assert "That is worse than the best seen before" in flat
    assert facts(hb, "x@far.test")["ledger"]["best"] == "verified"
    assert len(mx.accepted()) == 1


PLACES = [
    ("alice@hb.test", "proceed", "ok", "to the mailbox alice on this server"),
    ("nobody@hb.test", "fail", "user-unknown", "no such mailbox"),
    ("team@hb.test", "proceed", "ok", "it stands for 2 recipients"),
    ("gone@hb.test", "fail", "route-error", "left us"),
    ("x@old.test", "fail", "route-error", "moved away"),
    ("x@null.test", "fail", "null-mx", "says that it takes no mail"),
    ("x@nowhere.test", "fail", "dns-no-domain", "does not exist"),
    ("x@hub.test", "proceed", "operator", "because"),
    ("far.test", "proceed", "tls-opportunistic", "addresses at far.test"),
]


@pytest.mark.parametrize("who, verdict, reason, says", PLACES,
                         ids=[p[0] for p in PLACES])
def test_where_mail_goes(world, who, verdict, reason, says):
    """Routes of every kind."""
    world.domain("far.test")
    world.dns.set("null.test", "MX", "0 .")
    world.host("relay.test")
    hb = world.server(start=False)
    hb.write("aliases", "team: alice, bob\ngone: error:5.1.6 left us\n")
    hb.configure(world.lines() + [
        "aliases aliases", "route old.test error:5.1.6 moved away",
        "route hub.test smtp+tls://relay.test:%d" % world.port])
    hb.start()
    e = facts(hb, who)
    assert (e["verdict"], e["reason"]) == (verdict, reason), e
    flat = words(page(hb, who))
    if says == "because":
        assert e["rule"].startswith("route hub.test smtp+tls://relay.test")
        assert e["rule"] in flat and e["policy_domain"] == "relay.test"
    else:
        assert says in flat


def test_each_worker_answers_for_its_domains(world):
    """Two delivery workers: the domain's own one answers, once."""
    names = ["%s.test" % c for c in "abcdef"]
    for name in names:
        world.domain(name)
        world.policy(name)
    hb = world.server(["workers smtpd=1 delivery=2"])
    for name in names:
        send(hb, name)
    hb.wait_empty()
    for name in names:
        e = facts(hb, "x@" + name)
        assert e["policy"]["domain"] == name
        assert len(world.policies.asked(name)) == 1


CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]")
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e"


def test_strangers_forge_nothing(world, space):
    """Greetings, replies, names and issuers of certificates, records."""
    ca = pki.CA(space.folder + "/evil-ca" + str(time.monotonic()),
                "Evil\x1b[2J CA\nThe outcome")
    mx = world.domain("far.test", cert=ca.issue("mx.far.test"))
    world.dns.set("_mta-sts.far.test", "TXT", "v=STSv1; id=\x1b[2J;")
    hb = world.server(["tls-policy far.test verify"])
    texts = [page(hb, "x@far.test", "--live")]
    assert "Evil" in texts[0]
    mx.starttls = "refuse"
    mx.reply["starttls"] = "454 4.7.0 " + EVIL + "\r454 The outcome"
    mx.reply["ehlo"] = "250-mx" + EVIL + "\r\n250 STARTTLS"
    texts.append(page(hb, "x@far.test", "--live"))
    mx.reply["greeting"] = "554 " + EVIL
    texts.append(page(hb, "x@far.test", "--live"))
    for text in texts:
        assert not CONTROL.search(text), CONTROL.search(text)
        assert text.count("\nThe outcome\n") == 1


def test_bad_questions(world):
    """What is no address is told so."""
    hb = world.server()
    for bad in ("a@@b", "x@", "x y@far.test", "x" * 2000):
        assert hb.ctl("explain", bad).code == 1, bad
    assert hb.ctl("explain", "x@far.test", "--dead").code == 64


# -- one word in four places -------------------------------------------------

def notice_parts(raw):
    parts = [p for p in email.message_from_bytes(raw).walk()
             if not p.is_multipart()]
    return words(parts[0].get_payload()), raw.decode("latin-1")


@pytest.mark.parametrize("how, reason, status", [
    ("strip", "no-starttls", "5.7.0"), ("name", "cert-name", "5.7.5")])
def test_one_word_in_log_queue_explain_and_notice(world, other_ca, how,
                                                  reason, status):
    """A failing delivery: the same word and sentence everywhere, at the end
    of the lifetime too."""
    mx = world.domain("far.test")
    world.policy("far.test")
    attack = Attack(world, how, mx, other_ca)
    hb = world.server(["lifetime 6s", "delay-warning 2s",
                       "retry first=1s max=1s"])
    send(hb)
    last = hb.wait_reason()
    assert last["reason"] == reason
    why = last["why"]
    e = facts(hb, "x@far.test", "--live")
    assert (e["reason"], e["why"]) == (reason, why)
    listed = hb.ctl("queue").out
    assert reason in listed and why in listed
    assert hb.wait_record(ev="delivery", result="defer")["reason"] == reason
    warning, failure = hb.wait_mail("alice", 2)
    human, raw = notice_parts(warning)
    assert "Nothing needs to be done now" in human
    assert "tried again until" in human and "Waiting since: " in human
    assert why in human and e["change"] in human
    assert "Mail host: mx.far.test" in human
    assert "X-Hauberk-Reason: " + reason in raw
    assert "Status: 4" + status[1:] in raw and "Action: delayed" in raw
    human, raw = notice_parts(failure)
    assert why in human and e["change"] in human
    assert "It will not be tried again" in human and "Tried since: " in human
    assert "X-Hauberk-Reason: " + reason in raw
    assert "Status: " + status in raw and "X-Hauberk-Expired: yes" in raw
    assert "Diagnostic-Code: X-Hauberk; mx.far.test: " in raw
    record = hb.wait_record(ev="delivery", result="fail")
    assert record["reason"] == reason and record["expired"] == "yes"
    assert record["status"] == status
    assert not attack.mail_was_offered()
    until(lambda: hb.queue() == [], 10, "the end")


def test_notice_of_a_refusal(world):
    """The other server's no: its words, and who can change them."""
    mx = world.domain("far.test")
    mx.reply["rcpt"] = "550 5.1.1 no such user"
    hb = world.server()
    send(hb)
    human, raw = notice_parts(hb.wait_mail("alice")[0])
    assert "the other mail server gave this answer" in human
    assert "It said: 550 5.1.1 no such user" in human
    assert "only the people who run that server" in human
    assert "Status: 5.1.1" in raw and "X-Hauberk-Expired" not in raw


def test_S_18_says_what_is_waited_for(world):
    """A name server that is silent: explain says so while it waits."""
    world.domain("far.test")
    world.dns.fault("far.test", "drop", qtype="MX")
    hb = world.server()
    r = hb.ctl("explain", "x@far.test")
    assert "still waiting (5 s) for DNS" in r.err
    assert "still waiting" not in r.out
