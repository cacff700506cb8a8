#!/usr/bin/python3
"""Requirements and tests: each id of ids.tbl is named by a test, and no test
names an id that is not there.  With -l, the tests of each id.  STS-26 is a
requirement of a standard; A-1, S-1, F-1, E-1 and T-1 are faults that were seen on
the running server (an attacker's, an operator's, a correspondent's, an alias's).

A test names an id in its own name (test_STS_26_30_x, sts05_x) or in the
comment on it, in the name of a row of its table or another string of a C file
("STS-26 stripped"), in the `proves' line of a scenario of the lab, or in a
comment of a dialogue."""

import collections
import os
import re
import sys

import lint

HERE = os.path.dirname(os.path.abspath(__file__))
# DANE-01 and DANE_01_02; sts05 is for names of functions alone
ID = re.compile(r"(?<![A-Z0-9])([A-Z]{3,4})((?:[-_]\d\d(?![\dA-Z]))+)")
# F-1 in a comment, F_1 in a name
FAULT = re.compile(r"(?<![A-Za-z0-9.-])([AEFST])[-_](\d{1,2})(?![0-9A-Za-z.-])")
NAME = re.compile(r"(?<![a-z0-9])([a-z]{3,4})_?(\d\d)(?!\d)")

C_TEST = re.compile(r"^(\w+)\(void \*\*state\)$", re.M)
C_COMMENT = re.compile(r"^(/\*(?:(?!\*/).)*)\*/\nstatic void\n"
                       r"\w+\(void \*\*state\)$", re.M | re.S)
C_STRING = re.compile(r'/\*.*?\*/|"((?:\\.|[^"\\\n])*)"', re.S)
PY_TEST = re.compile(r"^def (test_\w+)\(", re.M)
LAB_PROVES = re.compile(r"^proves\s+(.*)", re.M)
DLG_COMMENT = re.compile(r"^#(.*)", re.M)

KINDS = set("STS RPT DANE RTLS SMTP TLS SUB AUTH BDAT PIPE SIZE EAI DSN "
            "PRXY LIM ETRN LMTP".split())


def table():
    rows = {}
    with open(os.path.join(HERE, "ids.tbl"), encoding="ascii") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, words = line.rstrip("\n").split("\t")
                rows[name] = words
    return rows


def ids(text):
    """Ids that TEXT names."""
    return ["%s-%s" % (m[1], n) for m in ID.finditer(text) if m[1] in KINDS
            for n in re.findall(r"\d\d", m[2])] + [
        "%s-%s" % (m[1], m[2]) for m in FAULT.finditer(text)]


def of_function(name):
    """Ids in the name of a test function."""
    return ids(name) + [
        "%s-%s" % (m[1].upper(), m[2]) for m in NAME.finditer(name)
        if m[1].upper() in KINDS]


def names_in(path, text):
    """[(name of a test, id)] of one file."""
    end = os.path.splitext(path)[1]
    found = []
    for pattern in {".c": (C_TEST,), ".py": (PY_TEST,)}.get(end, ()):
        found += [(m[1], i) for m in pattern.finditer(text)
                  for i in of_function(m[1])]
    for pattern in {".c": (C_STRING, C_COMMENT), ".lab": (LAB_PROVES,),
                    ".dlg": (DLG_COMMENT,)}.get(end, ()):
        found += [(m[1] if end == ".c" else "", i)
                  for m in pattern.finditer(text)
                  for i in ids(m[1] or "")]
    return found


def main():
    rows = table()
    named, findings = collections.defaultdict(list), []
    for path in lint.files(".c", ".py", ".lab", ".dlg", ".md",
                           rooms=("tests",)):
        if path.startswith("tests/lint/"):
            continue
        text = lint.read(path)
        for test, i in names_in(path, text):
            named[i].append(" ".join([path] + test.split()))
        findings += ["%s: %s is not in ids.tbl" % (path, i)
                     for i in sorted(set(ids(text)) - set(rows))]
    findings += ["%s: %s is not in ids.tbl" % (named[i][0], i)
                 for i in sorted(set(named) - set(rows))]
    findings += ["ids.tbl: no test names %s, %s" % (i, rows[i])
                 for i in sorted(set(rows) - set(named))]
    if sys.argv[1:] == ["-l"]:
        for i in sorted(named):
            print(i, *sorted(set(named[i])), sep="\n\t")
    lint.finish(sorted(set(findings)))


main()
