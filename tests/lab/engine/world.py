"""The lab: a world on loopback and a Hauberk in it.

Each lab has a /16 of loopback addresses for itself, so that several run side
by side: .0.1 Hauberk, .0.2 the name server, .0.3 the policy hosts, from .1.1
on the mail hosts. All ports are the same everywhere.
"""

import os
import re
import secrets
import ssl
import threading
import time
from collections import namedtuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from harness import client, clock, hauberk, pki, records

from . import hosts, names, wire
from .language import Mistake

DNS_PORT = 20053
HTTPS_PORT = 20443
MX_PORT = 20025
# Hauberk keeps an answer for a second though its TTL is 0; on a busy machine
# it has it some moments after the question came
KEPT_S = 1.6
OWN_DOMAIN = "here.test"
OWN_NAME = "mail.here.test"

CERTIFICATES = ("good", "none", "self-signed", "expired", "not-yet",
                "other-ca", "cn-only", "new")
VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Failed(Exception):
    """An expectation was not met; the text says what was seen."""


class Authority:
    """Certificates of every kind, made when needed, each made once."""

    def __init__(self, folder):
        self.ca = pki.CA(os.path.join(folder, "ca"))
        self._folder = folder
        self._other = None
        self._made = {}
        self._lock = threading.Lock()

    @property
    def other(self):
        """An authority that nobody trusts."""
        if self._other is None:
            self._other = pki.CA(os.path.join(self._folder, "other-ca"),
                                 "Other CA")
        return self._other

    def make(self, kind, names, issuer=False, holder=""):
        """HOLDER: whose key; nobody has another's."""
        if kind == "none":
            return None
        key = kind, names, issuer, holder
        with self._lock:
            if key not in self._made or kind == "new":
                self._made[key] = self._issue(*key[:3])
            return self._made[key]

    def _authority(self, kind):
        return self.other if kind == "other-ca" else self.ca

    def issuer(self, kind):
        """The authority's own certificate, DER."""
        return self._authority(kind).cert.public_bytes(
            serialization.Encoding.DER)

    def _issue(self, kind, names, issuer):
        ca = self._authority(kind)
        how = {"self-signed": {"self_signed": True},
               "expired": {"days": (-9, -2)}, "not-yet": {"days": (2, 90)},
               "cn-only": {"cn": names[0], "san": False}}.get(kind, {})
        cert = ca.issue(*names, **how)
        if issuer:
            with open(cert.chain, "ab") as chain, open(ca.file, "rb") as root:
                chain.write(root.read())
        return cert


def tlsa(usage, selector, match, der):
    """The text of a TLSA record for a certificate."""
    data = der
    if selector == 1:
        data = x509.load_der_x509_certificate(der).public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)
    if match:
        digest = hashes.Hash({1: hashes.SHA256(), 2: hashes.SHA512()}[match])
        digest.update(data)
        data = digest.finalize()
    return "%d %d %d %s" % (usage, selector, match, data.hex())


def _day(found):
    """The date in so many days."""
    return time.strftime("%Y-%m-%d", time.gmtime(
        time.time() + 86400 * int(found.group(1))))


Delivered = namedtuple("Delivered", "host message")


class Sent:
    """A message that Hauberk took."""

    def __init__(self, sender, rcpts):
        self.sender = sender
        self.rcpts = rcpts
        self.token = "lab-" + secrets.token_hex(6)
        self.when = time.time()
        self.id = None


