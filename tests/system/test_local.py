"""Local delivery: Maildir, mbox, aliases and who exists."""

import os
import socket
import stat
import subprocess
import time

import pytest

from harness import client, hauberk
from harness.wait import until

pytestmark = pytest.mark.both


def head(message):
    """{field: [values]} of a delivered message's header."""
    out = {}
    text = message.replace(b"\r\n", b"\n").split(b"\n\n")[0].decode("latin-1")
    for line in text.replace("\n\t", " ").replace("\n ", " ").split("\n"):
        name, _, value = line.partition(":")
        out.setdefault(name.lower(), []).append(value.strip())
    return out


def test_SMTP_11_maildir(server):
    """Return-Path once, Delivered-To, Received first, the body intact."""
    body = "hello\r\n\tworld \r\nFrom here\r\n"
    sent = client.text("maildir", body,
                       extra="Received: from x.test by y.test; Sat, 1 Aug "
                       "2026 10:00:00 +0000\r\n")
    server.send("a@client.test", "alice@hb.test", sent)
    message = server.wait_mail("alice")[0]
    fields = head(message)
    assert fields["return-path"] == ["<a@client.test>"]
    assert fields["delivered-to"] == ["alice@hb.test"]
    assert len(fields["received"]) == 2
    assert "by mx.hb.test" in fields["received"][0]
    plain = message.replace(b"\r\n", b"\n")
    assert plain.endswith(sent.replace(b"\r\n", b"\n"))
    assert plain.startswith(b"Return-Path:")


def test_maildir_names(server):
    """Names are unique, `tmp` is empty, files are private."""
    for i in range(20):
        server.send("a@client.test", "alice@hb.test",
                    client.text("n%d" % i))
    server.wait_mail("alice", 20)
    box = os.path.join(server.mail, "alice")
    assert os.listdir(os.path.join(box, "tmp")) == []
    names = os.listdir(os.path.join(box, "new"))
    assert len(names) == 20 and not any(":" in n or "/" in n for n in names)
    mode = os.stat(os.path.join(box, "new", names[0])).st_mode
    assert stat.S_IMODE(mode) & 0o077 == 0


def test_two_recipients(server):
    """One transaction, two mailboxes, one copy each."""
    server.send("a@client.test", ["alice@hb.test", "bob@hb.test"],
                client.text("two"))
    for user in ("alice", "bob"):
        fields = head(server.wait_mail(user)[0])
        assert fields["delivered-to"] == [user + "@hb.test"]
    server.wait_empty()
    assert len(server.maildir("alice")) == 1


def test_recipient_delimiter(make_server):
    """user+detail goes to user; the character can be changed."""
    hb = make_server()
    hb.send("a@client.test", "alice+list@hb.test", client.text("plus"))
    assert b"Subject: plus" in hb.wait_mail("alice")[0]
    hb = make_server(["recipient-delimiter -"])
    hb.send("a@client.test", "alice-list@hb.test", client.text("minus"))
    assert b"Subject: minus" in hb.wait_mail("alice")[0]
    with hb.client() as c:
        c.ehlo()
        assert c.envelope("a@client.test", "alice+x@hb.test")[1].code == 550


def test_mbox(make_server):
    """mbox: a From line for each message, From in the body quoted."""
    hb = make_server(start=False)
    hb.configure(["deliver mbox %s/%%u" % hb.mail])
    hb.start()
    path = os.path.join(hb.mail, "alice")
    for i in range(5):
        hb.send("a@client.test", "alice@hb.test",
                client.text("m%d" % i, "From me\r\n>From you\r\nend\r\n"))
    hb.wait_empty()
    with open(path, "rb") as f:
        text = f.read()
    lines = text.split(b"\n")
    assert sum(l.startswith(b"From ") for l in lines) == 5
    assert lines[0].startswith(b"From a@client.test ")
    assert text.count(b"\n>From me\n") == 5
    assert b"\r" not in text
    assert text.endswith(b"\n\n")


def aliases(hb, text):
    hb.write("aliases", text)
    hb.configure(hb.lines + ["aliases " + hb.path("aliases")])
    return hb.start()


def test_aliases(make_server):
    """Names, lists, chains, case and :include: files."""
    hb = make_server(start=False)
    included = hb.write("members", "# comment\nbob\ncarol@hb.test\n")
    aliases(hb, "one: alice\nTeam: alice,\n\tbob\nchain: one\n"
            "many: :include:%s\n" % included)
    for name in ("one", "team", "chain", "MANY"):
        hb.send("a@client.test", name + "@hb.test", client.text(name))
    hb.wait_mail("alice", 3)
    hb.wait_mail("bob", 2)
    hb.wait_mail("carol", 1)
    hb.wait_empty()
    assert [len(hb.maildir(u)) for u in ("alice", "bob", "carol")] == [3, 2,
                                                                       1]


