"""The operator's mistakes: told by -n at their line, at start and reload; what
was in force stays so, and no mail is lost by them."""

import contextlib
import os
import signal
import socket
import subprocess

import pytest

from harness import client, hauberk as hauberkmod
from harness.hauberk import hashed
from harness.wait import until

PROGRAM = hauberkmod.SBIN and os.path.join(hauberkmod.SBIN, "hauberkd")


def check(hb, flag="-n"):
    return hb.run(PROGRAM, flag, "-f", hb.conf)


def line_of(hb, line):
    """FILE:LINE of a line of the configuration."""
    with open(hb.conf) as f:
        return "%s:%d: " % (hb.conf, 1 + f.read().split("\n").index(line))


def pair(hb, ca, name="mx.hb.test", **kw):
    cert = ca.issue(name, **kw)
    chain = hb.write("chain.pem", open(cert.chain, "rb").read())
    key = hb.write("key.pem", open(cert.key, "rb").read())
    os.chmod(key, 0o600)
    hb._own()
    return "tls-certificate %s key=%s" % (chain, key)


def spoil(path, kind):
    """Make of PATH what a full disk, a slip or an enemy makes of it."""
    whole = b""
    if os.path.isdir(path):
        os.rmdir(path)
    elif os.path.lexists(path):
        if os.path.isfile(path):
            whole = open(path, "rb").read()
        os.unlink(path)
    if kind == "folder":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path, 0o644)
    elif kind == "link":
        os.symlink("/nonexistent/file", path)
    elif kind == "device":
        os.symlink("/dev/zero", path)
    elif kind != "gone":
        with open(path, "wb") as f:
            if kind == "torn":
                f.write(whole[:len(whole) // 2])
            elif kind == "huge":
                f.truncate(300 << 20)
        os.chmod(path, 0o644)


KINDS = ["empty", "torn", "huge", "folder", "fifo", "link", "device", "gone"]


@pytest.mark.parametrize("kind", KINDS)
def test_S_2_a_spoilt_file_changes_nothing(make_server, ca, kind):
    """Certificate, key and roots that are no more: -n says which line, reload
    keeps what is in force and status says so, an open session goes on, and a
    fresh start ends with 78."""
    hb = make_server(start=False)
    roots = hb.write("roots.pem", open(ca.file, "rb").read())
    lines = [pair(hb, ca), "ca-file " + roots]
    hb.configure(lines)
    hb.start()
    pids = hb.pids()
    good = {n: open(hb.path(n), "rb").read()
            for n in ("chain.pem", "key.pem", "roots.pem")}
    with hb.client() as c:
        c.ehlo()
        for name, line in (("chain.pem", lines[0]), ("key.pem", lines[0]),
                           ("roots.pem", lines[1])):
            spoil(hb.path(name), kind)
            done = check(hb)
            assert done.code == 78, (name, done)
            assert line_of(hb, line) in done.err, (name, done)
            done = hb.ctl("reload")
            assert done.code == 1, (name, done)
            assert line_of(hb, line) in done.err + done.out, (name, done)
            assert hb.ctl("status").out.startswith(
                "*** config %s: it was refused" % hb.conf)
            spoil(hb.path(name), "gone")
            hb.write(name, good[name])
        assert c.cmd("NOOP").code == 250
    assert hb.ctl("reload").code == 0
    assert hb.ctl("status", json=True)["trouble"] == []
    assert hb.pids() == pids
    spoil(hb.path("roots.pem"), kind)
    hb.stop()
    done = check(hb, "-d")
    assert done.code == 78 and line_of(hb, lines[1]) in done.err, done


@pytest.mark.parametrize("word", ["include %s", "domain hb.test file:%s",
                                  "aliases text:%s", "local-users text:%s",
                                  "auth passwd-file %s"])
def test_S_2_every_file_that_is_named(make_server, word):
    """No kind of file keeps anybody waiting, and each is told at its line."""
    hb = make_server(start=False)
    line = word % hb.path("named")
    for kind in KINDS:
        if kind == "torn":  # is a text like any other
            continue
        spoil(hb.path("named"), kind)
        hb.configure([line])
        done = check(hb)
        assert done.code == 78 and line_of(hb, line) in done.err, (kind, done)


@pytest.mark.root
def test_S_4_a_map_that_the_router_may_not_read(make_server):
    """It is looked at as the router's account by -n, start and reload; when it
    happens later, one record says so and one that it is over."""
    hb = make_server(start=False)
    aliases = hb.write("aliases", "team: alice\n")
    line = "aliases " + aliases
    hb.configure([line])
    os.chmod(aliases, 0o600)
    for flag in ("-n", "-d"):
        done = check(hb, flag)
        assert done.code == 78, done
        assert line_of(hb, line) + "cannot read %s: Permission denied" \
            % aliases in done.err, done
    os.chmod(aliases, 0o644)
    hb.start()
    os.chmod(aliases, 0o600)
    done = hb.ctl("reload")
    assert done.code == 1 and line_of(hb, line) in done.err, done
    os.chmod(aliases, 0o644)
    assert hb.ctl("reload").code == 0


def test_S_4_a_map_that_is_lost_is_told_once(make_server):
    """Users that were known before stay known; status names the file first."""
    hb = make_server()
    users = hb.path("users")
    hb.send("a@c.test", "alice@hb.test", client.text("one"))
    os.rename(users, users + ".away")
    for user in ("alice", "bob", "alice"):
        hb.send("a@c.test", user + "@hb.test", client.text("two"))
    record = hb.wait_record(ev="map", state="trouble")
    assert record["file"] == users and "No such file" in record["error"]
    assert len(list(hb.records(ev="map", state="trouble"))) == 1
    assert hb.ctl("status").out.startswith("*** map " + users)
    row = hb.ctl("status", json=True)["trouble"][0]
    assert (row["kind"], row["what"], row["role"]) == ("map", users, "router")
    os.rename(users + ".away", users)
    hb.send("a@c.test", "alice@hb.test", client.text("three"))
    assert hb.wait_record(ev="map", state="over")["file"] == users
    assert hb.ctl("status", json=True)["trouble"] == []


def test_S_4_a_list_that_cannot_be_read_is_told_until_it_is(make_server):
    """Its mail waits; that is over when the file was read, without a reload."""
    hb = make_server(start=False)
    members = hb.path("members")
    hb.write("aliases", "team: :include:%s\n" % members)
    hb.configure(hb.lines + ["aliases " + hb.path("aliases")])
    hb.start()
    hb.send("a@c.test", "team@hb.test", client.text("one"))
    assert hb.wait_record(ev="map", state="trouble")["file"] == members
    kinds = [(t["kind"], t["what"])
             for t in hb.ctl("status", json=True)["trouble"]]
    assert ("map", members) in kinds
    hb.write("members", "alice\n")
    hb.ctl("flush", "all")
    hb.wait_mail("alice", 1)
    assert hb.wait_record(ev="map", state="over")["file"] == members
    assert len(hb.records(ev="map", state="trouble")) == 1
    until(lambda: hb.ctl("status", json=True)["trouble"] == [], 20,
          "nothing is amiss any more")


def test_S_4_lines_that_cannot_be_used(make_server):
    """They are warned of by FILE:LINE; they fail nothing."""
    hb = make_server(start=False)
    passwd = hb.write("passwd", "# logins\nalice:$6$salt$hash\nbob\n"
                      "carol:secret\n")
    hb.write("aliases", "team: alice\nno colon here\n")
    hb.configure(["auth passwd-file " + hb.path("passwd"),
                  "aliases " + hb.path("aliases")])
    done = check(hb)
    assert done.code == 0, done
    for want in ("passwd:3: warning: this line is not 'NAME: TEXT'",
                 "passwd:4: warning: this password has no hash",
                 "aliases:2: warning: this line is not 'NAME: TEXT'"):
        assert hb.path(want) in done.err, done
    assert passwd + " can be read by everybody" in done.err, done
    assert done.err.count("warning") == 4, done


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "torn"])
def test_S_2_the_configuration_itself(make_server, kind):
    """Not even an empty one, which would mean defaults for all."""
    hb = make_server()
    spoil(hb.conf, kind)
    assert check(hb).code == 78
    os.kill(hb.pid, signal.SIGHUP)
    record = hb.wait_record(ev="config", state="trouble")
    assert hb.conf + ":" in record["error"], record
    with hb.client() as c:
        assert c.cmd("EHLO x.test").code == 250
    spoil(hb.conf, "gone")
    hb.configure()
    os.kill(hb.pid, signal.SIGHUP)
    hb.wait_record(ev="config", state="over")


