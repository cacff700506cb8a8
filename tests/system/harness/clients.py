"""Mail programs that others wrote, as clients of the server under test.

A row of CLIENTS says what a program can do; its function sends one Job and
returns the exit code and what was printed.
"""

import copy
import os
import smtplib
import subprocess
from collections import namedtuple

import pytest

from . import pki
from .client import stuff
from .peers import CLIENTS as MUTT
from .hauberk import free_port
from .peers import (EXIM, MSMTP, NODEMAILER, PERL, POSTFIX, SWAKS, Server,
                    laid_over)
from .wait import most

HOST = "127.0.0.1"
USER, PASSWORD = "alice", "correct+horse"
SENDER = "alice@hb.test"
ENVELOPE_ID = "QQ314159"

# listener: of the server; tls: none, starttls or implicit; mech: SASL's name
Way = namedtuple("Way", "listener tls mech")
WAYS = {
    "clear": Way("smtp", "none", None),
    "starttls": Way("smtp", "starttls", None),
    "plain": Way("submission", "starttls", "PLAIN"),
    "login": Way("submission", "starttls", "LOGIN"),
    "scram": Way("submission", "starttls", "SCRAM-SHA-256"),
    "smtps": Way("submissions", "implicit", "PLAIN"),
}
MOST = ("clear", "starttls", "plain", "login", "smtps")
ALL = MOST + ("scram",)

# message has CRLF; dsn: ask for notices of both kinds, and the header alone
Job = namedtuple("Job", "site way rcpts message dsn password")
Done = namedtuple("Done", "code out")

# send: the function; ways: of WAYS; makes: what becomes of the message that it
# is given (`nothing', `trace' in front of it, a `mail' of its own with that
# text); rest: one refused recipient is no harm to the others; dsn: what it can
# ask for, but in the way where it says HELO
Client = namedtuple("Client", "send ways makes rest dsn helo",
                    defaults=(None,))


class Site:
    """The server under test as clients see it: the ports of its listeners,
    the authority that knows it, and a folder for what clients keep."""

    def __init__(self, peers, folder, ca, ports, closing):
        self.peers, self.folder, self.ca = peers, folder, ca
        self.ports = ports
        self._closing = closing
        self._postfix = None

    def postfix(self):
        """The Postfix that sends on to here."""
        if self._postfix is None:
            self._postfix = self._closing(Postfix(self))
        return self._postfix


def port(job):
    return job.site.ports[job.way.listener]


def run(job, root, *command, data=None):
    """A program of the packages unpacked in `root`."""
    env = dict(
        os.environ, HOME=job.site.folder, LANG="C.UTF-8",
        LD_LIBRARY_PATH=os.path.join(root, "usr/lib/x86_64-linux-gnu"),
        PERL5LIB=":".join(os.path.join(root, p) for p in (
            "usr/share/perl5", "usr/lib/x86_64-linux-gnu/perl5/5.36")),
        NODE_PATH=os.path.join(root, "usr/share/nodejs"))
    done = subprocess.run(command, input=data or b"", env=env,
                          cwd=job.site.folder, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=most(60))
    return Done(done.returncode, done.stdout.decode("utf-8", "replace"))


def lf(message):
    return message.replace(b"\r\n", b"\n")


def kept(job, data):
    """The data in a file; its path."""
    path = os.path.join(job.site.folder, "message")
    with open(path, "wb") as f:
        f.write(data)
    return path


def parts(message):
    """(subject, body) with LF, for programs that make the rest."""
    header, _, body = lf(message).partition(b"\n\n")
    line = [l for l in header.split(b"\n") if l.startswith(b"Subject: ")][0]
    return line[9:].decode(), body


def by_smtplib(job):
    context = pki.client_context(job.site.ca)
    kind = smtplib.SMTP_SSL if job.way.tls == "implicit" else smtplib.SMTP
    kw = {"context": context} if job.way.tls == "implicit" else {}
    with kind(HOST, port(job), timeout=most(60), **kw) as c:
        if job.way.tls == "starttls":
            c.starttls(context=context)
        c.ehlo_or_helo_if_needed()
        try:
            if job.way.mech:
                c.user, c.password = USER, job.password
                c.auth(job.way.mech, getattr(
                    c, "auth_" + job.way.mech.lower()))
            mail = ["BODY=8BITMIME"] if max(job.message) > 127 else []
            rcpt = []
            if job.dsn:
                mail += ["RET=HDRS", "ENVID=" + ENVELOPE_ID]
                rcpt = ["NOTIFY=SUCCESS,FAILURE"]
            c.sendmail(SENDER, job.rcpts, job.message, mail, rcpt)
        except smtplib.SMTPResponseException as err:
            return Done(1, repr(err))
    return Done(0, "")


