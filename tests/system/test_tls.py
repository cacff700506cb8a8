"""TLS of the listener: certificates that are renewed while it runs, several of
them, tickets, key exchange, certificates of clients."""

import hashlib
import os
import shutil
import ssl
import subprocess

import pytest

from harness import client, pki
from harness.hauberk import free_port
from harness.wait import until

RENEWED_S = 60


def shake(address, port, ctx, name=None, session=None):
    """EHLO, STARTTLS and a handshake; the socket behind it."""
    c = client.Client(address, port)
    c.ehlo()
    assert c.cmd("STARTTLS").code == 220
    c.sock = ctx.wrap_socket(c.sock, server_hostname=name, session=session)
    c.buffer = b""
    return c


def shown(hb, name=None, ctx=None):
    """The certificate (DER) that a new session gets."""
    with shake(hb.address, hb.port, ctx or pki.client_context(), name) as c:
        return c.sock.getpeercert(True)


def days(hb):
    """Days left, as the listeners say it."""
    for row in hb.ctl("status", json=True)["roles"]:
        if "certificates" in row:
            return [c["days"] for c in row["certificates"]]
    return None


class Links:
    """What certbot makes: archive/ with numbers, live/ with links."""

    def __init__(self, hb):
        self.hb = hb
        self.number = 0
        for folder in "archive", "live":
            os.mkdir(hb.path(folder))

    def renew(self, cert, key=True):
        self.number += 1
        kinds = [("fullchain", cert.chain)] + [("privkey", cert.key)] * key
        for kind, path in kinds:
            name = "%s%d.pem" % (kind, self.number)
            shutil.copy(path, self.hb.path("archive", name))
            link = self.hb.path("live", kind + ".pem")
            os.symlink(os.path.join("..", "archive", name), link + ".new")
            os.rename(link + ".new", link)
        self.hb._own()

    def line(self):
        return "tls-certificate %s key=%s" % (
            self.hb.path("live", "fullchain.pem"),
            self.hb.path("live", "privkey.pem"))


@pytest.mark.limit(200)
def test_certificate_is_renewed_without_a_command(make_server, ca):
    """certbot's links are turned: new sessions get the new pair, old ones
    live on; one that does not fit leaves the old one and says so."""
    hb = make_server(start=False)
    links = Links(hb)
    first, second, third = [ca.issue("mx.hb.test", days=(-1, n))
                            for n in (30, 60, 90)]
    links.renew(first)
    hb.configure([links.line()])
    hb.start()
    assert shown(hb) == first.der
    assert days(hb) == [29]
    with shake(hb.address, hb.port, pki.client_context()) as old:
        old.ehlo()
        links.renew(second)
        until(lambda: shown(hb) == second.der, RENEWED_S, "the new one")
        assert days(hb) == [59]
        r = hb.wait_record(ev="certificate", action="in-use")
        assert (r["name"], r["days"]) == ("mx.hb.test", "59")
        assert "certificate: mx.hb.test, 59 days left" in hb.ctl("status").out

        links.renew(third, key=False)
        r = hb.wait_record(ev="certificate", action="kept", timeout=RENEWED_S)
        assert "not the key of the first certificate" in r["error"]
        assert "is not taken" in hb.ctl("status").out
        assert shown(hb) == second.der and days(hb) == [59]

        links.renew(third)
        until(lambda: shown(hb) == third.der, RENEWED_S, "the third one")
        assert "is not taken" not in hb.ctl("status").out
        assert old.mail("a@client.test", "alice@hb.test",
                        client.text()).code == 250
    # after a restart of both it is still the one in use
    for role in "keyagent", "smtpd":
        hb.wait_role(role, hb.kill(role))
    assert until(lambda: shown_or_none(hb), 20, "a session") == third.der


def shown_or_none(hb):
    try:
        return shown(hb)
    except (OSError, client.Closed):
        return None


