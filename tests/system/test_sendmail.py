"""sendmail and its names: what programs of the host meet."""

import email
import email.policy
import os
import re

import pytest

from harness import client, hauberk
from harness.wait import until

pytestmark = pytest.mark.both


def parsed(raw):
    """A delivered message; its text is `.get_content()`."""
    return email.message_from_bytes(raw, policy=email.policy.default)


def longest(raw):
    return max(len(line.rstrip(b"\r")) for line in raw.split(b"\n"))


def test_F_6_no_recipient_by_a_cr(server):
    """A CR in a field makes no other field."""
    done = server.sendmail(
        "-t", "-f", "carol@hb.test", message=b"To: alice@hb.test\n"
        b"Subject: hi\rBcc: bob@hb.test\n\nhi\n")
    assert done.code == 0, done
    message = server.wait_mail("alice")[0]
    assert b"Subject: hi Bcc: bob@hb.test" in message
    server.wait_empty()
    assert server.maildir("bob") == []


def test_F_29_long_lines_arrive_whole(server):
    """3 MB in one line of the command leave in short lines."""
    text = "x" * 3000000 + "\n.y\n"
    done = server.sendmail("-i", "-f", "carol@hb.test", "alice@hb.test",
                           message="Subject: long\n\n" + text)
    assert done.code == 0, done
    message = server.wait_mail("alice")[0]
    assert longest(message) <= 998
    assert parsed(message).get_content().replace("\r\n", "\n") == text
    # what is signed passes as through SMTP, up to the same bound
    for length, code in ((65534, 0), (65535, 65)):
        done = server.sendmail(
            "-f", "carol@hb.test", "bob@hb.test", message=(
                "DKIM-Signature: v=1\n\n" + "x" * length + "\n"))
        assert done.code == code, done
    assert longest(server.wait_mail("bob")[0]) == 65534
    counted = server.ctl("stats", json=True)["messages_made_text"]
    assert counted["long-lines"] == 1
    signed = client.text(body="x" * 65534 + "\r\n")
    assert server.send("c@c.test", "bob@hb.test", signed).code == 250


def test_F_31_the_others_get_it(server):
    """One malformed address of -t: told, 65, and sent to the good one."""
    done = server.sendmail(
        "-t", "-f", "carol@hb.test", message="To: alice@hb.test, two words, "
        "bob@hb.test\nSubject: part\n\nhi\n")
    assert done.code == 65 and "two words... malformed" in done.err, done
    for user in ("alice", "bob"):
        assert b"Subject: part" in server.wait_mail(user)[0]
    done = server.sendmail("two words <", message="Subject: none\n\nhi\n")
    assert done.code == 65 and "malformed" in done.err, done
    server.wait_empty()


SCRIPT = ("HELO x\nMAIL FROM:root\nRCPT TO:<alice>\nDATA\n"
          "Subject: script\nTo: alice\n\n..dot\n.\nQUIT\n")


def test_S_13_bs_of_a_script(server):
    """-bs: LF alone ends the lines of a program that writes no CRLF; names
    without domain and brackets are taken."""
    done = server.sendmail("-bs", message=SCRIPT)
    assert done.code == 0, done
    message = server.wait_mail("alice")[0]
    assert b"\n.dot" in message and b"\nTo: alice@" in message


def test_S_13_bs_lf_in_the_text_ends_nothing(server):
    """-bs with CRLF: a bare LF in the text is CRLF, and no end."""
    done = server.sendmail("-bs", message=(
        "HELO x\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<alice@hb.test>\r\n"
        "DATA\r\nSubject: lf\n\nx\n.\nMAIL FROM:<e@f.test>\r\n.\r\n"
        "QUIT\r\n"))
    assert done.code == 0, done
    message = server.wait_mail("alice")[0].replace(b"\r\n", b"\n")
    assert message.endswith(b"\n\nx\n.\nMAIL FROM:<e@f.test>\n")


@pytest.mark.parametrize("text,code", [
    ("HELO x\nQUIT\n", 0),
    (SCRIPT.replace("QUIT\n", ""), 0),
    (SCRIPT.replace("QUIT\n", "FOO\n"), 76),
    (SCRIPT.replace("HELO x\n", "HELO x\nFOO\n"), 0),
    (SCRIPT.replace("..dot", "a\rb"), 76),
    (SCRIPT[:SCRIPT.index(".\nQUIT")], 76),
])
def test_S_13_bs_exit_code(server, text, code):
    """-bs says by its exit code when its session failed."""
    done = server.sendmail("-bs", message=text)
    assert done.code == code, done


def test_F_17_short_paths_of_a_relay_client(server):
    """Brackets and domains may be missing from a client that may relay."""
    with server.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:root").code == 250
        assert c.cmd("RCPT TO:<alice>").code == 250
        assert c.data(client.text("short")).code == 250
    message = server.wait_mail("alice")[0]
    assert message.startswith(b"Return-Path: <root@")


def test_F_18_newaliases_builds_what_is_good(make_server):
    """A repeated name is a warning, a bad line is told with file and line
    and fails; the good ones are built.  A missing file fails."""
    hb = make_server(start=False)
    path = hb.write("aliases", "first: alice\nFirst: bob\n")
    hb.configure(["aliases hash:" + path])
    done = hb.sendmail(name="newaliases")
    assert done.code == 0 and path + ":2: warning" in done.err, done
    hb.write("aliases", "first: alice\nbroken\nsecond: bob\n")
    done = hb.sendmail(name="newaliases")
    assert done.code == 65 and path + ":2: " in done.err, done
    praliases = os.path.join(hauberk.SBIN, "praliases")
    done = hb.run(praliases, "-f", path)
    assert sorted(done.out.split()) == ["first:alice", "second:bob"], done
    # as long as the router takes it, not only as other files may be
    hb.write("aliases", "first: alice\n" + "#" * 79 + "\n" * (9 << 20))
    assert hb.sendmail(name="newaliases").code == 0
    os.unlink(path)
    assert hb.sendmail(name="newaliases").code == 66