def by_curl(job):
    scheme = "smtps" if job.way.tls == "implicit" else "smtp"
    args = ["--cacert", job.site.ca.file]
    if job.way.tls == "starttls":
        args.append("--ssl-reqd")
    if job.way.mech:
        args += ["--user", "%s:%s" % (USER, job.password),
                 "--login-options", "AUTH=" + job.way.mech]
    for rcpt in job.rcpts:
        args += ["--mail-rcpt", rcpt]
    return run(job, "/", "curl", "-sS", *args, "--mail-from", SENDER,
               "--mail-rcpt-allowfails", "-T", kept(job, job.message),
               "--url", "%s://%s:%d/curl.test" % (scheme, HOST, port(job)))


def by_swaks(job):
    root = job.site.peers.root(SWAKS)
    args = {"none": [], "starttls": ["-tls"], "implicit": ["-tlsc"]}[
        job.way.tls]
    if job.way.mech:
        args += ["--auth", job.way.mech, "--auth-user", USER,
                 "--auth-password", job.password]
    return run(job, root, os.path.join(root, "usr/bin/swaks"), "--server",
               HOST, "--port", str(port(job)), *args, "--pipeline",
               "--helo", "swaks.test", "--from", SENDER, "--to",
               ",".join(job.rcpts), "--hide-all", "--no-data-fixup", "--data",
               "@" + kept(job, stuff(job.message) + b".\r\n"))


def by_msmtp(job):
    root = job.site.peers.root(MSMTP)
    way = job.way
    args = ["--tls=" + ("off" if way.tls == "none" else "on"),
            "--tls-starttls=" + ("off" if way.tls == "implicit" else "on"),
            "--tls-trust-file=" + (
                "" if way.tls == "none" else job.site.ca.file)]
    if way.mech:
        args += ["--auth=" + way.mech.lower(), "--user=" + USER,
                 "--passwordeval=echo '%s'" % job.password]
    if job.dsn:
        args += ["--dsn-notify=success,failure", "--dsn-return=hdrs"]
    return run(job, root, os.path.join(root, "usr/bin/msmtp"), "--file=",
               "--host=" + HOST, "--port=%d" % port(job), *args,
               "--from=" + SENDER, "--", *job.rcpts, data=lf(job.message))


NET_SMTP = r"""
use strict; use Net::SMTP; use Authen::SASL;
my ($port, $tls, $ca, $mech, $password, $dsn, $from, @to) = @ARGV;
my @ca = (SSL_ca_file => $ca);
my $c = Net::SMTP->new('127.0.0.1', Port => $port, Hello => 'perl.test',
    $tls eq 'implicit' ? (SSL => 1, @ca) : ()) or die "connect: $@";
$tls ne 'starttls' or $c->starttls(@ca) or die $c->message;
$mech eq '' or $c->auth(Authen::SASL->new(mechanism => $mech,
    callback => {user => 'alice', authname => '', pass => $password}))
    or die $c->code . $c->message;
$c->mail($from, Bits => 8, $dsn ? (Return => 'HDRS', Envelope => $dsn) : ())
    or die $c->message;
$c->to(@to, {SkipBad => 1, $dsn ? (Notify => ['SUCCESS', 'FAILURE']) : ()})
    or die $c->message;
binmode STDIN;
$c->data or die $c->message;
while (sysread STDIN, my $part, 8191) { $c->datasend($part) or die }
$c->dataend or die $c->message;
$c->quit;
"""


def by_net_smtp(job):
    way = job.way
    return run(job, job.site.peers.root(PERL), "perl", "-e", NET_SMTP,
               str(port(job)), way.tls, job.site.ca.file, way.mech or "",
               job.password, ENVELOPE_ID if job.dsn else "", SENDER,
               *job.rcpts, data=job.message)


def by_git(job):
    root = job.site.peers.root(PERL)
    args = [] if job.way.tls == "none" else [
        "--smtp-ssl-cert-path=" + job.site.ca.file, "--smtp-encryption=" +
        ("ssl" if job.way.tls == "implicit" else "tls")]
    if job.way.mech:
        args += ["--smtp-user=" + USER, "--smtp-pass=" + job.password,
                 "--smtp-auth=" + job.way.mech]
    return run(job, root, "perl",
               os.path.join(root, "usr/lib/git-core/git-send-email"),
               "--smtp-server=" + HOST, "--smtp-server-port=%d" % port(job),
               "--smtp-domain=git.test", *args, "--from=" + SENDER,
               "--confirm=never", "--suppress-cc=all", "--quiet",
               "--transfer-encoding=auto", *("--to=" + r for r in job.rcpts),
               kept(job, lf(job.message)))


