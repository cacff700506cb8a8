"""Real signed zones: ldns signs, nsd serves, unbound validates.

    zones = Zones(peers, folder)
    zones.zone("good.test", "mx A 127.0.0.9", ...)      signed
    zones.zone("plain.test", ..., signed=False)
    zones.start()
    zones.resolver      ADDR:PORT of unbound, which trusts the root's key

The root is ours too: it delegates each zone, with its DS record where it is
signed. Everything listens on loopback and is ended by its pid.
"""

import glob
import os
import re
import socket
import subprocess
import time

from dnslib import QTYPE, RCODE, DNSRecord

from .hauberk import free_port
from .peers import LDNS, NSD, UNBOUND, _libs
from .wait import ended, most, until

TTL = 1
DAY = 86400

UNBOUND_CONF = """
server:
    interface: 127.0.0.1
    port: %(port)d
    username: ""
    chroot: ""
    directory: "%(folder)s"
    pidfile: ""
    use-syslog: no
    logfile: "%(folder)s/unbound.log"
    do-ip6: no
    num-threads: 1
    do-not-query-localhost: no
    qname-minimisation: no
    module-config: "validator iterator"
    trust-anchor-file: "%(folder)s/anchor"
    val-bogus-ttl: 0
    cache-max-ttl: %(ttl)d
    cache-max-negative-ttl: 1
    infra-host-ttl: 1
    local-zone: "test." nodefault
remote-control:
    control-enable: no
"""
STUB = """
stub-zone:
    name: "%s"
    stub-addr: 127.0.0.1@%d
"""
NSD_CONF = """
server:
    ip-address: 127.0.0.1@%(port)d
    username: ""
    server-count: 1
    zonesdir: "%(folder)s"
    database: ""
    pidfile: ""
    zonelistfile: "%(folder)s/zone.list"
    xfrdfile: "%(folder)s/xfrd.state"
    xfrdir: "%(folder)s"
    logfile: "%(folder)s/nsd.log"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
"""
NSD_ZONE = """
zone:
    name: "%s"
    zonefile: "%s"
"""


def ask(resolver, name, qtype="A", timeout=3):
    """(rcode, AD, records) of a question with AD set, as a client sees it."""
    address, _, port = resolver.rpartition(":")
    query = DNSRecord.question(name, qtype)
    query.header.ad = 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.sendto(query.pack(), (address, int(port)))
        reply = DNSRecord.parse(s.recv(4096))
    wanted = getattr(QTYPE, qtype)
    return (RCODE.get(reply.header.rcode), bool(reply.header.ad),
            [str(r.rdata) for r in reply.rr if r.rtype == wanted])


class Zones:
    def __init__(self, peers, folder):
        self.peers = peers
        self.folder = folder
        self.nsd_port = free_port()
        self.port = free_port()
        self.resolver = "127.0.0.1:%d" % self.port
        self._zones = {}
        self._ds = {}
        self._processes = {}

    def _path(self, *parts):
        return os.path.join(self.folder, *parts)

    def _write(self, name, text):
        with open(self._path(name), "w") as f:
            f.write(text)

    # making zones

    def _tool(self, name, *args):
        root = self.peers.root(LDNS)
        done = subprocess.run([os.path.join(root, "usr/bin", name), *args],
                              cwd=self.folder, env=_libs(root), timeout=most(20),
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _sign(self, origin, key, nsec3, age):
        """AGE: seconds since the signatures have expired; validators take
        a tenth of the time that they were good for as skew of clocks."""
        now = int(time.time())
        times = ["-i", str(now - 10 * DAY), "-e",
                 str(now - age if age else now + 10 * DAY)]
        self._tool("ldns-signzone", *times, *(["-n"] if nsec3 else []),
                   "-o", origin, "-f", origin + "zone.signed",
                   origin + "zone", key)

    def zone(self, name, *records, signed=True, nsec3=False, age=0,
             change=None, ds=None):
        """A zone; records relative to its name.

        change: (pattern, text) that is replaced after signing; ds: "none"
        for a signed zone that the root does not know as signed, "wrong" for
        a DS record of another key."""
        origin = name.rstrip(".") + "."
        lines = ["$ORIGIN " + origin, "$TTL %d" % TTL,
                 "@ SOA ns root 1 3600 600 86400 1", "@ NS ns",
                 "ns A 127.0.0.1"] + list(records)
        self._write(origin + "zone", "\n".join(lines) + "\n")
        if not signed:
            self._zones[origin] = origin + "zone"
            return
        key = self._tool("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", origin)
        self._sign(origin, key, nsec3, age)
        self._zones[origin] = origin + "zone.signed"
        if change:
            self._change(origin + "zone.signed", *change)
        if ds == "wrong":
            key = self._tool("ldns-keygen", "-a", "ECDSAP256SHA256", "-k",
                             origin)
        if ds != "none":
            with open(self._path(key + ".ds")) as f:
                self._ds[origin] = f.read().strip()

    def _change(self, name, pattern, text):
        with open(self._path(name)) as f:
            old = f.read()
        new = re.sub(pattern, text, old)
        assert new != old, "nothing to change in " + name
        self._write(name, new)

    def _root(self):
        lines = []
        for origin in list(self._zones):
            lines += ["%s NS ns.%s" % (origin, origin),
                      "ns.%s A 127.0.0.1" % origin]
        lines += self._ds.values()
        self.zone(".", *lines)
        key, = glob.glob(self._path("K.+*.ds"))
        os.rename(key, self._path("anchor"))

    # servers

    def start(self):
        self._root()
        names = {"folder": self.folder, "ttl": TTL}
        self._write("nsd.conf", NSD_CONF % dict(names, port=self.nsd_port)
                    + "".join(NSD_ZONE % z for z in self._zones.items()))
        self._write("unbound.conf", UNBOUND_CONF % dict(names, port=self.port)
                    + "".join(STUB % (z, self.nsd_port)
                              for z in self._zones))
        self._launch("nsd", NSD, "-d", "-c", self._path("nsd.conf"))
        self.start_resolver()
        return self

    def start_resolver(self):
        self._launch("unbound", UNBOUND, "-d", "-c",
                     self._path("unbound.conf"))
        until(self._answers, 10, self._logs)

    def stop_resolver(self):
        self._end(self._processes.pop("unbound"))

    def _launch(self, program, packages, *args):
        root = self.peers.root(packages)
        with open(self._path(program + ".out"), "ab") as out:
            self._processes[program] = subprocess.Popen(
                [os.path.join(root, "usr/sbin", program), *args],
                env=_libs(root), stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, cwd="/", start_new_session=True)

    def _answers(self):
        for program, process in self._processes.items():
            assert process.poll() is None, self._logs()
        try:
            return ask(self.resolver, ".", "SOA", 0.2)[:2] == \
                ("NOERROR", True)
        except OSError:
            return False

    def _logs(self):
        text = "no signed answer\n"
        for name in sorted(glob.glob(self._path("*.log")) +
                           glob.glob(self._path("*.out"))):
            with open(name, errors="replace") as f:
                text += f.read()[-1500:]
        return text

    @staticmethod
    def _end(process):
        process.terminate()
        try:
            ended(process, 5)
        except AssertionError:
            process.kill()
            ended(process, 5)

    def close(self):
        while self._processes:
            self._end(self._processes.popitem()[1])
