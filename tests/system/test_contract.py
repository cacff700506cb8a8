"""What others rely on: the words of the interface, as they are written."""

import os

import pytest

from harness import client, hauberk as hauberkmod
from harness.wait import until

ACTIONS = {"fetched", "refreshed", "kept", "rejected", "expired"}


@pytest.fixture
def waiting(make_server):
    """A server whose remote mail waits: nobody listens there."""
    return make_server(["smarthost smtp://127.0.0.1:%d"
                        % hauberkmod.free_port(),
                        "retry first=1h max=1h"])


def queue_to(hb, *rcpts):
    """Queue one message; its entry after the first attempts."""
    hb.send("a@c.test", list(rcpts), client.text("contract"))

    def tried():
        return [e for e in hb.queue()
                if rcpts[0] in (r["address"] for r in e["recipients"])
                and all(r["attempts"] for r in e["recipients"])]
    return until(tried, 15, "an attempt")[0]


# hauberkctl


def test_ctl_says_what_it_does_not_know(server):
    """An unknown command is named; one that is not built says so."""
    done = server.ctl("nosuch", "thing")
    assert done.code == 64 and "nosuch thing" in done.err
    done = server.ctl("tls-report", "list")
    assert done.code == 1, done
    assert done.err.strip() == (
        "hauberkctl: 'tls-report' has no function in this build")


def test_ctl_exit_codes_are_four(server):
    """0, 1, 64 and 69 are all there is; a mistake is told once."""
    done = server.ctl("sts", "import", server.path("nothing"))
    assert done.code == 1 and "nothing" in done.err
    done = server.ctl("log-level", "loud")
    assert done.code == 1 and len(done.err.splitlines()) == 1


def test_ctl_asks_no_other_server(server):
    """-f with a file that cannot be read does not ask the usual server."""
    done = server.run(os.path.join(hauberkmod.SBIN, "hauberkctl"), "-f",
                      server.path("nothing"), "status")
    assert done.code == 69
    assert done.err.startswith(server.path("nothing") + ": ")


@pytest.mark.root
def test_ctl_refusal_is_1(make_server):
    """Who may not ask gets 1: it could not."""
    hb = make_server()
    done = hb.run(os.path.join(hauberkmod.SBIN, "hauberkctl"), "-s",
                  hb.control, "stats", user=7102, group=7102,
                  extra_groups=[])
    assert done.code == 1 and done.err


def test_ctl_names_as_in_dns(world):
    """A domain may be written with its final dot, in any case."""
    mx = world.domain("far.test")
    world.policy("far.test")
    hb = world.server()
    hb.send("a@c.test", "x@far.test", client.text("dot"))
    mx.wait(1)
    hb.wait_empty()
    plain = hb.ctl("explain", "x@far.test", json=True)
    for name in ("far.test.", "FAR.test", "Far.Test."):
        shown = hb.ctl("sts", "show", name, json=True)
        assert shown["domain"] == "far.test"
        assert hb.ctl("ledger", "show", name, json=True)["best"] == "sts"
        told = hb.ctl("explain", "x@" + name, json=True)
        assert "alias" not in told and told["route"] == plain["route"]
        assert told["policy"]["id"] == "1"
        assert "alias" not in hb.ctl("explain", name).out
    for verb in ("refresh", "expire", "forget"):
        assert hb.ctl("sts", verb, "far.test.").code == 0, verb
    assert hb.ctl("ledger", "forget", "far.test.").code == 0


def test_queue_pattern(waiting):
    """An id, an address, a local part, a domain, .domain and *."""
    first = queue_to(waiting, "x@far.test")["id"]
    second = queue_to(waiting, "y@sub.far.test")["id"]
    for pattern, want in (
            (first, {first}), ("x@far.test", {first}), ("X", {first}),
            ("far.test", {first}), ("far.test.", {first}),
            (".far.test", {second}), ("*", {first, second}),
            ("ar.test", set()), ("z@far.test", set())):
        found = waiting.ctl("queue", pattern, json=True)
        assert {e["id"] for e in found} == want, pattern
    assert waiting.ctl("hold", ".far.test").code == 1


