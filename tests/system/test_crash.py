"""Kills: a role, all roles, at random moments; nothing accepted is lost."""

import os
import random
import signal
import time

import pytest

from harness import client, load
from harness.client import Client, Closed
from harness.wait import Watch, stretched, until

# how long a role may be away (issue: within a second)
BACK_S = 1.0
# a copy that came this long before a kill may be sent again: its result
# had perhaps not reached the disk
UNSURE_S = 2.0


def sink(mx_factory):
    return mx_factory("127.0.0.1", keep=False)


def relay(make_server, mx, lines=()):
    return make_server(["smarthost smtp://127.0.0.1:%d" % mx.port, *lines])


def timed(kill, *args):
    """Do it: (what it gave, (when it began, when it was over))."""
    began = time.time()
    gave = kill(*args)
    return gave, (began, time.time())


def compare(mx, sent, kills):
    """All that was accepted arrived; twice only around a kill."""
    copies = {}
    for m in mx.accepted():
        copies.setdefault(load.number_of(m.data), []).append(m)
    lost = sorted(sent.acked - set(copies))
    assert not lost, "%d of %d lost: %s" % (len(lost), len(sent.acked),
                                            lost[:5])
    known = sent.acked | sent.unsure
    assert set(copies) <= known, "arrived but never sent whole"
    for number, found in copies.items():
        for early in found[:-1]:
            assert any(began - UNSURE_S <= early.when <= end
                       for began, end in kills), \
                "%s came twice, far from a kill" % number
        for m in found:
            assert m.data.endswith(("end %s\r\n" % number).encode())
    return copies


def one_accepted(hb):
    """True if a new session gets its 250."""
    try:
        with Client(hb.address, hb.port, timeout=stretched(2)) as c:
            c.ehlo()
            return c.mail("a@client.test", "probe@far.test",
                          client.text("probe")).code == 250
    except (OSError, Closed, AssertionError):
        return False


def tls_works(hb):
    try:
        with Client(hb.address, hb.port, timeout=stretched(2)) as c:
            c.ehlo()
            c.starttls()
            return bool(c.ehlo())
    except (OSError, Closed, AssertionError):
        return False


def serves(hb, role, mx):
    """What this role does works, seen from outside."""
    if role == "keyagent":
        return tls_works(hb)
    if role == "control":
        return hb.ctl("status").code == 0
    if role == "delivery":
        before = len(mx.accepted())
        return one_accepted(hb) and until(
            lambda: len(mx.accepted()) > before, 5, "a delivery")
    return one_accepted(hb)


@pytest.mark.alone
@pytest.mark.both
@pytest.mark.parametrize("role", ["smtpd", "router", "queue", "delivery",
                                  "keyagent", "control"])
def test_kill_one_role(make_server, mx_factory, role):
    """Service is back within a second; the others were not restarted."""
    mx = sink(mx_factory)
    hb = relay(make_server, mx)
    assert serves(hb, role, mx)
    others = {p for p in hb.pids() if p not in hb.role(role)}
    watch = Watch(hb)
    gone = hb.kill(role)
    hb.wait_role(role, gone)
    until(lambda: serves(hb, role, mx), 10, role + " serves again")
    away = watch.seconds()
    assert away <= BACK_S, "%s was away for %.2f s" % (role, away)
    assert others <= set(hb.pids()), "other processes ended"
    hb.wait_empty()


@pytest.mark.alone
@pytest.mark.parametrize("role", ["smtpd", "router", "queue", "delivery"])
def test_kill_one_role_under_load(make_server, mx_factory, role):
    """Killed three times under load: nothing accepted is lost."""
    mx = sink(mx_factory)
    hb = relay(make_server, mx)
    sent = load.Load(hb.address, hb.port, "x@far.test").start()
    kills = []
    for _ in range(3):
        before = len(sent.acked)
        until(lambda: len(sent.acked) > before + 20, 20, "load goes on")
        gone, when = timed(hb.kill, role)
        kills.append(when)
        hb.wait_role(role, gone)
    before = len(sent.acked)
    until(lambda: len(sent.acked) > before + 20, 20, "load goes on")
    sent.stop()
    hb.wait_empty(60)
    compare(mx, sent, kills)


@pytest.mark.alone
@pytest.mark.limit(900)
@pytest.mark.both
def test_kill_everything(make_server, mx_factory, full):
    """SIGKILL to every process at random moments under load."""
    rounds = 30 if full else 3
    mx = sink(mx_factory)
    hb = relay(make_server, mx)
    sent = load.Load(hb.address, hb.port, "x@far.test", size=3000).start()
    kills = []
    seed = int.from_bytes(os.urandom(4), "big")
    chance = random.Random(seed)
    print("seed", seed)
    for _ in range(rounds):
        before = len(sent.acked)
        until(lambda: len(sent.acked) > before, 20, "load goes on")
        time.sleep(chance.uniform(0.05, 1.5))
        kills.append(timed(hb.kill_all)[1])
        hb.start()
    sent.stop()
    hb.wait_empty(120)
    copies = compare(mx, sent, kills)
    assert len(copies) > rounds
    corrupt = os.path.join(hb.path("spool"), "corrupt")
    assert os.listdir(corrupt) == []


