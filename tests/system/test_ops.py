"""Running it: start, reload, logs, stop, a stopped role, a full disk."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import client, hauberk as hauberkmod, load, records
from harness.client import Client, Closed
from harness.wait import Watch, now, stretched, until

# libraries that a role may be linked with, besides libc's own (HACKING "Roles")
LINKS = {
    "sbin/hauberkd": {"libevent", "libidn"},
    "smtpd": {"libevent", "libssl", "libcrypto", "libcares", "libidn"},
    "router": {"libevent", "libdb", "libcrypt", "libidn"},
    "queue": {"libevent", "libdb"},
    "delivery": {"libevent", "libssl", "libcrypto", "libcares", "libcurl",
                 "libz"},
    "keyagent": {"libcrypto"},
    "control": {"libevent", "libjansson"},
    "local": set(),
    "submit": set(),
}
LIBC = {"libc", "ld-linux-x86-64", "ld-linux-aarch64", "linux-vdso",
        "libpthread", "libm", "libseccomp", "libasan", "libubsan"}


def libraries(program):
    """The stems of the libraries a program asks for itself."""
    out = subprocess.run(["readelf", "-d", program], check=True,
                         capture_output=True, text=True).stdout
    names = re.findall(r"\(NEEDED\).*\[(.*?)\]", out)
    return {re.match(r"(ld-linux-[\w-]+|lib[a-z]+)", n).group(1)
            for n in names}


@pytest.mark.parametrize("role", sorted(LINKS))
def test_links_of_a_role(role, mode, make_server):
    """Each role is linked with what the table allows, no more."""
    prefix = os.path.dirname(hauberkmod.SBIN)
    path = role if "/" in role else "libexec/hauberk/hauberk-" + role
    found = libraries(os.path.join(prefix, path)) - LIBC
    assert found <= LINKS[role], found - LINKS[role]


@pytest.mark.both
def test_status(server):
    """status in text and JSON; the roles run under their names."""
    assert server.ctl("status").code == 0
    assert isinstance(server.ctl("status", json=True), dict)
    for role in ("smtpd", "router", "queue", "delivery", "keyagent",
                 "control"):
        assert server.role(role), role
    assert "lab" in server.ctl("status").out


def test_S_11_a_process_that_is_not_back(server):
    """One that ends again and again stands first in status meanwhile."""
    def rows():
        if server.role("router"):
            server.kill("router")
        return [t for t in server.ctl("status", json=True)["trouble"]
                if t["kind"] == "role"]

    row, = until(rows, 20, "a role is away")
    assert (row["what"], row["role"]) == ("router", "router")
    assert row["text"].startswith("process 0 is ")
    until(lambda: server.ctl("status", json=True)["trouble"] == [], 40,
          "it is back")


@pytest.mark.root
def test_accounts(server):
    """As root every role has its own account; all but two are jailed."""
    want = {"smtpd": 7050, "router": 7051, "queue": 7052,
            "delivery": 7053, "keyagent": 7054, "control": 7055}
    for role, uid in want.items():
        for pid in server.role(role):
            with open("/proc/%d/status" % pid) as f:
                status = f.read()
            uids = re.search(r"^Uid:\s+(.*)$", status, re.M).group(1)
            assert set(uids.split()) == {str(uid)}, role
            assert re.search(r"^NoNewPrivs:\s+1$", status, re.M), role
            assert re.search(r"^Seccomp:\s+2$", status, re.M), role
            root = os.readlink("/proc/%d/root" % pid)
            assert (root == "/") == (role == "router"), (role, root)


def test_sandbox_without_root(make_server, mode):
    """Without root the filters are there all the same."""
    hb = make_server()
    for role in ("smtpd", "router", "queue", "delivery", "keyagent",
                 "control"):
        with open("/proc/%d/status" % hb.role(role)[0]) as f:
            assert re.search(r"^Seccomp:\s+2$", f.read(), re.M), role


@pytest.mark.root
def test_missing_account(make_server, space):
    """A missing account is exit 78 with the command that makes it."""
    hb = make_server(start=False)
    hb.configure(["user queue nosuchaccount"])
    done = hb.run(os.path.join(hauberkmod.SBIN, "hauberkd"), "-d", "-f",
                  hb.conf)
    assert done.code == 78, done
    assert "nosuchaccount" in done.err and "useradd" in done.err


def test_configuration_mistakes(make_server):
    """All mistakes at once, FILE:LINE, exit 78, nothing started."""
    hb = make_server(start=False)
    hb.write("bad.conf", "hostname mx.test\nnosuchword 1\nlisten nowhere\n"
             "retry first=soon\n")
    program = os.path.join(hauberkmod.SBIN, "hauberkd")
    for more in (["-n"], ["-d"]):
        done = hb.run(program, *more, "-f", hb.path("bad.conf"))
        assert done.code == 78, done
        for line in (2, 3, 4):
            assert "bad.conf:%d: " % line in done.err + done.out
    assert not os.path.exists(hb.control)
    assert hb.run(program, "-n", "-f", hb.conf).code == 0


def test_programs_that_are_not_there(make_server):
    """Installed elsewhere than it was configured for: it says so.  Root does
    not listen to the variable that plays it here."""
    hb = make_server(start=False)
    program = os.path.join(hauberkmod.SBIN, "hauberkd")
    who = {"user": hauberkmod.NOBODY, "group": hauberkmod.NOBODY,
           "extra_groups": []} if os.geteuid() == 0 else {}
    done = hb.run(program, "-d", "-f", hb.conf, **who,
                  env={**os.environ, "HAUBERK_LIBEXEC": hb.path("none")})
    assert done.code == 72, done
    assert "cannot run %s/hauberk-" % hb.path("none") in done.err
    assert "prefix" in done.err and len(done.err.splitlines()) == 1


def test_reload(server):
    """A new domain counts after reload; an open session goes on; a bad
    file is refused and changes nothing."""
    with server.client() as c:
        c.ehlo()
        assert c.envelope("a@client.test", "alice@hb.test")[1].code == 250
        server.configure(["domain hb.test new.test"])
        assert server.ctl("reload").code == 0
        assert c.data(client.text("open")).code == 250

        def known():
            return c.envelope("a@client.test", "alice@new.test")[1].code \
                == 250 or c.cmd("RSET").code != 250
        until(known, 5, "the new domain")
    pids = lasting(server)
    server.configure(["nonsense 1"])
    refused = server.ctl("reload")
    assert refused.code == 1 and "hauberk.conf:" in refused.err + refused.out
    server.send("a@client.test", "alice@new.test", client.text("after"))
    assert pids == lasting(server)


@pytest.mark.parametrize("word, why", [
    ("listen 127.0.0.1:%(port)d smtp", "cannot listen on 127.0.0.1:%(port)d"),
    ("tls-certificate %(cert)s key=%(none)s", "%(none)s"),
])
def test_a_reload_during_a_reload_is_answered_with_its_reason(
        make_server, word, why):
    """Who asks while another reload is under way hears what became of his
    own: a port that is taken, a key that cannot be read."""
    hb = make_server()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        names = {"port": taken.getsockname()[1], "none": hb.path("none"),
                 "cert": hb.path("spool", "tls", "cert.pem")}
        hb.kill("router", signal.SIGSTOP)
        first = reload_slowly(hb)
        hb.configure([word % names])
        second = reload_slowly(hb)
        hb.kill("router", signal.SIGCONT)
        for done in (first, second):
            err = done.communicate(timeout=stretched(30))[1].decode()
            assert done.returncode == 1 and why % names in err, err


def reload_slowly(hb):
    """A reload that waits; it has most likely begun."""
    process = subprocess.Popen(
        [hauberkmod.SBIN + "/hauberkctl", "-f", hb.conf, "reload"], cwd="/",
        stderr=subprocess.PIPE, **hb.identity())
    time.sleep(0.5)
    return process


def test_the_end_of_a_reload_is_for_who_asked(make_server):
    """A control process that was started meanwhile did not ask: it gets no
    answer, which it would take for a broken parent."""
    hb = make_server()
    hb.kill("router", signal.SIGSTOP)
    asked = reload_slowly(hb)
    new = hb.wait_role("control", hb.kill("control"))
    assert asked.wait(timeout=stretched(30)) != 0
    time.sleep(0.5)
    hb.kill("router", signal.SIGCONT)
    hb.wait_record(ev="config", state="reloaded")
    assert hb.ctl("status").code == 0
    assert hb.role("control") == new
    assert not list(hb.records(ev="peer", state="broken"))


def lasting(hb):
    """The pids that outlive a delivery.  A helper that was just forked still
    has the parent's name, so these are asked for by theirs."""
    roles = ("keyagent", "router", "queue", "delivery", "smtpd", "control")
    return {hb.pid}.union(*(hb.role(name) for name in roles))