class Lab:
    def __init__(self, space, scenario, slowness=1.0):
        """slowness: how much longer than usual to wait for anything."""
        self.space = space
        self.scenario = scenario
        self.slowness = slowness
        self.folder = os.path.join(space.folder, "lab" + os.urandom(4).hex())
        os.mkdir(self.folder, 0o755)
        self.authority = Authority(self.folder)
        self.acceptor = hosts.Acceptor()
        self.witness = hosts.Witness()
        self.net, self.dns = _claim()
        self.https = names.Https(self, self.net + "0.3", HTTPS_PORT)
        self.hosts = {}
        self.port = MX_PORT
        self.own_domain = OWN_DOMAIN
        self.policy_ids = {}
        self.extra = []
        # a library is in Hauberk's processes only where that is wanted
        self.movable = any(n.word == "clock" for n in scenario.steps)
        self.messages = {}
        self.last = None
        self.mark = 0       # in the log: where the last step began
        self.tried = 0      # and from where on an attempt knows of it
        self.said = ""
        self.kills = 0
        self.hb = None
        self.mover = None

    # building

    def furnish(self):
        """Make the world of the scenario, without Hauberk."""
        self._make(self.scenario.world)
        return self

    def build(self):
        """Make the world of the scenario, and Hauberk in it."""
        self.furnish()
        self.hb = hauberk.Hauberk(self.space, "plain", self.conf(),
                                  self.dns, address=self.net + "0.1")
        if self.movable:
            self.mover = clock.Mover(self.hb, clock.library(self.folder))
        self.hb.start()
        return self

    def _make(self, nodes):
        """Hosts first, for domains say what is computed from them."""
        for node in sorted(nodes, key=lambda n: n.word != "host"):
            try:
                node.run(self)
            except (ValueError, OSError) as e:
                raise Mistake(node.file, node.number, str(e)) from e

    def host(self, name, attacker=False):
        """The host of that name, made when it is not there yet."""
        if name not in self.hosts:
            n = len(self.hosts) + 256
            address = "%s%d.%d" % (self.net, n >> 8, n & 255)
            self.hosts[name] = hosts.Host(self, name, address, self.port,
                                          attacker)
            self.dns.set(name, "A", address)
        return self.hosts[name]

    def conf(self):
        """The lines of Hauberk's configuration in this world."""
        lines = ["hostname " + OWN_NAME, "domain " + OWN_DOMAIN,
                 "smtp-port %d" % self.port,
                 "policy-port %d" % self.https.port,
                 "policy-address " + self.https.address,
                 "ca-file " + self.authority.ca.file]
        given = {l.split(" ")[0] for l in self.extra}
        lines += [l for l in ("retry first=1s max=1s", "trust-ad yes")
                  if l.split(" ")[0] not in given]
        names_ = {"$port": str(self.port), "$folder": self.folder}
        for line in self.extra:
            for name, value in names_.items():
                line = line.replace(name, value)
            lines.append(re.sub(r"\$day\+(\d+)", _day, line))
        return lines

    # Hauberk

    def restart(self):
        self.hb.stop()
        self.hb.start()

    def kill(self):
        self.kills += 1
        self.hb.kill_all()
        self.hb.start()

    def close(self):
        for part in [self.hb, self.https, self.dns, *self.hosts.values()]:
            if part is not None:
                part.close()

    # mail

    def send(self, sender, rcpts, headers=(), body="hello", tls=False,
             params="", name=""):
        """Hand a message to Hauberk; the reply that ended it."""
        sent = Sent(sender, rcpts)
        text = client.text(sent.token, body + "\r\n",
                           sender or "nobody@" + OWN_DOMAIN, rcpts[0],
                           "".join(h + "\r\n" for h in headers))
        with self.hb.client() as c:
            c.ehlo()
            if tls:
                c.starttls()
                c.ehlo()
            replies = c.envelope(sender, *rcpts, params=params)
            bad = [r for r in replies if r.code != 250]
            reply = bad[0] if bad else c.data(text)
            if reply.code == 250:
                sent.id = reply.text.split()[-1]
                self.messages[name] = self.messages[sent.id] = sent
                self.messages[""] = sent
            c.cmd("QUIT")
        return reply

    def arrived(self, sent, rcpt=None):
        """Where a message was taken, by mail hosts."""
        token = sent.token.encode()
        return [Delivered(h, m) for h in self.hosts.values()
                for m in h.accepted()
                if token in m.data and rcpt in (None, *m.rcpts)]

    def records(self, **want):
        """Records of the log since the last step that is no expectation."""
        return records.match(records.read(self.hb.log)[self.mark:], **want)

    def set_mark(self):
        if self.hb is None:
            return
        self.mark = self.tried = len(records.read(self.hb.log))

    # attacks

    def outwait(self):
        """Let what was changed in the DNS be seen at once. Attempts made
        meanwhile may have had the old answers."""
        if self.dns.outwait(KEPT_S) and self.hb is not None:
            self.tried = len(records.read(self.hb.log))

    def plan(self, name):
        """What the attacker does before a host, to be added to."""
        return self.hosts[name].plan or wire.Plan()

    def tlsa_name(self, host):
        """Where the TLSA records of a mail host stand."""
        return "_%d._tcp.%s" % (self.port, host)

    def record_name(self, name, qtype):
        """A host's name stands for that of its TLSA records."""
        if qtype == "TLSA" and not name.startswith("_"):
            return self.tlsa_name(name)
        return name

    def cut(self):
        """Cut all connections: what they rest on is to be looked up anew."""
        for host in self.hosts.values():
            host.cut()

    def heal(self, what=None):
        if what in (None, "dns"):
            self.dns.heal()
            self.cut()
        if what in (None, "https"):
            self.https.heal()
        for name, host in self.hosts.items():
            if host.plan is not None and what in (None, name):
                host.attack(None)


def _claim():
    """A /16 of loopback for this lab: (its prefix, its name server)."""
    for n in range(150):
        net = "127.%d." % (100 + (os.getpid() + n) % 150)
        try:
            return net, names.Dns(net + "0.2", DNS_PORT, ttl=0)
        except OSError:
            continue
    raise OSError("no loopback addresses are free")
