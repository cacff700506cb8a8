"""REQUIRETLS and TLS-Required: No (RFC 8689): in, kept, and on again."""

import email
import email.policy

import pytest

from harness import client, hauberk as hauberkmod
from harness.wait import until

NO = "TLS-Required: No\r\n"
HOLD = "451 4.3.2 not now"


def secure_domain(world, name):
    """A domain whose MX host suits a REQUIRETLS message; the host."""
    mx = world.domain(name)
    mx.tls_keywords = ["REQUIRETLS"]
    world.policy(name)
    return mx


def send(hb, sender, *rcpts, tag="REQUIRETLS", extra=""):
    """One message over TLS; it must be taken."""
    with hb.client() as c:
        c.ehlo()
        c.starttls()
        c.ehlo()
        for reply in c.envelope(sender, *rcpts, params=tag):
            assert reply.code == 250, reply
        reply = c.data(client.text("tagged", extra=extra))
        assert reply.code == 250, reply
        c.quit()


def params(message):
    """The parameters of MAIL, in capitals."""
    return message.sender_params.upper().split()


def all_tagged(mx, count):
    messages = mx.wait(count)
    assert all("REQUIRETLS" in params(m) and m.tls for m in messages)
    return messages


# on the wire


@pytest.mark.both
def test_RTLS_01_03_04_passed_on_to_a_host_that_lists_it(world):
    """In with the parameter, out with it; and without it, without it."""
    mx = secure_domain(world, "far.test")
    hb = world.server()
    send(hb, "alice@hb.test", "x@far.test")
    all_tagged(mx, 1)
    assert hb.wait_record(ev="accept")["tls_demand"] == "required"
    send(hb, "alice@hb.test", "x@far.test", tag="")
    assert "REQUIRETLS" not in params(mx.wait(2)[1])
    assert params(mx.messages[1]) != []
    hb.wait_empty()


def listeners():
    """Lines, and (port, verb, implicit TLS) of each kind of listener."""
    kinds = ["smtp", "submission", "submissions", "lmtp"]
    ports = {k: hauberkmod.free_port() for k in kinds}
    lines = ["listen 127.0.0.1:%d %s%s" % (
        ports[k], k, " tls=offer auth=off" if k == "submission" else
        " auth=off" if k == "submissions" else "") for k in kinds]
    return lines, [(ports[k], "LHLO" if k == "lmtp" else "EHLO",
                    k == "submissions") for k in kinds]


def test_RTLS_01_08_every_listener_inside_tls_alone(make_server):
    """smtp, submission, submissions, lmtp: offered and taken inside TLS; in
    clear not offered, and the parameter is not known."""
    lines, where = listeners()
    hb = make_server(lines)
    for port, verb, implicit in where:
        with client.Client("127.0.0.1", port, tls=implicit) as c:
            if not implicit:
                assert "REQUIRETLS" not in c.ehlo(verb=verb)
                reply = c.cmd("MAIL FROM:<alice@hb.test> REQUIRETLS")
                assert (reply.code, reply.status) == (555, "5.5.4")
                c.starttls()
            assert c.ehlo(verb=verb)["REQUIRETLS"] == ""
            reply = c.cmd("MAIL FROM:<alice@hb.test> REQUIRETLS=1")
            assert reply.code == 501
            for reply in c.envelope("alice@hb.test", "bob@hb.test",
                                    params="requiretls"):
                assert reply.code == 250, reply
            assert c.data(client.text("local")).code == 250
            c.quit()
    # to a mailbox of this host it is handed over as any other
    hb.wait_mail("bob", len(where))


# kept


def shown(hb):
    """{recipient: what the queue says of its tag}."""
    return {r["address"]: e["tls_demand"] for e in hb.queue()
            for r in e["recipients"]}


@pytest.mark.both
def test_RTLS_02_kept_through_sigkill_and_restart(world):
    """What waits keeps its tag when everything is killed."""
    mx = secure_domain(world, "far.test")
    mx.reply["rcpt"] = HOLD
    hb = world.server(["retry first=2s max=2s"])
    send(hb, "alice@hb.test", "x@far.test")
    send(hb, "alice@hb.test", "y@far.test", tag="", extra=NO)
    send(hb, "alice@hb.test", "z@far.test", tag="")
    until(lambda: mx.verbs().count("RCPT") >= 3, 15, "three attempts")
    want = {"x@far.test": "required", "y@far.test": "optional",
            "z@far.test": None}
    assert shown(hb) == want
    hb.kill_all()
    hb.start()
    assert shown(hb) == want
    text = hb.ctl("queue").out
    assert text.count("tls required") == 1 and text.count(
        "tls optional") == 1, text
    mx.reply.clear()
    mx.wait(3)
    tagged = [m.rcpts for m in mx.accepted() if "REQUIRETLS" in params(m)]
    assert tagged == [["x@far.test"]]