@pytest.mark.both
def test_stop_and_term(make_server):
    """SIGTERM says 421 to sessions; stop leaves no process."""
    hb = make_server()
    with hb.client() as c:
        c.ehlo()
        began = now()
        os.kill(hb.pid, signal.SIGTERM)
        assert c.read().code == 421
        assert hb.terminated() == 0
        assert now() - began < 15
    hb.start()
    hb.send("a@client.test", "alice@hb.test", client.text("again"))
    hb.wait_mail("alice")
    hb.stop()
    with pytest.raises(OSError):
        hb.client()
    assert hb.ctl("status").code == 69


def test_detached_start(make_server):
    """Without -d it returns when mail is accepted."""
    hb = make_server(start=False)
    done = hb.run(os.path.join(hauberkmod.SBIN, "hauberkd"), "-f", hb.conf)
    assert done.code == 0, done
    try:
        hb.send("a@client.test", "alice@hb.test", client.text("detached"))
    finally:
        stopped = hb.ctl("stop")
    assert stopped.code == 0


@pytest.mark.alone
@pytest.mark.limit(120)
def test_logrotate_loses_nothing(make_server, mx_factory):
    """Rename and SIGHUP under load: every record is in some file."""
    mx = mx_factory("127.0.0.1", keep=False)
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port])
    sent = load.Load(hb.address, hb.port, "x@far.test").start()
    files = [hb.log]
    for i in range(5):
        before = len(sent.acked)
        until(lambda: len(sent.acked) > before + 40, 30, "load goes on")
        os.rename(hb.log, hb.log + ".%d" % i)
        files.append(hb.log + ".%d" % i)
        os.kill(hb.pid, signal.SIGHUP)
        until(lambda: os.path.exists(hb.log), 5, "a new log")
    sent.stop()
    hb.wait_empty()
    count = len(sent.acked)
    assert not sent.unsure and count > 200

    def found(**want):
        return sum(len(records.match(records.read(f), **want))
                   for f in files)
    until(lambda: found(ev="delivery", result="ok") >= count, 10,
          lambda: "%d of %d" % (found(ev="delivery", result="ok"), count))
    assert found(ev="accept") == count
    assert found(ev="delivery", result="ok") == count


