#!/usr/bin/python3
"""Configuration words: the promised ones are known, the known ones are in the
manual page, and so are the commands.  Words of the lists: each symbol and each
string once."""

import os
import re

import lint

# What users were promised; a word may be added and none dropped.
PROMISED = """
hostname domain spool run-dir user workers listen tls-certificate
tls-min-version auth sender-login relay-from relay-domain access dnsbl milter
max-message-size max-header-size max-recipients max-hops max-sessions
max-sessions-per-client max-rate-per-client command-timeout data-timeout
session-timeout greylist aliases virtual-users mailertable generics
sendmail-tables deliver local-users forward-files recipient-delimiter smarthost route
hosts-file source-address mta-sts dane tls-policy downgrade-memory resolver
trust-ad dnssec-probe ca-file retry lifetime delay-warning
max-connections-per-destination connect-timeout reply-timeout host-memory
max-messages-per-connection dkim-sign dmarc tls-report log lab smtp-port
policy-port policy-address
""".split()

# list -> (macro, the places of its symbol and of its string)
LISTS = (
    ("common/proto/conf.def", "CONF_WORD", 2, 0),
    ("common/proto/ctlcmd.def", "CTL_CMD", 0, 1),
    ("common/proto/fault.def", "HB_FAULT", 0, 1),
    ("common/proto/reason.def", "HB_REASON", 0, 1),
    ("common/base/logkeys.def", "HB_EVENT", 0, 1),
    ("common/base/logkeys.def", "HB_KEY", 0, 1),
    ("common/base/limits.def", "HB_LIMIT", 0, None),
    ("common/proto/ipc.def", "I_MSG", 0, 1),
    ("common/proto/stats.def", "HB_STAT", 0, None),
    ("smtpd/verb.def", "SMTPD_VERB", None, 0),
    ("smtpd/ext.def", "SMTPD_EXT", None, 0),
    ("smtpd/reply.def", "SMTPD_REPLY", 0, None),
)
FIELD = re.compile(r'\s*("(?:\\.|[^"\\])*"|[^,()"]*)\s*[,)]')


def rows(path, macro):
    """The first fields of each row of a list."""
    text = re.sub(r"/\*.*?\*/", " ", lint.read(path), flags=re.S)
    for match in re.finditer(r"^%s\(" % macro, text, re.M):
        fields, at = [], match.end()
        while len(fields) < 3:
            field = FIELD.match(text, at)
            if not field:
                break
            fields.append(field[1].strip().strip('"'))
            at = field.end()
        yield fields


def twice(values, what):
    return ["%s: %s is there twice" % (what, v)
            for v in sorted(set(values)) if values.count(v) > 1]


def check_list(path, macro, *places):
    table = list(rows(path, macro))
    found = [] if table else ["%s: no row of %s" % (path, macro)]
    for place in places:
        if place is not None:
            found += twice([r[place] for r in table], path + " " + macro)
    return found


def check_words():
    known = [r[0] for r in rows("common/proto/conf.def", "CONF_WORD")]
    with open(os.path.join(lint.BUILD, "man/hauberk.conf.5"),
              encoding="utf-8") as f:
        page = set(re.findall(r"^\.It Ic (\S+)", f.read(), re.M))
    return ["%s is promised and not known" % w
            for w in PROMISED if w not in known] + [
                "hauberk.conf(5) lacks " + w for w in known if w not in page]


def check_commands():
    """hauberkctl(8) has each command."""
    page = lint.read("man/hauberkctl.8")
    known = {c for line in re.findall(r"^\.It Cm (.+)$", page, re.M)
             for c in re.split(r" , | (?:Ar|Op|Oo|Cm) ", line)}
    return ["hauberkctl(8) lacks " + row[1]
            for row in rows("common/proto/ctlcmd.def", "CTL_CMD")
            if row[1] not in known]


lint.finish(check_words() + check_commands() + [f for row in LISTS for f in check_list(*row)])
