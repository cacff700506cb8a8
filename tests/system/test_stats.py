"""`hauberkctl stats`: what is counted, and its three forms."""

import pytest
from prometheus_client.openmetrics import parser

from harness import client


def metrics(hb):
    """{name: {labels as a tuple: value}} of the OpenMetrics text, whose
    families all say their type and what they are."""
    done = hb.ctl("stats", "--prometheus")
    assert done.code == 0, done
    assert done.out.endswith("\n# EOF\n")
    out = {}
    for family in parser.text_string_to_metric_families(done.out):
        assert family.type in ("counter", "gauge"), family
        assert family.documentation and family.name.startswith("hauberk_")
        for s in family.samples:
            assert s.name == family.name + (
                "_total" if family.type == "counter" else "")
            out.setdefault(family.name[len("hauberk_"):], {})[
                tuple(s.labels.items())] = s.value
    return out


def send(hb, rcpt, subject="stats"):
    hb.send("alice@hb.test", rcpt, client.text(subject))


def test_stats_at_the_start(server):
    """Every counter is there with 0, in all three forms alike."""
    found = server.ctl("stats", json=True)
    assert found["messages_accepted"] == {"smtp": 0, "maildrop": 0}
    assert found["downgrades"] == 0 and found["hosts_refused"] == {}
    assert found["now"]["queue_messages"] == 0
    text = {tuple(line.split()[:-1]): line.split()[-1]
            for line in server.ctl("stats").out.splitlines()}
    assert text["messages_accepted", "smtp"] == "0"
    assert text["queue_messages", "now"] == "0"
    assert metrics(server)["messages_accepted"] == {
        (("source", "smtp"),): 0, (("source", "maildrop"),): 0}
    refused = server.ctl("stats", "--promitheus")
    assert refused.code == 64 and "--prometheus" in refused.err


def test_stats_of_mail(world):
    """Accepted, refused, delivered by channel, deferred, failed, notices."""
    world.domain("plain.test", cert=None)
    mx = world.domain("tls.test")
    world.domain("sts.test")
    world.policy("sts.test")
    hb = world.server()
    for rcpt in ("alice@hb.test", "x@plain.test", "x@tls.test", "x@sts.test"):
        send(hb, rcpt)
    hb.wait_empty()
    mx.reply["rcpt"] = "550 5.1.1 no such person"
    send(hb, "y@tls.test")
    hb.sendmail("bob@hb.test", message=client.text("dropped"))
    hb.wait_mail("bob")
    hb.wait_empty()
    with hb.client() as c:
        c.ehlo()
        assert c.envelope("a@client.test", "nobody@hb.test")[1].code == 550
        assert c.cmd("MAIL FROM:<a").code == 503
    found = hb.ctl("stats", json=True)
    assert found["messages_accepted"] == {"smtp": 5, "maildrop": 1}
    assert found["recipients_delivered"] == {
        "local": 3, "none": 1, "unverified": 0, "verified": 2, "dane": 0}
    assert found["recipients_failed"] == 1
    assert found["notices"] == {"failure": 1, "delay": 0, "success": 0}
    assert found["policies"]["fetched"] == 1
    assert found["commands_refused"]["rcpt"] >= 1
    assert found["hosts_refused"] == {}
    got = metrics(hb)
    for family in ("messages_accepted", "recipients_delivered", "notices",
                   "policies", "commands_refused"):
        assert {k[0][1]: v for k, v in got[family].items()} == found[family]


def test_stats_of_refused_hosts(world):
    """A host that a policy refuses is counted by the reason; what waits is
    in the gauges."""
    mx = world.domain("far.test", cert=None)
    world.policy("far.test")
    hb = world.server(["retry first=1h max=1h"])
    send(hb, "x@far.test")
    hb.wait_reason("no-starttls")
    found = metrics(hb)
    assert found["hosts_refused"] == {(("reason", "no-starttls"),): 1}
    assert found["recipients_deferred"] == {(): 1}
    assert found["queue_messages"] == {(): 1}
    assert found["queue_deferred"] == {(): 1}
    assert not mx.messages


@pytest.mark.parametrize("workers", [1, 3])
def test_stats_are_added_up(world, workers):
    """Those of several workers are one sum."""
    names = ["d%d.test" % i for i in range(8)]
    for name in names:
        world.domain(name, cert=None)
    hb = world.server(["workers smtpd=%d delivery=%d" % (workers, workers)])
    for name in names:
        send(hb, "x@" + name)
    hb.wait_empty()
    found = hb.ctl("stats", json=True)
    assert found["messages_accepted"]["smtp"] == 8
    assert found["recipients_delivered"]["none"] == 8
    assert found["dns_failures"] == 0
    world.dns.fault("broken.test", "servfail", "MX")
    send(hb, "x@broken.test")
    hb.wait_reason("dns-temporary")
    assert metrics(hb)["dns_failures"][()] == 1


def test_stats_of_policies(world):
    """Fetched, kept while the fetch fails, refreshed, expired."""
    world.domain("far.test")
    world.policy("far.test", max_age=86400 * 7)
    hb = world.server(["delay-warning off"])
    send(hb, "x@far.test")
    hb.wait_empty()
    hb.ctl("sts", "refresh", "far.test")
    world.policies.block()
    hb.ctl("sts", "refresh", "far.test")
    world.dns.remove("_mta-sts.far.test")
    hb.ctl("lab", "advance", "8d")
    send(hb, "x@far.test")
    hb.wait_empty()
    found = hb.ctl("stats", json=True)
    assert found["policies"]["fetched"] == 1
    assert found["policies"]["refreshed"] == 1
    assert found["policies"]["kept"] >= 1
    assert found["policies"]["expired"] == 1
    assert found["policy_fetch_failures"] >= 1
