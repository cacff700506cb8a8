"""A name server for tests: answers like a validating resolver.

The zone is changed while it runs. Names can be given faults. UDP and TCP.

    dns = DnsServer("127.0.0.1")
    dns.set("example.test", "MX", "10 mx.example.test")
    dns.set("mx.example.test", "A", "127.0.0.9")
    dns.fault("example.test", "servfail", qtype="TXT")
"""

import collections
import socket
import socketserver
import struct
import threading
import time

from dnslib import QTYPE, RCODE, RR, DNSLabel, DNSRecord
from dnslib import A, AAAA, CNAME, MX, PTR, SOA, TLSA, TXT

from .wait import most

Query = collections.namedtuple("Query", "when proto name qtype ad")

FAULTS = ("servfail", "nxdomain", "refused", "drop", "truncate", "bogus")

# bytes a UDP answer may have before it is cut, as with plain DNS
UDP_LIMIT = 512


def _key(name):
    return str(name).rstrip(".").lower()


def _rdata(qtype, value):
    """A record's data from its text form (a tuple of strings for TXT)."""
    if qtype == "A":
        return A(value)
    if qtype == "AAAA":
        return AAAA(value)
    if qtype == "CNAME":
        return CNAME(value)
    if qtype == "PTR":
        return PTR(value)
    if qtype == "MX":
        preference, host = value.split()
        return MX(host, int(preference))
    if qtype == "TXT":
        return TXT([value] if isinstance(value, str) else list(value))
    if qtype == "TLSA":
        usage, selector, match, data = value.split()
        return TLSA(int(usage), int(selector), int(match), bytes.fromhex(data))
    raise ValueError("unknown type " + qtype)