@pytest.mark.alone
@pytest.mark.limit(300)
def test_kill_everything_with_large_messages(make_server, mx_factory, full):
    """The same with messages that have files of their own."""
    mx = sink(mx_factory)
    hb = relay(make_server, mx)
    sent = load.Load(hb.address, hb.port, "x@far.test", threads=3,
                     size=600000).start()
    kills = []
    for _ in range(6 if full else 2):
        before = len(sent.acked)
        until(lambda: len(sent.acked) > before + 3, 30, "load goes on")
        kills.append(timed(hb.kill_all)[1])
        hb.start()
    sent.stop()
    hb.wait_empty(120)
    compare(mx, sent, kills)
    large = os.path.join(hb.path("spool"), "large")
    until(lambda: os.listdir(large) == [], 15,
          lambda: "left over: %s" % os.listdir(large)[:3])


def test_kill_while_the_next_hop_is_down(make_server, mx_factory):
    """A queue that waits survives two kills and is complete."""
    mx = sink(mx_factory)
    mx.stop()
    hb = relay(make_server, mx)
    sent = load.Load(hb.address, hb.port, "x@far.test").start(100).join()
    assert len(sent.acked) == 100
    for _ in range(2):
        hb.kill_all()
        hb.start()
        assert len(hb.queue()) == 100
    mx.start()
    mx.wait(100, 40)
    hb.wait_empty()
    compare(mx, sent, [])


@pytest.mark.parametrize("lines", [1, 12000])
def test_kill_queue_during_a_large_message(make_server, lines):
    """The client hears of it; its next message, small or large, has nothing
    to do with the file of the lost one."""
    hb = make_server()
    line = b"x" * 70 + b"\r\n"
    large = hb.path("spool", "large")
    with hb.client() as c:
        c.ehlo()
        for reply in c.envelope("a@client.test", "alice@hb.test",
                                params="SIZE=900000"):
            assert reply.code == 250
        assert c.cmd("DATA").code == 354
        c.send(b"Subject: one\r\n\r\n" + line * 6000)
        until(lambda: [name for name in os.listdir(large) if os.path.getsize(
            os.path.join(large, name)) >= 6000 * len(line)], 10, "its file")
        hb.wait_role("queue", hb.kill("queue"))
        c.send(line * 6000 + b".\r\n")
        assert c.read().code == 451
        until(lambda: hb.ctl("queue").code == 0, 5, "queue")
        for number in range(2):
            reply = c.mail("a@client.test", "alice@hb.test",
                           client.text("two-%d" % number) + line * lines)
            assert reply.code == 250, reply
    hb.wait_mail("alice", 2)
    assert all(m.count(b"x" * 70) == lines for m in hb.maildir("alice"))


def test_kill_parent_takes_all_with_it(make_server, mx_factory):
    """Without the parent the roles end; a new start works."""
    mx = sink(mx_factory)
    hb = relay(make_server, mx)
    pids = list(hb.pids())
    os.kill(hb.pid, signal.SIGKILL)
    hb.terminated(pids)
    hb.start()
    assert one_accepted(hb)


def damage(path, at):
    """Flip bytes in a file."""
    with open(path, "r+b") as f:
        f.seek(at)
        old = f.read(8)
        f.seek(at)
        f.write(bytes(b ^ 0xff for b in old))


def test_damaged_record_is_set_aside(make_server, mx_factory):
    """A body altered on disk is never delivered; the others are."""
    mx = sink(mx_factory)
    mx.stop()
    hb = relay(make_server, mx)
    for i in range(5):
        hb.send("a@client.test", "x@far.test", load.message("d%d" % i, 900))
    hb.stop()
    folder = os.path.join(hb.path("spool"), "log")
    hits = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            at = f.read().find(b"end d2\r\n")
        if at >= 0:
            hits.append((path, at))
    assert hits, "the spool holds the body as it is"
    for path, at in hits:
        damage(path, at)
    mx.start()
    hb.start()
    mx.wait(4)
    hb.wait_empty()
    got = sorted(load.number_of(m.data) for m in mx.accepted())
    assert got == ["d0", "d1", "d3", "d4"]
    assert os.listdir(os.path.join(hb.path("spool"), "corrupt"))


def test_rubbish_in_the_spool(make_server, mx_factory):
    """Stray files and a cut segment do not keep the server from work."""
    mx = sink(mx_factory)
    mx.stop()
    hb = relay(make_server, mx)
    hb.send("a@client.test", "x@far.test", load.message("r1", 900))
    hb.stop()
    spool = hb.path("spool")
    for where in ("log", "large", "maildrop", "store"):
        with open(os.path.join(spool, where, "stray"), "wb") as f:
            f.write(b"\0rubbish\n" * 100)
    mx.start()
    hb.start()
    mx.wait(1)
    hb.wait_empty()
