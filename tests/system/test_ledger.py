"""The ledger of the best channels seen: its commands, and what it outlives.
What an attempt makes of it is in test_downgrade.py."""

import time

import pytest

from harness import client
from harness.wait import until

# each message looks at its own connection
ONE = ["max-messages-per-connection 1"]


def send(hb, domain="far.test"):
    hb.send("alice@hb.test", "x@" + domain, client.text("ledger"))


def deliver(hb, domain="far.test"):
    send(hb, domain)
    hb.wait_empty()


def shown(hb, domain="far.test"):
    return hb.ctl("ledger", "show", domain, json=True)


def ranks(hb, domain="far.test"):
    """The best of the domain, and {host: its best}."""
    found = shown(hb, domain)
    return found["best"], {m["name"]: m["best"] for m in found["mx"]}


def nothing(hb, domain="far.test"):
    done = hb.ctl("ledger", "show", domain)
    assert done.code == 1 and "nothing is remembered" in done.err, done


@pytest.mark.both
def test_ledger_commands(world):
    """list, show and forget, as text and as JSON."""
    world.domain("plain.test", cert=None)
    world.domain("sts.test")
    world.policy("sts.test")
    hb = world.server()
    assert hb.ctl("ledger", "list", json=True) == []
    assert hb.ctl("ledger", "list").out == "nothing is remembered\n"
    deliver(hb, "plain.test")
    deliver(hb, "sts.test")
    assert ranks(hb, "PLAIN.test") == ("plain", {"mx.plain.test": "plain"})
    found = shown(hb, "sts.test")
    assert found["domain"] == "sts.test" and found["best"] == "sts"
    host, = found["mx"]
    assert host["name"] == "mx.sts.test" and host["best"] == "sts"
    assert found["since"] == found["last"] == host["since"] == host["last"]
    assert found["since"].startswith("20") and found["since"].endswith("Z")
    listed = hb.ctl("ledger", "list", json=True)
    assert [d["domain"] for d in listed] == ["plain.test", "sts.test"]
    assert listed[1] == found
    text = hb.ctl("ledger", "list").out.splitlines()
    assert text[0].startswith("plain.test plain since 20")
    assert text[3].startswith("    mx.sts.test sts since 20")
    done = hb.ctl("ledger", "forget", "Sts.Test")
    assert done.code == 0 and done.err == "", done
    nothing(hb, "sts.test")
    assert hb.ctl("ledger", "forget", "sts.test").code == 1
    nothing(hb, "never.test")
    assert hb.ctl("ledger", "show").code == 64
    deliver(hb, "sts.test")
    assert ranks(hb, "sts.test")[0] == "sts"


def test_ledger_raises_and_never_lowers(world, other_ca):
    """plain, tls, verified, sts; and a worse channel changes nothing."""
    mx = world.domain("far.test", cert=other_ca.issue("mx.far.test"))
    good = world.ca.issue("mx.far.test")
    mx.starttls = "strip"
    hb = world.server(ONE)
    deliver(hb)
    assert ranks(hb)[0] == "plain"
    mx.starttls = "offer"
    deliver(hb)
    assert ranks(hb)[0] == "tls"
    mx.cert = good
    deliver(hb)
    assert ranks(hb)[0] == "verified"
    world.policy("far.test")
    hb.ctl("sts", "refresh", "far.test")
    deliver(hb)
    assert ranks(hb) == ("sts", {"mx.far.test": "sts"})
    before = shown(hb)
    hb.ctl("sts", "forget", "far.test")
    world.dns.remove("_mta-sts.far.test")
    time.sleep(1.2)  # answers live for a second
    mx.starttls = "strip"
    assert not hb.records(ev="downgrade")
    deliver(hb)
    hb.wait_record(ev="downgrade", to="plain")
    assert shown(hb) == before
    assert hb.ctl("stats", json=True)["downgrades"] == 1


def test_ledger_of_a_host_never_seen(world):
    """A new host of a known domain is measured by the domain's best."""
    world.domain("far.test", "10 one.far.test")
    hb = world.server(ONE)
    deliver(hb)
    world.host("two.far.test", cert=None)
    world.dns.set("far.test", "MX", "10 two.far.test")
    time.sleep(1.2)
    deliver(hb)
    hb.wait_record(ev="downgrade", domain="far.test", mx="two.far.test",
                   to="plain", **{"from": "verified"})
    assert ranks(hb) == ("verified", {"one.far.test": "verified",
                                      "two.far.test": "plain"})


@pytest.mark.both
def test_ledger_outlives_the_death_of_roles(world):
    """What was noted a moment ago survives queue's death and delivery's;
    what is older than ten seconds, that of all at once."""
    world.domain("far.test")
    world.domain("late.test")
    hb = world.server()
    deliver(hb)
    hb.wait_role("queue", hb.kill("queue"))
    until(lambda: hb.ctl("ledger", "list").code == 0, 5, "queue")
    assert ranks(hb)[0] == "verified"
    deliver(hb, "late.test")
    hb.wait_role("delivery", hb.kill("delivery"))
    until(lambda: hb.ctl("ledger", "show", "late.test").code == 0, 5,
          "delivery")
    time.sleep(11)
    hb.kill_all()
    hb.start()
    assert ranks(hb)[0] == ranks(hb, "late.test")[0] == "verified"


def test_ledger_of_several_workers(world):
    """The owner of a domain answers for it; each domain is listed once."""
    names = ["d%d.test" % i for i in range(8)]
    for name in names:
        world.domain(name)
    hb = world.server(["workers delivery=3"])
    for name in names:
        send(hb, name)
    hb.wait_empty()
    listed = hb.ctl("ledger", "list", json=True)
    assert sorted(d["domain"] for d in listed) == names
    for name in names:
        assert ranks(hb, name)[0] == "verified"
    assert hb.ctl("ledger", "forget", "d3.test").code == 0
    nothing(hb, "d3.test")
    nothing(hb, "never.test")
    assert len(hb.ctl("ledger", "list", json=True)) == 7


def test_ledger_list_in_slices(world):
    """More domains than are read at a time."""
    names = ["n%03d.test" % i for i in range(250)]
    world.host("hop.test", cert=None)
    for name in names:
        world.dns.set(name, "MX", "10 hop.test")
    hb = world.server()
    for i in range(0, 250, 50):
        hb.send("alice@hb.test", ["x@" + n for n in names[i:i + 50]],
                client.text("many"))
    hb.wait_empty(60)
    assert [d["domain"] for d in hb.ctl("ledger", "list", json=True)] == names
