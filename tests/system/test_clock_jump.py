"""No jump of the clock sends mail over a weaker channel (HACKING "Promises").

The server runs under libfaketime, which is in its processes by LD_PRELOAD.
"""

import glob
import time

import pytest

from harness import client, clock
from harness.wait import until

DAY = 86400


def library():
    """Without it nothing here is tested, so that is a failure."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    assert found, "no libfaketime: package faketime"
    return found[0]


def send(hb, domain="far.test"):
    hb.send("alice@hb.test", "x@" + domain, client.text("clock"))


def under(hb, clock=None):
    """Start under another clock: an offset in seconds, or a date."""
    if clock is not None:
        text = clock if isinstance(clock, str) else "%+d" % clock
        hb.wrap = ["env", "LD_PRELOAD=" + library(), "FAKETIME=" + text,
                   "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"]
    else:
        hb.wrap = []
    return hb.start()


def learn(world, lines=()):
    """A server that has an enforce policy, and is stopped."""
    mx = world.domain("far.test")
    world.policy("far.test", max_age=10 * DAY)
    hb = world.server(lines)
    send(hb)
    mx.wait(1)
    hb.wait_empty()
    hb.stop()
    return hb, mx


def attack(world, mx, hide=True):
    """An attacker took the mail host over, and the policy's host."""
    mx.cut()
    mx.lines.clear()
    mx.starttls = "strip"
    if hide:
        world.dns.remove("_mta-sts.far.test")
        world.policies.block()


def expect_enforced(hb, mx):
    send(hb)
    hb.wait_reason("no-starttls")
    assert "MAIL" not in mx.verbs()


def clock_words(hb):
    return {r.get("clock") for r in hb.ctl("status", json=True)["roles"]
            if r["role"] == "delivery"}


@pytest.mark.both
@pytest.mark.parametrize("when, state", [("@1970-01-02 00:00:00", "behind"),
                                         ("@2040-01-02 00:00:00", "ahead")])
def test_S_11_clock_far_off_at_start(world, when, state):
    """Started in 1970 and in 2040 with a cached enforce policy: it is
    enforced, and the clock is complained of, once and in status."""
    hb, mx = learn(world)
    attack(world, mx)
    under(hb, when)
    expect_enforced(hb, mx)
    assert clock_words(hb) == {state}
    assert hb.ctl("status").out.startswith("*** clock %s: " % state)
    row, = hb.ctl("status", json=True)["trouble"]
    assert (row["kind"], row["what"]) == ("clock", state)
    assert len(hb.records(ev="clock", state=state)) == 1
    hb.stop()
    # with the right clock all is as before
    mx.lines.clear()
    under(hb)
    expect_enforced(hb, mx)
    assert clock_words(hb) == {"good"}


def test_clock_long_switch_off_heals(world):
    """Sixty days off, for real: the first certificate that proves valid
    makes the clock good, and what is over ends."""
    other = world.domain("near.test")
    other.cert = world.ca.issue("mx.near.test", days=(-1, 300))
    site = world.policy("near.test")
    site.cert = world.ca.issue("mta-sts.near.test", days=(-1, 300))
    hb, mx = learn(world)
    attack(world, mx, hide=False)
    world.dns.remove("_mta-sts.far.test")
    world.policies.site("far.test", "").status = 500
    under(hb, 60 * DAY)
    send(hb)
    hb.wait_reason("no-starttls")
    assert clock_words(hb) == {"ahead"}
    send(hb, "near.test")
    other.wait(1)
    hb.wait_record(ev="clock", state="good")
    assert clock_words(hb) == {"good"}
    mx.wait(2)


@pytest.fixture(scope="session")
def moving_clock(space):
    return clock.library(space.folder)


@pytest.mark.parametrize("steps", [(20 * DAY, 0), (-20 * DAY, 0),
                                   (300 * DAY, -300 * DAY)])
def test_clock_moves_under_the_server(world, moving_clock, steps):
    """Moved both ways under a running server: the policy holds."""
    # what waits must not be too old for the queue
    hb, mx = learn(world, ["lifetime 365d"])
    mover = clock.Mover(hb, moving_clock)
    hb.start()
    attack(world, mx)
    expect_enforced(hb, mx)
    for step, state in zip(steps, ("ahead" if steps[0] > 0 else "behind",
                                   "behind" if steps[1] < 0 else "good")):
        mover.to(step)
        until(lambda: clock_words(hb) == {state}, 10,
              lambda: "%s: %s" % (state, clock_words(hb)))
        hb.ctl("flush", "all")
        time.sleep(1)
        assert "MAIL" not in mx.verbs()
        assert hb.queue()
        expect_enforced(hb, mx)


@pytest.mark.parametrize("steps", [(0, 20 * DAY), (-20000 * DAY, 0),
                                   (300 * DAY, 0)])
