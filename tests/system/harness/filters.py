"""Filters: one that does what a test says, and those that others wrote.

Each has `word`, what stands behind `milter` in the configuration, and
`adds`, the fields that it puts into a message.
"""

import os
import re
import signal
import socket
import subprocess

import pytest

from .hauberk import free_port
from .peers import (OPENDKIM, OPENDMARC, RSPAMD, SPAMASS, Server, laid_over)
from .wait import until

HERE = os.path.dirname(os.path.abspath(__file__))
SELECTOR = "test"
HOSTNAME = "mx.hb.test"


def compiled(folder):
    """filter.c as a program."""
    program = os.path.join(folder, "filter")
    if not os.path.exists(program):
        subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-o", program,
                        os.path.join(HERE, "filter.c"), "-lmilter",
                        "-pthread"], check=True)
    return program


class Filter(Server):
    adds = ()
    ending = signal.SIGKILL  # libmilter looks at others each five seconds

    def __init__(self, parent):
        """A folder of its own below `parent`; its socket is there."""
        self.folder = os.path.join(parent, type(self).__name__ +
                                   os.urandom(3).hex())
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o777)
        self.socket = os.path.join(self.folder, "socket")
        self.word = "unix:" + self.socket

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def wait_socket(self):
        def up():
            if self.process.poll() is not None:
                raise AssertionError("ended: " + self.printed())
            with socket.socket(socket.AF_UNIX) as s:
                return s.connect_ex(self.socket) == 0
        until(up, 30, lambda: "a filter that listens: " + self.printed())
        os.chmod(self.socket, 0o777)


def _word(text):
    for char, letter in (("\\", "\\"), ("\r", "r"), ("\n", "n"), ("\t", "t")):
        text = text.replace(char, "\\" + letter)
    return text


def _bare(text):
    return re.sub(r"\\(.)", lambda m: {"r": "\r", "n": "\n", "t": "\t"}.get(
        m[1], m[1]), text)


class Scripted(Filter):
    """filter.c with a script: rows of (stage, action, argument ...)."""

    def __init__(self, parent, *rows, inet=False):
        super().__init__(parent)
        address = "local:" + self.socket
        if inet:
            self.word = "inet:127.0.0.1:%d" % free_port()
            address = "inet:%s@127.0.0.1" % self.word.rpartition(":")[2]
        self.adds = tuple(r[2] for r in rows if r[1] == "addheader")
        script = self.write("script", "".join(
            "\t".join(_word(str(w)) for w in row) + "\n" for row in rows))
        self.notes = os.path.join(self.folder, "notes")
        self.command = [compiled(os.path.dirname(parent)), address,
                        script, self.notes]
        self.inet = inet
        self.start()

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.launch(self.command)
        if not self.inet:
            self.wait_socket()
        else:
            until(self._open, 15, "a filter that listens")

    def _open(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", int(
                self.word.rpartition(":")[2]))) == 0

    def notes_of(self, *stages):
        """What it was told at these stages: tuples of stage and arguments."""
        try:
            with open(self.notes, errors="surrogateescape") as f:
                rows = [tuple(_bare(w) for w in line.rstrip("\n").split("\t"))
                        for line in f]
        except FileNotFoundError:
            return []
        return [r for r in rows if r[0] in stages]

    def macros(self, stage):
        """{name: value} at a stage, the latest of each."""
        return {n.strip("{}"): v for _, s, n, v in self.notes_of("macro")
                if s == stage}


OPENDKIM_CONF = """
Syslog no
Canonicalization relaxed/simple
Domain hb.test
Selector %(selector)s
KeyFile %(key)s
TestDNSData %(dns)s
InternalHosts %(hosts)s
UserID nobody
UMask 000
Socket local:%(socket)s
AuthservID %(name)s
AlwaysAddARHeader yes
RequireSafeKeys no
Mode %(mode)s
Background no
"""


class OpenDKIM(Filter):
    """mode s signs what comes from this host, v verifies what comes."""

    def __init__(self, peers, parent, mode="s"):
        super().__init__(parent)
        root = peers.root(OPENDKIM)
        self.adds = ("DKIM-Signature",) if mode == "s" \
            else ("Authentication-Results",)
        key = self.write("key.pem", peers.dkim_data("test.private").decode())
        os.chmod(key, 0o644)
        self.record = peers.dkim_data("test.txt").decode().strip()
        conf = self.write("conf", OPENDKIM_CONF % dict(
            selector=SELECTOR, key=key, socket=self.socket, mode=mode,
            name=HOSTNAME, hosts=self.write("hosts", (
                "127.0.0.1" if mode == "s" else "192.0.2.1") + "\n"),
            dns=self.write("dns", "%s._domainkey.hb.test %s\n" % (
                SELECTOR, self.record))))
        self.launch(laid_over(root, "/usr/sbin/opendkim", "-f", "-x", conf))
        self.wait_socket()


