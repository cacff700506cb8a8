"""The lab: mistakes in scenarios are told, wrong expectations fail."""

import hashlib
import os
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from dnslib import DNSRecord

from harness import client
from harness.wait import most

LAB = os.path.join(os.path.dirname(__file__), "../lab/lab")
sys.path.insert(0, os.path.dirname(LAB))

from engine import language, run, world as labworld  # noqa: E402

README = os.path.join(os.path.dirname(LAB), "README.md")

HEAD = """title  a test
proves STS-26
why    because
world
    domain example.test
        policy enforce
    domain plain.test
    host evil.test attacker
steps
"""
FIRST_STEP = HEAD.count("\n") + 1


def lab(*args, **kw):
    done = subprocess.run([sys.executable, LAB, *args], text=True,
                          capture_output=True, timeout=most(80), **kw)
    return done.returncode, done.stdout + done.stderr


def scenario(folder, steps, head=HEAD):
    path = os.path.join(folder, "x.lab")
    with open(path, "w") as f:
        f.write(head + "".join("    %s\n" % s for s in steps))
    return path


SEND = "send alice@here.test to bob@example.test"
SEND_PLAIN = "send alice@here.test to bob@plain.test"

# what is wrong -> (steps, the line, a part of the message)
MISTAKES = {
    "word": (["explode now"], 0, "unknown word 'explode'"),
    "form": ([SEND, "expect deferred"], 1, "reason= is missing"),
    "option": ([SEND, "expect bounced x=1"], 1, "'x=1' is not expected"),
    "host": ([SEND, "expect delivered at mx.other.test"], 1,
             "no host 'mx.other.test'"),
    "message": ([SEND + " as=a", "expect queued message=b"], 1,
                "no message 'b'"),
    "too early": (["expect queued"], 0, "no message ''"),
    "time": (["advance soon"], 0, "'soon' is not a time"),
    "block": ([SEND, "    mx 10 a.test"], 1, "unknown word 'mx' in message"),
    "below": (["heal", "    heal"], 1, "nothing can stand below 'heal'"),
    "indentation": (["publish example.test", "      no policy", "   heal"],
                    2, "fits none of the lines above"),
    "quote": (["hauberkctl \"queue"], 0, "closing quote"),
    "inner": (["publish example.test polcy none"], 0,
              "unknown word 'polcy' in domain"),
}


@pytest.mark.parametrize("what", sorted(MISTAKES))
def test_mistake_is_told(tmp_path, what):
    steps, line, text = MISTAKES[what]
    path = scenario(tmp_path, steps)
    for command in ("check", "run"):
        code, out = lab(command, path)
        assert code == 1
        first = out.splitlines()[0]
        assert "x.lab:%d: " % (FIRST_STEP + line) in first and text in first


def test_something_is_missing(tmp_path):
    """What every scenario must say."""
    for word in ("title", "proves", "why"):
        head = "\n".join(l for l in HEAD.split("\n")
                         if not l.startswith(word))
        code, out = lab("check", scenario(tmp_path, [SEND], head))
        assert code == 1 and "'%s' is missing" % word in out
    code, out = lab("check", scenario(tmp_path, []))
    assert code == 1 and "'steps' is missing" in out


def test_all_scenarios_can_be_read():
    code, out = lab("list")
    assert code == 0, out


def test_readme_has_every_word():
    code, out = lab("words")
    assert code == 0
    with open(README, encoding="utf-8") as f:
        text = f.read()
    begin, end = "<!-- words: begin -->\n", "<!-- words: end -->"
    assert text[text.index(begin) + len(begin):text.index(end)] == out


