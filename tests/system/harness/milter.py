"""A mail filter of the tests: sendmail's protocol, the filter's side.

    with Milter(path, eom=lambda f: [add("X-Seen", "yes"), CONTINUE]) as m:
        ...
    m.seen("R")     # what came, as (letter, data)

A reaction is bytes of packets, a list of them, or a call with the
conversation that returns them; None says nothing, and CLOSE closes.
"""

import os
import socket
import struct
import threading

from . import wait

CONTINUE, ACCEPT, REJECT, TEMPFAIL, DISCARD = b"c", b"a", b"r", b"t", b"d"
SKIP, PROGRESS, SHUTDOWN, CONN_FAIL = b"s", b"p", b"4", b"f"
CLOSE = "close"

# letters of the steps by the word that a test says
STEPS = {"connect": "C", "helo": "H", "mail": "M", "rcpt": "R", "data": "T",
         "header": "L", "eoh": "N", "body": "B", "eom": "E", "unknown": "U"}
ALL = 0x1ff


def packet(data):
    return struct.pack(">I", len(data)) + data


def add(name, value):
    return b"h%s\0%s\0" % (name.encode(), value.encode())


def insert(index, name, value):
    return b"i" + struct.pack(">I", index) + \
        b"%s\0%s\0" % (name.encode(), value.encode())


def change(index, name, value):
    return b"m" + struct.pack(">I", index) + \
        b"%s\0%s\0" % (name.encode(), value.encode())


def reply(text):
    return b"y" + text.encode() + b"\0"


def sender(path, args=None):
    return b"e" + path.encode() + b"\0" + \
        (args.encode() + b"\0" if args else b"")


def add_rcpt(path, args=None):
    if args:
        return b"2" + path.encode() + b"\0" + args.encode() + b"\0"
    return b"+" + path.encode() + b"\0"


def delete_rcpt(path):
    return b"-" + path.encode() + b"\0"


def body(data):
    return [b"b" + data[i:i + 65535] for i in range(0, len(data), 65535)] \
        or [b"b"]


def quarantine(text):
    return b"q" + text.encode() + b"\0"


class Conversation:
    """One connection: what came over it, the latest symbols."""

    def __init__(self, sock):
        self.sock = sock
        self.packets = []
        self.symbols = {}
        self.body = b""
        self.offer = None

    def _read(self, n):
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                return None
            data += piece
        return data

    def next(self):
        head = self._read(4)
        data = head and self._read(struct.unpack(">I", head)[0])
        return (chr(data[0]), data[1:]) if data else None

    def say(self, reaction):
        """False: it closes."""
        if callable(reaction):
            reaction = reaction(self)
        if reaction is None:
            return True
        for one in [reaction] if isinstance(reaction, (bytes, str)) \
                else reaction:
            if one == CLOSE:
                return False
            self.sock.sendall(packet(one))
        return True


class Milter:
    def __init__(self, place, steps=0, may=ALL, version=6, symbols=b"",
                 terms=None, **reactions):
        """`place`: a path, or (address, port); `steps`: flags of the terms;
        `terms`: what is said instead of them; reactions by word, CONTINUE
        unless given."""
        self.place = place
        self.terms = terms
        self.values = (version, may, steps)
        self.symbols = symbols
        self.reactions = {STEPS[k]: v for k, v in reactions.items()}
        self.conversations = []
        self.threads = []
        self.listener = None
        self.closed = False

    @property
    def line(self):
        """For `milter` in the configuration."""
        return "unix:" + self.place if isinstance(self.place, str) else \
            "inet:%s:%d" % self.place

    def __enter__(self):
        unix = isinstance(self.place, str)
        self.listener = socket.socket(socket.AF_UNIX if unix
                                      else socket.AF_INET)
        if unix:
            if os.path.exists(self.place):
                os.unlink(self.place)
        else:
            self.listener.setsockopt(socket.SOL_SOCKET,
                                     socket.SO_REUSEADDR, 1)
        self.listener.bind(self.place)
        if unix:
            os.chmod(self.place, 0o777)
        self.listener.listen(128)
        self._start(self._accept)
        return self

    def _start(self, call, *args):
        thread = threading.Thread(target=call, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def __exit__(self, *_):
        self.closed = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for c in self.conversations:
            try:
                c.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(wait.most(5))

    def _accept(self):
        while not self.closed:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            c = Conversation(sock)
            self.conversations.append(c)
            self._start(self._talk, c)

    def _talk(self, c):
        try:
            while True:
                got = c.next()
                if got is None or not self._hear(c, *got):
                    break
        except OSError:
            pass
        c.sock.close()

    def _hear(self, c, letter, data):
        c.packets.append((letter, data))
        if letter == "O":
            c.offer = struct.unpack(">III", data)
            return c.say(self.terms if self.terms is not None else
                         b"O" + struct.pack(">III", *self.values) +
                         self.symbols)
        if letter == "D":
            words = data[1:].split(b"\0")
            c.symbols.update(zip((w.decode() for w in words[::2]),
                                 (w.decode() for w in words[1::2])))
            return True
        if letter in "QA":
            return letter == "A"
        if letter == "M":
            c.body = b""
        if letter == "B":
            c.body += data
        return c.say(self.reactions.get(letter, CONTINUE))

    def seen(self, letters=None):
        """(letter, data) of all conversations, without symbols."""
        return [p for c in self.conversations for p in c.packets
                if (p[0] in letters if letters else p[0] not in "DO")]

    def steps(self):
        """Letters of what came, in order."""
        return "".join(p[0] for p in self.seen())
