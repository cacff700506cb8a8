"""The commands: sendmail, mailq, newaliases, hauberkctl."""

import os
import re

import pytest

from harness import client, hauberk as hauberkmod
from harness.wait import until

pytestmark = pytest.mark.both


@pytest.fixture
def stuck(make_server, mx_factory):
    """A server whose remote mail stays queued; `.mx` can be started."""
    mx = mx_factory("127.0.0.1")
    mx.stop()
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port,
                      "retry first=1h max=1h"])
    hb.mx = mx
    return hb


def queue_one(hb, rcpt="x@far.test", subject="queued", sender="a@c.test"):
    """Queue one message; its entry after the first attempt."""
    hb.send(sender, rcpt, client.text(subject))

    def tried():
        return [e for e in hb.queue() if any(
            r["address"] == rcpt and r["attempts"] > 0
            for r in e["recipients"])]
    return until(tried, 15, "an attempt")[0]


# sendmail


def test_sendmail_t(server):
    """-t reads the recipients; Bcc is taken and not sent on."""
    done = server.sendmail(
        "-t", "-f", "carol@hb.test", message="From: carol@hb.test\n"
        "To: Alice <alice@hb.test>\nBcc: bob@hb.test\nSubject: t\n\nhi\n")
    assert done.code == 0, done
    for user in ("alice", "bob"):
        message = server.wait_mail(user)[0]
        assert b"Subject: t" in message and b"bcc:" not in message.lower()
        assert message.startswith(b"Return-Path: <carol@hb.test>")


def test_SUB_02_sendmail_adds_what_is_missing(server):
    """Date, From and Message-ID are added when they are not there."""
    server.sendmail("-F", "Carol Example", "-f", "carol@hb.test",
                    "alice@hb.test", message="Subject: bare\n\nhi\n")
    message = server.wait_mail("alice")[0].replace(b"\r\n", b"\n")
    head = message.split(b"\n\n")[0]
    for field in (b"\nDate: ", b"\nFrom: ", b"\nMessage-I"):
        assert field.lower() in head.lower(), field
    assert b"Carol Example" in head and b"<carol@hb.test>" in head


def test_sendmail_dots(server):
    """A lone dot ends the input, but not with -i or -oi."""
    text = "Subject: dot\n\none\n.\ntwo\n"
    for option in ("-i", "-oi"):
        assert server.sendmail(option, "alice@hb.test",
                               message=text).code == 0
    assert server.sendmail("bob@hb.test", message=text).code == 0
    for message in server.wait_mail("alice", 2):
        assert message.replace(b"\r\n", b"\n").endswith(b"one\n.\ntwo\n")
    assert b"two" not in server.wait_mail("bob")[0]


def test_sendmail_header_cannot_be_injected(server):
    """A line break in -F or -f makes no header."""
    server.sendmail("-F", "Carol\nX-Evil: 1", "-f", "carol@hb.test",
                    "alice@hb.test", message="Subject: f\n\nhi\n")
    server.sendmail("-f", "carol@hb.test>\r\nRCPT TO:<bob@hb.test",
                    "alice@hb.test", message="Subject: g\n\nhi\n")
    server.wait_empty()
    until(lambda: server.maildir("alice"), 10, "the mail")
    for message in server.maildir("alice"):
        assert not re.search(rb"^X-Evil:", message, re.M)
    assert server.maildir("bob") == []


def test_sendmail_exit_codes(server):
    """No recipient is a usage error; an option of old is ignored."""
    assert server.sendmail(message="Subject: x\n\nx\n").code == 64
    assert server.sendmail("-t", message="Subject: x\n\nx\n").code == 64
    done = server.sendmail("-oem", "-odb", "-h", "5", "-om", "-U",
                           "alice@hb.test", message="Subject: old\n\nx\n")
    assert done.code == 0, done
    assert b"Subject: old" in server.wait_mail("alice")[0]


def test_sendmail_bs(server):
    """-bs speaks SMTP on standard input."""
    done = server.sendmail("-bs", message=(
        "EHLO x\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<alice@hb.test>\r\n"
        "DATA\r\nSubject: bs\r\n\r\n..dot\r\n.\r\nQUIT\r\n"))
    assert done.code == 0, done
    codes = [l[:3] for l in done.out.splitlines() if l[3:4] == " "]
    assert codes == ["220", "250", "250", "250", "354", "250", "221"]
    assert b"\n.dot" in server.wait_mail("alice")[0]


