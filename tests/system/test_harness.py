"""The harness against itself and against real peers."""

import fcntl
import http.client
import os
import smtplib
import socket
import ssl
import subprocess
import threading
import time
import types

import pytest
from dnslib import DNSRecord

from harness import client, clients, hauberk, load, mx as mxmod
from harness import peers as peers_module
from harness import pki, records
from harness import policyhost, turns, wait
from harness.hauberk import free_port
from harness.wait import until


def ask(dns, name, qtype, tcp=False, ad=False, timeout=wait.most(2)):
    query = DNSRecord.question(name, qtype)
    query.header.ad = int(ad)
    wire = query.send(dns.address, dns.port, tcp=tcp,
                      timeout=timeout)
    return DNSRecord.parse(wire)


@pytest.mark.parametrize("tcp", [False, True])
def test_dns_answers(dns, tcp):
    """Records, aliases, no data and no such name, over UDP and TCP."""
    dns.set("a.test", "MX", "10 mx.a.test", "20 mx2.a.test")
    dns.set("mx.a.test", "CNAME", "real.a.test")
    dns.set("real.a.test", "A", "127.0.0.9")
    dns.set("_mta-sts.a.test", "TXT", ("v=STSv1; ", "id=1;"))
    got = ask(dns, "a.test", "MX", tcp)
    assert sorted(r.rdata.preference for r in got.rr) == [10, 20]
    assert [str(r.rdata) for r in ask(dns, "mx.a.test", "A", tcp).rr] == [
        "real.a.test.", "127.0.0.9"]
    txt = ask(dns, "_mta-sts.A.test", "TXT", tcp).rr[0].rdata
    assert txt.data == [b"v=STSv1; ", b"id=1;"]
    assert ask(dns, "a.test", "A", tcp).header.rcode == 0
    assert ask(dns, "test", "A", tcp).header.rcode == 0
    assert ask(dns, "no.test", "A", tcp).header.rcode == 3
    assert len(dns.asked("a.test", "MX")) == 1


def test_dns_faults(dns):
    """Each fault shows, changes at run time, and heals."""
    dns.set("a.test", "A", "127.0.0.9")
    for kind, code in (("servfail", 2), ("nxdomain", 3), ("refused", 5),
                       ("bogus", 2)):
        dns.fault("a.test", kind)
        assert ask(dns, "a.test", "A").header.rcode == code
    dns.fault("a.test", "truncate")
    assert ask(dns, "a.test", "A").header.tc == 1
    assert ask(dns, "a.test", "A", tcp=True).rr
    dns.fault("a.test", "drop")
    with pytest.raises((OSError, TimeoutError)):
        ask(dns, "a.test", "A", timeout=1)
    dns.heal("a.test")
    dns.fault("a.test", "servfail", qtype="TXT")
    assert ask(dns, "a.test", "A").header.rcode == 0
    assert ask(dns, "a.test", "TXT").header.rcode == 2


def test_dns_ad_bit(dns):
    """AD is set for signed names only, and only when asked for."""
    dns.sign("a.test")
    dns.set("x.a.test", "A", "127.0.0.9")
    dns.set("b.test", "A", "127.0.0.9")
    dns.set("y.a.test", "CNAME", "b.test")
    assert ask(dns, "x.a.test", "A", ad=True).header.ad == 1
    assert ask(dns, "x.a.test", "A").header.ad == 0
    assert ask(dns, "b.test", "A", ad=True).header.ad == 0
    assert ask(dns, "y.a.test", "A", ad=True).header.ad == 0


def test_dns_large_answer_needs_tcp(dns):
    """An answer above 512 bytes is cut over UDP."""
    dns.set("a.test", "TXT", *["x" * 200 for _ in range(5)])
    assert ask(dns, "a.test", "TXT").header.tc == 1
    assert len(ask(dns, "a.test", "TXT", tcp=True).rr) == 5


def get(policies, domain, ca):
    """GET a policy the way a sender does, with name checks."""
    name = "mta-sts." + domain
    ctx = pki.client_context(ca)
    sock = socket.create_connection((policies.address, policies.port),
                                    wait.most(5))
    tls = ctx.wrap_socket(sock, server_hostname=name)
    conn = http.client.HTTPSConnection(name, context=ctx)
    conn.sock = tls
    conn.request("GET", policyhost.WELL_KNOWN)
    reply = conn.getresponse()
    body = reply.read()
    conn.close()
    return reply, body