OPENDMARC_CONF = """
Syslog false
AuthservID %(name)s
TrustedAuthservIDs %(name)s
RejectFailures true
SPFIgnoreResults true
IgnoreHosts %(hosts)s
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
UserID nobody
UMask 000
Socket local:%(socket)s
Background false
"""


class OpenDMARC(Filter):
    """Believes the Authentication-Results of a filter before it; asks the
    name server at `resolver`, port 53."""

    adds = ("Authentication-Results",)

    def __init__(self, peers, parent, resolver="127.0.0.1"):
        super().__init__(parent)
        conf = self.write("conf", OPENDMARC_CONF % dict(
            name=HOSTNAME, socket=self.socket,
            hosts=self.write("hosts", "192.0.2.1\n")))
        resolv = self.write("resolv.conf", "nameserver %s\n" % resolver)
        self.launch(laid_over(
            peers.root(OPENDMARC), "sh", "-c",
            'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"',
            "sh", resolv, "/usr/sbin/opendmarc", "-f", "-c", conf))
        self.wait_socket()


RSPAMD_CONF = """
options {
  tempdir = "%(dir)s"; pidfile = "%(dir)s/pid"; hs_cache_dir = "%(dir)s";
  filters = ""; explicit_modules = ["settings"]; url_tld = "%(tld)s";
  dns { nameserver = ["127.0.0.1"]; timeout = 0.1s; retransmits = 1; }
}
logging { type = "console"; level = "info"; }
worker "rspamd_proxy" {
  count = 1; bind_socket = "%(socket)s mode=0777"; milter = yes;
  timeout = 30s; upstream "local" { default = yes; self_scan = yes; }
}
lua = "%(lua)s";
"""

RSPAMD_LUA = """
rspamd_config:register_symbol{
  name = 'TESTS', score = 1.0, callback = function(task)
    task:set_milter_reply({add_headers = {['X-Tests'] = tostring(
      #task:get_rawbody())}})
    if task:get_subject() == 'spam' then
      task:set_pre_result('reject', 'no spam here')
    end
    return true
  end
}
"""


class Rspamd(Filter):
    """Its proxy speaks the protocol with code of its own, not libmilter's."""

    adds = ("X-Tests",)

    def __init__(self, peers, parent):
        super().__init__(parent)
        conf = self.write("conf", RSPAMD_CONF % dict(
            dir=self.folder, socket=self.socket,
            tld=self.write("tld", "test\n"),
            lua=self.write("tests.lua", RSPAMD_LUA)))
        self.launch(laid_over(peers.root(RSPAMD), "/usr/bin/rspamd", "-f",
                              "-i", "-c", conf))
        self.wait_socket()


SPAMD_RULES = """
add_header all Status _YESNO_, score=_SCORE_ required=_REQD_ tests=_TESTS_
add_header spam Flag _YESNOCAPS_
util_rb_tld test
use_bayes 0
skip_rbl_checks 1
dns_available no
body TESTS_SPAM /spam for all/
score TESTS_SPAM 20
"""


class SpamAssassin(Filter):
    """spamass-milter before a spamd."""

    adds = ("X-Spam-Checker-Version", "X-Spam-Flag", "X-Spam-Status",
            "X-Spam-Level")

    def __init__(self, peers, parent):
        super().__init__(parent)
        root = peers.root(SPAMASS)
        port = free_port()
        rules = os.path.join(self.folder, "rules")
        os.mkdir(rules)
        self.write("rules/tests.cf", SPAMD_RULES)
        self.write("rules/tests.pre",
                   "loadplugin Mail::SpamAssassin::Plugin::Check\n")
        script = '"$0" -x -L -m 2 -u nobody -p %d --siteconfigpath=%s ' \
            '--configpath=%s -s stderr --virtual-config-dir=%s & ' \
            'exec /usr/sbin/spamass-milter -p %s -r 15 -- -p %d -d ' \
            '127.0.0.1' % (port, rules, rules, self.folder, self.socket, port)
        self.launch(laid_over(root, "sh", "-c", script, "/usr/sbin/spamd"))
        self.wait_socket()
        until(lambda: _answers(port), 30, lambda: self.printed())


def _answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0