def test_S_2_the_hosts_file_stays(make_server, mx_factory):
    """Watched files that are spoilt go on with what they said, and -n finds a
    hosts-file that was named."""
    mx = mx_factory("127.0.0.1")
    hb = make_server(["smarthost smtp://relay.test:%d" % mx.port],
                     start=False)
    hb.write("hosts", "127.0.0.1 relay.test\n")
    hb.start()
    spoil(hb.path("hosts"), "fifo")
    record = hb.wait_record(ev="config", state="trouble")
    assert record["file"] == hb.path("hosts")
    done = check(hb)
    assert done.code == 78 and "Not a regular file" in done.err, done
    hb.send("a@hb.test", "x@far.test", client.text("on"))
    assert mx.wait(1)
    spoil(hb.path("hosts"), "gone")
    hb.write("hosts", "127.0.0.1 relay.test\n")
    hb.wait_record(ev="config", state="over")
    spoil(hb.path("hosts"), "fifo")
    hauberkmod.until(lambda: hb.ctl("status", json=True)["trouble"], 15,
                     "trouble in status")
    hb.drop = ("hosts-file",)  # nobody asks for it any more
    hb.configure(hb.lines)
    assert hb.ctl("reload").code == 0
    assert hb.ctl("status", json=True)["trouble"] == []