def test_alias_loop_is_cut(make_server):
    """A loop of aliases ends, and the other members get the mail."""
    hb = make_server(start=False)
    aliases(hb, "ping: pong\npong: ping\nself: self, alice\n")
    hb.send("alice@hb.test", "self@hb.test", client.text("self"))
    hb.wait_mail("alice")
    with hb.client() as c:
        c.ehlo()
        c.mail("alice@hb.test", "ping@hb.test", client.text("ping"))
    hb.wait_empty()
    assert hb.ctl("status").code == 0


def test_alias_to_remote(make_server, mx_factory):
    """An alias may lead to another server."""
    mx = mx_factory("127.0.0.1")
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port],
                     start=False)
    aliases(hb, "out: someone@far.test, alice\n")
    hb.send("a@client.test", "out@hb.test", client.text("out"))
    assert mx.wait(1)[0].rcpts == ["someone@far.test"]
    assert len(hb.wait_mail("alice")) == 1


def test_catch_all(make_server):
    """`@domain` in aliases takes what nobody else takes."""
    hb = make_server(start=False)
    aliases(hb, "@hb.test: carol\n")
    hb.send("a@client.test", ["nobody@hb.test", "alice@hb.test"],
            client.text("catch"))
    hb.wait_mail("carol")
    hb.wait_mail("alice")
    hb.wait_empty()
    assert len(hb.maildir("carol")) == 1


def test_domain_file(make_server):
    """`domain file:PATH` names one domain a line."""
    hb = make_server(start=False)
    path = hb.write("domains", "one.test\n# no\nTwo.test\n")
    hb.configure(["domain hb.test file:" + path])
    hb.start()
    for domain in ("one.test", "two.test", "hb.test"):
        hb.send("a@client.test", "alice@" + domain, client.text(domain))
    hb.wait_mail("alice", 3)


def test_mailbox_trouble_defers(make_server):
    """A mailbox that cannot be written delays mail and recovers."""
    hb = make_server()
    block = hb.write("mail/alice", "a file where the Maildir should be")
    hb.send("a@client.test", "alice@hb.test", client.text("later"))
    until(lambda: hb.records(ev="delivery", result="defer"), 15,
          "a deferred delivery")
    assert len(hb.queue()) == 1
    os.unlink(block)
    assert b"Subject: later" in hb.wait_mail("alice")[0]
    hb.wait_empty()


@pytest.mark.root
def test_system_users(make_server, space):
    """passwd users, %h and ~: delivered with the owner's rights."""
    hb = make_server(start=False, drop=("local-users",))
    hb.configure(["deliver maildir ~/Maildir"])
    hb.start()
    hb.send("a@client.test", ["hbalice@hb.test", "hbbob@hb.test"],
            client.text("home"))
    for user, uid in (("hbalice", 7101), ("hbbob", 7102)):
        box = os.path.join(space.homes(), user, "Maildir", "new")
        until(lambda b=box: os.path.isdir(b) and os.listdir(b), 15,
              "mail for " + user)
        path = os.path.join(box, os.listdir(box)[0])
        assert os.stat(path).st_uid == uid
    with hb.client() as c:
        c.ehlo()
        assert c.envelope("a@client.test", "nosuch@hb.test")[1].code == 550


@pytest.mark.root
def test_var_mail_default(make_server):
    """The default delivery: mbox /var/mail/USER, owned by the user."""
    hb = make_server(start=False, drop=("local-users", "deliver"))
    hb.configure(hb.lines)
    hb.start()
    hb.send("a@client.test", "hbbob@hb.test", client.text("spool"))
    path = "/var/mail/hbbob"
    until(lambda: os.path.exists(path) and os.path.getsize(path), 15, path)
    hb.wait_empty()
    assert os.stat(path).st_uid == 7102
    with open(path, "rb") as f:
        assert b"Subject: spool" in f.read()
    os.unlink(path)


def test_helper_waits_for_its_job():
    """A helper that is there before its job waits: the channel it is given
    is one that does not block by itself."""
    if not hauberk.SBIN:
        pytest.skip("HAUBERK_SBIN does not name an installed tree's sbin")
    program = os.path.join(os.path.dirname(hauberk.SBIN),
                           "libexec/hauberk/hauberk-local")
    ours, its = socket.socketpair()
    its.setblocking(False)
    helper = subprocess.Popen([program], pass_fds=(3,),
                              preexec_fn=lambda: os.dup2(its.fileno(), 3))
    its.close()
    time.sleep(0.5)
    assert helper.poll() is None
    ours.close()
    assert helper.wait(5) != 0


def test_F_14_E_3_one_mailbox_one_copy(make_server):
    """However it is written, whatever leads there: one copy."""
    server = make_server(start=False)
    server.write("aliases", "team: alice, bob\nall: team, \\\\alice, Bob\n"
                 "owner-team: bob\nalice: alice\n")
    server.configure(["aliases text:%s" % server.path("aliases")])
    server.start()
    server.send("a@client.test", ["alice@hb.test", "ALICE@HB.test",
                                  "team@hb.test", "Alice@hb.test",
                                  "all@hb.test"], client.text("once"))
    server.wait_mail("alice")
    server.wait_mail("bob")
    server.wait_empty()
    assert len(server.maildir("alice")) == len(server.maildir("bob")) == 1
