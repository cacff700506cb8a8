"""A TLS server side whose records can be made by hand.

The handshake is that of Python's ssl; from then on what is sent is sealed
here with the session's own keys, so that a test can send what no library
sends: handshake messages, alerts and empty records without end.

    peer = RawTls(sock, context)
    peer.handshake()
    peer.send(b"250 ok\\r\\n")
    peer.sock.sendall(peer.records([(HANDSHAKE, message)] * 1000))
"""

import hmac
import os
import ssl
import struct
import tempfile

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ALERT, HANDSHAKE, DATA = 21, 22, 23


def expand_label(secret, label, length):
    """HKDF-Expand-Label, RFC 8446 s7.1; length of one hash at most."""
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\0\1"
    hash_name = {32: "sha256", 48: "sha384"}[len(secret)]
    return hmac.digest(secret, info, hash_name)[:length]


def prf(secret, seed, length):
    """P_SHA256, RFC 5246 s5."""
    out, a = b"", seed
    while len(out) < length:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:length]


class RawTls:
    """TLS 1.2 with ECDHE and AES128-GCM; TLS 1.3 with AES-GCM."""

    def __init__(self, sock, context, server=True, name=None):
        self.sock = sock
        handle, self._keylog = tempfile.mkstemp()
        os.close(handle)
        context.keylog_filename = self._keylog
        context.set_ciphers("ECDHE+AES128+AESGCM")
        if server:
            context.num_tickets = 0
        self.server = server
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._wire = {True: b"", False: b""}  # sent, received
        self._tls = context.wrap_bio(self._in, self._out, server_side=server,
                                     server_hostname=name)

    def _step(self):
        try:
            self._tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    def handshake(self):
        done = False
        while not done:
            done = self._step()
            out = self._out.read()
            self._wire[True] += out
            self.sock.sendall(out)
            if done:
                break
            part = self.sock.recv(65536)
            if not part:
                raise ConnectionError("closed in the handshake")
            self._wire[False] += part
            self._in.write(part)
        self._keys()

    def _secrets(self):
        with open(self._keylog) as f:
            rows = [line.split() for line in f if not line.startswith("#")]
        os.unlink(self._keylog)
        return {row[0]: bytes.fromhex(row[2]) for row in rows}

    def _keys(self):
        secrets = self._secrets()
        self.version = self._tls.version()
        self._tls13 = self.version == "TLSv1.3"
        if self._tls13:
            side = "SERVER" if self.server else "CLIENT"
            self._use(secrets[side + "_TRAFFIC_SECRET_0"])
        else:
            block = prf(secrets["CLIENT_RANDOM"],
                        b"key expansion" + self._random(self.server)
                        + self._random(not self.server), 40)
            at = 16 if self.server else 0
            key = block[at:at + 16]
            self._iv = block[32 + at // 4:36 + at // 4]
            self._seq = 1  # behind Finished
            self._aead = AESGCM(key)

    def _use(self, secret):
        """Of TLS 1.3: seal with this traffic secret from now on."""
        bits = 32 if "AES_256" in self._tls.cipher()[0] else 16
        self._secret = secret
        self._iv = expand_label(secret, b"iv", 12)
        self._aead = AESGCM(expand_label(secret, b"key", bits))
        self._seq = 0

    def rekey(self):
        """What follows a KeyUpdate, RFC 8446 s7.2."""
        self._use(expand_label(self._secret, b"traffic upd",
                               len(self._secret)))

    def _random(self, sent):
        return self._wire[sent][11:43]  # of the first hello

    def _seal(self, kind, plain):
        seq = struct.pack(">Q", self._seq)
        self._seq += 1
        if self._tls13:
            nonce = bytes(a ^ b for a, b in zip(self._iv, b"\0" * 4 + seq))
            head = struct.pack(">BHH", DATA, 0x0303, len(plain) + 17)
            return head + self._aead.encrypt(nonce, plain + bytes([kind]),
                                             head)
        extra = seq + struct.pack(">BHH", kind, 0x0303, len(plain))
        sealed = self._aead.encrypt(self._iv + seq, plain, extra)
        return struct.pack(">BHH", kind, 0x0303, len(sealed) + 8) + seq \
            + sealed

    def records(self, parts):
        """(kind, bytes) pairs as one piece of wire."""
        return b"".join(self._seal(kind, plain) for kind, plain in parts)

    def send(self, plain):
        self.sock.sendall(self.records([(DATA, plain)]))

    def recv(self):
        """Some bytes of the peer, b"" at the end."""
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                part = self.sock.recv(65536)
                if not part:
                    return b""
                self._in.write(part)
            except ssl.SSLZeroReturnError:
                return b""