def by_mutt(job):
    root = job.site.peers.root(MUTT)
    subject, body = parts(job.message)
    way = job.way
    login = USER + "@" if way.mech else ""
    words = {
        "smtp_url": "%s://%s%s:%d" % (
            "smtps" if way.tls == "implicit" else "smtp", login, HOST,
            port(job)),
        "ssl_starttls": "yes" if way.tls == "starttls" else "no",
        "ssl_force_tls": "no" if way.tls == "none" else "yes",
        "certificate_file": job.site.ca.file, "smtp_pass": job.password,
        "smtp_authenticators": (way.mech or "").lower(), "from": SENDER,
        "use_envelope_from": "yes", "envelope_from_address": SENDER,
        "hostname": "mutt.test", "copy": "no", "charset": "utf-8",
        "use_8bitmime": "yes",
        "dsn_notify": "success,failure" if job.dsn else "",
        "dsn_return": "hdrs" if job.dsn else ""}
    path = os.path.join(job.site.folder, "muttrc")
    with open(path, "w") as f:
        f.writelines('set %s="%s"\n' % w for w in words.items())
    return run(job, root, os.path.join(root, "usr/bin/mutt"), "-n", "-F",
               path, "-s", subject, "--", *job.rcpts, data=body)


NODE = r"""
const [port, tls, ca, mech, password, dsn, from, ...to] =
	process.argv.slice(1);
const fs = require('fs');
const transport = require('nodemailer').createTransport({
	host: '127.0.0.1', port: +port, name: 'node.test',
	secure: tls === 'implicit', requireTLS: tls === 'starttls',
	ignoreTLS: tls === 'none', tls: {ca: fs.readFileSync(ca)},
	auth: mech ? {user: 'alice', pass: password} : undefined,
	authMethod: mech || undefined});
transport.sendMail({
	envelope: {from, to, use8BitMime: true}, raw: fs.readFileSync(0),
	dsn: dsn ? {id: dsn, return: 'headers',
		notify: ['success', 'failure']} : undefined
}).catch(err => { console.error(err); process.exitCode = 1; });
"""


def by_nodemailer(job):
    way = job.way
    return run(job, job.site.peers.root(NODEMAILER), "node", "-e", NODE, "--",
               str(port(job)), way.tls, job.site.ca.file, way.mech or "",
               job.password, ENVELOPE_ID if job.dsn else "", SENDER,
               *job.rcpts, data=job.message)


EXIM_CONF = """
primary_hostname = exim.client.test
spool_directory = %(dir)s/spool
log_file_path = %(dir)s/%%slog
log_selector = +pipelining
exim_user = Debian-exim
exim_group = Debian-exim
trusted_users = root
never_users =
local_from_check = false
keep_environment =
dsn_advertise_hosts = *
message_size_limit = 60M
acl_not_smtp_start =
acl_smtp_rcpt = all
begin acl
all:
  accept
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = %(port)d
  protocol = %(protocol)s
  hosts_require_tls = %(tls)s
  hosts_avoid_tls = %(clear)s
  tls_verify_certificates = %(ca)s
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  hosts_require_auth = %(auth)s
begin authenticators
only:
  driver = plaintext
  public_name = %(mech)s
  client_send = %(send)s
"""


def by_exim(job):
    """Its local SMTP takes what the command line cannot say."""
    way = job.way
    conf = os.path.join(job.site.folder, "exim.conf")
    send = {"PLAIN": "^%s^%s", "LOGIN": ": %s : %s"}[way.mech or "PLAIN"]
    with open(conf, "w") as f:
        f.write(EXIM_CONF % dict(
            dir=job.site.folder, port=port(job), ca=job.site.ca.file,
            protocol="smtps" if way.tls == "implicit" else "smtp",
            tls="*" if way.tls == "starttls" else "",
            clear="" if way.tls == "starttls" else "*",
            auth="*" if way.mech else "", mech=way.mech or "PLAIN",
            send=send % (USER, job.password)))
    os.chmod(job.site.folder, 0o777)
    command = laid_over(job.site.peers.root(EXIM), "/usr/sbin/exim4", "-C",
                        conf, "-odf", "-bs")
    return run(job, "/", *command, data=dialogue(job))


def dialogue(job):
    """What a client says that waits for nothing."""
    mail = " RET=HDRS ENVID=" + ENVELOPE_ID if job.dsn else ""
    rcpt = " NOTIFY=SUCCESS,FAILURE" if job.dsn else ""
    lines = ["EHLO here.test", "MAIL FROM:<%s>%s" % (SENDER, mail)]
    lines += ["RCPT TO:<%s>%s" % (r, rcpt) for r in job.rcpts] + ["DATA", ""]
    return "\r\n".join(lines).encode() + stuff(job.message) + \
        b".\r\nQUIT\r\n"


