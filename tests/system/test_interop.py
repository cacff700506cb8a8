"""Against mail programs that others wrote."""

import smtplib

import pytest

from harness import client, load, policyhost, sasl
from harness.hauberk import free_port
from test_smtp import PASSWORD, hashed


@pytest.fixture
def exim_domain(world, peers, folder, closing):
    """far.test with Exim as its MX, and an enforce policy."""
    address = world._address()
    exim = closing(peers.exim(folder, address, world.port,
                              world.ca.issue("mx.far.test")))
    world.dns.set("far.test", "MX", "10 mx.far.test")
    world.dns.set("mx.far.test", "A", address)
    world.txt("far.test", "1")
    world.policies.site("far.test", policyhost.policy("enforce",
                                                      ["mx.far.test"]))
    return exim


def test_exim_receives_over_sts(exim_domain, world):
    """Exim as the MX of an enforce domain: verified TLS on both sides."""
    hb = world.server()
    hb.send("alice@hb.test", ["x@far.test", "y@far.test"],
            client.text("to exim", "..dots\r\n.\r\nend\r\n"))
    message = exim_domain.wait(1)[0]
    assert b"\n..dots\n.\nend\n" in message.replace(b"\r\n", b"\n")
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["tls"].endswith("/verified")
    assert record["sts"] == "enforce"
    assert " X=TLS1" in exim_domain.log()


def test_exim_refuses_a_recipient(exim_domain, world):
    """Exim's 550 becomes a notice; the other recipient is delivered."""
    hb = world.server()
    hb.send("alice@hb.test", ["nobody@far.test", "x@far.test"],
            client.text("half"))
    exim_domain.wait(1)
    assert b"no such mailbox" in hb.wait_mail("alice")[0]


def test_RTLS_05_exim_does_not_know_it(exim_domain, world):
    """A verified channel to a server that never heard of REQUIRETLS: the
    message comes back, without its text."""
    hb = world.server()
    with hb.client() as c:
        c.ehlo()
        c.starttls()
        c.ehlo()
        for reply in c.envelope("alice@hb.test", "x@far.test",
                                params="REQUIRETLS"):
            assert reply.code == 250, reply
        assert c.data(client.text("secret")).code == 250
    notice = hb.wait_mail("alice")[0]
    assert b"Status: 5.7.30" in notice and b"hello" not in notice
    assert exim_domain.messages() == []


def test_RTLS_01_smtplib_asks_for_it(world):
    """Python's own client finds the keyword and says the parameter."""
    mx = world.domain("far.test")
    mx.tls_keywords = ["REQUIRETLS"]
    world.policy("far.test")
    hb = world.server()
    with smtplib.SMTP("127.0.0.1", hb.port) as c:
        c.ehlo()
        assert not c.has_extn("requiretls")
        c.starttls()
        c.ehlo()
        assert c.has_extn("requiretls")
        c.sendmail("alice@hb.test", "x@far.test", client.text("lib"),
                   mail_options=["REQUIRETLS"])
    assert "REQUIRETLS" in mx.wait(1)[0].sender_params


