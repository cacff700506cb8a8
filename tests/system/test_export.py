"""`hauberkctl export` and `import`: a queue moves to another host."""

import json
import os
import re
import stat
import struct

import pytest

from harness import client, hauberk as hauberkmod
from harness.mx import strip_trace
from harness.wait import until

COUNTS = re.compile(r"imported (\d+), here already (\d+), refused (\d+)\n")
LATER = "451 4.2.1 come back later"


def entry(rows, to):
    """The row of the message to an address."""
    return next((e for e in rows if to in
                 [r["address"] for r in e["recipients"]]), None)


def wait_tried(hb, to):
    def look():
        e = entry(hb.queue(), to)
        return e and len(e["recipients"]) == 1 and \
            e["recipients"][0]["attempts"]
    until(look, 15, "an attempt for " + to)


def pause(hb):
    assert hb.ctl("pause", "delivery").code == 0


def exported(hb, count, name="queue.out"):
    path = hb.path(name)
    done = hb.ctl("export", path)
    assert (done.code, done.out) == (0, ""), done
    assert done.err == "%d message%s written\n" % (count, "s"[count == 1:])
    return path


def imported(hb, path):
    """(exit code, what standard error says, the three counts)"""
    done = hb.ctl("import", path)
    counts = COUNTS.fullmatch(done.out)
    assert counts, done
    return done.code, done.err, tuple(int(n) for n in counts.groups())


def large():
    return client.text("large", ("." * 70 + "\r\n") * 12000 + "end\r\n")


@pytest.mark.both
def test_S_17_a_queue_moves(world):
    """Waiting, deferred, held and large mail, with all that is known of it,
    leaves one server and arrives from the other one, once."""
    far, slow = world.domain("far.test"), world.domain("slow.test")
    slow.reply["rcpt"] = LATER
    old = world.server()
    old.send("alice@hb.test", "s@slow.test", client.text("slow"))
    wait_tried(old, "s@slow.test")
    pause(old)
    old.send("alice@hb.test", ["a@far.test", "b@far.test"],
             client.text("two"))
    old.send("", "h@far.test", client.text("held"))
    old.send("alice@hb.test", "l@far.test", large())
    held = entry(old.queue(), "h@far.test")["id"]
    assert old.ctl("hold", held).code == 0
    before = {e["id"]: e for e in old.queue()}
    path = exported(old, 4)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert {e["id"] for e in old.queue()} == set(before)
    done = old.ctl("export", path)
    assert done.code == 1 and path + ": File exists" in done.err
    old.stop()

    new = world.server()
    pause(new)
    assert imported(new, path) == (0, "", (4, 0, 0))
    after = {e["id"]: e for e in new.queue()}
    assert set(after) == set(before)
    for ident, e in after.items():
        was = before[ident]
        for key in ("sender", "size", "arrived"):
            assert e[key] == was[key], key
        assert (e["state"] == "held") == (was["state"] == "held")
        assert [r["address"] for r in e["recipients"]] == \
            [r["address"] for r in was["recipients"]]
    one = entry(after.values(), "s@slow.test")["recipients"][0]
    assert one["attempts"] == entry(
        before.values(), "s@slow.test")["recipients"][0]["attempts"]
    assert "come back later" in one["last"]["reply"]
    assert one["last"]["mx"] == "mx.slow.test"
    assert entry(after.values(), "l@far.test")["recipients"][0]["last"][
        "reason"] is None
    # the same file again: all of it waits here
    assert imported(new, path) == (0, "", (0, 4, 0))
    # it outlives the process that took it
    new.kill_all()
    new.start()
    until(lambda: len(new.queue()) == 2, 15, "held and slow")
    assert entry(new.queue(), "h@far.test")["state"] == "held"
    assert new.ctl("release", held).code == 0
    slow.reply.clear()
    assert new.ctl("flush").code == 0
    slow.wait(1)
    new.wait_empty()
    assert sorted(r for m in far.messages for r in m.rcpts) == [
        "%s@far.test" % name for name in "abhl"]
    assert len(slow.messages) == 1
    big = max(far.messages, key=lambda m: len(m.data))
    assert strip_trace(big.data) == large()


