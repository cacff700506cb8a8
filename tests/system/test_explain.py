"""hauberkctl explain: what delivery would do, and why, for a person."""
import pytest

from harness import client
from test_sts import ATTACKS, Attack


def page(hb, *args):
    told = hb.ctl("explain", *args)
    assert told.code == 0, told
    return told.out


def test_show(world, other_ca):
    mx = world.domain("far.test", "10 mx.far.test", "20 evil.test")
    world.policy("far.test")
    hb = world.server(["tls-policy lax.test encrypt until=2027-12-31 reason=\"wrong certificate, they know\""])
    print(page(hb, "x@far.test"))
    print(page(hb, "x@far.test", "--live"))
    world.domain("lax.test")
    print(page(hb, "x@lax.test", "--live"))
    print(page(hb, "alice@hb.test"))
    print(page(hb, "nobody@hb.test"))
    print(page(hb, "x@nodomain.test"))
    print(page(hb, "x@[127.0.0.1]"))
    print(page(hb, "far.test"))
    world.dns.set("null.test", "MX", "0 .")
    print(page(hb, "x@null.test"))
    Attack(world, "name", mx[0], other_ca)
    mx[0].cut()
    print(page(hb, "x@far.test", "--live"))
    print(hb.ctl("--json", "explain", "x@far.test", "--live").out)
    assert 0
