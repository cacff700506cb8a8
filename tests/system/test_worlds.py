"""Hundreds of domains at once, each a world with faults of its own."""

import concurrent.futures
import os
import signal
import threading

import pytest

from harness import client
from harness.wait import until
from harness.worlds import HELD, NOW, World, choose

pytestmark = pytest.mark.alone

# longer than all that waits for no timer takes, on a busy machine too
TIMER_S = {False: 30, True: 200}
WAITED_FOR = ("connect-timeout", "reply-timeout")


@pytest.fixture
def net(world, other_ca, address, closing):
    """The world of other tests, and what many worlds in it need: a gate
    that holds what is held, an end that comes after the test."""
    world.other_ca = other_ca
    world.address = address
    world.keep = closing
    world.healed = []
    world.gate, world.end = threading.Event(), threading.Event()
    yield world
    world.gate.set()
    world.end.set()


def submit_some(hb, rcpts):
    with hb.client() as c:
        c.ehlo()
        for rcpt in rcpts:
            reply = c.mail("alice@hb.test", rcpt, client.text(to=rcpt))
            assert reply.code == 250, reply
        c.quit()


def submit(hb, rcpts):
    """A message to each address, all of them there when delivery begins.  By
    several clients, whose messages share flushes: whoever stands still for
    long is killed."""
    n = 10
    stopped = hb.role("delivery")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        list(pool.map(lambda i: submit_some(hb, rcpts[i::n]), range(n)))
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


def outcomes(hb):
    """{recipient: its last record}."""
    return {r["rcpt"]: r for r in hb.records(ev="delivery")}


def wait_for(hb, rcpts, timeout):
    """Until each of the recipients has an outcome."""
    def missing():
        have = outcomes(hb)
        return [r for r in rcpts if r not in have]
    until(lambda: not missing(), timeout,
          lambda: "%d of %d without outcome: %s"
          % (len(missing()), len(rcpts), missing()[:9]), step=0.25)


def release(net):
    """What was held goes on."""
    for name in net.healed:
        net.dns.heal(name)
    net.gate.set()


def queue_of(hb):
    """{recipient: what happened last} of all that waits."""
    return {r["address"]: r["last"] for entry in hb.queue()
            for r in entry["recipients"] if r.get("last")}


def check_all(hb, worlds):
    have, queued = outcomes(hb), queue_of(hb)
    problems = {w: w.check(have.get(w.rcpt), queued.get(w.rcpt))
                for w in worlds}
    bad = [w for w in worlds if problems[w]]
    assert not bad, "%d of %d: %s" % (len(bad), len(worlds), "\n".join(
        "%s: %s; %s" % (w, problems[w], hb.records(domain=w.domain))
        for w in bad))


def check_notices(hb, count):
    """The sender has a notice for each failure, and no other."""
    def told():
        return hb.records(ev="delivery", rcpt="alice@hb.test")
    until(lambda: len(told()) >= count, 30,
          lambda: "%d of %d notices" % (len(told()), count))
    assert [r for r in told() if r["result"] != "ok"] == []
    assert len(hb.maildir("alice")) == count


@pytest.mark.limit(900)
def test_worlds(net, full):
    """A message to each of many domains, no two alike, all at once: each has
    the outcome that its own world demands, and none waits for another. What
    depends on no timer is there while dozens still hang, and nothing of what
    hangs is over then."""
    worlds = [World(net, i, spec)
              for i, spec in enumerate(choose(500 if full else 100, full))]
    hb = net.server(["trust-ad yes", "delay-warning off",
                     "retry first=4h max=4h",
                     "connect-timeout %ds" % TIMER_S[full],
                     "reply-timeout %ds" % TIMER_S[full]])
    submit(hb, [w.rcpt for w in worlds])
    wait_for(hb, [w.rcpt for w in worlds if w.when == NOW], TIMER_S[full])
    over = outcomes(hb)
    assert not [r for r in over.values() if r["reason"] in WAITED_FOR]
    early = [w for w in worlds if w.when == HELD and w.rcpt in over]
    assert not early, "over while they are held: %s" % [
        (w, hb.records(domain=w.domain), over[w.rcpt]) for w in early]
    release(net)
    wait_for(hb, [w.rcpt for w in worlds], 2 * TIMER_S[full])
    check_all(hb, worlds)
    check_notices(hb, sum(w.expected.result == "fail" for w in worlds))


def test_STS_17_burst_makes_one_question_and_one_fetch(net):
    """1,000 messages to a domain that nobody wrote to before: one question
    for the TXT record, one fetch, and all of them under the policy."""
    net.dns.ttl = 300
    mx = net.domain("far.test", keep=False)
    net.policy("far.test").delay = 1
    hb = net.server()
    submit(hb, ["u%d@far.test" % i for i in range(1000)])
    mx.wait(1000, 60)
    until(lambda: len(hb.records(ev="delivery", result="ok",
                                 sts="enforce")) == 1000, 20, "all verified")
    assert len(net.dns.asked("_mta-sts.far.test", "TXT")) == 1
    assert len(net.policies.asked("far.test")) == 1


@pytest.mark.limit(300)
def test_hundreds_that_hang_hold_up_nobody(net):
    """More domains whose hosts do not answer than are worked for at a time:
    mail that comes after them goes out, and they still hang then."""
    mute = net.host("mute.test", keep=False)
    mute.reply["greeting"] = lambda _session, _arg: net.gate.wait() and None
    names = ["m%d.test" % i for i in range(600)]
    for name in names:
        net.dns.set(name, "MX", "10 mute.test")
    mx = net.domain("far.test")
    hb = net.server()
    submit(hb, ["x@" + name for name in names])
    # none of them ends before the gate is opened
    until(lambda: mute.open_now >= 400, 120, "hundreds of sessions")
    hb.send("alice@hb.test", "x@far.test", client.text("late"))
    mx.wait(1, 60)
    hb.wait_record(ev="delivery", rcpt="x@far.test")
    assert outcomes(hb).keys() == {"x@far.test"}
    net.gate.set()
    wait_for(hb, ["x@" + name for name in names], 60)