def test_clock_jump_ends_no_lifetime(world, moving_clock, steps):
    """A message is as old as it has waited, not as old as a clock says that
    was set meanwhile: neither returned unheard nor left for a year. A device
    without a battery starts in 1970 and takes mail before it knows the time.
    """
    mx = world.domain("slow.test")
    mx.starttls = "strip"
    hb = world.server(["tls-policy slow.test encrypt", "lifetime 5d",
                       "delay-warning off", "retry first=1s max=2s"])
    hb.stop()
    mover = clock.Mover(hb, moving_clock)
    mover.to(steps[0])
    hb.start()
    send(hb, "slow.test")
    hb.wait_reason("no-starttls")
    mover.to(steps[1])
    hb.wait_record(ev="clock", state="set", timeout=20)
    tried = len(hb.records(ev="delivery", result="defer"))
    until(lambda: len(hb.records(ev="delivery", result="defer")) > tried + 1,
          20, lambda: hb.queue())
    assert hb.queue()
    assert not hb.records(ev="delivery", result="fail")
    mx.starttls = "offer"
    mx.wait(1, 20)
    hb.wait_empty()


@pytest.mark.parametrize("wrong", [-20000 * DAY, 300 * DAY])
def test_clock_jump_and_restart_end_no_lifetime(world, moving_clock, wrong):
    """The same when the server is restarted before the clock is right."""
    mx = world.domain("slow.test")
    mx.starttls = "strip"
    hb = world.server(["tls-policy slow.test encrypt", "lifetime 5d",
                       "delay-warning off", "retry first=1s max=2s"])
    hb.stop()
    mover = clock.Mover(hb, moving_clock)
    mover.to(wrong)
    hb.start()
    send(hb, "slow.test")
    hb.wait_reason("no-starttls")
    hb.stop()
    mover.to(0)
    hb.start()
    tried = len(hb.records(ev="delivery", result="defer"))
    until(lambda: len(hb.records(ev="delivery", result="defer")) > tried, 20,
          lambda: hb.queue())
    assert not hb.records(ev="delivery", result="fail")
    mx.starttls = "offer"
    mx.wait(1, 20)
    hb.wait_empty()


def day(seconds):
    """In a word of the configuration, so far from now."""
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + seconds))


def test_clock_ahead_ends_no_encrypt(world, moving_clock):
    """`encrypt until=' is a demand where nothing else is: a clock set ahead
    does not end it."""
    mx = world.domain("far.test")
    mx.starttls = "strip"
    hb = world.server(["tls-policy far.test encrypt until=" + day(30 * DAY),
                       "lifetime 365d"])
    hb.stop()
    mover = clock.Mover(hb, moving_clock)
    hb.start()
    expect_enforced(hb, mx)
    mover.to(300 * DAY)
    expect_enforced(hb, mx)
    assert clock_words(hb) == {"ahead"}


def test_clock_back_revives_no_exemption(world, moving_clock, other_ca):
    """`encrypt until=' sets a policy aside until it is over: a clock set back
    does not bring that back, over a restart either."""
    mx = world.domain("far.test")
    world.policy("far.test", max_age=100 * DAY)
    hb = world.server(["tls-policy far.test encrypt until=" + day(-9 * DAY)])
    send(hb)
    mx.wait(1)
    hb.stop()
    mover = clock.Mover(hb, moving_clock)
    hb.start()
    mx.cut()
    mx.lines.clear()
    mx.cert = other_ca.issue("mx.far.test")
    for restart in (False, True):
        mover.to(-20 * DAY)
        if restart:
            hb.stop()
            hb.start()
        send(hb)
        hb.wait_reason("cert-untrusted")
        assert "MAIL" not in mx.verbs()
        assert clock_words(hb) == {"behind"}


def test_clock_of_a_machine_that_sleeps(world, moving_clock):
    """Asleep for hours the clock stays believed, nobody set it; a policy
    that is over when the machine wakes up has ended."""
    hb, mx = learn(world)
    mover = clock.Mover(hb, moving_clock)
    hb.start()
    attack(world, mx)
    expect_enforced(hb, mx)
    for hours in (3, 20):
        mover.sleep(hours * 3600)
        expect_enforced(hb, mx)
        assert clock_words(hb) == {"good"}
    assert not hb.records(ev="clock")
    mover.sleep(20 * DAY)
    send(hb)
    assert not mx.wait(2)[1].tls
    assert clock_words(hb) == {"good"}


def test_clock_of_a_machine_that_sleeps_for_months(world, moving_clock):
    """How long that was says the machine's own clock, which may be wrong:
    as after a long switch-off a certificate has to prove it."""
    hb, mx = learn(world)
    mover = clock.Mover(hb, moving_clock)
    hb.start()
    attack(world, mx)
    expect_enforced(hb, mx)
    mover.sleep(60 * DAY)
    expect_enforced(hb, mx)
    assert clock_words(hb) == {"ahead"}