def test_S_8_the_run_dir_has_one_server(make_server):
    """A second server with another spool takes nothing from the first."""
    hb = make_server()
    other = make_server(["run-dir " + hb.path("run")], start=False)
    done = check(other, "-d")
    assert done.code == 75, done
    assert "another hauberkd uses the run-dir " + hb.path("run") in done.err
    assert hb.ctl("status", json=True)["pid"] == hb.pid


def test_S_14_what_a_check_finds(make_server, ca):
    """All mistakes at once, each at its line, as a start would not show."""
    hb = make_server(start=False)
    swapped = pair(hb, ca).replace("chain.pem", "KEY").replace(
        "key.pem", "chain.pem").replace("KEY", "key.pem")
    lines = {
        "log /nonexistent/folder/log": "the folder /nonexistent/folder",
        swapped: "certificate and key are swapped",
        "deliver command /nonexistent/lda %u": "the command /nonexistent/lda",
        "listen *:%d submission" % hb.port: "is listened on already",
        "smarthost smtp://far.test auth=/etc/passwd": "auth= has no function",
        "relay-from 203.0.113.5/8": "has bits behind its prefix",
        "domain -foo.org": "is not a domain name",
    }
    listen = "listen 127.0.0.1:%d smtp" % hb.port
    hb.configure([listen, *lines])
    done = check(hb)
    assert done.code == 78, done
    for line, want in lines.items():
        assert any(l.startswith(line_of(hb, line)) and want in l
                   for l in done.err.split("\n")), (line, done)


def test_S_14_a_key_of_another_certificate(make_server, ca):
    hb = make_server(start=False)
    line = pair(hb, ca)
    hb.write("key.pem", open(ca.issue("other.test").key, "rb").read())
    hb.configure([line])
    done = check(hb)
    assert done.code == 78, done
    assert line_of(hb, line) + "the key is not the key" in done.err, done


def test_S_14_what_is_warned_of(make_server, ca):
    """A warning fails nothing; start and status show it too."""
    hb = make_server(start=False)
    lines = [pair(hb, ca, days=(-9, -2)),
             "tls-policy far.test verify until=2020-02-02",
             "route x.test lmtp:/nonexistent/lmtp"]
    os.chmod(hb.path("key.pem"), 0o644)
    hb.configure(lines)
    wants = ((lines[0], "the certificate has expired on"),
             (lines[0], "can be read by everybody"),
             (lines[1], "ended with 2020-02-02"),
             (lines[2], "nobody listens at /nonexistent/lmtp"))
    done = check(hb)
    assert done.code == 0, done
    hb.start()
    shown = hb.ctl("status").out
    logged = [r["text"] for r in hb.records(ev="config") if "text" in r]
    for line, want in wants:
        for text in (done.err, shown, "\n".join(logged)):
            assert line_of(hb, line) + "warning: " in text, (line, text)
            assert want in text, (want, text)


@pytest.mark.root
def test_S_14_an_account_that_is_missing(make_server):
    hb = make_server(start=False)
    hb.configure(["user queue nosuchaccount", "user local hbalice"])
    done = check(hb)
    assert done.code == 78, done
    assert line_of(hb, "user queue nosuchaccount") + \
        "account nosuchaccount is missing" in done.err, done


