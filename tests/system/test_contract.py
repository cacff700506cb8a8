"""What others rely on: the words of the interface, as they are written."""

import os

import pytest

from harness import client, hauberk as hauberkmod
from harness.wait import until

ACTIONS = {"fetched", "refreshed", "kept", "rejected", "expired"}


@pytest.fixture
def waiting(make_server):
    """A server whose remote mail waits: nobody listens there."""
    return make_server(["smarthost smtp://127.0.0.1:%d"
                        % hauberkmod.free_port(),
                        "retry first=1h max=1h"])


def queue_to(hb, *rcpts):
    """Queue one message; its entry after the first attempts."""
    hb.send("a@c.test", list(rcpts), client.text("contract"))

    def tried():
        return [e for e in hb.queue()
                if rcpts[0] in (r["address"] for r in e["recipients"])
                and all(r["attempts"] for r in e["recipients"])]
    return until(tried, 15, "an attempt")[0]


# MTA-STS


def test_STS_09_12_17_a_long_policy_counts_whole(world):
    """A host in the last of the mx lines that fit into 64 KiB is listed."""
    mx = world.domain("far.test")
    names, size = [], 0
    while size < (64 << 10) - 200:
        names.append("m%d.far.test" % len(names))
        size += len("mx: \r\n") + len(names[-1])
    world.policy("far.test", mxs=names + [mx.name])
    hb = world.server()
    hb.send("a@c.test", "x@far.test", client.text("long"))
    mx.wait(1)
    record = hb.wait_record(ev="delivery", rcpt="x@far.test")
    assert (record["sts"], record["tls"]) == ("enforce", "TLSv1.3/verified")
    shown = hb.ctl("sts", "show", "far.test", json=True)
    assert shown["mx"][-1] == mx.name and len(shown["mx"]) == len(names) + 1
    hb.kill_all()
    hb.start()
    told = hb.ctl("explain", "x@far.test", json=True)
    assert told["policy"]["mx"] == shown["mx"]
    assert told["mx"][0]["reason"] == "sts-ok"