def test_sendmail_while_the_daemon_is_down(make_server):
    """maildrop: exit 0 while down, delivered after the start; and taken
    up within a second while it runs."""
    hb = make_server()
    hb.stop()
    done = hb.sendmail("alice@hb.test", message="Subject: down\n\nhi\n")
    assert done.code == 0, done
    drop = os.path.join(hb.path("spool"), "maildrop")
    assert len(os.listdir(drop)) == 1
    hb.start()
    assert b"Subject: down" in hb.wait_mail("alice")[0]
    assert os.listdir(drop) == []


@pytest.mark.root
def test_sendmail_as_another_user(make_server):
    """Any user may submit, through the setgid program; the sender and the
    file are theirs."""
    hb = make_server()
    user = {"user": 7102, "group": 7102, "extra_groups": []}
    done = hb.sendmail("alice@hb.test", message="Subject: user\n\nhi\n",
                       **user)
    assert done.code == 0, done
    message = hb.wait_mail("alice")[0]
    assert message.startswith(b"Return-Path: <hbbob@hb.test>") or \
        message.startswith(b"Return-Path: <hbbob@mx.hb.test>")
    drop = os.path.join(hb.path("spool"), "maildrop")
    assert hb.run("ls", drop, **user).code != 0


def test_mailq(stuck):
    """mailq and sendmail -bp list the same queue; empty is said."""
    for name, args in (("mailq", []), ("sendmail", ["-bp"])):
        done = stuck.sendmail(*args, name=name)
        assert done.code == 0 and "empty" in done.out.lower()
    entry = queue_one(stuck)
    for name, args in (("mailq", []), ("sendmail", ["-bp"])):
        done = stuck.sendmail(*args, name=name)
        assert done.code == 0
        for word in (entry["id"], "x@far.test", "a@c.test"):
            assert word in done.out


def test_newaliases(make_server):
    """newaliases makes the database, and it is used."""
    hb = make_server(start=False)
    path = hb.write("aliases", "first: alice\nsecond: bob\n")
    hb.configure(["aliases hash:" + path])
    for name, args in (("newaliases", []), ("sendmail", ["-bi"])):
        if os.path.exists(path + ".db"):
            os.unlink(path + ".db")
        done = hb.sendmail(*args, name=name)
        assert done.code == 0, done
        assert os.path.exists(path + ".db")
    hb.start()
    for rcpt in ("first@hb.test", "second@hb.test"):
        hb.send("a@client.test", rcpt, client.text(rcpt))
    hb.wait_mail("alice")
    hb.wait_mail("bob")


# hauberkctl


def test_ctl_exit_codes(make_server):
    """64 usage, 1 could not, 69 not reachable."""
    hb = make_server()
    assert hb.ctl().code == 64
    assert hb.ctl("nosuchcommand").code == 64
    assert hb.ctl("show", "nosuchid").code == 1
    hb.stop()
    assert hb.ctl("status").code == 69
    socket_only = hb.run(os.path.join(hauberkmod.SBIN, "hauberkctl"), "-s",
                         hb.control, "status")
    assert socket_only.code == 69


def test_ctl_queue(stuck):
    """queue as JSON has the fields of the interface; PATTERN selects."""
    entry = queue_one(stuck)
    queue_one(stuck, "y@other.test")
    assert {"id", "sender", "size", "arrived", "state",
            "recipients"} <= set(entry)
    assert entry["sender"] == "a@c.test"
    assert entry["state"] == "deferred"
    rcpt, = entry["recipients"]
    assert rcpt["attempts"] == 1
    assert rcpt["last"]["reason"] == "connect-refused"
    assert {"reply", "status", "reason", "mx", "tls",
            "sts"} <= set(rcpt["last"])
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
    assert re.fullmatch(stamp, entry["arrived"])
    assert re.fullmatch(stamp, rcpt["next_attempt"])
    assert len(stuck.queue()) == 2
    found = stuck.ctl("queue", "other.test", json=True)
    assert [e["recipients"][0]["address"] for e in found] == ["y@other.test"]
    assert entry["id"] in stuck.ctl("queue").out


def event_line(event):
    """How `trace` writes what queue remembers."""
    keys = ["event", "recipient", "rcpt", "mx", "addr", "result", "code",
            "status", "tls", "sts", "dane", "reason", "text", "message_id"]
    return "%s (queue)%s\n" % (event["time"], "".join(
        " %s=%s" % (k, event[k]) for k in keys if k in event))


