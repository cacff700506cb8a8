"""A certificate authority for tests. EC keys, so that issuing is fast."""

import datetime
import ipaddress
import os
import socket
import ssl
import struct
from collections import namedtuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

# chain: PEM file, leaf first; key: PEM file; der: the leaf's DER bytes
Cert = namedtuple("Cert", "chain key der")

_DAY = datetime.timedelta(days=1)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _san(names):
    out = []
    for n in names:
        try:
            out.append(x509.IPAddress(ipaddress.ip_address(n)))
        except ValueError:
            out.append(x509.DNSName(n))
    return x509.SubjectAlternativeName(out)


def _write(path, data):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, 0o644)


class CA:
    def __init__(self, folder, name="Test CA"):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.name = name
        self._serial = 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self._sign(_name(name), self.key.public_key(),
                               _name(name), self.key, (-1, 3650), ca=True)
        self.file = os.path.join(folder, "ca.pem")
        _write(self.file, self.cert.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names, days=(-1, 90), self_signed=False, cn="test",
              san=True, rsa_bits=0):
        """A certificate for these names, valid from days[0] to days[1]."""
        key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits \
            else ec.generate_private_key(ec.SECP256R1())
        issuer = (_name(cn), key) if self_signed \
            else (_name(self.name), self.key)
        cert = self._sign(_name(cn), key.public_key(), *issuer, days,
                          names=names if san else ())
        self._serial += 1
        stem = os.path.join(self.folder, "%03d" % self._serial)
        _write(stem + ".pem", cert.public_bytes(serialization.Encoding.PEM))
        _write(stem + ".key", key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        return Cert(stem + ".pem", stem + ".key",
                    cert.public_bytes(serialization.Encoding.DER))

    def _sign(self, subject, public, issuer, key, days, names=(), ca=False):
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder()
             .subject_name(subject).issuer_name(issuer).public_key(public)
             .serial_number(x509.random_serial_number())
             .not_valid_before(now + days[0] * _DAY)
             .not_valid_after(now + days[1] * _DAY)
             .add_extension(x509.BasicConstraints(ca, None), True))
        if names:
            b = b.add_extension(_san(names), False)
        return b.sign(key, hashes.SHA256())


def server_context(cert, minimum=ssl.TLSVersion.TLSv1_2, maximum=None):
    """A server side context that shows this certificate."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.minimum_version = minimum
    if maximum is not None:
        ctx.maximum_version = maximum
    ctx.load_cert_chain(cert.chain, cert.key)
    return ctx


def reset(sock):
    """Close a connection with a TCP reset."""
    socket.socket.setsockopt(sock, socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
    socket.socket.close(sock)


def client_context(ca=None):
    """A client side context; without a CA it takes any certificate."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
    else:
        ctx.load_verify_locations(ca.file)
    return ctx