def test_json_log(make_server):
    """format=json gives the same keys."""
    hb = make_server(start=False)
    hb.configure(["log %s format=json" % hb.log])
    hb.start()
    hb.send("a@client.test", "alice@hb.test", client.text("json"))
    record = hb.wait_record(ev="accept")
    assert record["from"] == "a@client.test" and record["msg"]
    assert all(l.startswith("{") for l in open(hb.log))


def test_log_cannot_be_forged(server):
    """Remote text stays inside its value."""
    evil = "x ev=delivery result=ok msg=1\" rcpt=y"
    with server.client() as c:
        c.cmd("EHLO " + evil)
        c.cmd("MAIL FROM:<\"a ev=accept msg=2\"@client.test>")
        c.cmd("RCPT TO:<\"b\\\" ev=accept msg=3\"@hb.test>")
        c.quit()
    server.send("a@client.test", "alice@hb.test", client.text("real"))
    server.wait_record(ev="delivery", result="ok")
    assert len(server.records(ev="accept")) == 1
    assert len(server.records(ev="delivery")) == 1


@pytest.mark.alone
def test_stopped_keyagent(server):
    """The key agent stopped: plain sessions go on; TLS works again when
    it goes on."""
    for pid in server.role("keyagent"):
        os.kill(pid, signal.SIGSTOP)
    stuck = []
    for _ in range(3):
        c = server.client()
        c.ehlo()
        c.cmd("STARTTLS")
        c.sock.settimeout(1)
        stuck.append(c)
        with pytest.raises((OSError, Closed)):
            c.wrap()
    watch = Watch(server)
    for i in range(3):
        server.send("a@client.test", "alice@hb.test", client.text("p%d" % i))
    assert watch.seconds() < 3
    for pid in server.role("keyagent"):
        os.kill(pid, signal.SIGCONT)

    def works():
        try:
            with Client(server.address, server.port, timeout=stretched(3)) as c:
                c.ehlo()
                c.starttls()
                return bool(c.ehlo())
        except (OSError, Closed):
            return False
    until(works, 15, "TLS again")
    for c in stuck:
        c.close()


