"""What the README says, typed as it stands there, on machines of its own."""

import os
import re

import pytest

from harness import machine
from harness.hauberk import SBIN
from harness.peers import CLIENTS
from harness.wait import most

pytestmark = [pytest.mark.root, pytest.mark.limit(600)]

# a build tree made with the README's own words for configure
BUILD = os.environ.get("HAUBERK_BUILD")
USERS = "alice", "bob"
SITE, APPLIANCE = "192.0.2.17", "192.0.2.18"


def readme():
    path = os.path.join(os.path.dirname(__file__), "../../README")
    with open(path) as f:
        return f.read()


def blocks(heading):
    """The indented blocks below a heading, in order, without the indent."""
    text = readme()
    start = text.index("\n%s\n-" % heading)
    end = re.compile(r"\n\n\n").search(text, start).start()
    found = re.findall(r"(?:^    .*\n)+", text[start:end] + "\n", re.M)
    return [re.sub(r"^    ", "", b, flags=re.M) for b in found]


def commands(block):
    """The first column of lines like `hauberkd -n     checks ...'."""
    return [re.split(r"\s{3,}", line)[0] for line in block.splitlines()]


@pytest.fixture(scope="module")
def programs(peers):
    return os.path.join(peers.root(CLIENTS), "usr")


@pytest.fixture
def machines(space, folder, programs):
    if not SBIN or not BUILD:
        pytest.skip("HAUBERK_BUILD names no build tree")
    with machine.Machine(folder, "mail.example.org", programs) as site, \
            machine.Machine(folder, "box.example.org", programs) as box:
        machine.join(site, box, (SITE + "/28", APPLIANCE + "/28"))
        for m in (site, box):
            prepare(m)
        yield site, box


def prepare(m):
    """A plain host with two people, and what `make install' puts on it."""
    m.write("/etc/hosts", "127.0.0.1 localhost\n%s mail.example.org mail\n"
            "%s box.example.org box\n" % (SITE, APPLIANCE))
    for user in USERS:
        m.sh("useradd --create-home --shell /bin/sh " + user)
    install = blocks("Try it")[1].splitlines()[-1].split(" && ")[-1]
    m.sh("cd %s && %s" % (BUILD, install))


def configure(m, ca, conf, aliases):
    m.write("/etc/mail/hauberk.conf", conf)
    m.write("/etc/mail/aliases", aliases)
    with open(ca.file) as f:
        m.write("/etc/ssl/certs/ca-certificates.crt", f.read())


def certificates(m, ca):
    cert = ca.issue("mail.example.org")
    for name, path, mode in (("chain", cert.chain, 0o644),
                             ("key", cert.key, 0o600)):
        with open(path) as f:
            m.write("/etc/mail/tls/%s.pem" % name, f.read(), mode)


def make_accounts(m):
    """The commands that `hauberkd -n' names."""
    said = m.sh("hauberkd -n 2>&1", code=78)
    named = re.findall(r"is missing; make it with: (.*)", said)
    assert named, said
    m.sh(" && ".join(named))


def begin(m):
    """The last block, as it stands; what `hauberkctl status' printed."""
    check, start, status, mailq = commands(blocks("A first configuration")[-1])
    assert "nobody reads" not in m.sh(check + " 2>&1")
    m.sh(start)
    m.sh(mailq)
    return m.sh(status)


def arrived(m, user, subject):
    """The one message with that subject in the user's Maildir."""
    text = m.wait_for("cat /home/%s/Maildir/new/* | grep -A 99 -B 99 "
                      "'^Subject: %s'" % (user, subject), subject)
    assert text.count("Subject: " + subject) == 1, text
    return text


def send_as_user(m, to):
    """Each way that people and programs of a host have; {subject: who}."""
    m.sh("printf 'Subject: by-sendmail\\n\\nHello.\\n' | sendmail " + to,
         user="bob")
    m.sh("printf 'Subject: by-path\\n\\nHello.\\n' | /usr/lib/sendmail -oi "
         + to, user="bob")
    m.sh("echo Hello. | bsd-mailx -s by-mailx " + to, user="bob")
    m.sh("echo Hello. | mutt -s by-mutt " + to, user="bob")
    m.sh("php8.2 -n -r 'mail(\"%s\", \"by-php\", \"Hello.\") or exit(1);'"
         % to, user="bob")
    m.sh("perl -MMail::Mailer -e '$m = Mail::Mailer->new(\"sendmail\"); "
         "$m->open({To => \"%s\", Subject => \"by-perl\"}); "
         "print $m \"Hello.\\n\"; $m->close or exit 1'" % to.replace("@", "\\@"),
         user="bob")
    return "by-sendmail", "by-path", "by-mailx", "by-mutt", "by-php", "by-perl"


