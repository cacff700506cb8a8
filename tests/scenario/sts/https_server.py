"""Policy hosts of every kind on one port of loopback, for https_sts.

usage: https_server.py DIR    writes DIR/ca.pem, prints the port, serves until
                              standard input ends

The name that the client asks for chooses certificate and behaviour.
"""

import datetime
import os
import socket
import ssl
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

POLICY = (b"version: STSv1\r\nmode: enforce\r\nmx: mx.example\r\n"
          b"max_age: 86400\r\n")
NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)
PLAIN = b"Content-Type: text/plain\r\n"
FIELD = b"X-Filler: " + b"x" * 90 + b"\r\n"
MOVED = b"/moved.txt"


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make(cn, issuer=None, names=(), ca=False, start=NOW - DAY, end=NOW + DAY):
    """Returns (certificate, key); ISSUER: such a pair, None: self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (x509.CertificateBuilder()
               .subject_name(name_of(cn))
               .issuer_name(issuer[0].subject if issuer else name_of(cn))
               .public_key(key.public_key())
               .serial_number(x509.random_serial_number())
               .not_valid_before(start).not_valid_after(end)
               .add_extension(x509.BasicConstraints(ca, None), True))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(
            [x509.DNSName(n) for n in names]), False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def pem(pair):
    cert, key = pair
    return cert.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption())


def context(folder, name, pair):
    path = os.path.join(folder, name + ".pem")
    with open(path, "wb") as f:
        f.write(pem(pair))
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(path)
    return ctx


def reply(status, head, body):
    return (b"HTTP/1.1 " + status + b"\r\n" + head +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


def chunks(body, size=4096):
    out = b"HTTP/1.1 200 OK\r\n" + PLAIN + b"Transfer-Encoding: chunked\r\n\r\n"
    for i in range(0, len(body), size):
        part = body[i:i + size]
        out += b"%x\r\n" % len(part) + part + b"\r\n"
    return out + b"0\r\n\r\n"


def ok(body, head=PLAIN):
    return reply(b"200 OK", head, body)


ANSWERS = {
    "chunked": chunks(POLICY),
    "charset": ok(POLICY, b"content-type: Text/Plain;charset=utf-8\r\n"),
    # what is there is a policy: who follows has one
    "redirect": reply(b"301 Moved", PLAIN + b"Location: https://mta-sts"
                      b".redirect.test" + MOVED + b"\r\n", b""),
    "missing": reply(b"404 Not Found", PLAIN, POLICY),
    "teapot": reply(b"203 Other", PLAIN, POLICY),
    "largest": ok(POLICY + b"\n" * (65536 - len(POLICY))),
    "toolong": ok(POLICY + b"\n" * (65537 - len(POLICY))),
    "longhead": b"HTTP/1.1 200 OK\r\n" + PLAIN + FIELD * 1200
                + b"Content-Length: %d\r\n\r\n" % len(POLICY) + POLICY,
    "longtail": chunks(POLICY)[:-2] + FIELD * 1200 + b"\r\n",
    "toochunked": chunks(POLICY + b"\n" * (65537 - len(POLICY))),
    "html": ok(POLICY, b"Content-Type: text/html\r\n"),
    "notype": ok(POLICY, b""),
    "badpolicy": ok(b"version: STSv1\nmode: enforce\n"),
    "garbage": b"220 mx.example ESMTP\r\n" * 10,
    "nothing": b"",
}


def serve(conn, contexts):
    asked = []

    def on_name(sock, name, _):
        asked.append(name or "")
        kind = (name or "").split(".")[1:2]
        if kind and kind[0] in contexts:
            sock.context = contexts[kind[0]]

    ctx = contexts["default"]
    ctx.sni_callback = on_name
    try:
        with ctx.wrap_socket(conn, server_side=True) as tls:
            answer(tls, asked[0] if asked else "")
    except OSError:
        pass


def answer(tls, name):
    request = b""
    while b"\r\n\r\n" not in request:
        more = tls.recv(4096)
        if not more:
            return
        request += more
    want = (b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: " +
            name.encode() + b"\r\n")
    if request.startswith(b"GET " + MOVED + b" "):
        tls.sendall(ok(POLICY))
        return
    if not request.startswith(want):
        tls.sendall(reply(b"400 Bad Request", PLAIN, b""))
        return
    kind = name.split(".")[1]
    if kind == "slow":
        tls.sendall(b"HTTP/1.1 200 OK\r\n" + PLAIN + b"\r\n")
        while True:
            tls.sendall(b"\n")
            time.sleep(0.5)
    tls.sendall(ANSWERS.get(kind, ok(POLICY)))


def main():
    folder = sys.argv[1]
    ca = make("test ca", ca=True)
    with open(os.path.join(folder, "ca.pem"), "wb") as f:
        f.write(ca[0].public_bytes(serialization.Encoding.PEM))
    names = ["mta-sts." + n + ".test" for n in list(ANSWERS) + ["good", "slow"]]
    pairs = {
        "default": make("policies", ca, names),
        "wild": make("w", ca, ["*.wild.test"]),
        "partial": make("p", ca, ["mta-*.partial.test"]),
        "cnonly": make("mta-sts.cnonly.test", ca),
        "cnother": make("mta-sts.cnother.test", ca, ["other.test"]),
        "parent": make("p", ca, ["parent.test"]),
        "selfsigned": make("s", None, ["mta-sts.selfsigned.test"]),
        "expired": make("e", ca, ["mta-sts.expired.test"],
                        start=NOW - 3 * DAY, end=NOW - DAY),
        "future": make("f", ca, ["mta-sts.future.test"],
                       start=NOW + DAY, end=NOW + 3 * DAY),
    }
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(server.getsockname()[1], flush=True)
    # one context a connection: the callback keeps what was asked
    def one(conn):
        serve(conn, {k: context(folder, k + str(threading.get_ident()), p)
                     for k, p in pairs.items()})

    def accept():
        while True:
            conn, _ = server.accept()
            threading.Thread(target=one, args=(conn,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