def test_S_12_trace_without_a_log_file(make_server, mx_factory):
    """With syslog trace knows what the log's records of delivery say."""
    mx = mx_factory("127.0.0.1")
    mx.reply["rcpt"] = "450 4.2.1 Not now"
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port,
                      "log syslog"])
    hb.send("a@hb.test", "x@far.test", client.text("one"))
    row, = until(lambda: [
        m for m in hb.ctl("queue", json=True)
        if m["recipients"][0]["attempts"] > 0], 10, "an attempt")
    # an attempt is counted at once, and told when that is durable
    attempt = until(lambda: [
        s for s in hb.ctl("trace", row["id"], json=True)
        if s["event"] == "attempt"], 10, "the attempt in the trace")[0]
    assert attempt["source"] == "queue"
    assert {k: attempt[k] for k in ("rcpt", "addr", "result", "code",
                                    "status", "tls", "sts", "reason")} == {
        "rcpt": "x@far.test", "addr": "127.0.0.1", "result": "defer",
        "code": 450, "status": "4.2.1", "tls": "none", "sts": "none",
        "reason": "remote-reply"}
    assert attempt["mx"] and "Not now" in attempt["text"]
    assert hb.ctl("trace", row["id"]).out == "".join(
        map(event_line, hb.ctl("trace", row["id"], json=True)))


def row_of(hb, message_id):
    """The one message that `queue` finds by its Message-ID."""
    row, = hb.ctl("queue", message_id, json=True)
    assert row["message_id"] == message_id
    return row


def test_S_12_mail_is_found_by_its_message_id(stuck):
    """Of every door: SMTP, a local command, a DSN of ours, an import; by
    `queue`, by `trace` and in the log."""
    stuck.send("a@c.test", "x@far.test", client.text("one"))
    stuck.sendmail("-f", "b@c.test", "y@far.test", message="Subject: s\n\nb\n")
    mail = until(lambda: len(stuck.queue()) == 2 and stuck.queue(), 15)
    ids = {m["sender"]: m["message_id"] for m in mail}
    assert ids["a@c.test"] == "<one@client.test>"
    assert re.fullmatch(r"<[0-9a-f]{16}@\S+>", ids["b@c.test"])
    for message_id in ids.values():
        row = row_of(stuck, message_id)
        same, = stuck.ctl("queue", message_id[1:-1], json=True)
        assert same["id"] == row["id"]
        accept, = stuck.records(ev="accept", msg=row["id"])
        assert accept["message_id"] == message_id
        steps = stuck.ctl("trace", message_id, json=True)
        assert {s["msg"] for s in steps} == {row["id"]}
        assert {"log", "queue"} == {s["source"] for s in steps}
        assert row["id"] in stuck.ctl("trace", message_id[1:-1]).out
    assert stuck.ctl("queue", "<two@client.test>", json=True) == []
    assert stuck.ctl("trace", "<two@client.test>").code == 1
    about = row_of(stuck, ids["a@c.test"])["id"]
    assert stuck.ctl("bounce", about).code == 0
    told = until(lambda: stuck.records(ev="bounce", msg=about), 15)[0]
    row = row_of(stuck, told["message_id"])
    assert (row["id"], row["sender"]) == (told["notice"], "")
    # out of the log alone, too
    stuck.stop()
    stuck.start()
    for message_id, ident in ((told["message_id"], told["notice"]),
                              (ids["a@c.test"], about)):
        assert ident in stuck.ctl("trace", message_id).out
    row_of(stuck, told["message_id"])


def test_S_12_an_import_is_found_by_its_message_id(stuck):
    """The file need not say it."""
    queue_one(stuck, subject="moved")
    path = stuck.path("queue.out")
    assert stuck.ctl("export", path).code == 0
    assert stuck.ctl("remove", "all").code == 0
    stuck.wait_empty()
    assert stuck.ctl("import", path).code == 0
    row = row_of(stuck, "<moved@client.test>")
    accept = [r for r in stuck.records(ev="accept", msg=row["id"])
              if r["client"] == "import"]
    assert accept[0]["message_id"] == "<moved@client.test>"


def test_trace_of_who_was_refused(server):
    """A refused client has no message: the session, or his address, leads to
    the reason; other sessions and addresses are left out."""
    for rcpt in ("nobody-there@hb.test", "alice@hb.test"):
        with server.client(source="127.0.0.7") as c:
            c.ehlo()
            c.envelope("a@client.test", rcpt)
            c.cmd("NONSENSE")
    refused = server.wait_record(ev="reject", reason="user-unknown")
    first = refused["session"]
    until(lambda: len(server.records(ev="reject", code="500")) == 2, 15,
          "both commands in the log")
    assert first != server.records(ev="reject", code="500")[1]["session"]
    rows = server.ctl("trace", first, json=True)
    assert [(r["ev"], r["session"]) for r in rows] == [("reject", first)] * 2
    assert rows[0]["reason"] == "user-unknown"
    rows = server.ctl("trace", "127.0.0.7", json=True)
    assert len(rows) == 3 and {r["client"] for r in rows} == {"127.0.0.7"}
    assert "reason=user-unknown" in server.ctl("trace", "127.0.0.7").out
    assert server.ctl("trace", "127.0.0.70").code == 1
    assert server.ctl("trace", "27.0.0.7").code == 1