def test_S_17_age_and_alias_move(world):
    """The lifetime counts on, and what an alias made is not made again."""
    far, slow = world.domain("far.test"), world.domain("slow.test")
    slow.reply["rcpt"] = LATER
    lines = ["lifetime 10h", "delay-warning 300h", "retry first=30m max=30m"]
    old = world.server(lines + ["aliases aliases"], start=False)
    old.write("aliases", "team: x@far.test, s@slow.test, bob\n")
    old.start()
    old.send("alice@hb.test", "team@hb.test", client.text("team"))
    far.wait(1)
    old.wait_mail("bob")
    wait_tried(old, "s@slow.test")
    pause(old)
    assert old.ctl("lab", "advance", "8h").code == 0
    path = exported(old, 1)
    old.stop()

    new = world.server(lines)
    assert imported(new, path) == (0, "", (1, 0, 0))
    new.send("alice@hb.test", "t@slow.test", client.text("fresh"))
    wait_tried(new, "t@slow.test")
    rcpt = entry(new.queue(), "s@slow.test")["recipients"]
    assert [r.get("original") for r in rcpt] == ["team@hb.test"]
    assert new.ctl("lab", "advance", "3h").code == 0
    until(lambda: len(new.queue()) == 1, 15, "the old one ends")
    assert entry(new.queue(), "t@slow.test")
    assert b"s@slow.test" in new.wait_mail("alice")[0]
    assert len(far.messages) == 1 and not new.maildir("bob")


def test_S_17_damaged_files(make_server):
    """Named with the place; what stands before it is taken, and the whole
    file brings the rest."""
    old = make_server()
    pause(old)
    for i in range(6):
        old.send("alice@hb.test", "bob@hb.test", client.text("n%d" % i))
    path = exported(old, 6)
    with open(path, "rb") as f:
        whole = f.read()

    def damaged(name, data):
        out = old.path(name)
        with open(out, "wb") as f:
            f.write(data)
        os.chmod(out, 0o644)
        return out

    new = make_server()
    pause(new)
    for data, why in ((b"", "cut short here"), (b"hello\n" * 99, "not what"),
                      (b"HBQUEUE2\n" + whole[9:], "another version")):
        code, err, counts = imported(new, damaged("bad", data))
        assert code == 1 and counts == (0, 0, 0)
        assert "bad: byte 0: " in err and why in err, err
    middle = whole.index(b"Subject: n3")
    flipped = whole[:middle] + b"X" + whole[middle + 1:]
    code, err, counts = imported(new, damaged("flip", flipped))
    assert code == 1 and counts == (3, 0, 0)
    at = re.fullmatch(r".*flip: byte (\d+): damaged here: the rest is not "
                      r"taken\n", err)
    assert at and middle - 1000 < int(at.group(1)) < middle
    code, err, counts = imported(new, damaged("cut", whole[:-4]))
    assert code == 1 and counts == (3, 3, 0) and "cut short here" in err
    assert imported(new, path) == (0, "", (0, 6, 0))
    assert new.ctl("import", new.path("nothing")).code == 1
    assert new.ctl("resume", "delivery").code == 0
    new.wait_mail("bob", 6)
    new.wait_empty()


def crc32c(crc, data):
    crc ^= 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def record(**fields):
    """A TLV record; fields are t1=VALUE, t2=VALUE."""
    out = b""
    for tag, value in fields.items():
        if isinstance(value, int):
            value = value.to_bytes(8, "little").rstrip(b"\0")
        if value:
            length = len(value)
            out += bytes([int(tag[1:])])
            while length > 127:
                out += bytes([length & 127 | 128])
                length >>= 7
            out += bytes([length]) + value
    return out


class File:
    """A file of waiting mail made by somebody."""

    def __init__(self):
        self.data = b"HBQUEUE1\n"
        self.chain = 0
        self.put(b"H", record(t2=b"host.test"))

    def put(self, kind, payload=b""):
        head = kind + struct.pack("<I", len(payload))
        self.chain = crc32c(crc32c(crc32c(
            0, struct.pack("<I", self.chain)), head), payload)
        self.data += head + struct.pack("<I", self.chain) + payload

    def message(self, ident, *rcpts, sender=b"alice@hb.test", size=None,
                body=b"Subject: x\r\n\r\nhi\r\n", outcome=b"",
                arrived=1000):
        env = record(t1=ident, t2=arrived, t3=sender,
                     t8=len(body) if size is None else size)
        self.put(b"M", record(t1=env, t2=1000))
        for rcpt in rcpts:
            self.put(b"R", record(t1=rcpt, t4=outcome))
        if size is None:
            self.put(b"B", body)
            self.put(b"E")
        else:
            self.put(b"D")