def test_policy_host(policies, ca, other_ca):
    """Sites by SNI, status and type, a bad certificate, blocking."""
    text = policyhost.policy("enforce", ["mx.a.test"])
    site = policies.site("a.test", text)
    policies.site("b.test", text, cert=other_ca.issue("mta-sts.b.test"))
    reply, body = get(policies, "a.test", ca)
    assert (reply.status, body.decode()) == (200, text)
    site.status, site.ctype = 404, "text/html"
    reply, _ = get(policies, "a.test", ca)
    assert (reply.status, reply.headers["content-type"]) == (
        404, "text/html")
    with pytest.raises(ssl.SSLCertVerificationError):
        get(policies, "b.test", ca)
    policies.block()
    with pytest.raises(ConnectionRefusedError):
        get(policies, "a.test", ca)
    policies.unblock()
    assert get(policies, "a.test", ca)[0].status == 404
    assert len(policies.asked("a.test")) == 3


def test_pki_dates_and_self_signed(ca):
    """Expired and self-signed certificates are refused by a client."""
    for cert in (ca.issue("mx.a.test", days=(-9, -2)),
                 ca.issue("mx.a.test", self_signed=True),
                 ca.issue("other.a.test")):
        mx = mxmod.Mx("127.0.0.1", cert=cert)
        with client.Client(mx.address, mx.port) as c:
            c.ehlo()
            assert c.cmd("STARTTLS").code == 220
            with pytest.raises(ssl.SSLCertVerificationError):
                c.wrap(ca, "mx.a.test")
        mx.close()


def test_mx_records_what_it_gets(mx_factory, ca):
    """Envelope, exact bytes, TLS facts; smtplib as the client."""
    mx = mx_factory("127.0.0.1", cert=ca.issue("mx.a.test"))
    body = b"Subject: x\r\n\r\n..two\r\n.one\r\n\xff\xfe\r\n"
    with smtplib.SMTP(mx.address, mx.port) as s:
        s._host = "mx.a.test"
        s.starttls(context=pki.client_context(ca))
        s.sendmail("a@b.test", ["c@d.test", "e@d.test"], body)
    message, = mx.accepted()
    assert message.data == body
    assert (message.sender, message.rcpts) == (
        "a@b.test", ["c@d.test", "e@d.test"])
    assert message.sender_params.startswith("size=")
    assert message.tls["sni"] == "mx.a.test"
    assert message.tls["version"] == "TLSv1.3"


def test_mx_body_edges(mx_factory):
    """An empty body, one that is a lone dot, and one cut in pieces."""
    mx = mx_factory("127.0.0.1")
    with client.Client(mx.address, mx.port) as c:
        c.ehlo()
        for data in (b".\r\n", b"..\r\n\r\n.\r\nx\r\n", b"\r\n"):
            assert c.mail("a@b.test", "c@d.test", data).code == 250
        c.envelope("a@b.test", "c@d.test")
        c.cmd("DATA")
        for part in (b"x\r", b"\n.", b"\r", b"\n"):
            c.send(part)
            time.sleep(0.02)
        assert c.read().code == 250
        c.envelope("a@b.test", "c@d.test")
        c.cmd("DATA")
        c.send(b".\r\n")
        assert c.read().code == 250
    assert [m.data for m in mx.accepted()] == [
        b".\r\n", b"..\r\n\r\n.\r\nx\r\n", b"\r\n", b"x\r\n", b""]


@pytest.mark.parametrize("how, code", [("strip", 502), ("refuse", 454),
                                       ("fail", 220)])
def test_mx_starttls_faults(mx_factory, ca, how, code):
    """Each way of refusing TLS does what it says."""
    mx = mx_factory("127.0.0.1", cert=ca.issue("mx.a.test"))
    mx.starttls = how
    with client.Client(mx.address, mx.port) as c:
        assert ("STARTTLS" in c.ehlo()) == (how != "strip")
        assert c.cmd("STARTTLS").code == code
        if how == "fail":
            with pytest.raises((ssl.SSLError, OSError)):
                c.wrap()


