"""A scripted SMTP or LMTP server that records what it is given.

    mx = Mx("127.0.0.9", 2525, cert=ca.issue("mx.example.test"))
    mx.reply["rcpt"] = "451 4.3.0 not now"
    mx.starttls = "strip"

Stages are `greeting ehlo starttls mail rcpt data bdat eod rset noop quit auth`;
`reply`, `delay` and `drop` are keyed by them; `keywords` are what EHLO lists,
`tls_keywords` those that it lists inside TLS alone. A reply may be a function of
(session, argument) that returns the text, or None for the usual reply.
"""

import base64
import hashlib
import socket
import ssl
import threading
import time

from . import pki
from .hauberk import free_port
from .wait import until

# starttls: offer   say STARTTLS and do it
#           strip   do not say it, answer 502
#           refuse  say it, answer 454
#           fail    say it, answer 220, answer the client's hello with rubbish
STARTTLS = ("offer", "strip", "refuse", "fail")


class Message:
    """One message as received, dot stuffing taken off."""

    def __init__(self, session):
        self.session = session.number
        self.client = session.client
        self.helo = session.helo
        self.tls = session.tls
        self.login = session.login
        self.sender = session.sender
        self.sender_params = session.sender_params
        self.rcpts = list(session.rcpts)
        self.data = b""
        self.chunked = False
        self._digest = None
        self.when = None  # it was whole
        self.code = None

    @property
    def without_trace(self):
        """A digest of the message without our Received field."""
        return self._digest or without_trace(self.data)

    def forget_data(self):
        self._digest = without_trace(self.data)
        self.data = b""


def strip_trace(data):
    """A message without its first field, if that is Received."""
    if not data.startswith(b"Received:"):
        return data
    at = data.index(b"\r\n") + 2
    while data[at:at + 1] in (b" ", b"\t"):
        at = data.index(b"\r\n", at) + 2
    return data[at:]


def without_trace(data):
    """The digest of a message without our Received field."""
    return hashlib.sha256(strip_trace(data)).hexdigest()


