"""A lab that stands until it is taken down, for work by hand.

`up` leaves a process behind that holds the world and its Hauberk; `ask` has
it do one step, over a unix socket.
"""

import os
import shlex
import shutil
import signal
import socket
import sys
import traceback

from harness import hauberk, space as spacemod

from . import language, run, world

START_S = 60
STEP_S = 120


def socket_path():
    """The one standing lab of this user."""
    folder = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"
    return os.path.join(folder, "hauberk-lab-%d.sock" % os.geteuid())


def _connect():
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(socket_path())
    except OSError:
        sock.close()
        return None
    return sock


def up(path):
    """Build the world of a scenario and leave it standing; what to type."""
    other = _connect()
    if other:
        other.close()
        raise SystemExit("lab: one is up already; `lab down` ends it")
    scenario = language.load(path)
    out, inner = os.pipe()
    if os.fork() == 0:
        os.close(out)
        _stand(scenario, inner)
        os._exit(0)
    os.close(inner)
    with os.fdopen(out) as f:
        text = f.read()
    if not text.startswith("The lab is up"):
        raise SystemExit("lab: it does not start:\n" + text)
    return text


def _stand(scenario, out):
    """The process that stays."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    space, lab = spacemod.Space(), None
    with os.fdopen(out, "w") as told:
        _own_output()
        try:
            if os.geteuid() == 0:
                space.enter()
            lab = world.Lab(space, scenario)
            lab.movable = shutil.which(os.environ.get("CC", "cc")) is not None
            lab.build()
            listener = _listen()
            told.write(describe(lab))
        except BaseException:
            told.write(traceback.format_exc())
            _take_down(space, lab)
            return
    asker = None
    try:
        asker = _serve(lab, listener)
    except KeyboardInterrupt:
        pass
    finally:
        os.unlink(socket_path())
        _take_down(space, lab)
    if asker:
        asker.close()   # who said `down` waits for this


def _end(_number, _frame):
    raise KeyboardInterrupt


def _own_output():
    """The terminal belongs to others now."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def _take_down(space, lab):
    if lab is not None:
        lab.close()
    space.leave()


def _listen():
    path = socket_path()
    if os.path.exists(path):
        os.unlink(path)
    old = os.umask(0o077)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    os.umask(old)
    sock.listen(4)
    return sock


def _serve(lab, listener):
    """One step for each connection, until `down`; that connection."""
    while True:
        conn, _ = listener.accept()
        conn.settimeout(STEP_S)
        try:
            text = _read(conn).decode()
            if text == "down":
                return conn
            conn.sendall(_do(lab, text).encode())
        except OSError:
            pass
        conn.close()


def _read(conn):
    data = b""
    while True:
        part = conn.recv(65536)
        if not part:
            return data
        data += part


def _do(lab, text):
    """Take one step; `+` and what to show, or `-` and what was wrong."""
    try:
        node = language.step(text, "step")
        language.check_hosts(node, set(lab.hosts))
        lab.said = ""
        run.take(lab, node)
        run.step_words.invariants(lab, False)
    except (language.Mistake, world.Failed, AssertionError, OSError,
            KeyError) as e:
        return "-%s" % e
    if node.word == "send" and "refused" not in node:
        return "+taken as " + lab.messages[""].id
    return "+" + (lab.said.rstrip("\n") or "done")


def ask(text):
    """Have the standing lab do a step: (well, what it says)."""
    sock = _connect()
    if sock is None:
        raise SystemExit("lab: none is up; `lab up` starts one")
    with sock:
        sock.sendall(text.encode())
        sock.shutdown(socket.SHUT_WR)
        answer = _read(sock).decode()
    return answer[:1] == "+", answer[1:]


def down():
    """End the standing lab; returns when nothing is left of it."""
    sock = _connect()
    if sock is None:
        raise SystemExit("lab: none is up")
    with sock:
        sock.sendall(b"down")
        sock.shutdown(socket.SHUT_WR)
        _read(sock)


def describe(lab):
    """What to type, for the one who called `up`."""
    me = shlex.quote(os.path.realpath(sys.argv[0]))
    ctl = "%s -f %s" % (os.path.join(hauberk.SBIN, "hauberkctl"),
                        lab.hb.conf)
    rows = ["The lab is up: " + lab.scenario.title, "",
            "configuration  " + lab.hb.conf, "log            " + lab.hb.log,
            "smtp           %s:%d" % (lab.hb.address, lab.hb.port),
            "name server    %s" % lab.dns,
            "policy hosts   %s:%d" % (lab.https.address, lab.https.port)]
    rows += ["mail host      %s, %s:%d%s" % (
        h.name, h.address, h.port, ", an attacker" if h.attacker else "")
        for h in lab.hosts.values()]
    if lab.space.private:
        rows += ["", "These addresses are in a network namespace; its door:",
                 "    nsenter -t %d -n" % os.getpid()]
    first = next((h.name for h in lab.hosts.values() if not h.attacker),
                 "HOST")
    domain = next((n["domain"] for n in lab.scenario.world
                   if n.word == "domain"), "DOMAIN")
    rows += ["", "Type, for instance:",
             "    %s do 'send alice@here.test to bob@%s'" % (me, domain),
             "    %s do 'attack %s strip-starttls'" % (me, first),
             "    %s do heal" % me,
             "    %s do           # a prompt" % me,
             "    %s words        # every step there is" % me,
             "    %s queue" % ctl, "    %s explain bob@%s" % (ctl, domain),
             "    tail -f %s" % lab.hb.log, "    %s down" % me]
    return "\n".join(rows) + "\n"