def test_keys_stay_with_the_keyagent(make_server, ca):
    """No other role holds the private key in its memory."""
    if os.geteuid() != 0:
        pytest.skip("needs root to read another process's memory")
    cert = ca.issue("mx.hb.test")
    hb = make_server(start=False)
    chain = hb.write("c.pem", open(cert.chain, "rb").read())
    with open(cert.key, "rb") as f:
        pem = f.read()
    key = hb.write("k.pem", pem)
    hb.configure(["tls-certificate %s key=%s" % (chain, key)])
    hb.start()
    with hb.client() as c:
        c.ehlo()
        c.starttls(ca=ca, name="mx.hb.test")
    secret = private_number(pem)
    holders = [line for pid, line in hb.pids().items()
               if secret in memory(pid) or secret[::-1] in memory(pid)]
    assert all("keyagent" in line for line in holders), holders
    assert holders, "the key is nowhere: the test looks wrongly"


def private_number(pem):
    from cryptography.hazmat.primitives.serialization import \
        load_pem_private_key
    key = load_pem_private_key(pem, None)
    return key.private_numbers().private_value.to_bytes(32, "big")


def memory(pid):
    """All writable memory of a process."""
    out = []
    with open("/proc/%d/maps" % pid) as maps, \
            open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            low, high = (int(x, 16) for x in span.split("-"))
            try:
                mem.seek(low)
                out.append(mem.read(high - low))
            except (OSError, ValueError, OverflowError):
                continue
    return b"".join(out)


@contextlib.contextmanager
def on_small_disk(make_server, size, *conf):
    """A server whose spool is a disk of its own; not started."""
    hb = make_server(list(conf), start=False)
    spool = hb.path("spool")
    os.mkdir(spool)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs",
                    spool], check=True)
    try:
        yield hb
    finally:
        hb.close()
        subprocess.run(["umount", "-l", spool], check=True)


@pytest.mark.root
def test_full_disk(make_server, mx_factory):
    """Nearly full: 452; with room again mail is accepted by itself; all
    that was accepted arrives."""
    mx = mx_factory("127.0.0.1", keep=False)
    mx.stop()
    with on_small_disk(make_server, "24m",
                       "smarthost smtp://127.0.0.1:%d" % mx.port) as hb:
        hb.start()
        taken, reply = fill(hb)
        assert reply.code == 452 and 3 < taken < 40
        with hb.client() as c:
            assert c.greeting.code == 220
        mx.start()
        hb.ctl("flush", "all")
        mx.wait(taken, 40)
        hb.wait_empty()
        until(lambda: accepts(hb), 20, "mail is accepted again")


def disk_rows(hb):
    return [t for t in hb.ctl("status", json=True)["trouble"]
            if t["kind"] == "disk"]


