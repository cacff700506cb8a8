"""Local delivery: Maildir, mbox, aliases and who exists."""

import os
import pwd
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
    """A loop of aliases ends, and the other members get the mail; what leads
    to nobody but itself waits for the operator (S-31)."""
    hb = make_server(start=False)
    aliases(hb, "ping: pong\npong: ping\nself: self, alice\n")
    hb.send("alice@hb.test", "self@hb.test", client.text("self"))
    hb.wait_mail("alice")
    with hb.client() as c:
        c.ehlo()
        c.mail("alice@hb.test", "ping@hb.test", client.text("ping"))
    assert hb.wait_reason("alias-error")["fault"] == "operator"
    assert hb.ctl("status").out.startswith("*** mail alias-error: ")
    hb.write("aliases", "ping: alice\n")
    hb.ctl("flush", "all")
    hb.wait_mail("alice", 2)
    hb.wait_empty()


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


@pytest.mark.root
def test_A_21_the_group_mail_is_not_the_users(make_server):
    """A helper with the group of /var/mail runs as the recipient, whose other
    processes may not trace it and use that group."""
    hb = make_server(start=False, drop=("local-users", "deliver"))
    hb.configure(hb.lines)
    hb.start()
    lock = "/var/mail/hbbob.lock"
    with open(lock, "w", encoding="ascii") as f:
        f.write("%d\n" % os.getpid())
    hb.send("a@client.test", "hbbob@hb.test", client.text("traced"))

    def helper():
        for pid in hb.pids():
            with open("/proc/%d/comm" % pid, encoding="ascii") as f:
                if f.read() == "hauberk-local\n":
                    return pid
        return None

    pid = until(helper, 15, "the helper")
    said = subprocess.run(["ls", "/proc/%d/fd" % pid], user=7102, group=7102,
                          extra_groups=[], capture_output=True, text=True)
    os.unlink(lock)
    assert "Permission denied" in said.stderr
    hb.wait_empty()
    os.unlink("/var/mail/hbbob")


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


def test_F_1_S_5_the_host_itself(make_server, dns):
    """The host's own name, localhost and its literals need no line and no
    DNS; the notice about mail of a `@localhost` sender arrives too."""
    hb = make_server(["domain site.test", "resolver %s" % dns])
    there = ("alice@mx.hb.test", "alice@localhost",
             "alice@localhost.localdomain", "alice@[127.0.0.1]",
             "alice@[IPv6:::1]", "alice@[IPv6:::ffff:127.0.0.1]")
    for number, rcpt in enumerate(there):
        hb.send("a@client.test", rcpt, client.text("n%d" % number))
    hb.wait_mail("alice", len(there))
    for rcpt in ("nobody-here@localhost", "nobody-here@[0.0.0.0]"):
        with hb.client() as c:
            c.ehlo()
            assert c.envelope("a@client.test", rcpt)[1].code == 550
    for name in ("abuse", "MAILER-DAEMON", "postmaster"):
        with hb.client() as c:
            c.ehlo()
            assert c.envelope("", name + "@mx.hb.test")[1].code == 250
    dns.set("gone.test", "MX", "0 .")
    hb.send("bob@localhost", "x@gone.test", client.text("back"))
    assert b"x@gone.test" in hb.wait_mail("bob")[0]
    assert not [q for q in dns.queries
                if "localhost" in q.name or "hb.test" in q.name]


@pytest.mark.root
def test_A_13_accounts_of_the_roles(make_server):
    """Nothing is delivered as an account that a role runs as."""
    hb = make_server(["local-users passwd", "user local hbalice"])
    with hb.client() as c:
        c.ehlo()
        for name in ("_hauberk", "_hauberkk", "_HAUBERKQ+x"):
            assert c.envelope("a@client.test",
                              name + "@hb.test")[1].code == 550
            c.cmd("RSET")
        assert c.envelope("a@client.test", "hbbob@hb.test")[1].code == 250


