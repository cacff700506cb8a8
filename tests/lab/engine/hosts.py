"""Mail hosts of the lab's world: scripted servers behind a wire.

A host is an `Mx` of the system tests. All of them share one thread that takes
connections, so that hundreds are cheap. While a host is under attack its new
connections go through a `Tap` (wire.py), otherwise straight to the server.
"""

import selectors
import socket
import threading
import time

from harness import mx as mxmod

from . import wire

SHOWN = (b"MAIL", b"RCPT", b"DATA", b"BDAT")


class Acceptor:
    """Takes connections for any number of listening sockets."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    def add(self, sock, arrived):
        sock.setblocking(False)
        with self._lock:
            self._selector.register(sock, selectors.EVENT_READ, arrived)
        self._waker.send(b"x")

    def remove(self, sock):
        with self._lock:
            self._selector.unregister(sock)

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._wake.recv(64)
                    continue
                try:
                    conn, peer = key.fileobj.accept()
                except OSError:
                    continue
                conn.setblocking(True)
                key.data(conn, peer)


class Seen:
    """What somebody on the wire could read of one transaction."""

    def __init__(self, host, how):
        self.when = time.time()
        self.host = host
        self.how = how        # clear, attacker (inside its own TLS)
        self.lines = []

    def shows(self, sender, rcpts):
        """True if it may be this message."""
        text = b"\n".join(self.lines).lower()
        named = [r for r in rcpts if b"<%s>" % r.lower().encode() in text]
        alone = b"rcpt to:" not in text and \
            b"from:<%s>" % sender.lower().encode() in text
        return bool(named or alone)

    def __str__(self):
        return "%s %s: %s" % (self.host, self.how, " | ".join(
            l.decode("latin-1") for l in self.lines))


class Witness:
    """Keeps what could be read on all wires."""

    def __init__(self):
        self.seen = []
        self._open = {}

    def note(self, key, host, how, line):
        """One command line on a connection."""
        verb = line[:4].upper()
        if verb not in SHOWN:
            self._open.pop(key, None) if verb in (b"RSET", b"EHLO") else None
            return
        if verb == b"MAIL" or key not in self._open:
            self._open[key] = Seen(host, how)
            self.seen.append(self._open[key])
        self._open[key].lines.append(line)


class Host(mxmod.Mx):
    """One host; `plan` is the attack on its wire, or None."""

    def __init__(self, lab, name, address, port, attacker=False):
        self.lab = lab
        self.attacker = attacker
        self.plan = None
        self.ciphers = None
        self.wish = ("good", (name,), False)
        self._cert = None
        self._next = None
        self._tapped = set()
        super().__init__(address, port, cert=True, name=name)

    # the certificate is made when it is first needed

    @property
    def cert(self):
        if self._cert is None:
            self._cert = self.lab.authority.make(*self.wish)
        return self._cert

    @cert.setter
    def cert(self, _cert):
        self._cert = None

    def certificate(self, kind, names=(), issuer=False):
        self.wish = (kind, tuple(names) or (self.name,), issuer)
        self._cert = None
        self.starttls = "strip" if kind == "none" else "offer"

    def upcoming(self):
        """The certificate that it will show, made ahead."""
        if self._next is None:
            self._next = self.lab.authority.make("new", self.wish[1])
        return self._next

    def renew(self):
        """Show it from now on."""
        self._cert, self._next = self.upcoming(), None

    def issuer(self):
        """The certificate of the authority that made ours, DER."""
        return self.lab.authority.issuer(self.wish[0])

    def context(self):
        return wire.context(self.cert, self.tls_minimum, self.tls_maximum,
                            self.ciphers)

    # connections

    def start(self):
        if self._sock is not None:
            return
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address, self.port))
        sock.listen(64)
        self._sock = sock
        self.lab.acceptor.add(sock, self._arrived)

    def stop(self):
        sock, self._sock = self._sock, None
        if sock is not None:
            self.lab.acceptor.remove(sock)
            sock.close()
        self.cut()

    close = stop

    def attack(self, plan):
        """Put an attacker on the wire, or (None) take it away. Present
        connections are cut: an attacker can do that to any."""
        self.plan = plan
        if plan is not None and plan.refuse:
            self.stop()
        else:
            self.start()
        self.cut()

    def _arrived(self, conn, peer):
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = self._count()
        work = (self._serve, (conn, peer, number))
        if self.plan is not None:
            tap = wire.Tap(self, self.plan, conn, peer, number)
            work = (tap.serve, ())
        threading.Thread(target=work[0], args=work[1], daemon=True).start()

    def behind(self, peer, number):
        """A connection to the server itself, for whoever is before it."""
        outer, inner = socket.socketpair()
        self._tapped.add(number)
        threading.Thread(target=self._serve, args=(inner, peer, number),
                         daemon=True).start()
        return outer

    def note(self, session, line):
        """A command line came, here at the server itself."""
        super().note(session, line)
        how = "clear" if session.tls is None else None
        if self.attacker:
            how = "attacker"
        if how and (self.attacker or session.number not in self._tapped):
            self.lab.witness.note((self.name, session.number), self.name,
                                  how, line)

    def offered(self):
        """The MAIL commands that came as far as this host."""
        return [l for _, l in list(self.lines) if l[:4].upper() == b"MAIL"]