def test_RTLS_02_10_copies_of_an_alias(world):
    """All copies of an alias have the tag, those of a list with a return
    path of its own too; the mailbox here has the message."""
    one, two = (secure_domain(world, d) for d in ("one.test", "two.test"))
    hb = world.server(start=False)
    hb.write("aliases", "team: x@one.test, bob, list\n"
             "list: y@two.test\nowner-list: carol\n")
    hb.configure(hb.lines + ["aliases " + hb.path("aliases")])
    hb.start()
    send(hb, "alice@hb.test", "team@hb.test")
    all_tagged(one, 1)
    message, = all_tagged(two, 1)
    assert message.sender.startswith("owner-list@")
    hb.wait_mail("bob")


# the header field


def test_RTLS_07_header_field(make_server, mx_factory):
    """One field with the value No; any other use asks for nothing; with the
    parameter it is ignored, and stays where it is."""
    mx = mx_factory("127.0.0.1")
    mx.stop()
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port,
                      "retry first=1h max=1h"])
    rows = {"no": (NO, "", "optional"),
            "folded": ("TLS-Required:\r\n\tNO\r\n", "", "optional"),
            "comment": ("TLS-Required: no (it is old)\r\n", "",
                        "optional"),
            "yes": ("TLS-Required: Yes\r\n", "", None),
            "twice": (NO + NO, "", None),
            "both": (NO, "REQUIRETLS", "required"),
            "none": ("", "", None)}
    for name, (extra, tag, _) in rows.items():
        send(hb, "alice@hb.test", name + "@far.test", tag=tag, extra=extra)
    # behind the header it is text
    hb.send("alice@hb.test", "body@far.test", client.text("x", body=NO))
    want = {name + "@far.test": r[2] for name, r in rows.items()}
    want["body@far.test"] = None
    assert shown(hb) == want
    entry, = [e for e in hb.queue()
              if e["recipients"][0]["address"] == "both@far.test"]
    assert NO.strip() in hb.ctl("show", entry["id"]).out


# sendmail


def test_RTLS_08_sendmail(world):
    """-O requiretls=yes, with -bs too, while the server is up or down."""
    mx = secure_domain(world, "far.test")
    hb = world.server()
    text = "Subject: s\n\nhi\n"
    option = ["-f", "alice@hb.test", "-O", "requiretls=yes"]
    assert hb.sendmail(*option, "x@far.test", message=text).code == 0
    all_tagged(mx, 1)
    done = hb.sendmail("-bs", *option[2:], message=(
        "EHLO x\r\nMAIL FROM:<alice@hb.test>\r\nRCPT TO:<x@far.test>\r\n"
        "DATA\r\n\r\nhi\r\n.\r\nQUIT\r\n"))
    assert done.code == 0 and "REQUIRETLS" not in done.out, done
    all_tagged(mx, 2)
    hb.stop()
    assert hb.sendmail(*option, "x@far.test", message=text).code == 0
    hb.start()
    all_tagged(mx, 3)
    assert hb.sendmail(*option[:2], "-O", "requiretls=no", "x@far.test",
                       message=text).code == 0
    assert "REQUIRETLS" not in params(mx.wait(4)[3])
    assert hb.sendmail("-O", "requiretls=perhaps", "x@far.test",
                       message=text).code == 64


def test_RTLS_07_sendmail_header_field(make_server, mx_factory):
    """The field is seen in what sendmail reads; -O goes before it."""
    mx = mx_factory("127.0.0.1")
    mx.stop()
    hb = make_server(["smarthost smtp://127.0.0.1:%d" % mx.port,
                      "retry first=1h max=1h"])
    text = "Subject: s\nTLS-Required: no\n\nhi\n"
    assert hb.sendmail("x@far.test", message=text).code == 0
    assert hb.sendmail("-O", "requiretls=yes", "y@far.test",
                       message=text).code == 0
    done = hb.sendmail("-bs", message=(
        "EHLO x\r\nMAIL FROM:<a@hb.test>\r\nRCPT TO:<z@far.test>\r\n"
        "DATA\r\n" + NO + "\r\nhi\r\n.\r\nQUIT\r\n"))
    assert done.code == 0, done
    until(lambda: len(hb.queue()) == 3, 15, "three messages")
    assert shown(hb) == {"x@far.test": "optional", "y@far.test": "required",
                         "z@far.test": "optional"}


