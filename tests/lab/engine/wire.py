"""The man in the middle, before a mail host.

A `Plan` says what the attacker does; a `Tap` does it to one connection. As
long as it stays in the middle it relays command by command and so may drop,
change, answer or add anything. Behind a STARTTLS that it lets through it
relays bytes, or first spoils the client's hello.
"""

import select
import ssl
import struct
import time

from harness import pki

WAIT_S = 120
HELLO = 1
SUPPORTED_VERSIONS = 43
UNKNOWN_EXTENSION = 0x5a5a   # RFC 8701: no peer may know it


class Plan:
    """What is done to the connections of one host."""

    def __init__(self):
        self.refuse = False   # nobody listens
        self.ehlo = []        # functions: the words of EHLO -> new words
        self.answer = {}      # stage -> reply in the server's place
        self.before = {}      # stage -> bytes sent before the reply
        self.after = {}       # stage -> bytes sent in one with the reply
        self.delay = {}       # stage -> seconds
        self.hello = None     # function: the client's hello -> other bytes
        self.tls = None       # Impostor: TLS ends at the attacker


class Impostor:
    """The TLS that an attacker speaks in the server's place."""

    def __init__(self, cert, minimum=ssl.TLSVersion.TLSv1_2, maximum=None,
                 ciphers=None):
        self.cert = cert
        self.minimum = minimum
        self.maximum = maximum
        self.ciphers = ciphers

    def context(self):
        return context(self.cert, self.minimum, self.maximum, self.ciphers)


def context(cert, minimum, maximum, ciphers):
    """A server side context; a certificate is not always shown."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ciphers:
        ctx.set_ciphers(ciphers)
    ctx.minimum_version = minimum
    if maximum is not None:
        ctx.maximum_version = maximum
    if cert is not None:
        ctx.load_cert_chain(cert.chain, cert.key)
    return ctx


class _Gone(Exception):
    pass


class _Side:
    """One end of the relay, read by lines."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(WAIT_S)
        self.buffer = b""

    def fill(self):
        part = self.sock.recv(65536)
        if not part:
            raise _Gone
        self.buffer += part

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def reply(self):
        """All lines of one reply."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return lines

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


def stage_of(line):
    return line.split(b" ")[0].split(b":")[0].lower().decode("latin-1")


class Tap:
    def __init__(self, host, plan, conn, peer, number):
        self.host = host
        self.plan = plan
        self.number = number
        self.client = _Side(conn)
        self.server = _Side(host.behind(peer, number))
        self.inside = False   # the client speaks TLS with the attacker

    def serve(self):
        try:
            self._reply("greeting")
            while self._command():
                pass
        except (_Gone, OSError, ssl.SSLError, ValueError):
            pass
        finally:
            self.client.close()
            self.server.close()

    def _command(self):
        """Relay one command and its reply; False when that was all."""
        line = self.client.line()
        stage = stage_of(line)
        self._note(line)
        if stage in self.plan.answer:
            self._answer(stage)
            return True
        if stage == "starttls" and self.plan.tls and not self.inside:
            self._impersonate()
            return True
        self.server.send(line + b"\r\n")
        code = self._reply(stage)
        if stage == "starttls" and code == b"220":
            self._let_through()
            return False
        if stage == "data" and code == b"354":
            self._body()
        return stage != "quit"

    def _note(self, line):
        self.host.lab.witness.note((self.host.name, self.number, "tap"),
                                   self.host.name,
                                   "attacker" if self.inside else "clear",
                                   line)

    def _reply(self, stage):
        """Pass on a reply, as the plan wants it; the code."""
        lines = self.server.reply()
        if stage in self.plan.answer:
            return self._answer(stage)
        if stage == "ehlo":
            lines = self._change_ehlo(lines)
        self._send(stage, b"\r\n".join(lines) + b"\r\n")
        return lines[-1][:3]

    def _send(self, stage, data):
        time.sleep(self.plan.delay.get(stage, 0))
        data = self.plan.before.get(stage, b"") + data
        self.client.send(data + self.plan.after.get(stage, b""))

    def _answer(self, stage):
        """Reply in the server's place."""
        what = self.plan.answer[stage]
        if what == "close":
            raise _Gone
        if what == "reset":
            pki.reset(self.client.sock)
            raise _Gone
        if what == "silence":
            self._wait_for_end()
        self._send(stage, what.encode() + b"\r\n")
        return what[:3].encode()

    def _wait_for_end(self):
        while True:
            self.client.fill()
            self.client.buffer = b""

    def _change_ehlo(self, lines):
        """Lines of the reply with the plan's words; none may be left."""
        words = [l[4:].decode("latin-1") for l in lines]
        for change in self.plan.ehlo:
            words = words[:1] + change(words[1:])
        if self.inside:   # what the host itself says inside TLS
            outside = ["STARTTLS"] + self.host.clear_keywords
            words = [w for w in words if w.upper() not in outside]
            words += self.host.tls_keywords
        return [b"250%s%s" % (b" " if i == len(words) - 1 else b"-",
                              w.encode("latin-1"))
                for i, w in enumerate(words)]

    def _impersonate(self):
        """End TLS here; the server never hears of it."""
        self._send("starttls", b"220 2.0.0 go\r\n")
        self.client = _Side(self.plan.tls.context().wrap_socket(
            self.client.sock, server_side=True))
        self.inside = True

    def _body(self):
        data = b"\r\n" + self.client.buffer
        while b"\r\n.\r\n" not in data:
            self.client.buffer = b""
            self.client.fill()
            data += self.client.buffer
        body, rest = data.split(b"\r\n.\r\n", 1)
        self.client.buffer = rest
        self.server.send(body[2:] + b"\r\n.\r\n" if len(body) > 1
                         else b".\r\n")
        self._reply("eod")

    def _let_through(self):
        """Relay the TLS session, once the hello was spoilt."""
        first = self.client.buffer
        if self.plan.hello:
            while len(first) < 5 or len(first) < 5 + _length(first):
                self.client.buffer = b""
                self.client.fill()
                first += self.client.buffer
            first, back = self.plan.hello(first)
            if back:
                self.client.send(back)
                raise _Gone
        self.server.send(first)
        self._pump()

    def _pump(self):
        ends = {self.client.sock: self.server.sock,
                self.server.sock: self.client.sock}
        while True:
            ready, _, _ = select.select(list(ends), [], [], WAIT_S)
            if not ready:
                raise _Gone
            for sock in ready:
                part = sock.recv(65536)
                if not part:
                    raise _Gone
                ends[sock].sendall(part)