class Mx:
    def __init__(self, address, port=0, cert=None, name="mx.test",
                 lmtp=False, implicit_tls=False, keep=True, digest=False):
        """keep: note the command lines; digest: keep no message bytes."""
        self.address = address
        self.port = port or free_port(address)
        self.name = name
        self.lmtp = lmtp
        self.implicit_tls = implicit_tls
        self.keep = keep
        self.digest = digest
        self.cert = cert
        self.starttls = "offer" if cert else "strip"
        self.tls_minimum = ssl.TLSVersion.TLSv1_2
        self.tls_maximum = None
        self.inject = b""
        self.starttls_word = "STARTTLS"
        self.keywords = ["PIPELINING", "SIZE 52428800", "8BITMIME",
                         "ENHANCEDSTATUSCODES"]
        self.tls_keywords = []  # of EHLO inside TLS only
        self.clear_keywords = []  # outside only
        self.passwords = {}
        self.reply = {}
        self.delay = {}
        self.drop = set()
        # a function of the session that is all of the dialogue
        self.script = None
        self.ask_certificate = False  # of the client, which has none
        self.messages = []
        self.connections = 0
        self.open_now = 0
        self.open_most = 0
        self.lines = []
        self._lock = threading.Lock()
        self._live = set()
        self._cuts = 0
        self._came = {}   # number of a connection: the cuts before it
        self._sock = None
        self.start()

    # life

    def start(self):
        if self._sock is not None:
            return
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address, self.port))
        sock.listen(256)
        self._sock = sock
        threading.Thread(target=self._accept, args=(sock,),
                         daemon=True).start()

    def stop(self):
        """Refuse new connections and cut the present ones."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.cut()

    def cut(self):
        """Cut the present connections, those too that have just come; new
        ones are taken."""
        with self._lock:
            self._cuts += 1
            live = list(self._live)
        for session in live:
            session.cut()

    close = stop

    def _accept(self, sock):
        while True:
            try:
                conn, peer = sock.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = self._count()
            threading.Thread(target=self._serve, args=(conn, peer, number),
                             daemon=True).start()

    def _count(self):
        """The number of a connection that comes."""
        with self._lock:
            self.connections += 1
            self._came[self.connections] = self._cuts
            return self.connections

    def _serve(self, conn, peer, number):
        session = Session(self, conn, peer, number)
        with self._lock:
            self._live.add(session)
            self.open_now += 1
            self.open_most = max(self.open_most, self.open_now)
            missed = self._came.pop(number) != self._cuts
        if missed:
            session.cut()
        try:
            session.run()
        except (OSError, ssl.SSLError, Hangup):
            pass
        finally:
            self.leave(session)
            session.close()

    def leave(self, session):
        """Count it no more: before the client can know and come again."""
        with self._lock:
            if session in self._live:
                self._live.discard(session)
                self.open_now -= 1

    # what the tests ask

    def record(self, message):
        if self.digest:
            message.forget_data()
        with self._lock:
            self.messages.append(message)

    def note(self, session, line):
        if self.keep:
            self.lines.append((session.number, line))

    def verbs(self, session=None):
        """The command words seen, in order."""
        return [l.split(b" ")[0].split(b":")[0].upper().decode("latin-1")
                for n, l in list(self.lines) if session in (None, n)]

    def accepted(self):
        with self._lock:
            return [m for m in self.messages if m.code == 250]

    def wait(self, count, timeout=20):
        """The accepted messages, once there are this many."""
        until(lambda: len(self.accepted()) >= count, timeout,
              lambda: "%d of %d messages at %s"
              % (len(self.accepted()), count, self.name))
        return self.accepted()

    def context(self):
        made = pki.server_context(self.cert, self.tls_minimum,
                                  self.tls_maximum)
        if self.ask_certificate:
            made.verify_mode = ssl.CERT_REQUIRED
        return made


class Hangup(Exception):
    pass


class Session:
    def __init__(self, mx, conn, peer, number):
        self.mx = mx
        self.conn = conn
        self.client = peer[0]
        self.number = number
        self.buffer = b""
        self.tls = None
        self.helo = None
        self.login = None
        self.reset()

    def reset(self):
        self.sender = None
        self.sender_params = ""
        self.rcpts = []
        self.chunks = []

    def close(self):
        try:
            self.conn.close()
        except OSError:
            pass

    def cut(self):
        # the socket that TLS may have taken over meanwhile
        try:
            socket.socket.shutdown(self.conn, socket.SHUT_RDWR)
        except OSError:
            pass

    # input and output

    def _fill(self):
        part = self.conn.recv(65536)
        if not part:
            raise Hangup
        self.buffer += part

    def line(self):
        while b"\r\n" not in self.buffer:
            if len(self.buffer) > 1 << 16:
                raise Hangup
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def body(self):
        """Bytes up to CRLF.CRLF, unstuffed."""
        # as if the line before ended here, so that one search does
        self.buffer = b"\r\n" + self.buffer
        seen = 0
        while True:
            end = self.buffer.find(b"\r\n.\r\n", max(0, seen - 4))
            if end >= 0:
                break
            seen = len(self.buffer)
            self._fill()
        raw, self.buffer = self.buffer[:end + 2], self.buffer[end + 5:]
        return raw.replace(b"\r\n..", b"\r\n.")[2:]

    def send(self, text):
        self.conn.sendall(text.encode() + b"\r\n")

    def act(self, stage, usual, arg=""):
        """Send the reply for a stage; its code, after delays and drops."""
        pause = self.mx.delay.get(stage)
        if pause:
            time.sleep(pause)
        if stage in self.mx.drop:
            raise Hangup
        text = self.mx.reply.get(stage)
        if callable(text):
            text = text(self, arg)
        text = usual if text is None else text
        self.send(text)
        return int(text[:3])

    # the dialogue

    def run(self):
        self.conn.settimeout(120)
        if self.mx.implicit_tls:
            self.wrap()
        if self.mx.script:
            self.mx.script(self)
            return
        if self.act("greeting", "220 %s ESMTP" % self.mx.name) != 220:
            raise Hangup
        while True:
            line = self.line()
            self.mx.note(self, line)
            verb, _, arg = line.decode("latin-1").partition(" ")
            name = "do_" + verb.split(":")[0].lower()
            handler = getattr(self, name, None)
            if handler is None:
                self.send("500 5.5.1 what")
            else:
                handler(arg)

    def do_ehlo(self, arg):
        self.helo = arg
        self.reset()
        words = list(self.mx.keywords)
        if self.tls is None and self.mx.starttls != "strip":
            words.append(self.mx.starttls_word)
        if self.tls is not None:
            words += self.mx.tls_keywords
        else:
            words += self.mx.clear_keywords
        if self.mx.passwords:
            words.append("AUTH PLAIN")
        rows = [self.mx.name] + words
        usual = "\r\n".join("250%s%s" % (" " if i == len(rows) - 1 else "-", r)
                            for i, r in enumerate(rows))
        self.act("ehlo", usual, arg)

    def do_lhlo(self, arg):
        self.do_ehlo(arg)

    def do_helo(self, arg):
        self.helo = arg
        self.reset()
        self.act("helo", "250 " + self.mx.name, arg)

    def do_starttls(self, arg):
        how = self.mx.starttls
        usual = {"strip": "502 5.5.1 no", "refuse": "454 4.7.0 not now"} \
            .get(how, "220 2.0.0 go")
        if self.mx.inject and usual[0] == "2":
            self.conn.sendall(usual.encode() + b"\r\n" + self.mx.inject)
        elif self.act("starttls", usual, arg) != 220:
            return
        if how == "fail":
            self._fill()
            self.conn.sendall(b"this is not TLS\r\n")
            raise Hangup
        self.wrap()
        self.helo = None
        self.reset()

    def wrap(self):
        seen = {}
        ctx = self.mx.context()
        ctx.sni_callback = lambda _s, name, _c: seen.update(sni=name)
        self.conn = ctx.wrap_socket(self.conn, server_side=True)
        if self.conn.cipher() is None:
            # Python makes no handshake with a client that has gone.
            raise Hangup
        self.buffer = b""
        self.tls = {"version": self.conn.version(), "sni": seen.get("sni"),
                    "cipher": self.conn.cipher()[0],
                    "resumed": self.conn.session_reused}

    def do_auth(self, arg):
        parts = arg.split(" ")
        if len(parts) == 1:
            self.send("334 ")
            parts.append(self.line().decode("latin-1"))
        _, user, password = base64.b64decode(parts[1]).decode().split("\0")
        good = self.mx.passwords.get(user) == password
        if self.act("auth", "235 2.7.0 ok" if good else "535 5.7.8 no") == 235:
            self.login = user

    def do_mail(self, arg):
        path, _, params = arg[len("FROM:"):].partition(">")
        if self.act("mail", "250 2.1.0 ok", arg) == 250:
            self.reset()
            self.sender = path.lstrip("<")
            self.sender_params = params.strip()

    def do_rcpt(self, arg):
        path = arg[len("TO:"):].partition(">")[0].lstrip("<")
        usual = "503 5.5.1 no sender" if self.sender is None \
            else "250 2.1.5 ok"
        if self.act("rcpt", usual, path) == 250:
            self.rcpts.append(path)

    def do_data(self, arg):
        usual = "354 go" if self.rcpts else "503 5.5.1 no recipient"
        if self.act("data", usual, arg) != 354:
            return
        message = Message(self)
        message.data = self.body()
        message.when = time.time()
        self._end(message)

    def do_bdat(self, arg):
        """One chunk; its octets are read before the reply, or `drop' cuts
        before them (`bdat') or behind them (`chunk')."""
        words = arg.split(" ")
        last = words[-1].upper() == "LAST"
        if "CHUNKING" not in self.mx.keywords:
            self.send("500 5.5.1 what")
            return
        if "bdat" in self.mx.drop:
            raise Hangup
        if words == ["0"]:  # as Postfix says
            self.send("551 5.7.1 Null BDAT request")
            return
        while len(self.buffer) < int(words[0]):
            self._fill()
        octets = self.buffer[:int(words[0])]
        self.buffer = self.buffer[int(words[0]):]
        self.chunks.append(octets)
        if "chunk" in self.mx.drop:
            raise Hangup
        usual = "250 2.0.0 chunk" if self.rcpts else "503 5.5.1 no recipient"
        if not last:
            self.act("bdat", usual, arg)
            return
        message = Message(self)
        message.data = b"".join(self.chunks)
        message.chunked = True
        message.when = time.time()
        self._end(message)

    def _end(self, message):
        if self.mx.lmtp:
            codes = [self.act("eod", "250 2.0.0 kept", r) for r in self.rcpts]
            message.code = 250 if 250 in codes else codes[0]
            self.mx.record(message)
        else:
            self._end_of_data(message)
        self.reset()

    def _end_of_data(self, message):
        """Note the message before the reply, so a cut reply still counts."""
        text = self.mx.reply.get("eod")
        if callable(text):
            text = text(self, message)
        text = text or "250 2.0.0 kept"
        message.code = int(text[:3])
        if "eod" in self.mx.drop:
            message.code = 0
        self.mx.record(message)
        pause = self.mx.delay.get("eod")
        if pause:
            time.sleep(pause)
        if "eod" in self.mx.drop:
            raise Hangup
        self.send(text)

    def do_rset(self, arg):
        self.reset()
        self.act("rset", "250 2.0.0 ok", arg)

    def do_noop(self, arg):
        self.act("noop", "250 2.0.0 ok", arg)

    def do_quit(self, arg):
        self.mx.leave(self)
        self.act("quit", "221 2.0.0 bye", arg)
        raise Hangup