# notices


def parts(data):
    """The types of a notice's parts."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    return [p.get_content_type() for p in message.iter_parts()]


def test_RTLS_09_notice_is_tagged_and_headers_only(world):
    """The sender's RET=FULL notwithstanding; sent with the parameter."""
    far = secure_domain(world, "far.test")
    back = secure_domain(world, "back.test")
    far.reply["rcpt"] = "550 5.1.1 no such person"
    hb = world.server()
    done = hb.sendmail("-f", "me@back.test", "-R", "full", "-O",
                       "requiretls=yes", "x@far.test",
                       message="Subject: told\n\nthe secret\n")
    assert done.code == 0, done
    notice, = all_tagged(back, 1)
    assert notice.sender == "" and notice.rcpts == ["me@back.test"]
    assert parts(notice.data)[2] == "text/rfc822-headers"
    assert b"Subject: told" in notice.data
    assert b"the secret" not in notice.data
    hb.wait_empty()


def test_RTLS_09_notice_without_the_tag_is_whole(world):
    """Without the tag: all of the message, and no parameter."""
    far = secure_domain(world, "far.test")
    back = secure_domain(world, "back.test")
    far.reply["rcpt"] = "550 5.1.1 no such person"
    hb = world.server()
    send(hb, "me@back.test", "x@far.test", tag="")
    notice, = back.wait(1)
    assert parts(notice.data)[2] == "message/rfc822"
    assert "REQUIRETLS" not in params(notice)


def test_RTLS_09_delay_warning(world):
    """A warning about it is tagged too, and survives a kill."""
    far = secure_domain(world, "far.test")
    back = secure_domain(world, "back.test")
    far.reply["rcpt"] = back.reply["rcpt"] = HOLD
    hb = world.server(["delay-warning 2s"])
    send(hb, "me@back.test", "x@far.test")
    hb.wait_record(ev="delay")
    hb.kill_all()
    hb.start()
    back.reply.clear()
    notice = all_tagged(back, 1)[0]
    assert b"Action: delayed" in notice.data


def test_RTLS_01_09_no_parameter_where_it_does_not_belong(world):
    """A notice goes to a host whose name nobody vouches for, though it lists
    REQUIRETLS and its certificate is good: without the parameter."""
    far = secure_domain(world, "far.test")
    far.reply["rcpt"] = "550 5.1.1 no such person"
    back = world.domain("back.test")
    back.tls_keywords = ["REQUIRETLS"]
    hb = world.server()
    send(hb, "me@back.test", "x@far.test")
    notice, = back.wait(1)
    assert notice.tls and "REQUIRETLS" not in params(notice)
    hb.wait_empty()


def test_RTLS_09_notice_is_not_dropped(world):
    """With its empty return path it goes to a host that lacks REQUIRETLS,
    without the parameter."""
    far = secure_domain(world, "far.test")
    far.reply["rcpt"] = "550 5.1.1 no such person"
    back = world.domain("back.test", cert=None)
    hb = world.server()
    send(hb, "me@back.test", "x@far.test")
    notice, = back.wait(1)
    assert notice.sender == "" and "REQUIRETLS" not in params(notice)
    hb.wait_empty()


# judged


def notice(hb, index=0):
    """A notice to alice, and the fields about its one recipient."""
    data = hb.wait_mail("alice", index + 1)[index]
    message = email.message_from_bytes(data, policy=email.policy.default)
    part, = [p for p in message.walk()
             if p.get_content_type() == "message/delivery-status"]
    return data, part.get_payload()[1]


def returned(hb, status, code, reason):
    """The message came back at once, with a sentence about it."""
    data, rcpt = notice(hb)
    assert (rcpt["Action"], rcpt["Status"]) == ("failed", status)
    assert rcpt["X-Hauberk-Reason"] == reason
    record = hb.wait_record(ev="delivery", result="fail")
    assert (record["code"], record["status"]) == (str(code), status)
    hb.wait_empty()
    return data


def in_clear_alone(_world, mx, _other_ca):
    mx.tls_keywords = []
    mx.reply["ehlo"] = lambda session, _: None if session.tls else (
        "250-mx\r\n250-STARTTLS\r\n250 REQUIRETLS")