def test_F_10_F_16_long_and_odd_addresses(make_server):
    """A long local part and an underscore in the domain are taken, of senders
    and of recipients."""
    long = "srs0=" + "x" * 200
    hb = make_server(["domain hb.test app_web_1.app_default",
                      "aliases text:aliases"], start=False)
    hb.write("aliases", "%s: alice\n" % long)
    hb.start()
    hb.send("%s@odd_client.test" % long,
            [long + "@hb.test", "bob@app_web_1.app_default"],
            client.text("odd"))
    sender = head(hb.wait_mail("bob")[0])["return-path"]
    assert sender == ["<%s@odd_client.test>" % long]
    hb.wait_mail("alice")
    assert hb.sendmail("-f", long + "@odd_client.test", "bob@hb.test",
                       message=client.text("command")).code == 0
    hb.wait_mail("bob", 2)


def test_A_11_E_4_strangers_and_relay_domains(make_server):
    """A relay-domain and what is below it; no routes in what they send."""
    hb = make_server(["relay-from 192.0.2.0/24", "relay-domain partner.test"])
    with hb.client() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<a@client.test>")
        for rcpt, code in (("x@partner.test", 250), ("x@a.Partner.test", 250),
                           ("x@xpartner.test", 550),
                           ("x%far.test@partner.test", 550),
                           ("far.test!x@partner.test", 550),
                           ('"x@far.test"@partner.test', 550),
                           ("@far.test:x@partner.test", 550),
                           ("@hb.test:alice@hb.test", 250),
                           ("alice%far.test@hb.test", 550),
                           ("x@far.test", 550)):
            assert c.cmd("RCPT TO:<%s>" % rcpt).code == code, rcpt


@pytest.mark.root
@pytest.mark.parametrize("words, name", [
    (["local-users passwd"], "hbtwin"), (["user local _hauberkk"], "alice")])
def test_A_13_nothing_runs_as_a_role(make_server, words, name):
    """Neither an account of a role's uid under another name, nor one that the
    operator names: the mail waits."""
    number = pwd.getpwnam("_hauberkk").pw_uid
    with open("/etc/passwd") as f:
        before = f.read()
    try:
        with open("/etc/passwd", "a") as f:
            f.write("hbtwin:x:%d:%d::/nonexistent:/bin/sh\n" %
                    (number, number))
        hb = make_server(["lab on", *words])
        os.chmod(hb.mail, 0o1777)
        hb.send("a@client.test", name + "@hb.test", client.text("no"))
        assert hb.wait_reason("helper-failed")
        assert os.listdir(hb.mail) == []
        if name == "hbtwin":  # its helper ends before it is anybody
            died = hb.wait_record(ev="role", name="local", state="died")
            hb.killed.add(int(died["pid"]))
    finally:
        with open("/etc/passwd", "w") as f:
            f.write(before)
def test_F_9_dev_null(make_server):
    """/dev/null as the target of an alias throws mail away, and says so."""
    hb = make_server(start=False)
    aliases(hb, "trash: /dev/null\nboth: /dev/null, alice\n")
    for name in ("trash", "both"):
        hb.send("a@client.test", name + "@hb.test", client.text(name))
    hb.wait_mail("alice")
    hb.wait_empty()
    assert len(hb.records(ev="delivery", result="ok", reason="discarded")) == 2
    assert not hb.records(ev="delivery", result="defer")


def mbox_server(make_server):
    """A server whose mailboxes are files, and the path of alice's."""
    hb = make_server(start=False)
    hb.configure(["deliver mbox %s/%%u" % hb.mail])
    hb.start()
    return hb, os.path.join(hb.mail, "alice")


def test_F_3_stale_lock(make_server):
    """A lock that a dead process left is broken, and so is an old one."""
    hb, box = mbox_server(make_server)
    dead = subprocess.Popen(["true"])
    dead.wait()
    for text, age in (("%d\n" % dead.pid, 0), ("", 400)):
        with open(box + ".lock", "w", encoding="ascii") as f:
            f.write(text)
        then = time.time() - age
        os.utime(box + ".lock", (then, then))
        hb.send("a@client.test", "alice@hb.test", client.text("locked"))
        hb.wait_empty()
        assert not os.path.exists(box + ".lock")
    assert not hb.records(ev="delivery", result="defer")
    with open(box, "rb") as f:
        assert f.read().count(b"Subject: locked") == 2