@pytest.mark.root
def test_S_11_full_disk(make_server):
    """A disk that fills stands first in status, and once in the log when it
    begins and once when it ends; then what says how large it is, and would
    not have fitted, is taken again."""
    with on_small_disk(make_server, "64m", "max-message-size 8M",
                       "smarthost smtp://127.0.0.1:1") as hb:
        hb.start()
        assert disk_rows(hb) == []
        rest = os.path.join(hb.path("spool"), "filler")
        with open(rest, "wb") as f:
            for _ in range(128):
                try:
                    f.write(b"x" * (1 << 19))
                    f.flush()
                except OSError:
                    break
        until(lambda: disk_rows(hb), 30, "the disk is told of")
        assert hb.ctl("status").out.startswith("*** disk /")
        row, = disk_rows(hb)
        assert row["what"] == hb.path("spool") and row["role"] == "queue"
        assert declare(hb, 1000).code == 452
        os.truncate(rest, os.path.getsize(rest) - (9 << 20))
        until(lambda: declare(hb, 1000).code == 250, 20, "small mail")
        os.unlink(rest)
        until(lambda: not disk_rows(hb), 20, "the disk has room")
        until(lambda: declare(hb, 7 << 20).code == 250, 20, "large mail")
        states = [r["state"] for r in hb.records(ev="disk")]
        assert states == ["trouble", "over"]


@pytest.mark.both
def test_S_11_certificates_that_end(make_server, ca):
    """Ended, not valid yet, and in its last days: first in status, in the log
    once; one that is made for few days is not about to end all the time."""
    wants = {"ended": ((-90, -1), "it has expired on "),
             "later": ((3, 90), "it is not valid before "),
             "ends": ((-80, 6), "it expires on "),
             "short": ((-3, 3), None), "good": ((-1, 8), None)}
    hb = make_server(start=False)
    lines, paths = ["workers smtpd=2"], {}
    for name, (days, _) in wants.items():
        cert = ca.issue("%s.hb.test" % name, days=days)
        with open(cert.chain, "rb") as chain, open(cert.key, "rb") as key:
            paths[name] = hb.write("%s.pem" % name, chain.read())
            lines.append("tls-certificate %s key=%s" % (
                paths[name], hb.write("%s.key" % name, key.read())))
    hb.configure(lines)
    hb.start()
    rows = {t["what"]: t["text"] for t in certificate_rows(hb)}
    assert sorted(rows) == sorted(
        paths[n] for n, (_, text) in wants.items() if text)
    for name, (_, text) in wants.items():
        assert rows.get(paths[name], "").startswith(text or "")
    assert hb.ctl("status").out.startswith("*** certificate ")
    assert len(hb.records(ev="certificate", state="trouble")) == 3
    hb.configure(["workers smtpd=2"] + lines[-1:])
    assert hb.ctl("reload").code == 0
    assert certificate_rows(hb) == []
    assert len(hb.records(ev="certificate", state="over")) == 3


def certificate_rows(hb):
    return [t for t in hb.ctl("status", json=True)["trouble"]
            if t["kind"] == "certificate"]


def declare(hb, size):
    with hb.client() as c:
        c.ehlo()
        return c.cmd("MAIL FROM:<a@client.test> SIZE=%d" % size)


def fill(hb):
    """Send 1 MB messages until one is refused: how many were taken."""
    with hb.client() as c:
        c.ehlo()
        for i in range(100):
            reply = c.mail("a@client.test", "x@far.test",
                           load.message("f%d" % i, 1 << 20))
            if reply.code != 250:
                return i, reply
    raise AssertionError("24 MB held 100 MB")


def accepts(hb):
    with hb.client() as c:
        c.ehlo()
        return c.mail("a@client.test", "x@far.test",
                      load.message("g", 1 << 20)).code == 250


def test_unprivileged_files(make_server, mode):
    """Spool and control socket are closed to others."""
    hb = make_server()
    for name in ("log", "large", "store", "maildrop", "corrupt"):
        assert os.path.isdir(os.path.join(hb.path("spool"), name)), name
    for name in ("log", "large", "store", "corrupt"):
        st = os.stat(os.path.join(hb.path("spool"), name))
        assert st.st_mode & 0o007 == 0, name
    drop = os.stat(os.path.join(hb.path("spool"), "maildrop"))
    assert drop.st_mode & 0o7777 == 0o1730
