"""The clock of the lab: `hauberkctl lab advance`."""

import datetime
import email
import email.policy
import os
import time

import pytest

from harness import client
from harness.wait import Watch, until

DAY_S = 86400


def advance(hb, by):
    done = hb.ctl("lab", "advance", by)
    assert done.code == 0, done
    return done


def seconds(text):
    """A time of the server as seconds of ours."""
    return datetime.datetime.fromisoformat(
        text.replace("Z", "+00:00")).timestamp()


def ahead_s(hb):
    """How far the server says it is ahead, checked against its time."""
    status = hb.ctl("status", json=True)
    there = seconds(status["lab_time"])
    assert abs(there - time.time() - status["lab_ahead_s"]) < 5
    return status["lab_ahead_s"]


def ahead_in_queue_s(hb):
    """How far ahead queue stamps what it takes; None: it is not there yet."""
    send(hb, "down.test")
    new = max(hb.queue(), key=lambda m: m["arrived"], default=None)
    return new and round(seconds(new["arrived"]) - time.time(), -1)


def send(hb, domain="far.test", subject="clock"):
    hb.send("alice@hb.test", "x@" + domain, client.text(subject))


@pytest.mark.both
def test_lab_advance_adds_up_and_is_kept(make_server):
    """Several add up; a restart and a SIGKILL keep the sum; it is said."""
    hb = make_server(["route down.test smtp://127.0.0.1:1"])
    assert ahead_s(hb) == 0
    assert "ahead" not in hb.ctl("status").out
    advance(hb, "1h")
    assert hb.ctl("lab", "advance", "30s", json=True)["ahead_s"] == 3630
    hb.stop()
    hb.start()
    assert ahead_s(hb) == 3630 == ahead_in_queue_s(hb)
    assert "*** the clock is 60 minutes ahead" in hb.ctl("status").out
    hb.kill_all()
    hb.start()
    advance(hb, "1d")
    assert ahead_s(hb) == DAY_S + 3630
    hb.wait_role("queue", hb.kill("queue"))
    until(lambda: ahead_in_queue_s(hb) == DAY_S + 3630, 5, "a new queue")


def test_lab_advance_wants_the_lab(make_server):
    """Without `lab on` it is refused, and nothing is kept."""
    hb = make_server(["lab off"])
    done = hb.ctl("lab", "advance", "1h")
    assert done.code == 1 and "lab on" in done.err
    assert not os.path.exists(hb.path("spool", "lab-clock"))
    assert "lab_time" not in hb.ctl("status", json=True)


def test_lab_advance_wants_a_time(server):
    """What is no time, or too far, is refused and changes nothing."""
    for word in ("soon", "-5m", "5x", "", "36501d", "99999999999999999999d"):
        assert server.ctl("lab", "advance", word).code == 1, word
    assert server.ctl("lab", "advance").code == 64
    advance(server, "36400d")
    assert server.ctl("lab", "advance", "200d").code == 1
    assert ahead_s(server) == 36400 * DAY_S


def test_lab_clock_that_is_damaged(make_server):
    """What the spool remembers is no number: said, and not started."""
    hb = make_server()
    advance(hb, "5m")
    hb.stop()
    path = hb.path("spool", "lab-clock")
    with open(path, "r+b") as f:
        assert f.read() == b"300000\n"
        f.seek(0)
        f.write(b"3x")
    with pytest.raises(AssertionError, match="lab-clock"):
        hb.start()
    os.unlink(path)
    hb.start()
    assert ahead_s(hb) == 0


@pytest.mark.alone
def test_lab_advance_brings_the_retry(world):
    """The next attempt, hours away, is made at once."""
    mx = world.domain("far.test")
    mx.reply["rcpt"] = "451 4.3.2 come back later"
    hb = world.server(["retry first=2h max=4h", "delay-warning off"])
    send(hb)
    hb.wait_record(ev="delivery", result="defer")
    mx.reply["rcpt"] = None
    advance(hb, "1h")
    time.sleep(1)
    assert not mx.messages
    watch = Watch(hb)
    advance(hb, "2h")
    mx.wait(1)
    assert watch.seconds() < 2


def test_lab_advance_ends_the_lifetime(world):
    """A delay warning after hours, a notice of failure after five days,
    both dated by the clock of the lab."""
    mx = world.domain("far.test")
    mx.reply["rcpt"] = "451 4.3.2 come back later"
    hb = world.server(["retry first=1h max=4h", "delay-warning 4h",
                       "lifetime 5d"])
    send(hb)
    hb.wait_record(ev="delivery", result="defer")
    advance(hb, "4h")
    warning, = hb.wait_mail("alice", 1)
    assert b"Action: delayed" in warning
    advance(hb, "5d")
    failure = email.message_from_bytes(hb.wait_mail("alice", 2)[1],
                                       policy=email.policy.default)
    assert "Action: failed" in failure.as_string()
    dated = failure["Date"].datetime.timestamp()
    assert abs(dated - time.time() - 5 * DAY_S - 4 * 3600) < 60
    hb.wait_empty()


def test_lab_advance_expires_a_policy(world):
    """A policy expires when the clock says so, not before."""
    mx = world.domain("far.test")
    world.policy("far.test", max_age=10 * DAY_S)
    hb = world.server(["delay-warning off", "lifetime 60d",
                       "max-messages-per-connection 1"])
    send(hb)
    mx.wait(1)
    world.policies.block()
    mx.starttls = "strip"
    advance(hb, "9d")
    send(hb, subject="held")
    assert hb.wait_reason()["reason"] == "no-starttls"
    world.dns.remove("_mta-sts.far.test")
    advance(hb, "2d")
    assert not mx.wait(2)[1].tls
    hb.wait_empty()


def test_lab_advance_leaves_certificates(world):
    """A certificate that has ended by the clock of the lab is still good."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    advance(hb, "3650d")
    send(hb)
    mx.wait(1)
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["tls"] == "TLSv1.3/verified"


def test_lab_advance_looks_at_the_txt_record_again(world):
    """A new policy id is seen once the TXT record's TTL is over by the
    clock of the lab."""
    world.dns.ttl = 4 * 3600
    mx = world.domain("far.test")
    world.policy("far.test", ident="1")
    hb = world.server()
    send(hb)
    mx.wait(1)
    world.policy("far.test", ident="2")
    send(hb)
    mx.wait(2)
    assert hb.ctl("sts", "show", "far.test", json=True)["id"] == "1"
    advance(hb, "5h")
    send(hb)
    mx.wait(3)
    until(lambda: hb.ctl("sts", "show", "far.test",
                         json=True)["id"] == "2", 5, "the new policy")
