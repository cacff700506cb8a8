"""The words of the steps: what is done, and what must be seen."""

import email

from harness import records
from harness.wait import until

from .language import RAW, rule
from .world import Failed

WAIT_S = 20


def is_expectation(node):
    return node.word == "expect"


# what is done


@rule("steps", "send FROM to ADDRESS... [over-tls] [requiretls] [in-clear]"
               " [as=WORD] [refused=N]", below="message")
def send(lab, v):
    """Hand a message to Hauberk by SMTP. `over-tls`: with STARTTLS;
    `requiretls`: with that parameter (RFC 8689), and so over TLS, unless it
    is done `in-clear`; `as=`: a name for `message=`; `refused=`: it is not
    taken, with this code."""
    headers = [n["text"] for n in v.below if n.word == "header"]
    body = [n["text"] for n in v.below if n.word == "body"]
    reply = lab.send(v["from"], v["address"], headers,
                     "\r\n".join(body) or "hello",
                     "over-tls" in v or
                     "requiretls" in v and "in-clear" not in v,
                     "REQUIRETLS" if "requiretls" in v else "",
                     v.get("as", ""))
    if reply.code != v.get("refused", 250):
        raise Failed("Hauberk answered %s" % reply)


@rule("message", "header TEXT")
def header(lab, v):
    """A header field of the message."""


@rule("message", "body TEXT")
def body(lab, v):
    """A line of the message's text."""


@rule("steps", "advance TIME")
def advance(lab, v):
    """Move the clock of Hauberk forward (`hauberkctl lab advance`)."""
    _ctl(lab, "lab", "advance", "%ds" % v["time"])


@rule("steps", "clock ahead|behind TIME", "clock right")
def clock(lab, v):
    """Move the clock of Hauberk's machine, both ways, under the running
    server: wrong by so much, or right again."""
    if lab.mover is None:
        raise Failed("the clock cannot be moved here: no step of the "
                     "scenario does")
    sign = {"ahead": 1, "behind": -1}.get(v.get("choice"), 0)
    lab.mover.to(sign * v.get("time", 0))


@rule("steps", "flush [TEXT]")
def flush(lab, v):
    """Try now what waits (`hauberkctl flush`)."""
    _ctl(lab, "flush", v.get("text", "all"))


@rule("steps", "restart")
def restart(lab, v):
    """Stop Hauberk and start it again."""
    lab.restart()


@rule("steps", "kill")
def kill(lab, v):
    """SIGKILL to every process of Hauberk, and start it again."""
    lab.kill()


@rule("steps", "explain ADDRESS [live]")
def explain(lab, v):
    """`hauberkctl explain`, for `expect says`."""
    _ctl(lab, "explain", v["address"], *["--live"] * ("live" in v))


@rule("steps", "hauberkctl TEXT...")
def hauberkctl(lab, v):
    """Any command of hauberkctl; it must succeed. See `expect says`."""
    _ctl(lab, *v["text"])


@rule("steps", "configure", below=RAW)
def configure(lab, v):
    """Other lines below `hauberk`, and `hauberkctl reload`."""
    lab.extra = v.below
    lab.hb.configure(lab.conf())
    _ctl(lab, "reload")


def _ctl(lab, *words):
    done = lab.hb.ctl(*words)
    lab.said = done.out
    if done.code != 0:
        raise Failed("hauberkctl %s: exit %d: %s%s" % (
            " ".join(words), done.code, done.out, done.err))


# what must be seen


def poll(lab, v, look, seen):
    """Wait until look() is true; Failed with what was seen instead."""
    limit = v.get("within", WAIT_S) * lab.slowness
    try:
        return until(look, limit, seen, step=0.03)
    except AssertionError as e:
        raise Failed(str(e)) from None


def _message(lab, v):
    return lab.messages[v.get("message", "")]


def _fits(value, want):
    """`want` may name several values: a|b."""
    return value in want.split("|")


def _tls_fits(value, want):
    """`verified` stands for any version: TLSv1.3/verified."""
    return any(value == w or value.endswith("/" + w)
               for w in want.split("|"))


def _results(lab, sent, result, since=0):
    found = [r for r in records.read(lab.hb.log)[since:]
             if r.get("ev") == "delivery" and r.get("msg") == sent.id]
    return [r for r in found if r.get("result") == result]


def _state(lab, sent):
    """What became of a message so far, for a person."""
    out = ["  at %s, to %s%s" % (d.host.name, ", ".join(d.message.rcpts),
                                 ", over TLS" if d.message.tls else "")
           for d in lab.arrived(sent)]
    found = [r for r in records.read(lab.hb.log)
             if r.get("ev") == "delivery" and r.get("msg") == sent.id]
    keys = ("rcpt", "mx", "result", "status", "tls", "sts", "dane", "reason",
            "text")
    out += ["  log: " + " ".join("%s=%s" % (k, r[k]) for k in keys if k in r)
            for r in found[-4:]]
    return "the message %s:\n%s" % (sent.id, "\n".join(out) or "  nothing")