def test_queue_last_is_an_object(world):
    """`last` has its members before the first attempt ended too."""
    mx = world.domain("far.test")
    mx.delay["greeting"] = 3
    hb = world.server()
    hb.send("a@c.test", "x@far.test", client.text("slow"))
    rcpt, = hb.queue()[0]["recipients"]
    assert rcpt["attempts"] == 0
    assert set(rcpt["last"]) >= {"reply", "status", "reason", "mx", "tls",
                                 "sts"}
    assert set(rcpt["last"].values()) == {None}
    assert "why" not in hb.ctl("queue").out
    mx.wait(1)


def test_hold_and_release_twice(waiting):
    """What is so already is no mistake."""
    ident = queue_to(waiting, "x@far.test")["id"]
    for verb, did in (("hold", "held"), ("hold", "held"),
                      ("release", "released"), ("release", "released")):
        done = waiting.ctl(verb, ident)
        assert (done.code, done.out) == (0, "1 message %s\n" % did), verb


# sendmail


def test_sendmail_exit_codes_are_sysexits(world):
    """-bv says by its code what would come back; a run of the queue that
    finds nothing is no failure."""
    world.domain("far.test")
    world.dns.set("null.test", "MX", "0 .")
    hb = world.server(["route err.test error:5.7.1 go away"])
    for address, want in (
            ("alice@hb.test", 0), ("x@far.test", 0), ("nobody@hb.test", 67),
            ("alice", 0), ("nobody", 67), ("x@nowhere.test", 68), ("x@null.test", 68), ("x@err.test", 69)):
        done = hb.sendmail("-bv", address)
        assert done.code == want and address in done.out, done
    done = hb.sendmail("-bt", message=b"alice\nnobody@hb.test\n")
    assert done.code == 0 and "the mailbox alice" in done.out
    assert "user-unknown" in done.out
    for option in ("-q", "-q30m", "-qRnone.test", "-qI0123456789abcdef"):
        assert hb.sendmail(option).code == 0, option


# explain


def test_explain_names_the_word_for_the_recipients(world):
    """The operator's word for the recipients' domain is the reason behind a
    smarthost too: the page does not promise what delivery will not do."""
    hub = world.host("hub.test", cert=None)
    hb = world.server(["smarthost smtp://hub.test:%d" % hub.port,
                       "tls-policy far.test verify"])
    told = hb.ctl("explain", "x@far.test", json=True)
    assert (told["verdict"], told["reason"]) == ("proceed", "operator")
    assert told["mx"][0]["reason"] == "operator"
    assert "It would be tried" in hb.ctl("explain", "x@far.test").out
    live = hb.ctl("explain", "x@far.test", "--live", json=True)
    assert (live["verdict"], live["reason"]) == ("defer", "no-starttls")
    free = hb.ctl("explain", "x@free.test", json=True)
    assert free["reason"] == "tls-opportunistic"


# SMTP


def test_route_error_is_said_at_rcpt(make_server):
    """A route `error:` refuses the recipient, in its own words; who may not
    relay hears that first."""
    hb = make_server(["route err.test error:5.7.1 go away",
                      "route .err.test error:4.3.0 come later",
                      "route bare.test error:5.1.2",
                      "relay-from 127.0.0.1"])
    with hb.client() as c:
        c.ehlo()
        replies = c.envelope("a@c.test", "x@err.test", "x@b.err.test",
                             "x@bare.test", "alice@hb.test")
        told = [(r.code, r.status) for r in replies[1:]]
        assert told == [(550, "5.7.1"), (451, "4.3.0"), (550, "5.1.2"),
                        (250, "2.1.5")]
        assert replies[1].text.endswith("go away")
        assert replies[2].text.endswith("come later")
    said = hb.wait_record(ev="reject", rcpt="x@err.test")
    assert (said["stage"], said["reason"]) == ("rcpt", "route-error")
    hb.configure(["route err.test error:5.7.1 go away",
                  "relay-from 10.0.0.0/8"])
    assert hb.ctl("reload").code == 0
    with hb.client() as c:
        c.ehlo()
        replies = c.envelope("a@c.test", "x@err.test")
        assert "go away" not in replies[1].text


