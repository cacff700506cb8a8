"""A hostile local user: any octets through hauberk-submit, and straight into
the maildrop.  Nothing is injected, nobody else's mail is lost or held up."""

import os
import struct
import subprocess

import pytest

from harness.hauberk import SBIN
from harness.wait import until

HEAD = struct.Struct("<8sIIQI")
USER = {"user": 7102, "group": 7102, "extra_groups": []}
BODY = b"Subject: raw\r\n\r\nhi\r\n"
FORGED = (b"Subject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<forged@bank.test>\r\n"
          b"RCPT TO:<victim@far.test>\r\nDATA\r\nSubject: forged\r\n\r\n.\r\n")


def _table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        yield n


TABLE = list(_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def field(tag, value):
    size, n = b"", len(value)
    while n > 127:
        size += bytes([n & 127 | 128])
        n >>= 7
    return bytes([tag]) + size + bytes([n]) + value


def record(sender=b"a@hb.test", rcpts=(b"alice@hb.test",), body=BODY,
           more_env=b"", more_rcpt=b"", lies=()):
    """A record as hauberk-submit takes it; LIES replace what the head says."""
    env = field(3, sender) + more_env
    each = [field(2, r) + more_rcpt for r in rcpts]
    tos = b"".join(struct.pack("<I", len(r)) + r for r in each)
    said = {"env": len(env), "rcpts": len(tos), "body": len(body),
            "crc": crc32c(env + tos + body)}
    said.update(dict(lies))
    head = HEAD.pack(b"HBDROP1\n", said["env"], said["rcpts"], said["body"],
                     said["crc"])
    return head + struct.pack("<I", crc32c(head)) + env + tos + body


def paths():
    for bad in (b"a@b.test>\r\nX-Mine: 1", b"a@b.test\nX-Mine: 1",
                b"a@b.test> NOTIFY=NEVER", b"a\0@b.test", b"|/bin/id",
                b"/etc/passwd", b":include:/etc/passwd", b"a b@c.test",
                b"\xff@b.test", b"a@b.test,c@d.test", b"x" * 512):
        yield record(sender=bad)
        yield record(rcpts=(b"bob@hb.test", bad))


BODIES = (FORGED, b".\r\n", b"x\n.\r\n", b"x\r.\r\n", b"x\r\n.\n", b"x",
          b"x\r\n\0.\r\n", b"x\r\n.\0\r\n", b"y" * 70000 + b"\r\n")

SHAPES = (b"", b"\0" * 32, record()[:-1], record() + b"x", record(rcpts=()),
          record(lies={"crc": 0}), record(lies={"body": 1 << 62}),
          record(lies={"body": 1 << 40}), record(lies={"env": 1 << 31}),
          record(lies={"env": 0}), record(lies={"rcpts": 0}),
          record(lies={"rcpts": 1 << 31}),
          record(more_env=field(7, b"x SIZE=1")),
          record(more_env=field(11, b"root\r\nX: y")),
          record(more_rcpt=field(4, b"rfc822;x\r\nRSET")),
          record(more_rcpt=field(6, b"pipe:/bin/id")[:-1]))


def submit(hb, data, **kw):
    program = os.path.join(os.path.dirname(SBIN),
                           "libexec/hauberk/hauberk-submit")
    return hb.run(program, "-C", hb.conf, input=data, **kw)


def hostile():
    yield from paths()
    for body in BODIES:
        yield record(body=body)
        yield record(rcpts=(b"x@far.test",), body=body)
    yield from SHAPES


def aside(hb):
    return len(os.listdir(hb.path("spool", "corrupt")))


def is_well(hb, n):
    """Another's mail goes through, and only what was really sent came."""
    done = hb.sendmail("alice@hb.test", message="Subject: well%d\n\nx\n" % n)
    assert done.code == 0, done
    text = b"".join(hb.wait_mail("alice", n + 1))
    assert b"well%d" % n in text
    for bad in (b"X-Mine", b"forged", b"Subject: x\n"):
        assert bad not in text
    assert not hb.deaths()


@pytest.mark.both
def test_A_1_A_3_hostile_records_are_refused(make_server, mx_factory):
    """Through the program: an exit code says why, nothing is left."""
    mx = mx_factory("127.0.0.1")
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port])
    who = USER if hb.mode == "root" else {}
    for data in hostile():
        done = submit(hb, data, **who)
        assert done.code in (64, 65, 69), (data[:300], done)
        assert done.out == "" and done.err.startswith("hauberk-submit: ")
    assert os.listdir(hb.path("spool", "maildrop")) == []
    is_well(hb, 0)
    assert mx.accepted() == [] and aside(hb) == 0