@rule("steps", "expect delivered at HOST [tls=WORD] [sts=WORD] [param=WORD]"
               " [rcpt=ADDRESS] [message=WORD] [within=TIME]"
               " [KEY=VALUE...]")
def delivered(lab, v):
    """The host took the message, and the log says so: over which TLS (`none`,
    `unverified`, `verified`, `dane`, or with the version), under which
    policy, and other keys of `ev=delivery`; `param=`: with this parameter of
    MAIL."""
    sent = _message(lab, v)

    def look():
        return [d for d in lab.arrived(sent, v.get("rcpt"))
                if d.host.name == v["host"]]
    got = poll(lab, v, look, lambda: _state(lab, sent))[0].message
    if "param" in v and v["param"] not in got.sender_params.split():
        raise Failed("MAIL had the parameters '%s'" % got.sender_params)
    _check_record(lab, v, sent, got)


def _check_record(lab, v, sent, got):
    """The record of the delivery must say what the host saw."""
    names = [v["host"]] + lab.dns.aliases(v["host"])

    def look():
        if lab.kills and lab.hb.queue() == []:
            return True   # killed between the host's 250 and the record
        return [r for r in _results(lab, sent, "ok")
                if r["mx"] in names and r["rcpt"] in got.rcpts]
    rows = poll(lab, v, look, lambda: _state(lab, sent))
    if rows is True:
        return
    row = rows[-1]
    if "tls" in v and not _tls_fits(row["tls"], v["tls"]) or \
            "sts" in v and not _fits(row["sts"], v["sts"]) or \
            not all(_fits(str(row.get(k)), w) for k, w in v["pairs"]):
        raise Failed("the log says otherwise; " + _state(lab, sent))


@rule("steps", "expect not delivered [at HOST] [rcpt=ADDRESS] [message=WORD]")
def not_delivered(lab, v):
    """No host, or not this one, has taken the message so far (for this
    recipient)."""
    sent = _message(lab, v)
    if [d for d in lab.arrived(sent, v.get("rcpt"))
            if v.get("host") in (None, d.host.name)]:
        raise Failed(_state(lab, sent))


@rule("steps", "expect deferred reason=WORD [mx=NAME] [rcpt=ADDRESS]"
               " [message=WORD] [within=TIME] [KEY=VALUE...]")
def deferred(lab, v):
    """An attempt made since the last step that is no expectation, with no
    answer of the DNS from before it, ended so (`a|b`: one of these), and the
    queue names the reason. Other keys of
    `ev=delivery` may be asked for."""
    sent = _message(lab, v)

    def look():
        if lab.arrived(sent, v.get("rcpt")):
            raise Failed("it was delivered; " + _state(lab, sent))
        rows = [r for r in _results(lab, sent, "defer", lab.tried)
                if _fits(r["reason"], v["reason"])
                and v.get("mx") in (None, r["mx"])
                and v.get("rcpt") in (None, r["rcpt"])
                and all(_fits(str(r.get(k)), w) for k, w in v["pairs"])]
        return rows and [q for q in _queued(lab, sent, v.get("rcpt"))
                         if q["reason"] == rows[-1]["reason"]]
    poll(lab, v, look, lambda: _state(lab, sent))


def _queued(lab, sent, rcpt=None):
    """The last results of the message's recipients that still wait."""
    return [{"reason": "", **(r.get("last") or {})}
            for e in lab.hb.queue() if e["id"] == sent.id
            for r in e["recipients"] if rcpt in (None, r["address"])]


@rule("steps", "expect queued [message=WORD] [rcpt=ADDRESS] [within=TIME]")
def queued(lab, v):
    """The message is in the queue."""
    sent = _message(lab, v)
    poll(lab, v, lambda: _queued(lab, sent, v.get("rcpt")),
         lambda: _state(lab, sent))


@rule("steps", "expect queue empty [within=TIME]")
def queue_empty(lab, v):
    """Nothing waits any more."""
    poll(lab, v, lambda: lab.hb.queue() == [],
         lambda: "the queue holds %s" % lab.hb.queue()[:3])


def notices(lab, sent):
    """The notices that came about a message: (mail, status fields)."""
    out = []
    if not sent.sender.endswith("@" + lab.own_domain):
        return out
    for raw in lab.hb.maildir(sent.sender.partition("@")[0]):
        mail = email.message_from_bytes(raw)
        if sent.token.encode() in raw and \
                mail.get_content_type() == "multipart/report":
            out.append((raw.decode("latin-1"), _groups(mail)))
    return out


