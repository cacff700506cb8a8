"""sendmail and its names: what programs of the host meet."""

import email
import email.policy
import os

import pytest

from harness import client, hauberk

pytestmark = pytest.mark.both


def parsed(raw):
    """A delivered message; its text is `.get_content()`."""
    return email.message_from_bytes(raw, policy=email.policy.default)


def longest(raw):
    return max(len(line.rstrip(b"\r")) for line in raw.split(b"\n"))


def test_F_6_no_recipient_by_a_cr(server):
    """A CR in a field makes no other field."""
    done = server.sendmail(
        "-t", "-f", "carol@hb.test", message=b"To: alice@hb.test\n"
        b"Subject: hi\rBcc: bob@hb.test\n\nhi\n")
    assert done.code == 0, done
    message = server.wait_mail("alice")[0]
    assert b"Subject: hi Bcc: bob@hb.test" in message
    server.wait_empty()
    assert server.maildir("bob") == []


def test_F_29_long_lines_arrive_whole(server):
    """3 MB in one line of the command leave in short lines."""
    text = "x" * 3000000 + "\n.y\n"
    done = server.sendmail("-i", "-f", "carol@hb.test", "alice@hb.test",
                           message="Subject: long\n\n" + text)
    assert done.code == 0, done
    message = server.wait_mail("alice")[0]
    assert longest(message) <= 998
    assert parsed(message).get_content().replace("\r\n", "\n") == text
    # what is signed passes as through SMTP, up to the same bound
    for length, code in ((65534, 0), (65535, 65)):
        done = server.sendmail(
            "-f", "carol@hb.test", "bob@hb.test", message=(
                "DKIM-Signature: v=1\n\n" + "x" * length + "\n"))
        assert done.code == code, done
    assert longest(server.wait_mail("bob")[0]) == 65534
    signed = client.text(body="x" * 65534 + "\r\n")
    assert server.send("c@c.test", "bob@hb.test", signed).code == 250


def test_F_31_the_others_get_it(server):
    """One malformed address of -t: told, 65, and sent to the good one."""
    done = server.sendmail(
        "-t", "-f", "carol@hb.test", message="To: alice@hb.test, two words, "
        "bob@hb.test\nSubject: part\n\nhi\n")
    assert done.code == 65 and "two words... malformed" in done.err, done
    for user in ("alice", "bob"):
        assert b"Subject: part" in server.wait_mail(user)[0]
    done = server.sendmail("two words <", message="Subject: none\n\nhi\n")
    assert done.code == 65 and "malformed" in done.err, done
    server.wait_empty()


SCRIPT = ("HELO x\nMAIL FROM:root\nRCPT TO:<alice>\nDATA\n"
          "Subject: script\n\n..dot\n.\nQUIT\n")


def test_S_13_bs_of_a_script(server):
    """-bs: LF alone ends the lines of a program that writes no CRLF; names
    without domain and brackets are taken."""
    done = server.sendmail("-bs", message=SCRIPT)
    assert done.code == 0, done
    assert b"\n.dot" in server.wait_mail("alice")[0]


def test_S_13_bs_lf_in_the_text_ends_nothing(server):
    """-bs with CRLF: a bare LF in the text is CRLF, and no end."""
    done = server.sendmail("-bs", message=(
        "HELO x\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<alice@hb.test>\r\n"
        "DATA\r\nSubject: lf\n\nx\n.\nMAIL FROM:<e@f.test>\r\n.\r\n"
        "QUIT\r\n"))
    assert done.code == 0, done
    message = server.wait_mail("alice")[0].replace(b"\r\n", b"\n")
    assert message.endswith(b"\n\nx\n.\nMAIL FROM:<e@f.test>\n")


@pytest.mark.parametrize("text,code", [
    ("HELO x\nQUIT\n", 0),
    (SCRIPT.replace("QUIT\n", ""), 0),
    (SCRIPT.replace("QUIT\n", "FOO\n"), 76),
    (SCRIPT.replace("HELO x\n", "HELO x\nFOO\n"), 0),
    (SCRIPT.replace("..dot", "a\rb"), 76),
    (SCRIPT[:SCRIPT.index(".\nQUIT")], 76),
])
def test_S_13_bs_exit_code(server, text, code):
    """-bs says by its exit code when its session failed."""
    done = server.sendmail("-bs", message=text)
    assert done.code == code, done


def test_F_17_short_paths_of_a_relay_client(server):
    """Brackets and domains may be missing from a client that may relay."""
    with server.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:root").code == 250
        assert c.cmd("RCPT TO:<alice>").code == 250
        assert c.data(client.text("short")).code == 250
    message = server.wait_mail("alice")[0]
    assert message.startswith(b"Return-Path: <root@")


def test_F_18_newaliases_builds_what_is_good(make_server):
    """A repeated name is a warning, a bad line is told with file and line
    and fails; the good ones are built.  A missing file fails."""
    hb = make_server(start=False)
    path = hb.write("aliases", "first: alice\nFirst: bob\n")
    hb.configure(["aliases hash:" + path])
    done = hb.sendmail(name="newaliases")
    assert done.code == 0 and path + ":2: warning" in done.err, done
    hb.write("aliases", "first: alice\nbroken\nsecond: bob\n")
    done = hb.sendmail(name="newaliases")
    assert done.code == 65 and path + ":2: " in done.err, done
    praliases = os.path.join(hauberk.SBIN, "praliases")
    done = hb.run(praliases, "-f", path)
    assert sorted(done.out.split()) == ["first:alice", "second:bob"], done
    os.unlink(path)
    assert hb.sendmail(name="newaliases").code == 66


def test_E_6_praliases_of_a_real_database(make_server):
    """NUL at the ends and sendmail's own entry are not printed."""
    hb = make_server(start=False)
    path = hb.path("real")
    makemap = os.path.join(hauberk.SBIN, "makemap")
    done = hb.run(makemap, "hash", path,
                  input=b"@\0 @\0\nroot\0 alice\0\n")
    assert done.code == 0, done
    done = hb.run(os.path.join(hauberk.SBIN, "praliases"), "-f", path)
    assert done.out == "root:alice\n", done
    done = hb.run(makemap, "-u", "hash", path)
    assert sorted(done.out.split("\n")) == ["", "@\t@", "root\talice"], done