def test_mx_client_gone_before_tls(mx_factory, ca):
    """A client that is gone when the handshake would begin is a hangup."""
    mx = mx_factory("127.0.0.1", cert=ca.issue("mx.a.test"))
    session = mxmod.Session(mx, socket.socket(), ("127.0.0.1", 1), 1)
    with pytest.raises(mxmod.Hangup):
        session.wrap()


def test_mx_script(mx_factory):
    """Replies, functions as replies, delays, drops, stop and start."""
    mx = mx_factory("127.0.0.1")
    mx.reply["rcpt"] = lambda s, a: "550 5.1.1 no" if a == "x@d" else None
    with client.Client(mx.address, mx.port) as c:
        c.ehlo()
        codes = [r.code for r in c.envelope("a@b", "x@d", "y@d")]
        assert codes == [250, 550, 250]
    mx.drop.add("eod")
    with client.Client(mx.address, mx.port) as c:
        c.ehlo()
        with pytest.raises(client.Closed):
            c.mail("a@b", "y@d", b"x\r\n")
    assert len(mx.messages) == 1 and mx.accepted() == []
    mx.stop()
    with pytest.raises(OSError):
        client.Client(mx.address, mx.port)
    mx.drop.clear()
    mx.start()
    client.send(mx.address, mx.port, "a@b", "y@d", b"x\r\n")
    assert mx.connections == 3


def lmtp(server, rcpts, message):
    """One message over LMTP; the reply codes after the data."""
    with client.Client(server.address, server.port) as c:
        assert c.cmd("LHLO x.test").code == 250
        c.envelope("a@b.test", *rcpts)
        replies = [c.data(message)] + [c.read() for _ in rcpts[1:]]
        assert c.quit().code == 221
        return [r.code for r in replies]


def test_mx_lmtp(mx_factory):
    """LMTP answers once for each recipient."""
    mx = mx_factory("127.0.0.1", lmtp=True)
    mx.reply["eod"] = lambda s, r: "550 5.0.0 no" if r[0] == "e" else None
    assert lmtp(mx, ["c@d.test", "e@d.test"], b"x\r\n") == [250, 550]
    assert mx.accepted()[0].rcpts == ["c@d.test", "e@d.test"]


def test_load_knows_its_250s(mx_factory):
    """The load client's sets agree with what the MX answered."""
    mx = mx_factory("127.0.0.1", keep=False)
    mx.reply["eod"] = lambda s, m: (
        "451 4.3.0 no" if load.number_of(m.data).endswith("7") else None)
    sent = load.Load(mx.address, mx.port, "x@far.test").start(100).join()
    got = {load.number_of(m.data) for m in mx.accepted()}
    assert sent.acked == got and len(got) == 90
    assert len(sent.refused) == 10 and not sent.unsure


def test_load_unsure(mx_factory):
    """A cut reply makes a message unsure, never acked."""
    mx = mx_factory("127.0.0.1", keep=False)
    mx.drop.add("eod")
    sent = load.Load(mx.address, mx.port, "x@far.test").start(20).join()
    assert not sent.acked and len(sent.unsure) == 20


def test_records_parse():
    """Quoted values and escapes; a forged record stays a value."""
    line = ('2026-08-01T10:00:00Z smtpd 1 info ev=reject stage=rcpt '
            'reason="a \\"b\\" ev=accept\\x0a" code=550')
    got = records.parse(line)
    assert got["ev"] == "reject" and got["code"] == "550"
    assert got["reason"] == 'a "b" ev=accept\n'
    assert records.parse('{"ev":"accept","size":3}')["size"] == 3
    assert records.parse("no record") is None


def test_space_is_private(space):
    """As root: our accounts, and an outside that is still reachable."""
    if not space.private:
        pytest.skip("not root")
    import pwd
    assert pwd.getpwnam("_hauberkq").pw_uid == 7052
    links = subprocess.run(["ip", "-o", "link"], capture_output=True,
                           text=True).stdout if os.path.exists(
                               "/sbin/ip") else "1: lo:"
    assert links.count("\n") <= 1
    out = subprocess.run(space.outside() + ["cat", "/proc/net/dev"],
                         capture_output=True, text=True).stdout
    assert out.count(":") >= 1


