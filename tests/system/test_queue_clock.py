"""No jump of the clock bounces mail, or holds it for ever (queue/sched/clock.h)."""

import re
import time

import pytest

from harness import client, clock
from harness.wait import until

DAY = 86400
# from the wall clock of this host
IN_1970 = -20000 * DAY
IN_2060 = 12500 * DAY

LINES = ["lifetime 5d", "delay-warning 4h"]


@pytest.fixture(scope="session")
def moving_clock(space):
    return clock.library(space.folder)


@pytest.fixture
def waiting(world, moving_clock):
    """A server whose clock is off from its start on, with mail deferred."""
    def make(off, retry="retry first=1s max=2s"):
        mx = world.domain("far.test")
        mx.reply["rcpt"] = "451 4.3.2 come back later"
        hb = world.server(LINES + [retry])
        hb.stop()
        mover = clock.Mover(hb, moving_clock)
        mover.to(off)
        hb.start()
        hb.send("alice@hb.test", "x@far.test", client.text("clock"))
        hb.wait_record(ev="delivery", result="defer")
        return hb, mx, mover
    return make


def deferrals(hb):
    return len(hb.records(ev="delivery", result="defer"))


def expect_waits(hb, more=2):
    """It is tried again, no notice of any kind is made."""
    before = deferrals(hb)
    until(lambda: deferrals(hb) >= before + more, 15, "more attempts")
    assert not hb.records(ev="bounce")
    assert not hb.records(ev="delay")
    assert len(hb.queue()) == 1


def expect_delivered(hb, mx):
    mx.reply["rcpt"] = None
    mx.wait(1)
    hb.wait_empty()
    assert not hb.records(ev="bounce")


@pytest.mark.both
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("off", [IN_1970, IN_2060])
def test_clock_off_then_right(waiting, off, restart):
    """Accepted and deferred while the clock was decades off; then right."""
    hb, mx, mover = waiting(off)
    if restart:
        hb.stop()
    mover.to(0)
    if restart:
        hb.start()
    expect_waits(hb)
    expect_delivered(hb, mx)


@pytest.mark.parametrize("off", [IN_1970, IN_2060])
def test_clock_jumps_under_waiting_mail(waiting, off):
    """Away and back, over SIGKILL too; it is said, and nothing spins."""
    hb, mx, mover = waiting(0)
    mover.to(off)
    expect_waits(hb)
    hb.wait_record(ev="clock", state="set")
    said = "ahead of" if off > 0 else "behind"
    assert re.search(r"clock: \d+ years %s the time that queue counts" % said,
                     hb.ctl("status").out)  # S-20
    before = deferrals(hb)
    time.sleep(3)
    assert deferrals(hb) - before <= 3
    hb.kill_all()
    hb.start()
    expect_waits(hb)
    mover.to(0)
    expect_waits(hb)
    hb.kill_all()
    hb.start()
    expect_waits(hb)
    expect_delivered(hb, mx)


def test_clock_far_next_attempt_is_brought_back(waiting):
    """Hours of back-off, begun in 2060: after a start with the right clock
    nobody knows how long it waited, so it is tried."""
    hb, mx, mover = waiting(IN_2060, "retry first=2h max=4h")
    hb.stop()
    mover.to(0)
    mx.reply["rcpt"] = None
    hb.start()
    mx.wait(1)


def test_clock_jump_is_no_lab_advance(waiting):
    """After a jump `lab advance` still ends the lifetime."""
    hb, _, mover = waiting(IN_1970)
    mover.to(0)
    expect_waits(hb)
    assert hb.ctl("lab", "advance", "6d").code == 0
    hb.wait_record(ev="bounce")
    hb.wait_empty()


def test_clock_sleep_counts_as_waiting(waiting):
    """A machine that slept tries at once what became due meanwhile, and that
    it slept is no step of the clock."""
    hb, mx, mover = waiting(0, "retry first=2h max=4h")
    mover.sleep(3 * 3600)
    mx.reply["rcpt"] = None
    mx.wait(1, 20)
    hb.wait_empty()
    assert not hb.records(ev="clock")


def test_clock_long_sleep_ends_no_lifetime(waiting):
    """What could not be tried for a month is not returned unheard."""
    hb, mx, mover = waiting(0, "retry first=2h max=4h")
    mover.sleep(30 * DAY)
    until(lambda: deferrals(hb) >= 2, 20, "an attempt")
    assert not hb.records(ev="bounce")
    mover.sleep(6 * 3600)
    expect_delivered(hb, mx)


@pytest.mark.parametrize("off", [IN_1970, IN_2060])
def test_clock_jump_does_not_change_the_delay_in_the_log(waiting, off):
    """delay_ms is how long the message waited, whatever the clock shows."""
    hb, _, mover = waiting(0)
    mover.to(off)
    expect_waits(hb)
    delays = [int(r["delay_ms"])
              for r in hb.records(ev="delivery", result="defer")]
    assert delays == sorted(delays)
    assert 0 <= delays[0] and 1000 <= delays[-1] < 600 * 1000
