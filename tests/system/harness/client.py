"""A small SMTP client that does exactly what it is told."""

import base64
import re
import socket

from . import pki, sasl, wait


class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[0][:3])
        self.text = "\n".join(l[4:] for l in lines)
        found = re.match(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)", lines[-1][4:])
        self.status = found.group(1) if found else None

    def __repr__(self):
        return "<%s>" % " / ".join(self.lines)


class Closed(Exception):
    """The server closed the connection."""


class Client:
    def __init__(self, address, port, timeout=wait.most(20), tls=False,
                 source=None, greet=True):
        self.sock = socket.create_connection(
            (address, port), timeout, source_address=source and (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if tls:
            self.wrap()
        self.greeting = self.read() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def read(self):
        """One reply, all its lines."""
        lines = []
        while True:
            line = self._line().decode("latin-1")
            lines.append(line)
            if len(line) < 4 or line[3] != "-":
                return Reply(lines)

    def _line(self):
        while b"\r\n" not in self.buffer:
            try:
                part = self.sock.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                raise Closed(self.buffer)
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def cmd(self, line):
        self.send(line.encode() + b"\r\n" if isinstance(line, str)
                  else line + b"\r\n")
        return self.read()

    def ehlo(self, name="client.test", verb="EHLO"):
        """The EHLO keywords: {keyword: arguments}."""
        reply = self.cmd(verb + " " + name)
        assert reply.code == 250, reply
        rows = [l[4:].partition(" ") for l in reply.lines[1:]]
        return {k.upper(): v for k, _, v in rows}

    def wrap(self, ca=None, name="localhost", keys=None):
        """`keys`: a file for the session's secrets."""
        ctx = pki.client_context(ca)
        if keys:
            ctx.keylog_filename = keys
        self.sock = ctx.wrap_socket(self.sock, server_hostname=name)
        self.buffer = b""

    def starttls(self, **kw):
        reply = self.cmd("STARTTLS")
        assert reply.code == 220, reply
        self.wrap(**kw)

    def auth_plain(self, user, password):
        token = base64.b64encode(("\0%s\0%s" % (user, password)).encode())
        return self.cmd("AUTH PLAIN " + token.decode())

    def auth_scram(self, user, password, keys=None):
        """The last reply, and whether the server knows the password, too;
        with the file of the session's secrets it is -PLUS."""
        mechanism = "SCRAM-SHA-256" + ("-PLUS" if keys else "")
        scram = sasl.Scram(user, password, keys and sasl.exported(keys))
        reply = self.cmd("AUTH %s %s" % (mechanism, sasl.b64(scram.first())))
        if reply.code != 334:
            return reply, False
        reply = self.cmd(sasl.b64(scram.final(sasl.text_of(reply))))
        if reply.code != 334:
            return reply, False
        return self.cmd(b""), sasl.text_of(reply) == scram.signed()

    def envelope(self, sender, *rcpts, params=""):
        """MAIL and RCPTs; the replies."""
        out = [self.cmd("MAIL FROM:<%s>%s" % (sender,
                                              params and " " + params))]
        return out + [self.cmd("RCPT TO:<%s>" % r) for r in rcpts]

    def data(self, message):
        """DATA and a message with CRLF line ends; the final reply."""
        reply = self.cmd("DATA")
        if reply.code != 354:
            return reply
        self.send(stuff(message) + b".\r\n")
        return self.read()

    def mail(self, sender, rcpts, message):
        """A whole transaction; the final reply, or the first refusal."""
        rcpts = [rcpts] if isinstance(rcpts, str) else rcpts
        for reply in self.envelope(sender, *rcpts):
            if reply.code != 250:
                return reply
        return self.data(message)

    def quit(self):
        reply = self.cmd("QUIT")
        self.close()
        return reply

    def at_end(self):
        """True when the server has closed the connection."""
        try:
            self.buffer += self.sock.recv(65536)
        except ConnectionResetError:
            return True
        return self.buffer == b""


def stuff(message):
    """Dot stuffing, and a last CRLF if it lacks one."""
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    if message.startswith(b"."):
        message = b"." + message
    return message.replace(b"\r\n.", b"\r\n..")


def send(address, port, sender, rcpts, message, ehlo="client.test", **kw):
    """One message over one connection; it must be taken."""
    with Client(address, port, **kw) as c:
        c.ehlo(ehlo)
        reply = c.mail(sender, rcpts, message)
        assert reply.code == 250, reply
        c.quit()
        return reply


def text(subject="test", body="hello\r\n", sender="a@client.test",
         to="b@hb.test", extra=""):
    """A plain message."""
    return ("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n"
            "Date: Sat, 01 Aug 2026 10:00:00 +0000\r\n"
            "Message-ID: <%s@client.test>\r\n%s\r\n%s"
            % (sender, to, subject, re.sub(r"\W", "-", subject), extra,
               body)).encode()
