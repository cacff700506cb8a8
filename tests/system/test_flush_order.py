"""With strace: the flush of the spool comes before the 250."""

import re
import shutil

import pytest

from harness import client
from harness.wait import until

TOKEN = "token-of-the-flush-test"
WRITES = re.compile(r"\b(write|writev|pwrite64|pwritev2?)\(\d+<([^>]*)>")
FLUSH = re.compile(r"\b(fdatasync|fsync|sync_file_range)\(\d+<([^>]*)>")
RESUMED = re.compile(r"<\.\.\. (fdatasync|fsync) resumed>.*= 0")


def trace(make_server, folder, sessions):
    """The strace lines of a server while `sessions(hb)` runs."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    hb = make_server(start=False)
    out = hb.path("trace")
    hb.wrap = ["strace", "-f", "-y", "-s", "4096", "-o", out, "-e",
               "trace=%network,write,writev,pwrite64,pwritev,pwritev2,"
               "fdatasync,fsync,sync_file_range,rename,renameat2"]
    hb.start()
    sessions(hb)
    hb.terminate()
    with open(out, errors="replace") as f:
        return f.read().splitlines()


def flushes(lines):
    """[(line of begin, line of end, path)] of each good flush."""
    found, open_calls = [], {}
    for i, line in enumerate(lines):
        pid = line.split(" ")[0]
        m = FLUSH.search(line)
        if m and line.rstrip().endswith("= 0"):
            found.append((i, i, m.group(2)))
        elif m and "unfinished" in line:
            open_calls[pid] = (i, m.group(2))
        elif RESUMED.search(line) and pid in open_calls:
            begin, path = open_calls.pop(pid)
            found.append((begin, i, path))
    return found


def first(lines, start, test):
    for i in range(start, len(lines)):
        if test(lines[i]):
            return i
    return None


def check(lines, token, folder):
    """Body written to the spool, then flushed, then the 250."""
    def written(line):
        m = WRITES.search(line)
        return m and "/spool/" + folder in m.group(2) and token in line
    body = first(lines, 0, written)
    assert body is not None, "the body was not written to " + folder
    path = WRITES.search(lines[body]).group(2)
    done = [end for begin, end, p in flushes(lines)
            if begin > body and p == path]
    assert done, "no flush of %s after the body" % path
    reply = first(lines, body,
                  lambda l: re.search(r'"250 2\.\d\.\d', l)
                  and "/spool/" not in l)
    assert reply is not None, "no 250 after the body"
    assert done[0] < reply, "the 250 came before the flush"


@pytest.mark.limit(120)
def test_flush_before_250(make_server, folder):
    """A message in the log: write, flush, 250, in this order."""
    def session(hb):
        with hb.client() as c:
            c.ehlo()
            c.mail("a@client.test", "alice@hb.test",
                   client.text("flush", TOKEN + "\r\n"))
            c.quit()
        hb.wait_mail("alice", timeout=60)
    check(trace(make_server, folder, session), TOKEN, "log")


@pytest.mark.limit(120)
def test_flush_before_250_of_a_large_message(make_server, folder):
    """A message with a file of its own: that file is flushed too."""
    def session(hb):
        with hb.client() as c:
            c.ehlo()
            filler = ("x" * 70 + "\r\n") * 6000
            c.mail("a@client.test", "alice@hb.test",
                   client.text("flush", TOKEN + "\r\n" + filler))
            c.quit()
        hb.wait_mail("alice", timeout=60)
    check(trace(make_server, folder, session), TOKEN, "large")


@pytest.mark.limit(120)
def test_flush_of_the_mailbox(make_server, folder):
    """Local delivery flushes the Maildir file before it counts as done."""
    def session(hb):
        hb.send("a@client.test", "alice@hb.test",
                client.text("flush", TOKEN + "\r\n"))
        hb.wait_mail("alice", timeout=60)
        until(lambda: hb.queue() == [], 60, "delivered")
    lines = trace(make_server, folder, session)
    assert any("/mail/alice/" in path for _, _, path in flushes(lines))