# the log


def test_log_actions_of_policies(world):
    """ev=policy has the five actions; a host passed over is ev=host."""
    mx = world.domain("far.test", cert=None)
    world.policy("far.test")
    hb = world.server()
    hb.send("a@c.test", "x@far.test", client.text("log"))
    assert hb.wait_reason()["reason"] == "no-starttls"
    skipped = hb.wait_record(ev="host", action="skipped")
    assert (skipped["domain"], skipped["mx"], skipped["reason"]) == (
        "far.test", mx.name, "no-starttls")
    assert {r["action"] for r in hb.records(ev="policy")} <= ACTIONS


def test_log_every_delivery_has_a_code(world):
    """code= is a reply's, also where the host gave none."""
    mx = world.domain("far.test")
    mx.drop.add("ehlo")
    hb = world.server(["route err.test error:5.7.1 go away"])
    hb.send("a@c.test", "x@far.test", client.text("code"))
    hb.sendmail("-f", "alice@hb.test", "y@err.test",
                message=client.text("err"))
    lost = hb.wait_record(ev="delivery", reason="connection-lost")
    assert lost["code"] == "451"
    assert hb.wait_record(ev="delivery", rcpt="y@err.test")["code"] == "550"
    assert hb.wait_reason("connection-lost")["reply"].startswith("451 ")
    assert hb.ctl("bounce", "x@far.test").code == 0
    gone = hb.wait_record(ev="delivery", reason="bounced")
    assert (gone["result"], gone["code"]) == ("fail", "550")


def test_log_every_delivery_has_a_status(world):
    """status= is of the class of a reply that has none of its own."""
    mx = world.domain("far.test")
    busy = world.domain("busy.test")
    mx.reply["eod"] = "250 kept"
    busy.reply["greeting"] = "421 busy"
    hb = world.server()
    hb.send("a@c.test", ["x@far.test", "y@busy.test"], client.text("status"))
    got = hb.wait_record(ev="delivery", rcpt="x@far.test")
    assert (got["code"], got["status"]) == ("250", "2.0.0")
    got = hb.wait_record(ev="delivery", rcpt="y@busy.test")
    assert (got["code"], got["status"]) == ("421", "4.0.0")
    assert hb.wait_reason("remote-reply")["status"] == "4.0.0"


# the configuration


@pytest.mark.parametrize("line", [
    "ca-file /nonexistent/ca.pem",
    "tls-certificate /nonexistent/chain.pem key=/nonexistent/key.pem",
])
def test_conf_files_that_are_not_there(make_server, line):
    """A file that the start needs is missed by -n, by FILE:LINE."""
    hb = make_server([line], start=False)
    program = os.path.join(hauberkmod.SBIN, "hauberkd")
    number = 1 + next(i for i, l in enumerate(open(hb.conf))
                      if l.strip() == line)
    for flag in ("-n", "-d"):
        done = hb.run(program, flag, "-f", hb.conf)
        assert done.code == 78, done
        assert done.err.startswith("%s:%d: cannot read /nonexistent/"
                                   % (hb.conf, number))


def test_source_address_of_each_kind(world):
    """Several source addresses: each connection takes one of its family."""
    mx = world.domain("far.test")
    six = world.domain("six.test", address="::1")
    world.dns.remove("mx.six.test", "A")
    world.dns.set("mx.six.test", "AAAA", "::1")
    hb = world.server(["source-address 127.77.254.9 ::1"])
    hb.send("a@c.test", ["x@far.test", "y@six.test"], client.text("from"))
    assert mx.wait(1)[0].client == "127.77.254.9"
    assert six.wait(1)[0].client == "::1"