def test_S_21_a_word_that_counts_at_the_next_start(make_server):
    """Changed or taken away: reload says so at its line, and so does status."""
    hb = make_server(["workers smtpd=1 delivery=1"])
    hb.configure(["spool elsewhere"])
    assert hb.ctl("reload").code == 0
    wants = [line_of(hb, "spool elsewhere") + "'spool' counts at the next "
             "start", hb.conf + ":1: 'workers' counts at the next start"]
    texts = [r["text"] for r in hb.records(ev="config") if "text" in r]
    for want in wants:
        assert want in texts, texts
        assert want in hb.ctl("status").out
    assert not os.path.exists(hb.path("elsewhere"))


@pytest.mark.both
def test_E_5_who_else_may_write(make_server):
    """A file that says where mail goes, and each folder above it."""
    hb = make_server(start=False)
    os.mkdir(hb.path("open"))
    hb.write("more.conf", "max-hops 40\n")
    hb.write("list", "alice\n")
    hb.write("open/aliases", "team: :include:%s\nnone: :include:/nonexistent/x"
             "\nhere: :include:list\ngood: :include:\"%s\"\n"
             % (hb.path("list"), hb.path("list")))
    lines = ["aliases " + hb.path("open/aliases"),
             "include " + hb.path("more.conf")]
    hb.configure(lines)
    assert "changed by" not in check(hb).err
    os.chmod(hb.path("open"), 0o777)
    os.chmod(hb.path("more.conf"), 0o666)
    os.chmod(hb.path("list"), 0o666)
    done = check(hb)
    assert done.code == 0, done
    assert line_of(hb, lines[0]) + "warning: %s can be changed by everybody" \
        % hb.path("open") in done.err, done
    assert line_of(hb, lines[1]) + "warning: %s can be changed by everybody" \
        % hb.path("more.conf") in done.err, done
    for want in (":1: warning: %s can be changed by" % hb.path("list"),
                 ":2: warning: cannot read /nonexistent/x: No such",
                 ":3: warning: the path of the list 'list' does not begin",
                 ":4: warning: %s can be changed by" % hb.path("list")):
        assert hb.path("open/aliases") + want in done.err, done
    os.chmod(hb.path("open"), 0o1777)
    assert hb.path("open") + " can" not in check(hb).err


# What mail waits for: nothing comes back, the operator hears of it once.

LDA = "#!/bin/sh\ncat > %s\n"


def waits(hb, reason):
    """The mail waits, the reason is the operator's, and he was told once."""
    last = hb.wait_reason(reason)
    assert last["fault"] == "operator" and last["reply"] != "", last
    until(lambda: hb.records(ev="mail", state="trouble", word=reason), 10,
          "the record of " + reason)
    hb.ctl("flush", "all")
    until(lambda: hb.queue()[0]["recipients"][0]["attempts"] > 1, 20,
          "a second attempt")
    assert len(list(hb.records(ev="mail", state="trouble"))) == 1
    assert hb.ctl("status").out.startswith("*** mail %s: " % reason)
    assert not list(hb.records(ev="bounce"))


def mended(hb, reason):
    hb.ctl("flush", "all")
    hb.wait_empty()
    hb.wait_record(ev="mail", state="over", word=reason)
    assert hb.ctl("status", json=True)["trouble"] == []


def a_folder(hb):
    os.chmod(hb.mail, 0o500)
    return "mailbox-temporary", lambda: os.chmod(hb.mail, 0o700)


def a_full_mailbox(hb):
    inbox = os.path.join(hb.mail, "alice")
    os.symlink("/dev/full/x", inbox)
    return "mailbox-temporary", lambda: os.unlink(inbox)


def a_program_that_is_gone(hb):
    os.rename(hb.path("lda"), hb.path("away"))
    return "command-failed", lambda: os.rename(hb.path("away"),
                                               hb.path("lda"))


def a_program_that_cannot_run(hb):
    os.chmod(hb.path("lda"), 0o644)
    return "command-failed", lambda: os.chmod(hb.path("lda"), 0o755)


def a_wrong_option(hb):
    hb.write("lda", "#!/bin/sh\necho no option -q\nexit 64\n")
    os.chmod(hb.path("lda"), 0o755)

    def cure():
        hb.write("lda", LDA % hb.path("mail/got"))
        os.chmod(hb.path("lda"), 0o755)
    return "command-failed", cure


@pytest.mark.parametrize("mistake", [
    a_folder, a_full_mailbox, a_program_that_is_gone,
    a_program_that_cannot_run, a_wrong_option])