def _length(record):
    return struct.unpack("!H", record[3:5])[0]


# what may be done to the words of an EHLO reply

def without_starttls(words):
    return [w for w in words if w.strip().upper() != "STARTTLS"]


def without_upper_starttls(words):
    """A box that knows the keyword in capitals only."""
    return [w for w in words if w != "STARTTLS"]


def starttls_becomes(text):
    return lambda words: [text if w.strip().upper() == "STARTTLS" else w
                          for w in words]


# what may be done to a hello: new bytes, and what to answer at once instead

def hello_alert(hello):
    """A fatal alert: handshake_failure."""
    return hello, b"\x15\x03\x01\x00\x02\x02\x28"


def hello_rubbish(hello):
    return hello, b"this is not TLS\r\n"


def hello_version(number):
    """The hello of a client that knows no newer TLS than this."""
    def change(hello):
        body = bytearray(hello)
        body[9:11] = struct.pack("!H", number)
        at = _extensions(body)
        while at + 4 <= len(body):
            kind, size = struct.unpack("!HH", body[at:at + 4])
            if kind == SUPPORTED_VERSIONS:
                body[at:at + 2] = struct.pack("!H", UNKNOWN_EXTENSION)
            at += 4 + size
        return bytes(body), b""
    return change


def hello_ciphers(*suites):
    """The hello of a client that knows these cipher suites only."""
    def change(hello):
        body = bytearray(hello)
        at = _ciphers(body)
        size = struct.unpack("!H", body[at:at + 2])[0]
        for i in range(0, size, 2):
            suite = suites[i // 2 % len(suites)]
            body[at + 2 + i:at + 4 + i] = struct.pack("!H", suite)
        return bytes(body), b""
    return change


def _ciphers(hello):
    """Where the list of cipher suites begins (RFC 8446 s4.1.2)."""
    at = 5 + 4 + 2 + 32
    return at + 1 + hello[at]


def _extensions(hello):
    """Where the first extension begins."""
    at = _ciphers(hello)
    at += 2 + struct.unpack("!H", hello[at:at + 2])[0]
    at += 1 + hello[at]
    return at + 2
