"""What local commands submit goes by the mail filters."""

import os
import time

from harness.milter import (ACCEPT, CONTINUE, DISCARD, REJECT, TEMPFAIL,
                            Milter, add, add_rcpt, quarantine, reply)
from harness.wait import until
from test_milter import filtered  # noqa: F401 (a fixture)

MESSAGE = b"Subject: one\n\n.dots\nbody\n"


def drop(hb, *rcpts, message=MESSAGE):
    done = hb.sendmail("-f", "alice@hb.test", *(rcpts or ["bob@hb.test"]),
                       message=message)
    assert done.code == 0, done


def waiting(hb):
    """Files of the maildrop."""
    return [f for f in os.listdir(os.path.join(hb.dir, "spool", "maildrop"))
            if not f.startswith(".")]


def refused_of(hb):
    """The DSN that alice gets."""
    mail = hb.wait_mail("alice")[0]
    assert b"report-type=delivery-status" in mail
    return mail


def test_T_7_a_filter_sees_what_a_command_submits(filtered):  # noqa: F811
    """It comes from this host, and leaves as the filter changed it."""
    f = Milter(None, eom=[add("X-Seen", "yes"), add_rcpt("<carol@hb.test>"),
                          CONTINUE])
    hb = filtered(f)
    drop(hb)
    mail = hb.wait_mail("bob")[0]
    assert b"\nX-Seen: yes\n" in mail.replace(b"\r\n", b"\n")
    assert b"(Hauberk, from userid " in mail
    assert b"\nFrom: " in mail and b"\nDate: " in mail
    assert b".dots" in mail and b"..dots" not in mail
    hb.wait_mail("carol")
    assert until(lambda: f.steps().endswith("Q"), 10)
    assert f.steps().startswith("CHMRT")
    seen = dict(f.seen("CHMR"))
    assert seen["C"].startswith(b"localhost\0004")
    assert seen["C"].endswith(b"127.0.0.1\0")
    assert seen["M"].startswith(b"<alice@hb.test>\0")
    symbols = f.conversations[0].symbols
    assert symbols["{client_addr}"] == "127.0.0.1"
    assert symbols["{client_name}"] == "localhost"
    record = hb.wait_record(ev="accept", client="local")
    assert record["user"].startswith("uid:")
    assert waiting(hb) == []


def test_T_7_its_owner_stays_known(filtered):  # noqa: F811
    """The envelope says who submitted it, as without filters."""
    hb = filtered(Milter(None, eom=[quarantine("for a look"), CONTINUE]))
    drop(hb)
    entry = until(hb.queue, 10)[0]
    shown = hb.ctl("show", entry["id"]).out
    assert "uid:" in shown and "for a look" in shown, shown


def test_T_7_a_command_is_told_by_a_dsn(filtered):  # noqa: F811
    """A refusal of all, and of one, is told in the filter's words."""
    def rcpt(c):
        return reply("550 5.7.9 not to him") \
            if b"carol" in c.packets[-1][1] else CONTINUE

    f = Milter(None, rcpt=rcpt)
    hb = filtered(f)
    drop(hb, "bob@hb.test", "carol@hb.test")
    assert b"not to him" in refused_of(hb)
    hb.wait_mail("bob")
    assert waiting(hb) == []


def test_T_7_a_refused_message_comes_back(filtered):  # noqa: F811
    f = Milter(None, eom=lambda c: reply("554 5.7.1 bad words inside")
               if b"<alice@hb.test>" in dict(c.packets)["M"] else CONTINUE)
    hb = filtered(f)
    drop(hb)
    assert b"bad words inside" in refused_of(hb)
    hb.wait_empty()
    # our own DSN was not asked about
    assert f.steps().count("M") == 1
    assert waiting(hb) == []


def test_T_7_a_discarded_message_is_gone(filtered):  # noqa: F811
    f = Milter(None, eom=DISCARD)
    hb = filtered(f)
    drop(hb)
    record = hb.wait_record(ev="accept", client="local")
    assert record["reason"] == "discarded"
    assert until(lambda: waiting(hb) == [], 10)
    hb.wait_empty()


def test_T_7_a_filter_that_says_later_makes_it_wait(filtered):  # noqa: F811
    """The file stays; others go on; a new start asks at once."""
    words = {"one": TEMPFAIL, "two": CONTINUE}

    def eom(c):
        subject = [d for s, d in c.packets if s == "L" and
                   d.startswith(b"Subject")][-1]
        return words[subject.split(b"\0")[1].decode()]

    f = Milter(None, eom=eom)
    hb = filtered(f)
    drop(hb)
    assert until(lambda: hb.ctl("status", json=True)["queue"].get(
        "maildrop_deferred") == 1, 10)
    drop(hb, message=b"Subject: two\n\nx\n")
    assert b"two" in hb.wait_mail("bob")[0]
    assert len(waiting(hb)) == 1
    assert f.steps().count("E") == 2
    words["one"] = CONTINUE
    hb.stop()
    hb.start()
    hb.wait_mail("bob", 2)
    assert waiting(hb) == []


def test_T_7_a_filter_that_is_down_makes_it_wait(filtered):  # noqa: F811
    f = Milter(None)
    hb = filtered(f, options="timeout=5s")
    f.__exit__()
    os.unlink(f.place)
    drop(hb)
    assert until(lambda: hb.ctl("status", json=True)["queue"].get(
        "maildrop_deferred") == 1, 20)
    assert len(waiting(hb)) == 1
    f.closed = False
    f.__enter__()
    hb.stop()
    hb.start()
    hb.wait_mail("bob")
    assert waiting(hb) == []


def test_T_7_a_large_drop_goes_by_filters(filtered):  # noqa: F811
    """Nothing of it is lost or changed on the way through a file."""
    f = Milter(None, eom=ACCEPT)
    hb = filtered(f)
    lines = b"".join(b"%08d %s\n" % (i, b"x" * 60) for i in range(60000))
    drop(hb, message=b"Subject: large\n\n" + lines)
    mail = hb.wait_mail("bob", timeout=60)[0].replace(b"\r\n", b"\n")
    assert mail.endswith(b"\n\n" + lines)
    assert f.conversations[0].body.replace(b"\r\n", b"\n").endswith(lines)


def test_T_7_a_drop_outlives_the_worker_that_has_it(filtered):  # noqa: F811
    """smtpd is killed while a filter thinks: the message comes once."""
    asked = []

    def eom(c):
        asked.append(c)
        if len(asked) == 1:
            time.sleep(3)
        return CONTINUE

    f = Milter(None, eom=eom)
    hb = filtered(f)
    drop(hb)
    assert until(lambda: asked, 10)
    hb.wait_role("smtpd", hb.kill("smtpd"))
    hb.wait_mail("bob", timeout=60)
    hb.wait_empty()
    assert len(hb.wait_mail("bob")) == 1
    assert waiting(hb) == []


def test_T_7_rejected_connections_are_refusals(filtered):  # noqa: F811
    """What a filter says of the host itself counts for its commands."""
    f = Milter(None, connect=REJECT)
    hb = filtered(f)
    drop(hb)
    assert b"Action: failed" in refused_of(hb)
    assert waiting(hb) == []
