"""A sending client that knows exactly which messages were accepted.

Each message has its own id in the header `X-Load`. `acked` holds the ids
whose final 250 was read; `unsure` those whose last byte was sent and whose
reply never came; a message in neither set was not sent whole, or was refused.
"""

import hashlib
import socket
import threading

from .client import Client, Closed
from .wait import now, stretched


def message(number, size):
    """A message with its id in the header and twice more in the body."""
    head = ("From: <load@client.test>\r\nTo: <sink@far.test>\r\n"
            "Subject: load %s\r\nX-Load: %s\r\n\r\n%s\r\n"
            % (number, number, number)).encode()
    line = b"0123456789abcdefghijklmnopqrstuvwxyz.,;:-_ABCDEFGHIJKLMNOPQ\r\n"
    fill = line * (max(0, size - len(head)) // len(line))
    return head + fill + ("end %s\r\n" % number).encode()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def number_of(data):
    """The id of a message as it arrived, or None."""
    at = data.find(b"X-Load: ")
    if at < 0:
        return None
    return data[at + 8:data.index(b"\r\n", at)].decode()


class Load:
    def __init__(self, address, port, rcpt, threads=8, size=1000,
                 prefix="m", per_connection=5):
        self.target = (address, port)
        self.rcpt = rcpt
        self.size = size
        self.prefix = prefix
        self.per_connection = per_connection
        self.acked = set()
        self.unsure = set()
        self.refused = set()
        self._next = 0
        self._limit = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True)
                         for _ in range(threads)]

    def start(self, limit=None):
        """Send until `stop`, or until `limit` messages were tried."""
        self._limit = limit
        for t in self._threads:
            t.start()
        return self

    def stop(self, timeout=60):
        self._stop.set()
        return self.join(timeout)

    def join(self, timeout=300):
        end = now() + timeout
        for t in self._threads:
            while t.is_alive() and now() < end:
                t.join(0.5)
            assert not t.is_alive(), "a sender hangs"
        return self

    def _take(self):
        with self._lock:
            if self._stop.is_set() or self._next == self._limit:
                return None
            self._next += 1
            return "%s%06d" % (self.prefix, self._next)

    def _run(self):
        number = self._take()
        while number is not None:
            try:
                with Client(*self.target, timeout=stretched(15)) as c:
                    c.ehlo()
                    for _ in range(self.per_connection):
                        if number is None:
                            return
                        state = self._one(c, number)
                        number = self._take()
                        if state == "broken":
                            break
                    else:
                        c.quit()
            except (OSError, Closed, AssertionError, ValueError):
                # nothing was sent: the same message is tried again
                if self._stop.wait(0.05):
                    return

    def _one(self, c, number):
        data = message(number, self.size)
        sent = False
        try:
            for reply in c.envelope("load@client.test", self.rcpt):
                if reply.code != 250:
                    self._note(self.refused, number)
                    return "refused"
            if c.cmd("DATA").code != 354:
                self._note(self.refused, number)
                return "refused"
            c.send(data)
            sent = True
            c.send(b".\r\n")
            code = c.read().code
        except (OSError, Closed, ValueError, socket.timeout):
            if sent:
                self._note(self.unsure, number)
            return "broken"
        self._note(self.acked if code == 250 else self.refused, number)
        return "done"

    def _note(self, where, number):
        with self._lock:
            where.add(number)