POSTFIX_CONF = """
compatibility_level = 3.6
queue_directory = %(dir)s/queue
data_directory = %(dir)s/data
meta_directory = %(dir)s
maillog_file = %(dir)s/log
maillog_file_prefixes = %(dir)s
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.client.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:%(port)d
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
alias_maps =
local_recipient_maps =
message_size_limit = 52428800
smtp_tls_CAfile = %(ca)s
smtp_sasl_password_maps = inline:{{127.0.0.1 = %(user)s:%(password)s}}
smtp_sasl_security_options =
smtp_sasl_tls_security_options =
"""

POSTFIX_SERVICES = """
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
smtp      unix  - - n -     - smtp
error     unix  - - n -     - error
retry     unix  - - n -     - error
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

POSTFIX_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush",
                  "hold", "incoming", "maildrop", "pid", "private", "public",
                  "saved", "trace")


class Postfix(Server):
    """A door for each way: what comes in there leaves in this way."""

    def __init__(self, site):
        if not site.peers.space.private:
            pytest.skip("Postfix needs root to be started with our accounts")
        root = site.peers.root(POSTFIX)
        self.folder = os.path.join(site.folder, "postfix")
        self.address = HOST
        self.doors = {way: free_port() for way in WAYS.values()}
        self.port = self.doors[WAYS["clear"]]
        os.mkdir(self.folder)
        for name in ("data", *("queue/" + q for q in POSTFIX_QUEUES)):
            os.makedirs(os.path.join(self.folder, name))
        subprocess.run("chown -R postfix data queue/* && chown root queue/pid "
                       "&& chgrp postdrop queue/maildrop queue/public && "
                       "chmod 730 queue/maildrop && chmod 710 queue/public",
                       shell=True, check=True, cwd=self.folder)
        with open(os.path.join(self.folder, "main.cf"), "w") as f:
            f.write(POSTFIX_CONF % dict(
                dir=self.folder, port=site.ports["smtp"], ca=site.ca.file,
                user=USER, password=PASSWORD))
        with open(os.path.join(self.folder, "master.cf"), "w") as f:
            f.write(POSTFIX_SERVICES)
            for name, way in WAYS.items():
                f.writelines(self.services(name, way, site.ports))
        self.launch(laid_over(root, "/usr/lib/postfix/sbin/master", "-d",
                              "-c", self.folder))
        self.wait_port()

    def services(self, name, way, ports):
        """The door and what sends on."""
        yield "%s:%d inet n - n - - smtpd -o content_filter=%s:[%s]:%d\n" % (
            HOST, self.doors[way], name, HOST, ports[way.listener])
        yield "%s unix - - n - - smtp -o smtp_tls_security_level=%s\n" % (
            name, "none" if way.tls == "none" else "verify")
        if way.tls == "implicit":
            yield "  -o smtp_tls_wrappermode=yes\n"
        if way.mech:
            yield "  -o smtp_sasl_auth_enable=yes\n" \
                "  -o smtp_sasl_mechanism_filter=%s\n" % way.mech.lower()


def by_postfix(job):
    """smtplib hands it to the Postfix that sends on in this way."""
    postfix = job.site.postfix()
    door = copy.copy(job.site)
    door.ports = {"smtp": postfix.doors[job.way]}
    return by_smtplib(job._replace(site=door, way=WAYS["clear"]))


CLIENTS = {
    "smtplib": Client(by_smtplib, MOST, "nothing", True,
                      ("RET", "ENVID", "NOTIFY")),
    "curl": Client(by_curl, MOST, "nothing", True, ()),
    "swaks": Client(by_swaks, MOST, "nothing", True, ()),
    "msmtp": Client(by_msmtp, ALL, "nothing", False, ("RET", "NOTIFY")),
    "net-smtp": Client(by_net_smtp, MOST, "nothing", True,
                       ("RET", "ENVID", "NOTIFY")),
    "git": Client(by_git, MOST, "mail", False, ()),
    "mutt": Client(by_mutt, ALL, "mail", False, ("RET", "NOTIFY"), "clear"),
    "nodemailer": Client(by_nodemailer, MOST, "nothing", True,
                         ("RET", "ENVID", "NOTIFY")),
    "exim": Client(by_exim, MOST, "trace", True, ("RET", "ENVID", "NOTIFY")),
    "postfix": Client(by_postfix, ALL, "trace", True,
                      ("RET", "ENVID", "NOTIFY")),
}
