"""Slow look-ups: one client waits, the others are served."""

import os
import shutil
import subprocess
import threading
import time

import pytest

from harness import client, peers as peersmod
from harness.client import Client, Closed
from harness.hauberk import free_port
from harness.wait import Watch, most, until

# a password hash that takes minutes to check
SLOW_HASH = "$6$rounds=99999999$saltsalt$" + "x" * 86

NSS_MODULE = r"""
#include <nss.h>
#include <poll.h>
#include <pwd.h>
#include <string.h>
enum nss_status _nss_hang_getpwnam_r(const char *name, struct passwd *pw,
    char *buf, size_t size, int *err);
enum nss_status
_nss_hang_getpwnam_r(const char *name, struct passwd *pw, char *buf,
    size_t size, int *err)
{
	(void)pw, (void)buf, (void)size, (void)err;
	while (strncmp(name, "hang", 4) == 0)
		(void)poll(NULL, 0, 100);
	return NSS_STATUS_NOTFOUND;
}
"""


def in_background(action):
    """Run an action in a thread; its result list fills when it ends."""
    out = []

    def run():
        try:
            out.append(action())
        except (OSError, Closed) as err:
            out.append(err)
    threading.Thread(target=run, daemon=True).start()
    return out


def served_quickly(hb, rcpt):
    """Other clients are served within two seconds."""
    for i in range(3):
        watch = Watch(hb)
        hb.send("a@client.test", rcpt, client.text("other %d" % i))
        assert watch.seconds() < 2


def wait_for(answers, timeout=most(70)):
    """Wait until every background action has ended."""
    until(lambda: all(answers), timeout, "an answer to the slow client")


@pytest.mark.alone
def test_slow_password_check(make_server):
    """A check that takes minutes: others go on, the client gets 4xx."""
    hb = make_server(start=False)
    port = free_port()
    hb.write("passwd", "slow:%s\n" % SLOW_HASH)
    hb.configure(["listen 127.0.0.1:%d smtp" % hb.port,
                  "listen 127.0.0.1:%d submissions" % port,
                  "auth passwd-file " + hb.path("passwd")])
    hb.start()

    def login():
        with Client("127.0.0.1", port, tls=True, timeout=most(70)) as c:
            c.ehlo()
            return c.auth_plain("slow", "x").code
    answers = [in_background(login) for _ in range(2)]
    time.sleep(0.5)
    served_quickly(hb, "alice@hb.test")
    wait_for(answers)
    assert [a[0] for a in answers] == [454, 454]


@pytest.fixture
def hanging_nss(folder):
    """A command prefix under which passwd look-ups of `hang*` hang."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler for the NSS module")
    triple = subprocess.run([compiler, "-print-multiarch"], check=True,
                            capture_output=True, text=True).stdout.strip()
    place = os.path.join(folder, "usr/lib", triple)
    os.makedirs(place)
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o",
                    os.path.join(place, "libnss_hang.so.2")],
                   input=NSS_MODULE, check=True, text=True)
    switch = os.path.join(folder, "nsswitch.conf")
    with open(switch, "w") as f:
        f.write("passwd: files hang\ngroup: files\nhosts: files\n")
    return peersmod.laid_over(
        folder, "sh", "-c",
        'mount --bind %s /etc/nsswitch.conf && exec "$@"' % switch, "sh")


@pytest.mark.alone
@pytest.mark.root
def test_hanging_nss_module(make_server, hanging_nss):
    """An NSS module that hangs: others go on, the client gets 4xx."""
    hb = make_server(start=False, drop=("local-users",), wrap=hanging_nss)
    hb.configure(hb.lines)
    hb.start()

    def ask():
        with hb.client(timeout=most(70)) as c:
            c.ehlo()
            return c.envelope("a@client.test", "hanger@hb.test")[1].code
    answer = in_background(ask)
    time.sleep(0.5)
    served_quickly(hb, "hbalice@hb.test")
    wait_for([answer])
    assert 400 <= answer[0] < 500
