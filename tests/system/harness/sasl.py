"""A client of SCRAM-SHA-256 (RFC 5802, 7677); Python has none."""

import base64
import hashlib
import hmac
import os
import struct


def b64(data):
    return base64.b64encode(data).decode()


def text_of(reply):
    """What a 334 says."""
    return base64.b64decode(reply.lines[-1][4:])


def keyed(key, data):
    return hmac.new(key, data, "sha256").digest()


def salted(password, salt, count):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, count)


def verifier(password, count=4096):
    """As `doveadm pw -s SCRAM-SHA-256` prints it."""
    salt = os.urandom(16)
    key = salted(password, salt, count)
    stored = hashlib.sha256(keyed(key, b"Client Key")).digest()
    return "{SCRAM-SHA-256}%d,%s,%s,%s" % (
        count, b64(salt), b64(stored), b64(keyed(key, b"Server Key")))


class Scram:
    """One exchange; with `binding` of the channel."""

    def __init__(self, user, password, binding=None):
        name = user.replace("=", "=3D").replace(",", "=2C")
        self.password = password
        self.header = b"p=tls-exporter,," if binding else b"n,,"
        self.binding = binding or b""
        self.bare = ("n=%s,r=%s" % (name, b64(os.urandom(18)))).encode()

    def first(self):
        return self.header + self.bare

    def final(self, challenge):
        words = dict(w.split("=", 1) for w in challenge.decode().split(","))
        self.challenge, self.words = challenge, words
        self.key = salted(self.password, base64.b64decode(words["s"]),
                          int(words["i"]))
        last = "c=%s,r=%s" % (b64(self.header + self.binding), words["r"])
        self.message = b",".join((self.bare, challenge, last.encode()))
        client = keyed(self.key, b"Client Key")
        sign = keyed(hashlib.sha256(client).digest(), self.message)
        proof = bytes(a ^ b for a, b in zip(client, sign))
        return ("%s,p=%s" % (last, b64(proof))).encode()

    def signed(self):
        key = keyed(self.key, b"Server Key")
        return b"v=" + b64(keyed(key, self.message)).encode()


def expand(secret, label, context, n, name):
    """HKDF-Expand-Label, RFC 8446 s7.1; length of one hash at most."""
    label = b"tls13 " + label
    info = struct.pack(">HB", n, len(label)) + label + \
        bytes([len(context)]) + context + b"\1"
    return hmac.digest(secret, info, name)[:n]


def exported(keys):
    """tls-exporter, RFC 9266, of the TLS 1.3 session whose secrets are in the
    file `keys`: Python's ssl cannot be asked for it."""
    with open(keys) as f:
        found = [line.split()[2] for line in f
                 if line.startswith("EXPORTER_SECRET ")]
    secret = bytes.fromhex(found[-1])
    name = {32: "sha256", 48: "sha384"}[len(secret)]
    empty = hashlib.new(name, b"").digest()
    secret = expand(secret, b"EXPORTER-Channel-Binding", empty, len(secret),
                    name)
    return expand(secret, b"exporter", empty, 32, name)