def test_exim_gets_many_and_large(exim_domain, world):
    """300 small messages and three of 5 MB, none lost, none twice."""
    hb = world.server()
    sent = load.Load(hb.address, hb.port, "x@far.test").start(300).join()
    large = load.Load(hb.address, hb.port, "x@far.test", threads=1,
                      size=5 << 20, prefix="l").start(3).join()
    want = sent.acked | large.acked
    assert len(want) == 303
    got = [load.number_of(m.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
           for m in exim_domain.wait(303, 60)]
    hb.wait_empty()
    assert sorted(got) == sorted(want)


def test_dovecot_lmtp(make_server, peers, folder, closing, address):
    """Local mail handed to Dovecot over LMTP."""
    dovecot = closing(peers.dovecot(folder, address(), free_port()))
    target = "%s:%d" % (dovecot.address, dovecot.port)
    hb = make_server(["route dove.test lmtp://" + target])
    hb.send("a@client.test", "carol@dove.test", client.text("lmtp"))
    message = dovecot.wait("carol")[0]
    assert b"Subject: lmtp" in message
    record = hb.wait_record(ev="delivery", result="ok")
    assert record["rcpt"] == "carol@dove.test"


def test_dovecot_as_the_local_delivery(make_server, peers, folder, closing,
                                       address):
    """`deliver lmtp`: two users of one message, one answer each."""
    dovecot = closing(peers.dovecot(folder, address(), free_port()))
    hb = make_server(start=False)
    hb.configure(["deliver lmtp %s:%d" % (dovecot.address, dovecot.port)])
    hb.start()
    hb.send("a@client.test", ["alice@hb.test", "bob@hb.test"],
            client.text("both"))
    for user in ("alice", "bob"):
        assert b"Subject: both" in dovecot.wait(user)[0]
    hb.wait_empty()


def test_AUTH_01_dovecot_judges(make_server, peers, folder, closing,
                                address):
    """`auth dovecot`: its passwords, its name for the login; who is in our
    own file is not asked about; while it is away nobody is wrong."""
    dovecot = closing(peers.dovecot(
        folder, address(), free_port(),
        "alice:{PLAIN}%s\ncarol:%s\n" % (PASSWORD,
                                         sasl.verifier(PASSWORD))))
    socket = dovecot.folder + "/auth"
    hb = make_server(start=False)
    port = free_port()
    hb.write("passwd", "bob:%s\n" % hashed(PASSWORD))
    hb.configure(["listen 127.0.0.1:%d smtp" % hb.port,
                  "listen 127.0.0.1:%d submissions" % port,
                  "auth passwd-file " + hb.path("passwd"),
                  "auth dovecot " + socket])
    hb.start()

    def login(user, password=PASSWORD):
        with client.Client("127.0.0.1", port, tls=True) as c:
            c.ehlo()
            code = c.auth_plain(user, password).code
            return code, c.cmd("MAIL FROM:<%s@hb.test>" % user.lower()).code
    for user in ("alice", "ALICE", "carol", "bob"):
        assert login(user) == (235, 250), user
    assert login("alice", "wrong")[0] == 535
    assert login("nobody")[0] == 535
    dovecot.close()
    assert login("alice")[0] == 454
    assert login("bob")[0] == 235
    hb.wait_record(ev="map", state="trouble", file=socket)


@pytest.mark.parametrize("maker", ("ours", "gsasl"))
def test_AUTH_01_msmtp_speaks_scram(make_server, peers, maker):
    """GNU SASL's SCRAM against a verifier, ours or its own; PLAIN and LOGIN
    with the same; a wrong password is refused."""
    hb = make_server(start=False)
    port = free_port()
    verifier = sasl.verifier(PASSWORD) if maker == "ours" else \
        peers.gsasl("--mkpasswd", "--mechanism=SCRAM-SHA-256",
                    "--password=" + PASSWORD).stdout.strip()
    hb.write("passwd", "alice:%s\n" % verifier)
    hb.configure(["listen 127.0.0.1:%d smtp" % hb.port,
                  "listen 127.0.0.1:%d submission" % port,
                  "auth passwd-file " + hb.path("passwd")])
    hb.start()

    def send(kind, password):
        return peers.msmtp(
            "Subject: %s\n\nhello\n" % kind, "--file=/dev/null",
            "--host=127.0.0.1", "--port=%d" % port, "--tls=on",
            "--tls-certcheck=off", "--auth=" + kind, "--user=alice",
            "--passwordeval=echo " + password, "--from=alice@hb.test",
            "bob@hb.test")
    kinds = ("scram-sha-256", "plain", "login")
    for kind in kinds:
        done = send(kind, PASSWORD)
        assert done.returncode == 0, done.stdout + done.stderr
    done = send("scram-sha-256", PASSWORD + "x")
    assert done.returncode != 0 and "535" in done.stdout + done.stderr
    assert len(hb.wait_mail("bob", len(kinds))) == len(kinds)
    hb.wait_record(ev="auth", mech="SCRAM-SHA-256", result="ok")


@pytest.mark.parametrize("args", [
    ["-d"], ["-4", "-A"], ["-r", "5"], ["-M", "client.test"]],
    ids=lambda a: a[0])
def test_smtp_source_variants(make_server, peers, folder, closing, args):
    """smtp-source's ways of sending: kept sessions, many recipients."""
    port = free_port()
    sink = closing(peers.sink(folder, "127.0.0.1", port))
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % port])
    peers.source("127.0.0.1:%d" % hb.port, "-s", "4", "-m", "100", "-N",
                 "-f", "a@client.test", "-t", "u@far.test", *args)
    per = 5 if args[0] == "-r" else 1
    sink.wait(100 * per, 60)
    hb.wait_empty()
    assert len(sink.recipients()) == 100 * per
