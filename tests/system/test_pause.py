"""`hauberkctl pause` and `resume`: delivery, and the listening sockets."""

import socket
import time

import pytest

from harness import client
from harness.wait import until


def ok(done):
    assert done.code == 0 and done.err == "", done


def paused(hb):
    return hb.ctl("status", json=True)["paused"]


def refused(hb):
    try:
        hb.client().close()
    except ConnectionRefusedError:
        return True
    except (client.Closed, ConnectionResetError):
        pass  # the listener was just being closed
    return False


def send(hb, rcpt="x@far.test"):
    hb.send("alice@hb.test", rcpt, client.text("pause"))


@pytest.mark.both
def test_pause_delivery(world):
    """Mail is taken and waits, local mail too, `flush` or not, also when
    queue or delivery was replaced; after resume it goes out."""
    mx = world.domain("far.test")
    hb = world.server()
    assert paused(hb) == []
    ok(hb.ctl("pause", "delivery"))
    ok(hb.ctl("pause", "delivery"))
    assert paused(hb) == ["delivery"]
    assert "*** delivery is paused" in hb.ctl("status").out
    send(hb)
    send(hb, "alice@hb.test")
    ok(hb.ctl("flush"))
    for role in ("queue", "delivery"):
        hb.wait_role(role, hb.kill(role))
    until(lambda: hb.ctl("queue").code == 0, 5, "queue")
    ok(hb.ctl("flush"))
    ok(hb.ctl("reload"))
    send(hb)
    time.sleep(1.5)
    assert len(hb.queue()) == 3
    assert not mx.messages and not hb.maildir("alice")
    ok(hb.ctl("resume", "delivery"))
    assert paused(hb) == []
    mx.wait(2)
    hb.wait_mail("alice")
    hb.wait_empty()


def test_pause_delivery_ends_with_the_server(world):
    """A start is a fresh start."""
    mx = world.domain("far.test")
    hb = world.server()
    ok(hb.ctl("pause", "delivery"))
    send(hb)
    hb.stop()
    hb.start()
    mx.wait(1)


@pytest.mark.both
def test_pause_listen(make_server):
    """Clients are refused, open sessions go on; a reload, a new listener
    process change nothing; resume opens again."""
    hb = make_server()
    with hb.client() as c:
        c.ehlo()
        ok(hb.ctl("pause", "listen"))
        assert "*** listening is paused" in hb.ctl("status").out
        until(lambda: refused(hb), 5, "no listener")
        assert c.cmd("NOOP").code == 250
        ok(hb.ctl("reload"))
        assert c.cmd("NOOP").code == 250
    hb.wait_role("smtpd", hb.kill("smtpd"))
    time.sleep(0.5)
    assert refused(hb) and paused(hb) == ["listen"]
    ok(hb.sendmail("alice@hb.test", message=client.text("local")))
    hb.wait_mail("alice")
    ok(hb.ctl("resume", "listen"))
    ok(hb.ctl("resume", "listen"))
    send(hb, "alice@hb.test")
    hb.wait_mail("alice", 2)
    assert paused(hb) == []


def test_reloads_around_a_pause(make_server):
    """The listeners of an earlier reload are gone: later ones touch none."""
    hb = make_server()
    ok(hb.ctl("reload"))
    ok(hb.ctl("pause", "listen"))
    until(lambda: refused(hb), 5, "no listener")
    ok(hb.ctl("reload"))
    ok(hb.ctl("reload"))
    assert refused(hb) and paused(hb) == ["listen"]
    ok(hb.ctl("resume", "listen"))
    ok(hb.ctl("reload"))
    send(hb, "alice@hb.test")
    hb.wait_mail("alice")


def test_resume_listen_where_the_port_is_taken(make_server):
    """It is said, and listening stays paused until the port is free."""
    hb = make_server()
    ok(hb.ctl("pause", "listen"))
    until(lambda: refused(hb), 5, "no listener")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((hb.address, hb.port))
        s.listen()
        done = hb.ctl("resume", "listen")
        assert done.code == 1 and "cannot listen on" in done.err
        assert paused(hb) == ["listen"]
    ok(hb.ctl("resume", "listen"))
    send(hb, "alice@hb.test")


def test_pause_wants_a_word(server):
    for word in ("", "all", "deliver"):
        done = server.ctl("pause", word)
        assert done.code == 1 and "delivery or listen" in done.err
    assert server.ctl("resume").code == 64
    assert paused(server) == []