def test_S_17_files_of_anybody(make_server):
    """A message that cannot be is refused and named, the others come in; no
    file names commands; what had failed is told."""
    bob = record(t2=b"bob@hb.test")
    file = File()
    file.message(1, record(t2=b"bob@hb.test", t6=b"pipe:-:touch %s", t7=1))
    file.message(2, record(t2=b"bob@hb.test\nx"))
    file.message(3, bob, sender=b"a b@hb.test")
    file.message(4, bob, body=b"Subject: x\r\n\r\nhi\n.\n")
    file.message(0, bob)
    file.message(5, bob, size=1 << 40)
    file.message(6, bob, size=77)
    file.message(7)
    file.message(8, record(t2=b"gone@far.test"), outcome=record(
        t2=3, t3=550, t4=b"5.1.1\r\nX: y", t6=b"nobody of that name"))
    file.message(9, bob)
    file.message(9, bob, sender=b"carol@hb.test")
    file.put(b"T")
    hb = make_server()
    path = hb.path("file")
    with open(path, "wb") as f:
        f.write(file.data)
    os.chmod(path, 0o644)
    code, err, counts = imported(hb, path)
    assert code == 1 and counts == (3, 0, 6), err
    said = re.findall(r"file: byte \d+: (?:message 0+(\d): )?(.*)\n", err)
    assert [s[0] for s in said] == ["2", "3", "4", "", "5", "9"], err
    assert said[0][1] == "a recipient is malformed"
    assert said[1][1] == "its envelope is malformed"
    assert said[4][1] == "larger than max-message-size"
    assert len(hb.wait_mail("bob", 2)) == 2
    notice = hb.wait_mail("alice")[0]
    assert b"nobody of that name" in notice and b"\nX: y" not in notice
    hb.wait_empty()
    assert not hb.deaths()


def test_S_17_a_clock_that_was_ahead(make_server):
    """Mail of a host whose clock was wrong waits here as other mail does."""
    file = File()
    file.message(1, record(t2=b"bob@hb.test"), arrived=1 << 42)
    file.put(b"T")
    hb = make_server()
    pause(hb)
    path = hb.path("file")
    with open(path, "wb") as f:
        f.write(file.data)
    os.chmod(path, 0o644)
    assert imported(hb, path) == (0, "", (1, 0, 0))
    assert imported(hb, path) == (0, "", (0, 1, 0))
    assert hb.ctl("resume", "delivery").code == 0
    hb.wait_mail("bob")
    hb.wait_empty()


def test_S_17_without_a_server(server):
    """Nothing is left behind by an export that had no answer."""
    server.stop()
    done = server.ctl("export", server.path("out"))
    assert done.code == 69 and not os.path.exists(server.path("out"))


def test_S_17_standard_streams(make_server):
    """Through a pipe, with nothing in it too."""
    old, new = make_server(), make_server()
    pause(old)
    for count in (0, 1):
        done = old.run("sh", "-c", '"$0" -f "$1" export | '
                       '"$0" -f "$2" --json import -',
                       os.path.join(hauberkmod.SBIN, "hauberkctl"),
                       old.conf, new.conf)
        assert json.loads(done.out) == {"imported": count, "kept": 0,
                                        "refused": 0}, done
        old.send("alice@hb.test", "bob@hb.test", client.text("pipe"))
    new.wait_mail("bob")


def snapshot(folder):
    """{path: bytes} of all files below it, but the store's own."""
    found = {}
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            if "/store/" not in path:
                with open(path, "rb") as f:
                    found[path] = f.read()
    return found


def as_unnumbered(head):
    """A segment header as the versions before format numbers wrote it."""
    return head[:28] + struct.pack("<I", crc32c(0, head[:28])) + head[32:]


@pytest.mark.both
def test_a_spool_of_another_format_is_refused(make_server):
    """It is told what to do, where the server is started; nothing in the
    spool changes, and the version that can read it finds all."""
    hb = make_server(["smarthost smtp://127.0.0.1:9"])
    hb.send("a@hb.test", "x@far.test", client.text("kept"))
    hb.stop()
    good = snapshot(hb.path("spool"))
    segments = [p for p in good if "/log/" in p]
    for path in segments:
        head = as_unnumbered(good[path][:64])
        with open(path, "r+b") as f:
            f.write(head)
            f.seek(4096)
            f.write(head)
    before = snapshot(hb.path("spool"))
    with pytest.raises(AssertionError) as failed:
        hb.start()
    for word in ("another version", "format 1", "hauberkctl export",
                 "hauberkctl import"):
        assert word in str(failed.value)
    assert hb.process.wait(10) == 78
    assert snapshot(hb.path("spool")) == before
    for path in segments:
        with open(path, "r+b") as f:
            f.write(good[path])
    hb.start()
    row, = hb.queue()
    assert row["message_id"] == "<kept@client.test>"