def test_S_30_local_mail_waits(make_server, mistake):
    """At the mailbox or the program that takes local mail."""
    hb = make_server(start=False)
    hb.write("lda", LDA % hb.path("mail/got"))
    hb.configure(["deliver command %s %%u" % hb.path("lda")]
                 if mistake not in (a_folder, a_full_mailbox) else [])
    os.chmod(hb.path("lda"), 0o755)
    hb.start()
    reason, cure = mistake(hb)
    hb.send("a@c.test", "alice@hb.test", client.text("waits"))
    waits(hb, reason)
    cure()
    mended(hb, reason)
    assert hb.maildir("alice") or os.path.exists(hb.path("mail/got"))


def test_S_30_a_backend_that_is_down(make_server):
    """The socket of the LMTP server is missing, or nobody listens there."""
    hb = make_server(start=False)
    path = hb.path("lmtp")
    hb.configure(["deliver lmtp " + path])
    hb.start()
    hb.send("a@c.test", "alice@hb.test", client.text("waits"))
    waits(hb, "backend-down")
    text = hb.ctl("status", json=True)["trouble"][0]["text"]
    assert path + ": No such file or directory" in text, text
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        os.chmod(path, 0o666)
        hb.ctl("flush", "all")
        until(lambda: "refused" in hb.wait_reason("backend-down")["reply"],
              20, "Connection refused")
    hb.configure(["deliver maildir %s/%%u" % hb.mail])
    assert hb.ctl("reload").code == 0
    mended(hb, "backend-down")
    assert hb.maildir("alice")


@pytest.mark.root
def test_S_30_the_wrong_account_writes_mailboxes(make_server):
    hb = make_server(["user local hbbob"])
    hb.send("a@c.test", "alice@hb.test", client.text("waits"))
    waits(hb, "mailbox-temporary")
    hb.stop()
    hb.configure(["user local hbalice"])
    hb.start()
    hb.wait_mail("alice")


def test_S_31_a_broken_alias_waits(make_server):
    """Those that it names well get the mail once, the others when it is
    mended; who sent it hears of nothing."""
    hb = make_server(start=False)
    names = hb.write("aliases", 'team: alice, bob@@hb.test\n'
                     'ping: pong\npong: ping\n')
    hb.configure(["aliases " + names])
    hb.start()
    hb.send("carol@hb.test", "team@hb.test", client.text("team"))
    hb.wait_mail("alice")
    waits(hb, "alias-error")
    hb.write("aliases", "team: alice, bob\nping: alice\n")
    mended(hb, "alias-error")
    assert len(hb.maildir("alice")) == len(hb.maildir("bob")) == 1
    assert hb.maildir("carol") == []


def test_S_30_a_database_that_is_broken(make_server):
    """The text beside it may serve; a stranger is never told `unknown'."""
    hb = make_server(start=False)
    names = hb.write("aliases", "team: alice\n")
    hb.configure(["aliases " + names])
    hb.start()
    hb.write("aliases.db", os.urandom(8192))
    with hb.client() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<a@c.test>")
        reply = c.cmd("RCPT TO:<team@hb.test>")
    assert reply.code in (250, 451), reply
    row = until(lambda: hb.ctl("status", json=True)["trouble"], 10, "told")[0]
    assert row["kind"] == "map" and names in row["what"], row


@pytest.mark.root
def test_S_30_a_spool_that_is_read_only(make_server):
    """Said at the start, and nothing is taken that cannot be kept."""
    hb = make_server(start=False)
    spool = hb.path("spool")
    os.mkdir(spool)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", spool],
                   check=True)
    try:
        done = check(hb, "-d")
        assert done.code != 0 and "Read-only file system" in done.err, done
        subprocess.run(["mount", "-o", "remount,rw", spool], check=True)
        hb.start()
        hb.send("a@c.test", "alice@hb.test", client.text("one"))
        hb.wait_mail("alice")
    finally:
        hb.close()
        subprocess.run(["umount", "-l", spool], check=True)


def test_S_30_few_descriptors(make_server):
    """A limit that is too low for all who come refuses some for a while."""
    hb = make_server(wrap=["prlimit", "--nofile=64:64"])
    codes = set()
    with contextlib.ExitStack() as stack:
        for _ in range(80):
            try:
                c = stack.enter_context(hb.client(timeout=2))
                codes.add(c.greeting.code)
            except OSError:
                codes.add(0)
    assert codes <= {0, 220, 421}, codes
    until(lambda: hb.send("a@c.test", "alice@hb.test",
                          client.text("later")) is None or True, 20, "mail")
    hb.wait_mail("alice")