def _groups(mail):
    """The groups of fields of a delivery-status."""
    for part in mail.walk():
        if part.get_content_type() == "message/delivery-status":
            return part.get_payload()
    return []


@rule("steps", "expect dsn [action=WORD] [status=WORD] [rcpt=ADDRESS]"
               " [message=WORD] [within=TIME] [says TEXT...]")
def dsn(lab, v):
    """The sender has a notice about the message: its action (`failed`,
    `delayed`), its status, texts that it contains."""
    sent = _message(lab, v)

    def fits(text, groups):
        return all(t in text for t in v.get("text", ())) and any(
            _group_fits(g, v) for g in groups[1:])

    def look():
        return [n for n in notices(lab, sent) if fits(*n)]
    poll(lab, v, look, lambda: "\n".join(
        [_state(lab, sent)] + [n[0] for n in notices(lab, sent)]))


def _group_fits(group, v):
    rcpt = (group["Final-Recipient"] or "").partition(";")[2].strip()
    return v.get("action") in (None, group["Action"]) \
        and ("status" not in v or _fits(group["Status"], v["status"])) \
        and v.get("rcpt") in (None, rcpt)


@rule("steps", "expect notice at HOST [param=WORD] [message=WORD]"
               " [within=TIME] [lacks TEXT...]")
def notice(lab, v):
    """The host of the sender was given a notice about the message; `param=`:
    with this parameter of MAIL; `lacks`: it does not contain these texts."""
    sent = _message(lab, v)

    def look():
        return [d.message for d in lab.arrived(sent, sent.sender)
                if d.host.name == v["host"] and d.message.sender == ""]
    got = poll(lab, v, look, lambda: _state(lab, sent))[0]
    if v.get("param") not in (None, *got.sender_params.split()):
        raise Failed("MAIL had the parameters '%s'" % got.sender_params)
    if any(t.encode() in got.data for t in v.get("text", ())):
        raise Failed(got.data.decode("latin-1"))


@rule("steps", "expect bounced [status=WORD] [rcpt=ADDRESS] [message=WORD]"
               " [within=TIME] [says TEXT...]")
def bounced(lab, v):
    """The sender was told that the message failed, and it waits no more."""
    v.values["action"] = "failed"
    dsn(lab, v)
    sent = _message(lab, v)
    poll(lab, v, lambda: not _queued(lab, sent, v.get("rcpt")),
         lambda: "it still waits; " + _state(lab, sent))


@rule("steps", "expect not bounced [message=WORD]")
def not_bounced(lab, v):
    """The sender has no notice that the message failed so far."""
    for text, groups in notices(lab, _message(lab, v)):
        if any(g["Action"] == "failed" for g in groups):
            raise Failed(text)


@rule("steps", "expect seen in clear [message=WORD]",
      "expect not seen in clear [message=WORD]")
def seen(lab, v):
    """Whether anybody but a mail host of the recipient could read MAIL, RCPT
    or DATA of the message: in clear on the wire, or inside TLS that ended at
    an attacker, or at an attacker's host."""
    sent = _message(lab, v)
    found = [s for s in lab.witness.seen
             if s.when >= sent.when and s.shows(sent.sender, sent.rcpts)]
    if "not" in v.rule.pattern.text.split():
        if found:
            raise Failed("seen: " + "; ".join(map(str, found)))
    elif not found:
        raise Failed("nobody saw it; " + _state(lab, sent))


@rule("steps", "expect log [ever] [within=TIME] KEY=VALUE...",
      "expect no log KEY=VALUE...")
def log(lab, v):
    """A record of the log, with these values, written since the last step
    that is no expectation, or at any time (`ever`); or no such record at any
    time. `a|b`: one of these."""
    def find(since):
        return [r for r in records.read(lab.hb.log)[since:]
                if all(_fits(str(r.get(k)), want) for k, want in v["pairs"])]
    if v.rule.pattern.text.startswith("expect no"):
        if find(0):
            raise Failed("the log says %s" % find(0)[0])
        return
    since = 0 if "ever" in v else lab.mark
    event = dict(v["pairs"]).get("ev")
    poll(lab, v, lambda: find(since), lambda: "no such record; of %s there "
         "are %s" % (event, lab.records(ev=event)[-4:]))


@rule("steps", "expect explain ADDRESS [live] [at NAME] [within=TIME]"
               " KEY=VALUE...")
def expect_explain(lab, v):
    """`hauberkctl --json explain`: values by their path (`verdict=`,
    `reason=`, `policy.mode=`), or, with `at`, those of one MX."""
    words = ["explain", v["address"]] + ["--live"] * ("live" in v)
    told = {}

    def look():
        told.clear()
        told.update(lab.hb.ctl(*words, json=True))
        part = told
        if "name" in v:
            part = next((m for m in told["mx"]
                         if m["name"].rstrip(".") == v["name"]), {})
        return all(_fits(_at(part, k), want) for k, want in v["pairs"])
    poll(lab, v, look, lambda: "it says %s" % told)