def test_ports_are_given_once(monkeypatch, address):
    """A port that nobody listens on yet is not given out a second time, and
    a server can have it."""
    monkeypatch.setattr(os, "urandom", lambda n: bytes([0, next(numbers)]))
    numbers = iter([7, 7, 7, 8, 9])
    host = address()
    first, second = free_port(host), free_port(host)
    assert (first, second) == (20007, 20008)
    with socket.create_server((host, first)):
        assert free_port(host) == 20009
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, second))


def test_end_at_the_start_is_seen(make_server):
    """What it said may be at its end before the process is."""
    hb = make_server(start=False)
    hb.wrap = ["sh", "-c", "echo no >&2; exec 2>&-; sleep 0.5; exit 78"]
    with pytest.raises(AssertionError, match="ended at once: no"):
        hb.start()


def test_kill_all_leaves_nothing(make_server, monkeypatch):
    """Parents that replace what dies, and a killer who takes his time and
    comes to them last."""
    hb = make_server(start=False)
    hb.wrap = ["sh", "-c",
               "echo ready >&2; while :; do sleep 77; done", "sh"]
    hb.start()
    session = hb.process.pid
    until(lambda: len(hb.pids()) == 2, 5, "all of it")
    family, kill = hauberk.family, os.kill
    monkeypatch.setattr(hauberk, "family", lambda root: dict(
        sorted(family(root).items(), reverse=True)))
    monkeypatch.setattr(os, "kill", lambda pid, number: (
        kill(pid, number), time.sleep(0.2)))
    hb.kill_all()
    assert family(session) == {}


def test_watch_counts_what_others_did_not_take(monkeypatch):
    """Sleep counts; what others had the processor for does not."""
    monkeypatch.setattr(wait, "starved", lambda pid: 1)
    watch = wait.Watch(types.SimpleNamespace(pids=dict))
    time.sleep(0.3)
    assert watch.seconds() >= 0.3
    monkeypatch.setattr(wait, "starved", lambda pid: 1000)
    assert watch.seconds() < 0


def test_limits_count_what_the_machine_gives(monkeypatch):
    """Where many want to run a limit is later, and still comes."""
    monkeypatch.setattr(wait, "_share", lambda: 1 / wait.MOST)
    clock = wait._Clock()
    start, began = time.monotonic(), clock.now()
    time.sleep(0.5)
    counted = clock.now() - began
    assert 0 < counted <= (time.monotonic() - start) / wait.MOST
    with clock.stopped():
        began = clock.now()
        time.sleep(0.1)
        assert clock.now() == began


def test_limit_ends_what_hangs():
    done = []
    with pytest.raises(AssertionError, match="not done in 1 s"):
        with wait.limit(1):
            time.sleep(60)
            done.append(True)
    assert not done


