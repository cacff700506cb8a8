"""Long lists, many aliases, a long queue: others are served meanwhile."""

import threading

import pytest

from harness import client
from harness.wait import slowness, until

# of a role's processor, without hearing anybody; twice what is aimed at,
# since one step of the machine's clock is up to 4 ms, and caches are cold
TURN_MS = 40


class Others:
    """A client that asks for a recipient again and again."""

    def __init__(self, server):
        self.server = server
        self.answered = 0
        self.failed = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        assert self.failed is None, self.failed

    def _ask(self):
        try:
            with self.server.client() as c:
                c.ehlo()
                while not self.stop.is_set():
                    c.cmd("MAIL FROM:<a@client.test>")
                    assert c.cmd("RCPT TO:<alice@hb.test>").code == 250
                    c.cmd("RSET")
                    self.answered += 1
        except Exception as e:  # pylint: disable=broad-except
            self.failed = e


def check_turns(server):
    """No role worked for long without hearing others."""
    rows = {r["role"]: r.get("longest_turn_ms", 0)
            for r in server.ctl("status", json=True)["roles"]}
    print("longest turns in ms:", rows)
    if max(rows.values()) > TURN_MS:
        assert max(rows.values()) <= TURN_MS * slowness(), rows


def members(count, domain):
    return "".join("u%d@%s\n" % (i, domain) for i in range(count))


def aliases(server, count):
    """A file of COUNT aliases; one is a list of as many members."""
    server.write("list", members(count, "bulk.test"))
    server.write("aliases", "many: :include:%s\n" % server.path("list") +
                 "".join("a%d: alice\n" % i for i in range(count)))
    return ["aliases text:%s" % server.path("aliases")]


def count_of(full):
    return 100000 if full else 10000


@pytest.mark.limit(300)
def test_A_2_a_list_with_many_members(make_server, full):
    """Each member gets a delivery; others get their answers meanwhile."""
    server = make_server(start=False)
    server.configure(aliases(server, count_of(full)) +
                     ["route bulk.test discard:"])
    server.start()
    with Others(server) as others:
        server.send("a@client.test", "many@hb.test", client.text("list"))
        before = others.answered
        server.wait_empty(240)
        assert others.answered > before + 5
    check_turns(server)


@pytest.mark.limit(300)
def test_A_2_aliases_change(make_server, full):
    """A long file of aliases that changed is read without a halt."""
    server = make_server(start=False)
    server.configure(aliases(server, count_of(full)))
    server.start()
    with Others(server) as others:
        for i in range(3):
            server.write("aliases", "new%d: alice\n" % i +
                         "".join("b%d: alice\n" % j
                                 for j in range(count_of(full))))
            until(lambda: _is_known(server, "new%d@hb.test" % i), 60,
                  "alias new%d" % i)
        assert others.answered > 5
    check_turns(server)


def _is_known(server, address):
    with server.client() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<a@client.test>")
        return c.cmd("RCPT TO:<%s>" % address).code == 250


@pytest.mark.limit(900)
def test_A_2_a_long_queue_is_listed_and_removed(make_server, full):
    """Listing, holding and removing a long queue holds up nobody."""
    server = make_server(start=False)
    count, messages = count_of(full), 10 if full else 2
    server.configure(aliases(server, count) +
                     ["route bulk.test smtp://127.0.0.1:9"])
    server.start()
    for _ in range(messages):
        server.send("a@client.test", "many@hb.test", client.text("list"))
    until(lambda: _rows(server) >= count * messages, 600, "rows", step=0.5)
    check_turns(server)
    server.stop()  # no envelope is in memory any more
    server.start()
    with Others(server) as others:
        for command in (("queue",), ("hold", "all"), ("queue", "bulk.test"),
                        ("release", "all"), ("flush", "all"),
                        ("remove", "bulk.test")):
            before = others.answered
            assert server.ctl(*command).code == 0
            until(lambda: others.answered > before, 20, "an answer")
    server.wait_empty(120)
    check_turns(server)


def _rows(server):
    return server.ctl("stats", json=True)["now"]["queue_recipients"]