def _at(part, path):
    """The value at a.b.c as text; `none` where there is nothing."""
    for key in path.split("."):
        part = part.get(key) if isinstance(part, dict) else None
    if isinstance(part, bool):
        return "yes" if part else "no"
    return "none" if part is None else str(part)


@rule("steps", "expect policy DOMAIN [within=TIME] KEY=VALUE...",
      "expect no policy DOMAIN")
def policy(lab, v):
    """What `hauberkctl sts show` knows of a domain: `mode=`, `id=`,
    `source=` and so on; or that nothing is kept."""
    def rows():
        return [p for p in lab.hb.ctl("sts", "list", json=True)
                if p["domain"] == v["domain"]]
    if "pairs" not in v:
        if rows():
            raise Failed("there is %s" % rows())
        return
    poll(lab, v, lambda: [p for p in rows() if all(
        _fits(_at(p, k), want) for k, want in v["pairs"])],
        lambda: "there is %s" % rows())


@rule("steps", "expect says TEXT...")
def says(lab, v):
    """The last answer of hauberkctl contains these texts."""
    for text in v["text"]:
        if text not in lab.said:
            raise Failed("'%s' is not in:\n%s" % (text, lab.said))


@rule("steps", "expect asked dns NAME TYPE [times=N] [within=TIME]",
      "expect asked https DOMAIN [times=N] [within=TIME]")
def asked(lab, v):
    """Hauberk asked the name server, or fetched the policy; with `times` just
    so often since the start (0: never)."""
    def count():
        if "domain" in v:
            return len(lab.https.asked(v["domain"]))
        name = lab.record_name(v["name"], v["type"])
        return len(lab.dns.asked(name, v["type"]))
    if v.get("times") == 0:
        if count():
            raise Failed("asked %d times" % count())
        return
    poll(lab, v, lambda: count() == v["times"] if "times" in v else count(),
         lambda: "asked %d times" % count())


@rule("steps", "expect connected HOST [times=N] [within=TIME]",
      "expect not connected HOST")
def connected(lab, v):
    """Hauberk connected to a host; with `times` just so often since the
    start."""
    host = lab.hosts[v["host"]]
    if "not" in v.rule.pattern.text.split():
        if host.connections:
            raise Failed("%d connections" % host.connections)
        return
    poll(lab, v, lambda: host.connections == v["times"] if "times" in v
         else host.connections, lambda: "%d connections" % host.connections)


@rule("steps", "expect greeted HOST with ehlo|helo [within=TIME]")
def greeted(lab, v):
    """The host was greeted with this word."""
    host = lab.hosts[v["host"]]
    poll(lab, v, lambda: v["choice"].upper() in host.verbs(),
         lambda: "there were %s" % host.verbs())


@rule("steps", "expect command WORD at HOST [within=TIME]")
def command(lab, v):
    """The host was given this command."""
    host = lab.hosts[v["host"]]
    poll(lab, v, lambda: v["word"].upper() in host.verbs(),
         lambda: "there were %s" % host.verbs())


# what must be true of every scenario


def attackers_have_nothing(lab):
    """A host that is marked as attacker is never offered a message."""
    for host in lab.hosts.values():
        if host.attacker and host.offered():
            raise Failed("%s, an attacker, was sent %s"
                         % (host.name, host.offered()[0].decode("latin-1")))


def nobody_died(lab):
    """No process of Hauberk ended of itself."""
    if lab.hb.deaths():
        raise Failed("a role of Hauberk died: %s" % lab.hb.deaths()[0])


def nothing_is_lost(lab):
    """Each recipient of each message: delivered, queued, or told of."""
    sent = {m.id: m for m in lab.messages.values()}

    def lost():
        gone = {r.get("msg") for r in records.read(lab.hb.log)
                if r.get("ev") in ("remove", "bounce")}
        return [(m, r) for m in sent.values() for r in m.rcpts
                if m.id not in gone and not lab.arrived(m, r)
                and not _queued(lab, m, r) and not notices(lab, m)
                and not _is_here(lab, m, r)]
    try:
        until(lambda: not lost(), 5 * lab.slowness, "", step=0.1)
    except AssertionError:
        raise Failed("lost: " + "; ".join(
            "%s to %s" % (m.id, r) for m, r in lost())) from None


def _is_here(lab, sent, rcpt):
    """Delivered to a mailbox of Hauberk's own."""
    user, _, domain = rcpt.partition("@")
    return domain == lab.own_domain and any(
        sent.token.encode() in m for m in lab.hb.maildir(user))


def invariants(lab, at_end):
    attackers_have_nothing(lab)
    nobody_died(lab)
    if at_end:
        nothing_is_lost(lab)
