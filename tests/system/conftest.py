"""Fixtures of the system tests. See README.md beside this file."""

import os
import shutil
import signal
import tempfile
import threading

import pytest

from harness import dns as dnsmod
from harness import hauberk as hauberkmod
from harness import mx as mxmod
from harness import peers as peersmod
from harness import pki, policyhost, space as spacemod, turns, wait

DEFAULT_LIMIT_S = 90


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true",
                     help="heavy loads, all kill rounds, both modes for all")
    parser.addoption("--turns", metavar="FOLDER",
                     help="take turns with all others who name it")


def pytest_configure(config):
    for line in (
            "limit(seconds): how long the test may take (90)",
            "both: run as root and unprivileged in the quick set too",
            "root: needs accounts of its own, so root only",
            "alone: measures time or loads the machine; nothing beside it"):
        config.addinivalue_line("markers", line)
    # old TLS versions are what some tests are about
    config.addinivalue_line("filterwarnings",
                            "ignore:ssl.TLSVersion:DeprecationWarning")
    # so that servers are ended when the run itself is ended
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(Several(config.option.turns))
        return
    config.turns = config.option.turns
    worker = getattr(config, "workerinput", None)
    if worker:
        config.turns = worker["turns"]
        _addresses.net += worker["index"]
    config.space = spacemod.Space()
    if os.geteuid() == 0:
        config.space.enter()
        sbin = hauberkmod.SBIN
        if sbin and os.path.isdir(sbin):
            config.space.own_copy(os.path.dirname(sbin))


def pytest_unconfigure(config):
    if hasattr(config, "space"):
        config.space.leave()