def test_torn_certificate_is_not_taken(make_server, ca):
    """A file that is cut, empty or gone; then it is whole again."""
    hb = make_server(start=False)
    cert, other = ca.issue("mx.hb.test"), ca.issue("mx.hb.test")
    chain = hb.write("chain.pem", open(cert.chain, "rb").read())
    hb.configure(["tls-certificate %s key=%s" % (chain, cert.key)])
    hb.start()
    os.unlink(chain)
    hb.wait_record(ev="certificate", action="kept", timeout=RENEWED_S)
    assert shown(hb) == cert.der
    hb.write("chain.pem", open(other.chain, "rb").read()[:200])
    until(lambda: len(hb.records(ev="certificate", action="kept")) > 1,
          RENEWED_S, "the torn one is told")
    assert shown(hb) == cert.der
    hb.write("chain.pem", open(cert.chain, "rb").read())
    until(lambda: not hb.ctl("status", json=True)["trouble"], RENEWED_S,
          "the end of the trouble")
    assert shown(hb) == cert.der


def only(algorithms):
    """A client that can check these signatures alone."""
    ctx = pki.client_context()
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    ctx.set_ciphers("ECDHE-%s-AES128-GCM-SHA256" % algorithms)
    return ctx


def test_several_certificates_by_name_and_kind(make_server, ca):
    """By SNI; RSA and ECDSA for one name; an unknown name gets the first."""
    hb = make_server(start=False)
    ec, rsa = ca.issue("mx.hb.test"), ca.issue("mx.hb.test", rsa_bits=2048)
    two, wild = ca.issue("mx.two.test"), ca.issue("*.wild.test")
    # good for both, so of its kind the second at mx.hb.test
    late = ca.issue("mx.two.test", "mx.hb.test", rsa_bits=2048)
    hb.configure(["tls-certificate %s key=%s" % (c.chain, c.key)
                  for c in (ec, rsa, two, wild, late)])
    hb.start()
    assert shown(hb, "mx.hb.test", only("ECDSA")) == ec.der
    assert shown(hb, "mx.hb.test", only("RSA")) == rsa.der
    assert shown(hb, "mx.two.test", only("ECDSA")) == two.der
    assert shown(hb, "mx.two.test", only("RSA")) == late.der
    assert shown(hb, "a.wild.test") == wild.der
    for name in (None, "unknown.test", "127.0.0.1"):
        assert shown(hb, name) == ec.der
        assert shown(hb, name, only("ECDSA")) == ec.der
        assert shown(hb, name, only("RSA")) == rsa.der
    with pytest.raises(ssl.SSLError):
        shown(hb, "a.wild.test", only("RSA"))


def test_CBC_is_for_mail_servers_alone(make_server, ca):
    """Old mail servers would come in clear without it; programs of people
    have had better for long. By name too, where the certificate changes."""
    hb = make_server(start=False)
    sub = free_port()
    certs = [ca.issue("mx.hb.test"), ca.issue("mx.two.test"),
             ca.issue("mx.two.test", rsa_bits=2048)]
    hb.configure(["listen 127.0.0.1:%d smtp" % hb.port,
                  "listen 127.0.0.1:%d submission" % sub] +
                 ["tls-certificate %s key=%s" % (c.chain, c.key)
                  for c in certs])
    hb.start()

    def chosen(port, suites, name):
        ctx = pki.client_context()
        ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        ctx.set_ciphers(suites + ":@SECLEVEL=0")
        with shake(hb.address, port, ctx, name) as c:
            return c.sock.cipher()[0]
    for name in (None, "mx.two.test"):
        for cbc in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"):
            assert chosen(hb.port, cbc, name) == cbc
            with pytest.raises(ssl.SSLError):
                chosen(sub, cbc, name)
            for port in (hb.port, sub):
                good = "ECDHE-ECDSA-AES128-GCM-SHA256"
                assert chosen(port, cbc + ":" + good, name) == good
                with pytest.raises(ssl.SSLError):
                    chosen(port, "ECDHE-ECDSA-AES128-CCM8", name)