def test_ctl_show_and_trace(stuck):
    """show prints envelope and message; trace every step of it."""
    entry = queue_one(stuck, subject="to be shown")
    shown = stuck.ctl("show", entry["id"])
    assert shown.code == 0
    for word in ("a@c.test", "x@far.test", "Subject: to be shown", "hello"):
        assert word in shown.out
    traced = stuck.ctl("trace", entry["id"])
    assert traced.code == 0
    for word in ("accept", "delivery", "connect-refused"):
        assert word in traced.out


def test_ctl_flush(stuck):
    """flush starts an attempt now, for an id, a domain or all."""
    ids = {d: queue_one(stuck, "x@" + d)["id"]
           for d in ("one.test", "two.test", "three.test", "four.test")}
    stuck.mx.start()
    assert stuck.ctl("flush", ids["one.test"]).code == 0
    stuck.mx.wait(1)
    assert stuck.ctl("flush", "two.test").code == 0
    stuck.mx.wait(2)
    assert [m.rcpts[0] for m in stuck.mx.accepted()] == ["x@one.test",
                                                         "x@two.test"]
    assert stuck.ctl("flush", "all").code == 0
    stuck.mx.wait(4)
    stuck.wait_empty()


def test_sendmail_q(stuck):
    """sendmail -q flushes like hauberkctl flush all."""
    queue_one(stuck)
    stuck.mx.start()
    assert stuck.sendmail("-q").code == 0
    stuck.mx.wait(1)


def test_ctl_remove(stuck):
    """remove drops a message for good, also after a restart."""
    entry = queue_one(stuck)
    keep = queue_one(stuck, "y@other.test")
    assert stuck.ctl("remove", entry["id"]).code == 0
    assert [e["id"] for e in stuck.queue()] == [keep["id"]]
    stuck.kill_all()
    stuck.start()
    assert [e["id"] for e in stuck.queue()] == [keep["id"]]
    assert stuck.ctl("remove", "all").code == 0
    assert stuck.queue() == []
    assert stuck.maildir("alice") == []


def test_ctl_explain_local(server):
    """explain says where a local, an unknown and a bad address go."""
    told = server.ctl("explain", "alice@hb.test", json=True)
    assert told["address"] == "alice@hb.test"
    assert "local" in told["route"]
    assert told["policy"] is None
    unknown = server.ctl("explain", "nobody@hb.test", json=True)
    assert unknown["reason"] == "user-unknown"
    assert server.ctl("explain").code == 64


def test_version_and_check(make_server):
    """hauberkd -V prints a version, -n checks."""
    hb = make_server(start=False)
    program = os.path.join(hauberkmod.SBIN, "hauberkd")
    done = hb.run(program, "-V")
    assert done.code == 0 and re.search(r"\d+\.\d+", done.out + done.err)
    assert hb.run(program, "-n", "-f", hb.conf).code == 0
    assert hb.run(program, "-n", "-f", "/nosuch/file").code != 0


def test_show_says_where_it_ends(make_server):
    """A message of 64 KiB is shown whole; of a longer one the beginning."""
    hb = make_server()
    assert hb.ctl("pause", "delivery").code == 0

    def show(size):
        lines, rest = divmod(size - 2, 72)
        hb.send("a@c.test", "x@far.test", client.text(
            "x", body="x" * rest + "\r\n" + ("x" * 70 + "\r\n") * lines))
        row = max(hb.ctl("queue", json=True), key=lambda m: m["size"])
        shown = hb.ctl("show", row["id"]).out
        return row["size"], "(only the beginning is shown)" in shown

    ours = show(1000)[0] - 1000
    assert show(65536 - ours) == (65536, False)
    assert show(65537 - ours) == (65537, True)


@pytest.mark.root
def test_control_socket_is_closed_to_others(make_server):
    """Another user may not stop the server or read others' mail."""
    hb = make_server()
    user = {"user": 7102, "group": 7102, "extra_groups": []}
    ctl = os.path.join(hauberkmod.SBIN, "hauberkctl")
    for command in ("stop", "stats", "reload", "flush"):
        done = hb.run(ctl, "-s", hb.control, command, **user)
        assert done.code != 0, command
    for command in ("show", "trace", "remove", "bounce"):
        done = hb.run(ctl, "-s", hb.control, command, "0" * 16, **user)
        assert done.code != 0 and "only root" in done.err, done
    assert hb.ctl("status").code == 0