class Several:
    """The process that hands the tests to others (-n of pytest-xdist).

    Each of those has namespaces of its own; this one runs no test."""

    def __init__(self, turns):
        self.made = None if turns else tempfile.mkdtemp(prefix="hauberk-turns-")
        self.turns = os.path.abspath(turns or self.made)

    def pytest_configure_node(self, node):
        node.workerinput["turns"] = self.turns
        node.workerinput["index"] = int(
            node.workerinput["workerid"].removeprefix("gw"))

    def pytest_unconfigure(self):
        if self.made:
            shutil.rmtree(self.made, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """First what may take long, last what runs alone."""
    items.sort(key=lambda item: (
        item.get_closest_marker("alone") is not None,
        -_limit(item)))


def _limit(item):
    marker = item.get_closest_marker("limit")
    return marker.args[0] if marker else DEFAULT_LIMIT_S


def pytest_generate_tests(metafunc):
    """Give tests that take `mode` the modes that are possible here."""
    if "mode" not in metafunc.fixturenames:
        return
    can_root = os.geteuid() == 0
    marks = {m.name for m in metafunc.definition.iter_markers()}
    if "root" in marks:
        modes = ["root"] if can_root else []
    elif can_root and ("both" in marks or metafunc.config.option.full):
        modes = ["plain", "root"]
    else:
        modes = ["plain"]
    metafunc.parametrize("mode", modes)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test and all that belongs to it has one turn."""
    alone = item.get_closest_marker("alone") is not None
    with turns.turn(item.config.turns, alone):
        yield


def _limited(item):
    """End what hangs.  Each part of a test has the time for itself: what
    is set up may be for many tests."""
    with wait.limit(_limit(item)):
        yield


pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = \
    pytest.hookimpl(hookwrapper=True, tryfirst=True)(_limited)


@pytest.fixture(scope="session")
def full(pytestconfig):
    return pytestconfig.option.full


@pytest.fixture(scope="session")
def space(pytestconfig):
    return pytestconfig.space


@pytest.fixture(scope="session")
def peers(space):
    return peersmod.Peers(space)


@pytest.fixture(scope="session")
def ca(space):
    return pki.CA(os.path.join(space.folder, "ca"))


@pytest.fixture(scope="session")
def other_ca(space):
    """An authority that nobody trusts."""
    return pki.CA(os.path.join(space.folder, "other-ca"), "Other CA")


class _Addresses:
    """Loopback addresses, each given out once."""

    def __init__(self):
        self.net = 77
        self._lock = threading.Lock()
        self._next = (os.getpid() % 200) << 8

    def __call__(self):
        with self._lock:
            self._next += 1
            return "127.%d.%d.%d" % (self.net, self._next >> 8 & 255,
                                     self._next & 255)


_addresses = _Addresses()


@pytest.fixture
def address():
    return _addresses


@pytest.fixture
def folder(space, request):
    """A folder of this test, readable by all."""
    path = os.path.join(space.folder, "t" + os.urandom(4).hex())
    os.mkdir(path, 0o755)
    return path


@pytest.fixture
def dns():
    server = dnsmod.DnsServer()
    yield server
    server.close()


@pytest.fixture
def policies(ca):
    host = policyhost.PolicyHost(ca)
    yield host
    host.close()


@pytest.fixture
def mx_factory():
    """Mx(...) that are closed at the end."""
    made = []

    def make(*args, **kw):
        made.append(mxmod.Mx(*args, **kw))
        return made[-1]
    yield make
    for m in made:
        m.close()


@pytest.fixture
def closing():
    """Close what is handed over when the test ends."""
    made = []

    def keep(thing):
        made.append(thing)
        return thing
    yield keep
    for thing in reversed(made):
        thing.close()


def _need_server():
    if not hauberkmod.SBIN:
        pytest.skip("HAUBERK_SBIN does not name an installed tree's sbin")
    program = os.path.join(hauberkmod.SBIN, "hauberkd")
    assert os.access(program, os.X_OK), "no program " + program


@pytest.fixture(scope="session")
def empty_dns():
    """A name server that knows no name; it answers, and at once."""
    server = dnsmod.DnsServer()
    yield server
    server.close()


@pytest.fixture
def make_server(space, mode, empty_dns):
    """make_server(lines, start=True, ...) gives a running Hauberk."""
    _need_server()
    made = []

    def make(lines=(), start=True, **kw):
        server = hauberkmod.Hauberk(space, mode, lines, empty_dns, **kw)
        made.append(server)
        return server.start() if start else server
    yield make
    deaths = [d for server in made for d in server.deaths()]
    for server in made:
        server.close()
    assert not deaths, "roles that died of themselves"


@pytest.fixture
def server(make_server):
    """A running server with the default test configuration."""
    return make_server()


@pytest.fixture
def world(make_server, dns, policies, ca, mx_factory, address):
    """A small internet; see World."""
    return World(make_server, dns, policies, ca, mx_factory, address)


class World:
    """Domains with MX hosts and policies, and servers that can reach them.

    All MX hosts listen on one port, each on an address of its own."""

    def __init__(self, make_server, dns, policies, ca, mx_factory, address):
        self._make_server = make_server
        self._mx_factory = mx_factory
        self._address = address
        self.dns = dns
        self.policies = policies
        self.ca = ca
        self.port = hauberkmod.free_port()

    def host(self, name, cert="good", address=None, **kw):
        """An MX host with an address record; cert None means no TLS."""
        if cert == "good":
            cert = self.ca.issue(name)
        address = address or self._address()
        self.dns.set(name, "A", address)
        return self._mx_factory(address, self.port, cert=cert, name=name,
                                **kw)

    def domain(self, name, *hosts, cert="good", **kw):
        """MX records for hosts `preference name`; the MX servers made."""
        hosts = hosts or ("10 mx." + name,)
        self.dns.set(name, "MX", *hosts)
        made = [self.host(h.split()[1], cert=cert, **kw) for h in hosts]
        return made[0] if len(made) == 1 else made

    def policy(self, domain, mode="enforce", mxs=None, ident="1", **kw):
        """Publish a policy and its TXT record."""
        mxs = ["mx." + domain] if mxs is None else mxs
        text = policyhost.policy(mode, mxs, **kw)
        self.txt(domain, ident)
        return self.policies.site(domain, text)

    def txt(self, domain, ident):
        self.dns.set("_mta-sts." + domain, "TXT", "v=STSv1; id=%s;" % ident)

    def lines(self):
        """The configuration lines that lead into this world."""
        return ["resolver %s" % self.dns, "smtp-port %d" % self.port,
                "policy-port %d" % self.policies.port,
                "policy-address " + self.policies.address,
                "ca-file " + self.ca.file]

    def server(self, lines=(), **kw):
        return self._make_server(self.lines() + list(lines), **kw)