def test_ticket_counts_at_its_listener_alone(make_server):
    """A session of one listener is not resumed at another."""
    other = free_port()
    hb = make_server(start=False)
    hb.configure(["workers smtpd=1 delivery=1",
                  "listen 127.0.0.1:%d smtp" % hb.port,
                  "listen 127.0.0.1:%d smtp" % other])
    hb.start()
    for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
        ctx = pki.client_context()
        ctx.minimum_version = ctx.maximum_version = version
        with shake(hb.address, hb.port, ctx) as c:
            c.ehlo()
            session = c.sock.session
        with shake(hb.address, other, ctx, session=session) as c:
            c.ehlo()
            assert not c.sock.session_reused
        with shake(hb.address, hb.port, ctx, session=session) as c:
            c.ehlo()
            assert c.sock.session_reused


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_kex_in_the_log(world, version):
    """The group, in ev=accept and ev=delivery; none in clear."""
    mx = world.domain("far.test")
    assert mx
    hb = world.server(["relay-from 127.0.0.0/8"])
    ctx = pki.client_context()
    ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion[version]
    ctx.set_ecdh_curve("prime256v1")
    with shake(hb.address, hb.port, ctx) as c:
        c.ehlo()
        assert c.mail("a@hb.test", "x@far.test", client.text()).code == 250
    assert hb.wait_record(ev="accept")["kex"] == "secp256r1"
    r = hb.wait_record(ev="delivery", rcpt="x@far.test")
    assert r["kex"] == "x25519" and r["tls"].startswith("TLSv1.3"), r
    hb.send("b@hb.test", "alice@hb.test", client.text())
    r = hb.wait_record(ev="accept", **{"from": "b@hb.test"})
    assert "kex" not in r and "cert" not in r
    r = hb.wait_record(ev="delivery", rcpt="alice@hb.test")
    assert "kex" not in r


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_certificate_of_a_client(make_server, other_ca, version):
    """Asked for on smtp alone, never demanded; whoever issued it."""
    sub = free_port()
    hb = make_server(start=False)
    hb.configure(["listen 127.0.0.1:%d smtp" % hb.port,
                  "listen 127.0.0.1:%d submission auth=off" % sub])
    hb.start()
    mine = other_ca.issue("client.test", days=(-9, -2))
    weak = other_ca.issue("client.test", rsa_bits=1024)
    print_of = hashlib.sha256(mine.der).hexdigest()
    n = 0
    for port, cert, want in ((hb.port, mine, print_of), (hb.port, None, None),
                             (hb.port, weak, None), (sub, mine, None)):
        ctx = pki.client_context()
        ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion[version]
        ctx.set_ciphers("DEFAULT:@SECLEVEL=1")
        if cert is not None:
            ctx.load_cert_chain(cert.chain, cert.key)
        with shake(hb.address, port, ctx) as c:
            c.ehlo()
            n += 1
            sender = "c%d@client.test" % n
            c.mail(sender, "alice@hb.test", client.text())
        if port == sub:
            continue
        r = hb.wait_record(ev="accept", **{"from": sender})
        assert r.get("cert") == want, (sender, r)


def test_key_that_costs_too_much(server, folder):
    """A client's key above 8,192 bits is refused before it is used."""
    hb = server
    key, chain = os.path.join(folder, "key"), os.path.join(folder, "chain")
    # of many primes, so that it is soon made
    for line in ("genrsa -out %s -primes 5 8200" % key,
                 "req -x509 -key %s -out %s -subj /CN=client.test" % (
                     key, chain)):
        subprocess.run(["openssl", *line.split()], check=True,
                       capture_output=True)
    ctx = pki.client_context()
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    ctx.load_cert_chain(chain, key)
    with pytest.raises(ssl.SSLError):
        shake(hb.address, hb.port, ctx)
    assert shown(hb)
