"""HTTPS hosts for MTA-STS policies: one listener, a site for each name.

    host = PolicyHost(ca)
    host.site("example.test", policy("enforce", ["mx.example.test"]))
    host.block()
"""

import functools
import socket
import ssl
import threading
import time
from collections import namedtuple

from . import pki
from .hauberk import free_port
from .wait import most

Request = namedtuple("Request", "when host sni path agent fields")

WELL_KNOWN = "/.well-known/mta-sts.txt"


def policy(mode, mxs=(), max_age=86400, eol="\r\n", version="STSv1"):
    """The text of a policy file."""
    lines = ["version: " + version, "mode: " + mode]
    lines += ["mx: " + m for m in mxs]
    lines.append("max_age: %d" % max_age)
    return eol.join(lines) + eol


@functools.lru_cache(maxsize=2000)
def _context(cert):
    """Made once: hundreds of fetches at a time are waited for."""
    return pki.server_context(cert)


class Site:
    """What one policy host does with a GET of the policy."""

    def __init__(self, text, cert):
        self.text = text
        self.cert = cert
        self.status = 200
        self.ctype = "text/plain"
        self.headers = {}
        self.delay = 0
        self.drip = 0
        self.refuse = None   # reset, silence: what a client's hello meets
        self.hold = None     # an Event: nothing is answered before it
        self.raw = None      # a function of the socket that answers

    def context(self):
        return _context(self.cert)


def _refuse(sock, how):
    """End a connection at the client's hello; its name is known by then."""
    if how == "silence":
        while socket.socket.recv(sock, 4096):
            pass
    pki.reset(sock)


class PolicyHost:
    def __init__(self, ca, address="127.0.0.1", port=0):
        self.ca = ca
        self.address = address
        self.port = port or free_port(address)
        self.sites = {}
        self.requests = []
        self._default = ca.issue("default.invalid")
        self._sock = None
        self.unblock()

    def site(self, domain, text, cert=None):
        """Serve a policy for a mail domain at its mta-sts host."""
        host = "mta-sts." + domain
        self.sites[host] = Site(text, cert or self.ca.issue(host))
        return self.sites[host]

    def asked(self, domain):
        return [r for r in list(self.requests)
                if r.sni == "mta-sts." + domain]

    def block(self):
        """Refuse connections until `unblock`."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def unblock(self):
        if self._sock is not None:
            return
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address, self.port))
        sock.listen(512)
        self._sock = sock
        threading.Thread(target=self._accept, args=(sock,),
                         daemon=True).start()

    close = block

    def _accept(self, sock):
        while True:
            try:
                conn, _ = sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _serve(self, conn):
        conn.settimeout(most(30))
        seen = {}

        def choose(sock, name, _ctx):
            seen["sni"] = name
            site = self.sites.get(name)
            if site is not None and site.refuse:
                _refuse(sock, site.refuse)
            elif site is not None:
                sock.context = site.context()

        ctx = pki.server_context(self._default)
        ctx.sni_callback = choose
        try:
            with ctx.wrap_socket(conn, server_side=True) as tls:
                self._answer(tls, seen.get("sni"))
        except (OSError, ssl.SSLError):
            conn.close()

    def _answer(self, tls, sni):
        head = b""
        while b"\r\n\r\n" not in head and len(head) < 65536:
            part = tls.recv(4096)
            if not part:
                return
            head += part
        lines = head.decode("latin-1").split("\r\n")
        path = lines[0].split(" ")[1]
        fields = dict(l.lower().split(": ", 1) for l in lines[1:] if ": " in l)
        host = fields.get("host", "").split(":")[0]
        self.requests.append(
            Request(time.time(), host, sni, path, fields.get("user-agent"),
                    set(fields)))
        self._reply(tls, self.sites.get(host), path)

    def _reply(self, tls, site, path):
        if site is None or path != WELL_KNOWN:
            tls.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
                        b"Connection: close\r\n\r\n")
            return
        time.sleep(site.delay)
        if site.hold is not None:
            site.hold.wait()
        if site.raw is not None:
            site.raw(tls)
            return
        body = site.text.encode()
        head = "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n" \
            % (site.status, site.ctype, len(body))
        for name, value in site.headers.items():
            head += "%s: %s\r\n" % (name, value)
        tls.sendall((head + "Connection: close\r\n\r\n").encode())
        if not site.drip:
            tls.sendall(body)
            return
        for i in range(len(body)):
            tls.sendall(body[i:i + 1])
            time.sleep(site.drip)
