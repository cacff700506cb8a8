"""Many clients that are connected and say nothing."""

import resource

import pytest

from harness.wait import Watch
from test_dns import anonymous_kib

SESSIONS = 2000
# of smtpd's memory, for each
CLEAR_KIB = 8
TLS_KIB = 40
GREETING_S = 0.05


@pytest.fixture
def descriptors():
    """Enough for both ends of all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (max(soft, SESSIONS + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory_kib(hb):
    return sum(anonymous_kib(pid) for pid in hb.role("smtpd"))


@pytest.mark.alone
@pytest.mark.limit(600)
@pytest.mark.parametrize("tls, most", [(False, CLEAR_KIB), (True, TLS_KIB)],
                         ids=["clear", "tls"])
def test_idle_sessions(make_server, full, descriptors, tls, most):
    """2,000 sessions behind EHLO: what each takes of smtpd, and a greeting
    meanwhile."""
    if not full:
        pytest.skip("with --full")
    hb = make_server(["workers smtpd=1", "max-sessions %d" % (2 * SESSIONS),
                      "max-sessions-per-client %d" % (2 * SESSIONS)])

    def come():
        c = hb.client()
        c.ehlo()
        if tls:
            c.starttls()
            c.ehlo()
        return c
    come().close()
    before = memory_kib(hb)
    there = [come() for _ in range(SESSIONS)]
    each = (memory_kib(hb) - before) / SESSIONS
    print("%.1f KiB each" % each)
    assert each < most
    for _ in range(10):
        watch = Watch(hb)
        with hb.client() as c:
            assert c.greeting.code == 220
        assert watch.seconds() < GREETING_S
    for c in there:
        c.close()