def test_S_30_passwords_that_are_away(make_server, ca):
    """Logins that were read last still count, and the operator is told."""
    hb = make_server(start=False)
    passwd = hb.write("passwd", "alice:%s\n" % hashed("secret"))
    hb.configure(["auth passwd-file " + passwd, pair(hb, ca),
                  "listen %s:%d submission" % (hb.address, hb.port)])
    hb.start()
    os.rename(passwd, passwd + ".away")
    for user, code in (("nobody", 535), ("alice", 235)):
        with hb.client() as c:
            c.ehlo()
            c.starttls()
            c.ehlo()
            assert c.auth_plain(user, "secret").code == code
    row = hb.ctl("status", json=True)["trouble"][0]
    assert (row["kind"], row["what"]) == ("map", passwd)


@pytest.mark.root
def test_S_6_nobody_reads_roots_mail(make_server):
    """While no alias leads to a person or another host -n warns, start and
    reload log it once, and status has it; mail for it is not warned of."""
    hb = make_server(start=False)
    aliases = hb.write("aliases", "team: alice\n")
    lines = ["aliases " + aliases, "user local _hauberkf",
             "local-users passwd"]

    def check_root(text, *names):
        hb.write("aliases", text)
        done = check(hb)
        assert done.code == 0, done
        said = [line for line in done.err.splitlines()
                if "nobody reads mail" in line]
        assert len(said) == len(names), done
        for name, line in zip(names, said):
            assert line.startswith(line_of(hb, lines[0])), done
            assert "warning: nobody reads mail for %s: " % name in line, done
    hb.configure(lines)
    with open(hb.conf) as f:
        text = f.read().replace("user local _hauberkf\n", "")
    hb.write("hauberk.conf", text)
    check_root("team: alice\n", "root", "postmaster")
    check_root("postmaster: root\n", "root", "postmaster")
    check_root("root: nosuchuser\n", "root", "postmaster")
    check_root("root: error:5.1.6 gone\n", "root", "postmaster")
    check_root("postmaster: a@far.test\n", "root")
    check_root("root: a@far.test\n")
    check_root("root: daemon\n")
    check_root("root: |/bin/true\n")
    check_root("team: alice\n", "root", "postmaster")
    hb.start()
    hb.send("a@c.test", "root@hb.test", client.text("one"))
    hb.send("a@c.test", "root@hb.test", client.text("two"))
    assert "nobody reads mail for root" in hb.ctl("status").out
    told = [r for r in hb.records() if "nobody reads" in str(r)]
    assert len(told) == 2, told
    hb.write("aliases", "root: a@far.test\n")
    assert hb.ctl("reload").code == 0
    assert "nobody reads" not in hb.ctl("status").out


def test_S_6_a_map_of_users_without_root(make_server):
    """Whoever writes mailboxes: root has to be in it, or an alias."""
    hb = make_server(start=False)
    hb.write("users", "alice\talice\n")
    hb.configure()
    assert check(hb).err.count("nobody reads mail for root: there is no such "
                               "user") == 1
    hb.write("users", "alice\talice\nroot\troot\n")
    assert check(hb).err == ""


@pytest.mark.parametrize("stage,reply,reason", [
    ("mail", "530 5.7.0 Authentication required", "login-needed"),
    ("rcpt", "535 5.7.8 Bad credentials", "login-needed"),
    ("greeting", "554 5.7.1 No service for you", "hop-refused")])
def test_S_7_a_smarthost_that_wants_a_login(make_server, mx_factory, stage,
                                            reply, reason):
    """Mail waits and status says so first; one record when it begins and one
    when it is over; nothing is returned."""
    mx = mx_factory("127.0.0.1")
    mx.reply[stage] = reply
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port])
    for n in "one", "two":
        hb.send("a@hb.test", "x@far.test", client.text(n))
    r = hb.wait_record(ev="delivery", result="defer")
    assert r["reason"] == reason, r
    hb.wait_record(ev="mail", state="trouble", word=reason)
    status = hb.ctl("status").out
    assert status.startswith("*** mail %s: x@far.test at 127.0.0.1: "
                             % reason), status
    assert reply[4:] in status.splitlines()[0], status
    row, = hb.ctl("status", json=True)["trouble"]
    assert (row["kind"], row["role"]) == ("mail", "queue")
    del mx.reply[stage]
    assert mx.wait(2)
    hb.wait_empty()
    hb.wait_record(ev="mail", state="over")
    assert len(hb.records(ev="mail", state="trouble")) == 1
    assert not hb.records(ev="bounce")
    assert hb.ctl("status", json=True)["trouble"] == []