def put(hb, name, data=None, link=None, fifo=False, folder=False):
    """What stands under NAME in the maildrop when it appears there."""
    drop = hb.path("spool", "maildrop")
    new = os.path.join(drop, "." + name)
    owner = os.stat(drop).st_uid if hb.mode == "plain" else 7102
    if link:
        os.symlink(link, new)
    elif fifo:
        os.mkfifo(new, 0o666)
    elif folder:
        os.mkdir(new)
    else:
        with open(new, "wb") as f:
            f.write(data)
        os.chmod(new, 0o604)
    os.chown(new, owner, owner, follow_symlinks=False)
    os.rename(new, os.path.join(drop, name))


@pytest.mark.both
def test_A_1_A_3_hostile_files_are_set_aside(make_server, mx_factory):
    """Past the program: each file is set aside and told, those behind it are
    taken up, and `status` counts them."""
    if os.geteuid() != 0:
        pytest.skip("needs root to write for another user")
    mx = mx_factory("127.0.0.1")
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port])
    bad = list(hostile())
    for n, data in enumerate(bad):
        put(hb, "bad%d" % n, data)
    put(hb, "link", link=hb.path("hauberk.conf"))
    put(hb, "loop", link="loop")
    put(hb, "fifo", fifo=True)
    put(hb, "folder", folder=True)
    count = len(bad)  # the rest holds no mail, and is gone
    is_well(hb, 0)
    until(lambda: aside(hb) == count, 20, lambda: str(aside(hb)))
    assert os.listdir(hb.path("spool", "maildrop")) == []
    assert len(hb.records(ev="corrupt")) >= count
    assert mx.accepted() == []
    is_well(hb, 1)
    hb.stop()
    hb.start()
    until(lambda: hb.ctl("status", json=True)["queue"]["corrupt"] == count,
          20)
    assert "corrupt/: %d" % count in hb.ctl("status").out


@pytest.mark.root
def test_A_2_a_flood_of_one_user_holds_up_nobody(make_server):
    """Thousands of files of one user stand before another's: that one is
    taken up while most of them wait."""
    hb = make_server(["max-rate-per-user 50/1h"])
    flood = record(rcpts=(b"bob@hb.test",))
    hb.stop()
    for n in range(3000):
        put(hb, "a%d" % n, flood)
    hb.start()
    is_well(hb, 0)
    until(lambda: len(hb.records(ev="accept", user="uid:7102")) == 50, 20)
    is_well(hb, 1)
    queue = hb.ctl("status", json=True)["queue"]
    assert queue["maildrop_waiting"] == 2950
    assert len(hb.records(ev="accept", user="uid:7102")) == 50


@pytest.mark.root
def test_A_23_no_configuration_of_the_users(make_server):
    """A file of /proc belongs to root and says what the user wants."""
    hb = make_server(["max-message-size 100000"])
    said = "spool %s\nmax-message-size 200000\n#" % hb.path("spool")
    program = os.path.join(os.path.dirname(SBIN),
                           "libexec/hauberk/hauberk-submit")
    body = b"Subject: big\r\n\r\n" + b"x" * 76 + b"\r\n"
    big = record(body=body + (b"y" * 76 + b"\r\n") * 1900)
    for name in ("cmdline", "environ", "comm"):
        done = subprocess.run([said, "-C", "/proc/self/" + name],
                              executable=program, input=big, env={"A": said},
                              capture_output=True, **USER)
        assert done.returncode != 0, name
        assert os.listdir(hb.path("spool", "maildrop")) == []
    is_well(hb, 0)
    assert aside(hb) == 0


@pytest.mark.root
def test_A_26_many_at_once_leave_room(make_server):
    """Who finds room at the same time as others, and takes it, does not fill
    the disk."""
    hb = make_server()
    drop = hb.path("spool", "maildrop")
    had = os.stat(drop)
    hb.stop()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=1730,uid=%d,"
                    "gid=%d" % (had.st_uid, had.st_gid), "tmpfs", drop],
                   check=True)
    try:
        big = record(body=b"Subject: x\r\n\r\n" +
                     (b"y" * 62 + b"\r\n") * 49152)
        program = os.path.join(os.path.dirname(SBIN),
                               "libexec/hauberk/hauberk-submit")
        slow = [subprocess.Popen([program, "-C", hb.conf],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, **USER)
                for _ in range(2)]
        for p in slow:
            p.stdin.write(big[:1000])
            p.stdin.flush()
        until(lambda: len(os.listdir(drop)) == 2, 10, "both have begun")
        slow[0].stdin.write(big[1000:-1])
        slow[0].stdin.flush()
        said = slow[1].communicate(big[1000:])[1]
        assert slow[1].returncode == 75 and b"no room" in said, said
        assert slow[0].communicate(big[-1:])[0].startswith(b"ok ")
        room = os.statvfs(drop)
        assert room.f_bavail * room.f_frsize >= 4 << 20
    finally:
        subprocess.run(["umount", "-l", drop], check=True)