class DnsServer:
    def __init__(self, address="127.0.0.1", port=0, ttl=1):
        self.ttl = ttl
        self.zone = {}
        self.faults = {}
        self.delays = {}
        # what questions with EDNS get: None the answer, "drop" silence, or
        # a code: "formerr" "notimp" "refused" "servfail"
        self.without_edns = None
        self.signed = set()
        self.signed_alone = set()
        self.queries = collections.deque(maxlen=10000)
        self._lock = threading.Lock()
        self._udp, self._tcp = _bind_pair(address, port, self)
        self.address = address
        self.port = self._udp.server_address[1]
        self._threads = [
            threading.Thread(target=s.serve_forever, args=(0.05,), daemon=True)
            for s in (self._udp, self._tcp)
        ]
        for t in self._threads:
            t.start()

    def __str__(self):
        return "%s:%d" % (self.address, self.port)

    # what the zone holds

    def set(self, name, qtype, *values):
        """Replace the records of one name and type."""
        with self._lock:
            self.zone.setdefault(_key(name), {})[qtype] = list(values)

    def remove(self, name, qtype=None):
        with self._lock:
            if qtype is None:
                self.zone.pop(_key(name), None)
            else:
                self.zone.get(_key(name), {}).pop(qtype, None)

    def sign(self, suffix, below=True):
        """Answers at (and below) this name carry AD when it is asked for."""
        (self.signed if below else self.signed_alone).add(_key(suffix))

    def unsign(self, suffix):
        self.signed.discard(_key(suffix))
        self.signed_alone.discard(_key(suffix))

    def fault(self, name, kind, qtype=None):
        """Answer this name (and type) wrongly until `heal`."""
        if kind not in FAULTS:
            raise ValueError(kind)
        with self._lock:
            self.faults[_key(name), qtype] = kind

    def delay(self, name, seconds):
        with self._lock:
            self.delays[_key(name)] = seconds

    def heal(self, name=None):
        """Take back the faults and delays of a name, or all of them."""
        with self._lock:
            if name is None:
                self.faults.clear()
                self.delays.clear()
                return
            key = _key(name)
            self.delays.pop(key, None)
            for k in [k for k in self.faults if k[0] == key]:
                del self.faults[k]

    def asked(self, name, qtype=None):
        """The questions seen for a name."""
        key = _key(name)
        return [q for q in list(self.queries)
                if q.name == key and qtype in (None, q.qtype)]

    def close(self):
        for s in (self._udp, self._tcp):
            s.shutdown()
            s.server_close()

    # answering

    def answer(self, packet, proto):
        """The answer's bytes, or None for silence."""
        query = DNSRecord.parse(packet)
        name = _key(query.q.qname)
        qtype = QTYPE.get(query.q.qtype)
        wants_ad = bool(query.header.ad) or _has_do(query)
        self.queries.append(Query(time.time(), proto, name, qtype, wants_ad))
        with self._lock:
            pause = self.delays.get(name, 0)
            kind = self.faults.get((name, qtype),
                                   self.faults.get((name, None)))
        if pause:
            time.sleep(pause)
        if self.without_edns and _has_opt(query):
            kind = self.without_edns
        if kind == "drop":
            return None
        reply = query.reply(ra=1, aa=0)
        reply.header.ad = 0   # it has the question's bits
        if kind in ("servfail", "refused", "nxdomain", "formerr", "notimp"):
            reply.header.rcode = getattr(RCODE, kind.upper())
            return reply.pack()
        if kind == "bogus" and not query.header.cd:
            reply.header.rcode = RCODE.SERVFAIL
            return reply.pack()
        with self._lock:
            secure = self._fill(reply, name, qtype)
        reply.header.ad = 1 if secure and wants_ad else 0
        wire = reply.pack()
        if proto == "udp" and (kind == "truncate" or len(wire) > UDP_LIMIT):
            short = query.reply(ra=1, aa=0)
            short.header.tc = 1
            return short.pack()
        return wire

    def _fill(self, reply, name, qtype):
        """Add the records, following aliases; True if all are signed."""
        secure = self._is_signed(name)
        for _ in range(9):
            records = self.zone.get(name)
            if records is None and not self._has_below(name):
                reply.header.rcode = RCODE.NXDOMAIN
                break
            records = records or {}
            if qtype in records:
                for value in records[qtype]:
                    self._add(reply, name, qtype, value)
                return secure
            if "CNAME" not in records or qtype == "CNAME":
                break
            target = records["CNAME"][0]
            self._add(reply, name, "CNAME", target)
            name = _key(target)
            secure = secure and self._is_signed(name)
        self._add_soa(reply, name)
        return secure

    def _add(self, reply, name, qtype, value):
        reply.add_answer(RR(DNSLabel(name), getattr(QTYPE, qtype),
                            rdata=_rdata(qtype, value), ttl=self.ttl))

    def _add_soa(self, reply, name):
        apex = name.split(".")[-1]
        soa = SOA("ns." + apex, "root." + apex, (1, 60, 60, 60, self.ttl))
        reply.add_auth(RR(apex or ".", QTYPE.SOA, rdata=soa, ttl=self.ttl))

    def _has_below(self, name):
        return any(n.endswith("." + name) for n in self.zone) or name == ""

    def _is_signed(self, name):
        labels = name.split(".")
        return name in self.signed_alone or any(
            ".".join(labels[i:]) in self.signed
            for i in range(len(labels) + 1))


def _has_opt(query):
    return any(r.rtype == QTYPE.OPT for r in query.ar)


def _has_do(query):
    return any(r.rtype == QTYPE.OPT and r.ttl & 0x8000 for r in query.ar)


class _Udp(socketserver.BaseRequestHandler):
    def handle(self):
        packet, sock = self.request
        try:
            wire = self.server.dns.answer(packet, "udp")
        except Exception:  # not a question: a resolver drops it
            return
        if wire is not None:
            sock.sendto(wire, self.client_address)


class _Tcp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(most(10))
        try:
            while True:
                size = self._read(2)
                if size is None:
                    return
                packet = self._read(struct.unpack("!H", size)[0])
                wire = packet and self.server.dns.answer(packet, "tcp")
                if wire is None:
                    return
                self.request.sendall(struct.pack("!H", len(wire)) + wire)
        except OSError:
            return

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.request.recv(size - len(data))
            if not part:
                return None
            data += part
        return data


class _UdpServer(socketserver.ThreadingUDPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    max_packet_size = 4096


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


def _bind_pair(address, port, dns):
    """UDP and TCP on one port number."""
    for _ in range(20):
        udp = _UdpServer((address, port), _Udp)
        try:
            tcp = _TcpServer(udp.server_address, _Tcp)
        except OSError:
            udp.server_close()
            if port:
                raise
            continue
        udp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.dns = tcp.dns = dns
        return udp, tcp
    raise OSError("no port that is free for UDP and TCP")