# steps that must fail -> (steps, which of them, a part of what is said)
WRONG = {
    "delivered": (["block mx.example.test", SEND,
                   "expect delivered at mx.example.test within=1s"], 2,
                  "reason=connect-refused"),
    "tls": ([SEND_PLAIN, "expect delivered at mx.plain.test tls=none"], 1,
            "tls=TLSv1.3/verified"),
    "sts": ([SEND, "expect delivered at mx.example.test sts=testing"], 1,
            "sts=enforce"),
    "key": ([SEND, "expect delivered at mx.example.test policy_id=7"], 1,
            "the log says otherwise"),
    "reason": (["attack mx.example.test strip-starttls", SEND,
                "expect deferred reason=cert-name within=1s"], 2,
               "reason=no-starttls"),
    "deferred": ([SEND, "expect deferred reason=no-starttls"], 1,
                 "it was delivered"),
    "not delivered": ([SEND, "expect delivered at mx.example.test",
                       "expect not delivered"], 2, "at mx.example.test"),
    "seen": (["attack mx.plain.test strip-starttls", SEND_PLAIN,
              "expect delivered at mx.plain.test",
              "expect not seen in clear"], 3, "MAIL FROM"),
    "seen by the attacker": (
        ["attack mx.plain.test certificate self-signed", SEND_PLAIN,
         "expect delivered at mx.plain.test",
         "expect not seen in clear"], 3, "attacker: MAIL FROM"),
    "attacker": (["attack dns plain.test mx is \"10 evil.test\"", SEND_PLAIN,
                  "expect delivered at evil.test"], 2,
                 "evil.test, an attacker, was sent MAIL"),
    "bounced": (["block mx.example.test", SEND,
                 "expect bounced within=1s"], 2, "not within 1 s"),
    "log": ([SEND, "expect log ev=policy action=kept within=1s"], 1,
            "no such record"),
    "no log": ([SEND, "expect delivered at mx.example.test",
                "expect no log ev=policy action=fetched"], 2, "fetched"),
    "explain": (["expect explain bob@example.test verdict=defer within=1s"],
                0, "'verdict': 'proceed'"),
    "policy": ([SEND, "expect delivered at mx.example.test",
                "expect no policy example.test"], 2, "enforce"),
    "says": (["hauberkctl status", "expect says \"all is lost\""], 1,
             "all is lost"),
    "asked": ([SEND, "expect delivered at mx.example.test",
               "expect asked https example.test times=0"], 2,
              "asked 1 times"),
    "refused": (["send alice@here.test to nobody@here.test"], 0, "550"),
    "hauberkctl": (["hauberkctl show nosuch"], 0, "exit 1"),
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_wrong_expectation_fails(make_server, tmp_path, what):
    steps, at, text = WRONG[what]
    code, out = lab("run", scenario(tmp_path, steps))
    assert code == 1 and "0 passed" in out
    assert "x.lab:%d: %s\n" % (FIRST_STEP + at, steps[at]) in out
    said = out[out.index("FAIL: "):out.index("the end of Hauberk's log")]
    assert text in said


@pytest.mark.parametrize("between", ["restart", "kill"])
def test_between(make_server, tmp_path, between):
    """Hauberk is another one after each step, and nothing is lost."""
    path = scenario(tmp_path, [
        "attack mx.example.test strip-starttls", SEND,
        "expect deferred reason=no-starttls",
        "expect log ever ev=start state=ready", "heal",
        "expect delivered at mx.example.test tls=verified"])
    code, out = lab("run", "--between", between, path)
    assert code == 0 and "1 passed" in out


def test_what_is_left_out_is_counted(make_server, tmp_path):
    """Scenarios that a run leaves out stand in its closing line."""
    (tmp_path / "unbroken").mkdir()
    for folder, head in (tmp_path, HEAD), (tmp_path / "unbroken",
                                           "unbroken\n" + HEAD):
        scenario(folder, ["attack mx.example.test strip-starttls"], head)
    paths = tmp_path / "x.lab", tmp_path / "unbroken/x.lab"
    code, out = lab("run", "--between", "kill", *paths)
    assert code == 0 and "1 passed, 1 left out in" in out


def test_by_hand(make_server, tmp_path):
    """A lab that stands takes steps until it is taken down."""
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    path = scenario(tmp_path, [SEND])
    code, out = lab("up", path, env=env)
    assert code == 0 and "hauberkctl -f" in out
    try:
        assert lab("up", path, env=env)[0] == 1
        assert lab("do", "attack mx.example.test strip-starttls",
                   env=env) == (0, "done\n")
        assert lab("do", SEND, env=env)[1].startswith("taken as ")
        code, out = lab("do", env=env, input="# by lines\n"
                        "expect deferred reason=no-starttls\n"
                        "hauberkctl queue\n")
        assert code == 0 and "bob@example.test" in out
        code, out = lab("do", "expect bounced within=1s", env=env)
        assert code == 1 and "not within" in out
        code, out = lab("do", "attack evil.example.test strip-starttls",
                        env=env)
        assert code == 1 and "no host" in out
    finally:
        code, out = lab("down", env=env)
    assert code == 0
    assert lab("down", env=env)[0] == 1


# The world alone, without Hauberk: what scenarios rest on.


@pytest.fixture
def world(space, tmp_path, closing):
    """world(lines) builds what stands below `world`."""
    def make(*lines):
        path = scenario(tmp_path, ["heal"], HEAD.replace(
            "steps\n", "".join("    %s\n" % l for l in lines) + "steps\n"))
        return closing(labworld.Lab(space, language.load(path)).furnish())
    return make


def ask(lab, name, qtype):
    """(response code, AD, the records' texts) of the lab's name server."""
    query = DNSRecord.question(name, qtype)
    query.header.ad = 1
    got = DNSRecord.parse(query.send(lab.dns.address, lab.dns.port,
                                     timeout=most(5)))
    return (got.header.rcode, got.header.ad,
            sorted(str(r.rdata) for r in got.rr))


def do(lab, step):
    run.take(lab, language.step(step))


def test_signed_zones(world):
    """AD where it is signed; what is forged there is bogus."""
    lab = world("domain signed.test", "    signed", "host mx.signed.test",
                "    unsigned", "host deep.signed.test")
    assert ask(lab, "signed.test", "MX")[:2] == (0, 1)
    assert ask(lab, "deep.signed.test", "A")[:2] == (0, 1)
    assert ask(lab, "mx.signed.test", "A")[:2] == (0, 0)
    assert ask(lab, "example.test", "MX")[:2] == (0, 0)
    assert ask(lab, ".", "NS")[:2] == (0, 1)
    for name in ("signed.test", "example.test"):
        do(lab, "attack dns %s mx is \"10 evil.test\"" % name)
    assert ask(lab, "signed.test", "MX") == (2, 0, [])
    assert ask(lab, "example.test", "MX") == (0, 0, ["10 evil.test."])
    do(lab, "heal")
    assert ask(lab, "signed.test", "MX") == (0, 1, ["10 mx.signed.test."])
    do(lab, "attack dns signed.test clear-ad")
    assert ask(lab, "signed.test", "MX") == (0, 0, ["10 mx.signed.test."])


def test_forged_and_true(world):
    """What owners publish meanwhile is there when the attack ends."""
    lab = world()
    do(lab, "attack dns _mta-sts.example.test txt gone")
    assert ask(lab, "_mta-sts.example.test", "TXT")[0] == 3
    do(lab, "publish example.test policy testing id=new")
    assert ask(lab, "_mta-sts.example.test", "TXT")[0] == 3
    do(lab, "heal dns")
    assert ask(lab, "_mta-sts.example.test", "TXT")[2] == [
        '"v=STSv1; id=new;"']


def test_tlsa_is_computed(world):
    """From the certificate of that moment; adding up; of the issuer."""
    lab = world("host mx.tlsa.test", "    certificate good with=issuer",
                "    tlsa 3 1 1")
    name = "_%d._tcp.mx.tlsa.test" % lab.port

    def spki(der):
        key = x509.load_der_x509_certificate(der).public_key()
        return hashlib.sha256(key.public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    host = lab.hosts["mx.tlsa.test"]
    first = lab.dns.records(name, "TLSA")
    assert first == ["3 1 1 " + spki(host.cert.der)]
    do(lab, "change mx.tlsa.test certificate new")
    do(lab, "change mx.tlsa.test tlsa 3 1 1")
    both = lab.dns.records(name, "TLSA")
    assert both == first + ["3 1 1 " + spki(host.cert.der)]
    assert both[0] != both[1]
    do(lab, "change mx.tlsa.test no tlsa")
    do(lab, "change mx.tlsa.test tlsa 2 0 2 of=issuer")
    root = lab.authority.ca.cert.public_bytes(serialization.Encoding.DER)
    assert lab.dns.records(name, "TLSA") == [
        "2 0 2 " + hashlib.sha512(root).hexdigest()]
    do(lab, "change mx.tlsa.test tlsa 3 0 1 of=nothing")
    leaf = hashlib.sha256(host.cert.der).hexdigest()
    assert "3 0 1 " + leaf not in lab.dns.records(name, "TLSA")
    assert ask(lab, name, "TLSA")[0] == 0


def test_requiretls_is_offered_inside_tls(world):
    """`offers-in-tls` is not said in clear."""
    lab = world("host mx.tls.test", "    offers-in-tls REQUIRETLS")
    host = lab.hosts["mx.tls.test"]
    with client.Client(host.address, host.port) as c:
        assert "REQUIRETLS" not in c.ehlo()
        c.starttls()
        assert "REQUIRETLS" in c.ehlo()