def test_fetch_takes_nothing_half_done(tmp_path, monkeypatch):
    """What a fetch left that was ended is fetched again; what cannot be had
    is not asked for by each test."""
    asked = []

    def run(command, **kw):
        asked.append(command)
        if "download" in command and len(asked) > 2:
            raise subprocess.CalledProcessError(100, command, stderr="no line")
        if "download" in command:
            open(os.path.join(kw["cwd"], "a_1.deb"), "w").close()
    monkeypatch.setattr(peers_module.subprocess, "run", run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    os.makedirs(tmp_path / "hauberk-tests" / "a" / "usr")
    here = peers_module.Peers(None)
    folder, problem = here.fetch(("a",))
    assert problem is None and not os.path.exists(folder + "/usr")
    assert len(asked) == 2 and here.fetch(("a",)) == (folder, None)
    assert len(asked) == 2
    for _ in range(2):
        assert here.fetch(("b",)) == (None, "no line")
    assert len(asked) == 3


def test_cut_misses_no_connection(mx_factory):
    """One that came before the cut and is not served yet is cut too."""
    mx = mx_factory("127.0.0.1")
    for cuts, greeting in ((0, b"220"), (1, b"")):
        number = mx._count()
        for _ in range(cuts):
            mx.cut()
        ours, its = socket.socketpair()
        threading.Thread(target=mx._serve, args=(its, ("127.0.0.1", 1), number),
                         daemon=True).start()
        assert ours.recv(100)[:3] == greeting
        ours.close()


@pytest.mark.parametrize("name", ["swaks", "exim"])
def test_clients_to_mx(peers, folder, mx_factory, space, ca, closing, name):
    """Programs of others with verified STARTTLS against our MX."""
    if not space.private:
        pytest.skip("Exim needs root to be started with our accounts")
    mx = mx_factory("127.0.0.1", cert=ca.issue("127.0.0.1"))
    site = clients.Site(peers, folder, ca, {"smtp": mx.port}, closing)
    done = clients.CLIENTS[name].send(clients.Job(
        site, clients.WAYS["starttls"], ["x@d.test"],
        b"From: a@b.test\r\nSubject: x\r\n\r\n.dot\r\n", False, ""))
    assert done.code == 0, done
    assert mx.wait(1)[0].tls and b"\r\n.dot\r\n" in mx.accepted()[0].data


def test_smtp_source_to_mx(peers, mx_factory):
    """Postfix's smtp-source against our MX."""
    mx = mx_factory("127.0.0.1", keep=False)
    peers.source("%s:%d" % (mx.address, mx.port), "-s", "5", "-m", "200",
                 "-l", "2048", "-N", "-f", "a@b.test", "-t", "u@d.test")
    rcpts = [r for m in mx.accepted() for r in m.rcpts]
    assert len(set(rcpts)) == 200


def test_smtp_source_to_sink(peers, folder, closing):
    """smtp-source to smtp-sink: the sink's dump counts each message."""
    port = free_port()
    sink = closing(peers.sink(folder, "127.0.0.1", port))
    peers.source("127.0.0.1:%d" % port, "-s", "5", "-m", "300", "-l",
                 "1024", "-N", "-f", "a@b.test", "-t", "u@d.test")
    got = sink.wait(300, 20)
    assert len(got) == len(set(got)) == 300


def test_exim_receives(peers, folder, closing, ca, address):
    """Exim takes a message over verified STARTTLS."""
    exim = closing(peers.exim(folder, address(), free_port(),
                              ca.issue("mx.exim.test")))
    with client.Client(exim.address, exim.port) as c:
        c.ehlo()
        c.starttls(ca=ca, name="mx.exim.test")
        c.ehlo()
        assert c.mail("a@b.test", "c@d.test",
                      client.text("exim")).code == 250
        assert c.envelope("a@b.test", "nobody@d.test")[1].code == 550
    assert b"Subject: exim" in exim.wait(1)[0]


def test_dovecot_lmtp_receives(peers, folder, closing, address):
    """Dovecot takes a message over LMTP."""
    dovecot = closing(peers.dovecot(folder, address(), free_port()))
    assert lmtp(dovecot, ["carol@d.test"], client.text("dove")) == [250]
    assert b"Subject: dove" in dovecot.wait("carol")[0]


def test_samples_are_there(peers):
    """The sample mails of three packages, DKIM-signed ones too."""
    samples = peers.samples()
    assert len(samples) > 40
    assert all(b"\n" not in s.replace(b"\r\n", b"")
               for s in samples.values())
    assert any(b"DKIM-Signature:" in s for s in samples.values())


def test_dns_rejects_rubbish(dns):
    """Rubbish is dropped and the server goes on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"rubbish", (dns.address, dns.port))
    dns.set("a.test", "A", "127.0.0.9")
    assert ask(dns, "a.test", "A").rr


def _door_is_taken(folder):
    with open(os.path.join(folder, "door"), "a") as door:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_turns(tmp_path):
    """Two beside each other; one that wants to be alone waits for them, and
    who comes after it waits for it."""
    seen, gate = [], threading.Event()

    def take(name, alone=False):
        with turns.turn(tmp_path, alone):
            seen.append("+" + name)
            gate.wait(10)
            seen.append("-" + name)
    threads = [threading.Thread(target=take, args=args)
               for args in (("a",), ("b",), ("alone", True), ("late",))]
    threads[0].start()
    threads[1].start()
    until(lambda: len(seen) == 2, 5, "two at once")
    threads[2].start()
    until(lambda: _door_is_taken(tmp_path), 5, "one that waits")
    threads[3].start()
    time.sleep(0.1)
    assert len(seen) == 2
    gate.set()
    for thread in threads:
        thread.join(10)
    assert seen[4:] == ["+alone", "-alone", "+late", "-late"]