def curl(m, url, to, subject, *more):
    m.sh("printf 'Subject: %s\\r\\n\\r\\nHello.\\r\\n' | curl -sS --fail -T - "
         "--url %s --mail-from alice@example.org --mail-rcpt %s %s"
         % (subject, url, to, " ".join(more)))


def run_cron(m):
    """A job of bob and one of root print something as cron starts."""
    m.sh("mkdir -p -m 730 /var/spool/cron/crontabs")
    for user in "bob", "root":
        m.sh("echo '@reboot echo from-%s' | crontab -u %s -" % (user, user))
    m.sh("rm -f /run/crond.reboot; cron")


def check_samples(m):
    """What an installation has beside programs is of use as it is."""
    examples = "/usr/share/doc/hauberk/examples"
    for page in ("man8/sendmail.8", "man1/mailq.1", "man1/newaliases.1",
                 "man5/aliases.5", "man8/makemap.8"):
        assert ".Dt HAUBERK-" in m.read("/usr/share/man/" + page)
    assert "ExecStart=/usr/sbin/hauberkd -d" in m.read(
        "/usr/lib/systemd/system/hauberk.service")
    m.sh("cp %s/aliases.sample /etc/mail/aliases && "
         "echo 'root: alice' >>/etc/mail/aliases && "
         "hauberkd -n -f %s/hauberk.conf.sample" % (examples, examples))
    m.sh("logrotate -d %s/logrotate" % examples)


def test_S_3_S_15_readme_site_and_appliance(machines, ca):
    """make install, accounts, configuration, start, in the README's order:
    a site with users, and an appliance that hands it everything."""
    site, box = machines
    part = blocks("A first configuration")
    configure(site, ca, part[0], part[1])
    certificates(site, ca)
    make_accounts(site)
    site.sh(part[2].replace("openssl passwd -6", "openssl passwd -6 secret"))
    assert "running" in begin(site)
    for subject in send_as_user(site, "alice"):
        arrived(site, "alice", subject)
    login = "--user alice:secret --ssl-reqd"
    curl(site, "smtp://mail.example.org:587/me", "bob@example.org", "by-587",
         login)
    curl(site, "smtps://mail.example.org:465/me", "bob@example.org", "by-465",
         login)
    arrived(site, "bob", "by-587")
    arrived(site, "bob", "by-465")
    run_cron(site)
    arrived(site, "bob", "Cron <bob@mail")
    assert "from-root" in arrived(site, "alice", "Cron <root@mail")

    configure(box, ca, part[3], part[4])
    make_accounts(box)
    begin(box)
    for subject in send_as_user(box, "bob@example.org"):
        arrived(site, "bob", subject)
    curl(box, "smtp://127.0.0.1/me", "bob@example.org", "by-25")
    arrived(site, "bob", "by-25")
    run_cron(box)
    text = arrived(site, "alice", "Cron <root@box")
    assert "\nFrom: root@box.example.org (Cron Daemon)\n" in text
    assert "\nTo: root@box.example.org\n" in text
    assert "by mail.example.org" in text and "TLSv1.3" in text
    for m in (site, box):
        assert m.sh("hauberkctl --json queue").strip() == "[]"
        m.sh("hauberkctl stop")
    check_samples(site)


def clone(m, user):
    """The sources as a fresh clone has them, in the user's home."""
    top = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
    m.sh("cd %s && tar cf - --exclude=./build --exclude='./build-*' "
         "--exclude=./demo --exclude=./.git --exclude=./configure "
         "--exclude=./Makefile.in . | (mkdir /home/%s/clone && "
         "cd /home/%s/clone && tar xf - && chown -R %s: .)"
         % (top, user, user, user))


def test_bootstrap_run(folder):
    """./bootstrap run, then the lines that it prints, by a plain user."""
    with machine.Machine(folder, "clone") as m:
        m.sh("useradd --create-home --shell /bin/sh bob")
        clone(m, "bob")

        def there(line, timeout=most(60)):
            return m.sh("cd /home/bob/clone && " + line, user="bob",
                        timeout=timeout)
        said = there("./bootstrap run 2>../err", most(500))
        assert "hauberk.conf:" not in m.read("/home/bob/err")  # no warning
        lines = said[said.index("\n# Hauberk runs"):].splitlines()[2:]
        assert len(lines) == 8, lines
        *typed, stop = lines
        out = {line: there(line) for line in typed[:2]}
        m.wait_for("ls /home/bob/clone/demo/mail/alice/new | grep -c . | "
                   "grep 2", "two messages")
        out.update({line: there(line) for line in typed[2:]})
        assert out[typed[2]].count("Subject: hello") == 2
        assert "running" in out["demo/sbin/hauberkctl status"]
        assert out[typed[6]].count("ev=accept") == 2
        there(stop)
        m.wait_for("! pgrep hauberkd", "an end of hauberkd")