# what is wrong with the one MX host, and what is said of it
FAULTS = {
    "not-listed": (lambda w, mx, o: mx.tls_keywords.clear(),
                   "5.7.30", 550, "requiretls-missing"),
    "listed-in-clear": (in_clear_alone, "5.7.30", 550,
                        "requiretls-missing"),
    "no-tls": (lambda w, mx, o: setattr(mx, "starttls", "strip"),
               "5.7.10", 523, "no-starttls"),
    "tls-refused": (lambda w, mx, o: setattr(mx, "starttls", "refuse"),
                    "5.7.10", 523, "starttls-refused"),
    "untrusted": (lambda w, mx, o: setattr(mx, "cert", o.issue(mx.name)),
                  "5.7.30", 550, "cert-untrusted"),
    "other-name": (lambda w, mx, o: setattr(mx, "cert",
                                            w.ca.issue("other.test")),
                   "5.7.30", 550, "cert-name"),
    "no-policy": (lambda w, mx, o: w.dns.remove("_mta-sts.far.test"),
                  "5.7.30", 550, "mx-unproven"),
    "testing": (lambda w, mx, o: w.policy("far.test", "testing"),
                "5.7.30", 550, "mx-unproven"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_RTLS_03_04_05_returned_at_once(world, other_ca, fault):
    """The only MX host was reached and does not suit: it never sees MAIL,
    the sender hears at once; mail without the tag is another matter."""
    mx = secure_domain(world, "far.test")
    spoil, status, code, reason = FAULTS[fault]
    spoil(world, mx, other_ca)
    hb = world.server(["retry first=1h max=1h"])
    send(hb, "alice@hb.test", "x@far.test")
    data = returned(hb, status, code, reason)
    assert b"hello" not in data
    assert "MAIL" not in mx.verbs()


def test_RTLS_03_signed_mx_records(world):
    """Signed MX records vouch for the name where there is no policy."""
    mx = world.domain("far.test")
    mx.tls_keywords = ["REQUIRETLS"]
    world.dns.sign("far.test")
    hb = world.server(["trust-ad yes"])
    send(hb, "alice@hb.test", "x@far.test")
    all_tagged(mx, 1)


def test_RTLS_05_next_mx(world):
    """A host that lacks it is left with QUIT, the next one gets the mail."""
    one, two = world.domain("far.test", "10 mx1.far.test",
                            "20 mx2.far.test")
    two.tls_keywords = ["REQUIRETLS"]
    world.policy("far.test", mxs=["mx1.far.test", "mx2.far.test"])
    hb = world.server()
    send(hb, "alice@hb.test", "x@far.test")
    all_tagged(two, 1)
    until(lambda: "QUIT" in one.verbs(), 10, "QUIT")
    assert "MAIL" not in one.verbs()


def test_RTLS_06_trouble_delays(world):
    """One host lacks it, the other cannot be reached: the mail waits, and
    goes to the other when it is there."""
    one, two = world.domain("far.test", "10 mx1.far.test",
                            "20 mx2.far.test")
    two.tls_keywords = ["REQUIRETLS"]
    two.stop()
    world.policy("far.test", mxs=["mx1.far.test", "mx2.far.test"])
    hb = world.server()
    send(hb, "alice@hb.test", "x@far.test")
    hb.wait_reason("requiretls-missing")
    assert hb.maildir("alice") == []
    two.start()
    all_tagged(two, 1)
    assert "MAIL" not in one.verbs()


def test_RTLS_05_lifetime_over(world):
    """What waited for a channel until its end comes back for want of it."""
    world.domain("far.test", "10 mx1.far.test", "20 mx2.far.test")[1].stop()
    world.policy("far.test", mxs=["mx1.far.test", "mx2.far.test"])
    hb = world.server(["lifetime 4s", "delay-warning off"])
    send(hb, "alice@hb.test", "x@far.test")
    _, rcpt = notice(hb)
    assert rcpt["Status"].startswith("5.7.")
    assert rcpt["X-Hauberk-Reason"] == "requiretls-missing"


def test_RTLS_12_no_pooled_session_of_a_weaker_message(world):
    """A session kept from mail without the tag, opened before the host
    listed REQUIRETLS, neither gets the tagged message nor condemns it."""
    mx = secure_domain(world, "far.test")
    mx.tls_keywords = []
    hb = world.server()
    send(hb, "alice@hb.test", "x@far.test", tag="")
    mx.wait(1)
    mx.tls_keywords = ["REQUIRETLS"]
    send(hb, "alice@hb.test", "x@far.test")
    first, second = mx.wait(2)
    assert "REQUIRETLS" in params(second)
    assert first.session != second.session


# LMTP and configured hops


def hop(world, scheme, lmtp=False, **kw):
    """A server that hands far.test to a host of the configuration; both."""
    mx = world.host("hop.test", lmtp=lmtp, **kw)
    hb = world.server(["hosts-file hosts",
                       "route far.test %s://hop.test:%d" % (scheme, mx.port)],
                      start=False)
    hb.write("hosts", "%s hop.test\n" % mx.address)
    return mx, hb.start()


@pytest.mark.parametrize("scheme", ["lmtp", "smtp"])
def test_RTLS_03_08_configured_hop(world, scheme):
    """Its name needs no proof, its certificate does; LMTP speaks TLS for
    such a message alone."""
    mx, hb = hop(world, scheme, lmtp=scheme == "lmtp")
    mx.tls_keywords = ["REQUIRETLS"]
    send(hb, "alice@hb.test", "x@far.test")
    all_tagged(mx, 1)
    send(hb, "alice@hb.test", "x@far.test", tag="")
    second = mx.wait(2)[1]
    assert "REQUIRETLS" not in params(second)
    assert bool(second.tls) == (scheme == "smtp")


def test_RTLS_08_09_notice_over_lmtp(world):
    """LMTP speaks TLS for the notice too, and passes the parameter on."""
    far = secure_domain(world, "far.test")
    far.reply["rcpt"] = "550 5.1.1 no such person"
    mx = world.host("hop.test", lmtp=True)
    mx.tls_keywords = ["REQUIRETLS"]
    hb = world.server(["hosts-file hosts",
                       "route back.test lmtp://hop.test:%d" % mx.port],
                      start=False)
    hb.write("hosts", "%s hop.test\n" % mx.address)
    hb.start()
    send(hb, "me@back.test", "x@far.test")
    assert all_tagged(mx, 1)[0].sender == ""


@pytest.mark.parametrize("scheme", ["lmtp", "smtp"])
def test_RTLS_04_05_configured_hop_without_it(world, scheme):
    """No TLS there: returned, never sent."""
    mx, hb = hop(world, scheme, lmtp=scheme == "lmtp", cert=None)
    send(hb, "alice@hb.test", "x@far.test")
    returned(hb, "5.7.10", 523, "no-starttls")
    assert "MAIL" not in mx.verbs()


# TLS-Required: No


@pytest.mark.parametrize("attack", ["strip", "untrusted", "name"])
def test_RTLS_07_11_delivered_though_the_policy_fails(world, other_ca,
                                                      attack):
    """The sender's No beats the recipient's enforce policy; mail without it
    waits meanwhile."""
    mx = secure_domain(world, "far.test")
    if attack == "strip":
        mx.starttls = "strip"
    else:
        mx.cert = other_ca.issue(mx.name) if attack == "untrusted" else \
            world.ca.issue("other.test")
    hb = world.server()
    send(hb, "alice@hb.test", "y@far.test", tag="")
    hb.wait_reason()
    send(hb, "alice@hb.test", "x@far.test", tag="", extra=NO)
    message, = mx.wait(1)
    assert message.rcpts == ["x@far.test"]
    assert bool(message.tls) == (attack != "strip")
    assert NO.encode() in message.data
    assert [r["address"] for e in hb.queue() for r in e["recipients"]] == [
        "y@far.test"]


def test_RTLS_07_11_operators_word_stands(world):
    """The operator's word is not the sender's to lower."""
    mx = world.domain("far.test", cert=None)
    hb = world.server(["tls-policy far.test verify"])
    send(hb, "alice@hb.test", "x@far.test", tag="", extra=NO)
    hb.wait_reason("no-starttls")
    assert "MAIL" not in mx.verbs()


def test_RTLS_07_server_that_insists(world):
    """s4.2.2: only the receiver can still insist on TLS: a notice."""
    mx = world.domain("far.test", cert=None)
    mx.reply["mail"] = "530 5.7.0 issue STARTTLS first"
    hb = world.server()
    send(hb, "alice@hb.test", "x@far.test", tag="", extra=NO)
    _, rcpt = notice(hb)
    assert rcpt["Status"] == "5.7.0"