def test_F_12_mbox_that_ends_in_half_a_line(make_server):
    """The next message begins behind an empty line."""
    hb, box = mbox_server(make_server)
    hb.send("a@client.test", "alice@hb.test", client.text("one"))
    hb.wait_empty()
    with open(box, "ab") as f:
        f.write(b"From x Thu Feb 29 12:34:56 2024\nSubject: half\n\nhal")
    hb.send("a@client.test", "alice@hb.test", client.text("two"))
    hb.wait_empty()
    with open(box, "rb") as f:
        text = f.read()
    assert b"\n\nhal\n\nFrom a@client.test " in text


def test_A_10_mbox_of_another(make_server):
    """A link in a mailbox's place is not followed, and the log says it."""
    hb, box = mbox_server(make_server)
    trap = hb.write("mail/trap", "")
    os.symlink(trap, box)
    hb.send("a@client.test", "alice@hb.test", client.text("trap"))
    record = hb.wait_record(ev="delivery", result="defer")
    assert "is a symbolic link" in record["text"]
    assert os.path.getsize(trap) == 0
    os.unlink(box)


@pytest.mark.root
def test_A_10_mbox_of_another_user(make_server):
    """Nor is a file of somebody else's, however it may be written."""
    hb = make_server(start=False, drop=("local-users",))
    hb.configure(["deliver mbox %s/%%u" % hb.mail])
    os.chmod(hb.mail, 0o1777)
    hb.start()
    box = hb.write("mail/hbalice", "")
    os.chown(box, 7102, 7102)
    os.chmod(box, 0o666)
    hb.send("a@client.test", "hbalice@hb.test", client.text("trap"))
    record = hb.wait_record(ev="delivery", result="defer")
    assert "belongs to uid 7102" in record["text"]
    assert os.path.getsize(box) == 0


@pytest.mark.root
def test_E_7_mail_for_root(make_server):
    """No helper is root: without an alias root's mail waits, and the log says
    what is to be done."""
    hb = make_server(start=False, drop=("local-users",))
    hb.configure(["deliver maildir ~/Maildir"])
    hb.start()
    hb.send("a@client.test", "root@hb.test", client.text("root"))
    record = hb.wait_record(ev="delivery", result="defer")
    assert record["reason"] == "no-account"
    assert "root: you" in record["text"]


@pytest.mark.root
def test_home_that_is_missing(make_server, space):
    """A home that is not there, not mounted perhaps, is named, not made."""
    hb = make_server(start=False, drop=("local-users",))
    hb.configure(["deliver maildir ~/Maildir"])
    hb.start()
    home = os.path.join(space.homes(), "hbalice")
    os.rename(home, home + "-away")
    try:
        hb.send("a@client.test", "hbalice@hb.test", client.text("home"))
        record = hb.wait_record(ev="delivery", result="defer")
        assert "the home folder" in record["text"]
        assert home in record["text"]
        assert not os.path.exists(home)
    finally:
        os.rename(home + "-away", home)


def test_E_1_exit_codes(make_server):
    """A code of no meaning returns the message with the program's words; a
    program that is not there is the operator's mistake."""
    hb = make_server(start=False)
    aliases(hb, 'odd: "|echo no such list; exit 1"\n'
            'gone: "|/no/such/program -x"\n')
    for name in ("odd", "gone"):
        hb.send("alice@hb.test", name + "@hb.test", client.text(name))
    notice = hb.wait_mail("alice")[0]
    assert b"exit code 1: no such list" in notice.replace(b"\n ", b" ")
    assert b"Status: 5.3.0" in notice
    record = hb.wait_record(ev="delivery", result="defer")
    assert record["reason"] == "command-failed"
    assert "exit code 127 (not found)" in record["text"]
    until(lambda: len(hb.queue()) == 1, 15, "only the other waits")


def test_S_10_helper_that_dies(make_server):
    """How a helper ended is in the log, and its mail waits."""
    hb = make_server(start=False)
    aliases(hb, 'killer: "|kill -9 $PPID"\n')
    hb.send("a@client.test", "killer@hb.test", client.text("dies"))
    record = hb.wait_record(ev="role", name="local", state="died")
    assert record["signal"] == "9"
    hb.killed.add(int(record["pid"]))
    hb.wait_reason("helper-failed")


def test_F_14_E_3_one_mailbox_one_copy(make_server):
    """However it is written, whatever leads there: one copy."""
    server = make_server(start=False)
    server.write("aliases", "team: alice, bob\nall: team, \\alice, Bob\n"
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