def test_deliver_lmtp_forms(make_server, mx_factory):
    """ENDPOINT is HOST:PORT, a path, or either with what it is in front; a
    path may be relative, and nonsense is a mistake of its line."""
    lda = mx_factory("127.0.0.1", lmtp=True)
    host = "127.0.0.1:%d" % lda.port
    hb = make_server(["deliver lmtp " + host])
    for form, route in (
            (host, "lmtp://" + host), ("inet:" + host, "lmtp://" + host),
            ("/run/lda", "lmtp:/run/lda"), ("unix:/run/l", "lmtp:/run/l"),
            ("lmtp:/run/lda", "lmtp:/run/lda"),
            ("unix:lda", "lmtp:" + hb.path("lda")),
            ("lmtp://" + host, "lmtp://" + host)):
        hb.configure(["deliver lmtp " + form])
        assert hb.ctl("reload").code == 0, form
        assert hb.ctl("explain", "alice@hb.test", json=True)["route"] == route
    hb.send("a@c.test", "alice@hb.test", client.text("lmtp"))
    assert lda.wait(1)[0].rcpts == ["alice@hb.test"]
    hb.configure(["deliver lmtp 127.0.0.1:nonsense"])
    done = hb.run(os.path.join(hauberkmod.SBIN, "hauberkd"), "-n", "-f",
                  hb.conf)
    assert done.code == 78 and "not a destination" in done.err


def test_deliver_command_words(make_server):
    """CMD may be words or one quoted word; it says by its code what became
    of the message; no shell sees what the sender wrote."""
    hb = make_server(start=False)
    script = hb.write("lda", 'cat > %s/"$1.$2"; exit $3\n' % hb.mail)
    for line, user in (("/bin/sh %s %%u %%d 0" % script, "alice"),
                       ('"/bin/sh %s %%u %%d 67"' % script, "bob")):
        hb.configure(["deliver command " + line])
        hb.start()
        hb.send("a@c.test", user + "@hb.test", client.text(user))
        record = hb.wait_record(ev="delivery", rcpt=user + "@hb.test")
        with open(os.path.join(hb.mail, user + ".hb.test")) as f:
            assert "Subject: " + user in f.read()
        hb.stop()
    assert (record["result"], record["status"]) == ("fail", "5.1.1")


def test_S_1_the_operators_mistake_waits(make_server):
    """A letter that does not exist is refused by -n and reload, at its line;
    a mailbox that turns out to have no usable path defers, with 4.3.5."""
    hb = make_server(["deliver maildir /" + "%d" * 1000])
    hb.send("a@c.test", "alice@hb.test", client.text("no path"))
    record = hb.wait_record(ev="delivery", rcpt="alice@hb.test")
    assert (record["result"], record["status"], record["reason"]) == (
        "defer", "4.3.5", "configuration")
    line = "deliver maildir /home/%n/Maildir"
    hb.configure([line])
    number = 1 + open(hb.conf).read().split("\n").index(line)
    want = "%s:%d: '%%n' means nothing here" % (hb.conf, number)
    done = hb.run(os.path.join(hauberkmod.SBIN, "hauberkd"), "-n", "-f",
                  hb.conf)
    assert done.code == 78 and want in done.err, done
    done = hb.ctl("reload")
    assert done.code == 1 and want in done.err + done.out, done
    hb.configure()
    assert hb.ctl("reload").code == 0
    assert hb.ctl("flush").code == 0
    assert hb.wait_mail("alice")


# MTA-STS


def test_STS_09_12_17_a_long_policy_counts_whole(world):
    """A host in the last of the mx lines that fit into 64 KiB is listed."""
    mx = world.domain("far.test")
    names, size = [], 0
    while size < (64 << 10) - 200:
        names.append("m%d.far.test" % len(names))
        size += len("mx: \r\n") + len(names[-1])
    world.policy("far.test", mxs=names + [mx.name])
    hb = world.server()
    hb.send("a@c.test", "x@far.test", client.text("long"))
    mx.wait(1)
    record = hb.wait_record(ev="delivery", rcpt="x@far.test")
    assert (record["sts"], record["tls"]) == ("enforce", "TLSv1.3/verified")
    shown = hb.ctl("sts", "show", "far.test", json=True)
    assert shown["mx"][-1] == mx.name and len(shown["mx"]) == len(names) + 1
    hb.kill_all()
    hb.start()
    told = hb.ctl("explain", "x@far.test", json=True)
    assert told["policy"]["mx"] == shown["mx"]
    assert told["mx"][0]["reason"] == "sts-ok"
