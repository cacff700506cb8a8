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