def test_E_6_praliases_of_a_real_database(make_server):
    """NUL at the ends and sendmail's own entry are not printed."""
    hb = make_server(start=False)
    path = hb.path("real")
    makemap = os.path.join(hauberk.SBIN, "makemap")
    done = hb.run(makemap, "hash", path,
                  input=b"@\0 @\0\nroot\0 alice\0\n")
    assert done.code == 0, done
    done = hb.run(os.path.join(hauberk.SBIN, "praliases"), "-f", path)
    assert done.out == "root:alice\n", done
    done = hb.run(makemap, "-u", "hash", path)
    assert sorted(done.out.split("\n")) == ["", "@\t@", "root\talice"], done


# mailq and hauberkctl


@pytest.fixture
def stuck(make_server, mx_factory):
    """A server whose remote mail stays queued."""
    mx = mx_factory("127.0.0.1")
    mx.stop()
    return make_server(["smarthost smtp://127.0.0.1:%d" % mx.port,
                        "retry first=1h max=1h"])


def queued(hb, *rcpts, **kw):
    """Messages of the command that wait after an attempt."""
    for rcpt in rcpts:
        done = hb.sendmail("-f", "a@c.test", rcpt,
                           message="Subject: q\n\nhi\n", **kw)
        assert done.code == 0, done
    until(lambda: sum(r["attempts"] for e in hb.queue()
                      for r in e["recipients"]) >= len(rcpts), 15, "attempts")


def test_F_19_mailq_as_sendmail_prints_it(stuck):
    """First and last lines are those that monitoring looks for."""
    done = stuck.sendmail(name="mailq")
    assert done.out == ("/var/spool/mqueue is empty\n"
                        "\t\tTotal requests: 0\n"), done
    queued(stuck, "x@far.test", "y@far.test")
    lines = stuck.sendmail(name="mailq").out.splitlines()
    assert lines[0] == "\t\t/var/spool/mqueue (2 requests)", lines
    assert lines[1].startswith("-----Q-ID-----"), lines
    assert lines[-1] == "\t\tTotal requests: 2", lines
    assert re.match(r"[0-9a-f]{16}  +\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d "
                    r"a@c\.test$", lines[2]), lines
    assert re.match(r" {17}\(\S+ at .*\)$", lines[3]), lines
    assert lines[4] == "\t\t\t\t\t x@far.test", lines
    stuck.ctl("hold", "all")
    assert stuck.sendmail("-bp").out.splitlines()[2][16] == "!"


@pytest.mark.root
def test_A_16_a_user_sees_his_own_mail(stuck):
    """mailq of a user lists what the user submitted, and nothing else."""
    user = {"user": 7102, "group": 7102, "extra_groups": []}
    queued(stuck, "own@far.test", **user)
    queued(stuck, "root@far.test")
    stuck.send("z@c.test", "smtp@far.test", client.text("smtp"))
    done = stuck.sendmail(name="mailq", **user)
    assert done.code == 0 and "own@far.test" in done.out, done
    assert "root@far.test" not in done.out, done
    assert "smtp@far.test" not in done.out, done
    assert done.out.endswith("\t\tTotal requests: 1\n"), done
    whose = {e["recipients"][0]["address"]: e["id"] for e in stuck.queue()}
    ctl = [os.path.join(hauberk.SBIN, "hauberkctl"), "-f", stuck.conf]
    for name, count in (("own", 1), ("root", 0)):
        done = stuck.run(*ctl, "queue", whose[name + "@far.test"], **user)
        assert (name + "@far.test" in done.out) == (count == 1), done
    assert stuck.run(*ctl, "remove", "all", **user).code == 1
    other = {"user": 7101, "group": 7101, "extra_groups": []}
    assert "is empty" in stuck.sendmail(name="mailq", **other).out


def test_S_16_what_the_commands_say(stuck):
    """Options in any order, help, names of wrong options, what was done."""
    live = stuck.ctl("explain", "--live", "alice@hb.test")
    assert live.code == 0 and "alice" in live.out, live
    assert stuck.ctl("explain", "alice", json=True)["address"] \
        == "alice@hb.test"
    for words in (("-h",), ("help",), ("help", "sts"), ("sts", "-h")):
        done = stuck.ctl(*words)
        assert done.code == 0 and "sts list" in done.out, done
    for word in ("sts", "ledger"):
        done = stuck.ctl(word)
        assert done.code == 64 and word + " show" in done.err, done
        assert "flush" not in done.err, done
    done = stuck.ctl("queue", "--what")
    assert done.code == 64 and "--what" in done.err, done
    done = stuck.sendmail("-K", "a")
    assert done.code == 64 and "-K" in done.err, done
    queued(stuck, "x@far.test")
    for verb, did in (("hold", "1 message held\n"),
                      ("release", "1 message released\n"),
                      ("flush", "1 message tried now\n")):
        assert stuck.ctl(verb, "all").out == did
    done = stuck.sendmail("-v", "-f", "a@c.test", "alice@hb.test",
                          message="Subject: v\n\nhi\n")
    assert done.out.startswith("alice@hb.test... queued ("), done


def test_S_16_mailq_of_a_server_that_is_down(make_server):
    """It is said that it does not run; exit 69."""
    hb = make_server(start=False)
    done = hb.sendmail(name="mailq")
    assert done.code == 69 and "is not running" in done.err, done
    assert done.out == ""
