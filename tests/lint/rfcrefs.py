#!/usr/bin/python3
"""RFC marks in the code (`RFC 5321 s4.1.1.4', more sections behind a comma)
are of the sections in rfc.tbl, and each row there has a mark.  With -l, the
marks by section."""

import collections
import os
import re
import sys

import lint

HERE = os.path.dirname(os.path.abspath(__file__))
# comments may break between the words of a mark
GAP = r"(?:[\s*/]*)"
MARK = re.compile(r"RFC[\s*]+(\d{3,5})((?:,?" + GAP + r"(?:and )?s[0-9][0-9.]*)*)")
SECTION = re.compile(r"s([0-9][0-9.]*)")
WRONG = re.compile(r"RFC[- ]?\d+,? (?:section|sec\.|sect\.|§)|"
                   r"(?<!_)RFC-?\d{3,5}\b(?!_)")


def table():
    rows = set()
    with open(os.path.join(HERE, "rfc.tbl"), encoding="ascii") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                number, section = line.split("\t")[0].split()
                rows.add((number, "" if section == "-" else section))
    return rows


def standards():
    with open(os.path.join(lint.SRC, "man/hauberk-standards.7"),
              encoding="utf-8") as f:
        return set(re.findall(r"^\.It (\d+) Ta", f.read(), re.M))


def marks():
    """{(number, section): [place, ...]}; the section of a bare mark is ""."""
    found, wrong = collections.defaultdict(list), []
    for path in lint.files(".c", ".h", ".def", rooms=lint.ROOMS + ("tests",)):
        text = lint.read(path)
        for match in MARK.finditer(text):
            place = "%s:%d" % (path, text.count("\n", 0, match.start()) + 1)
            sections = SECTION.findall(match[2]) or [""]
            for section in sections:
                found[match[1], section.rstrip(".")].append(place)
        wrong += ["%s: %s: write `RFC nnnn sX'" % (path, m[0])
                  for m in WRONG.finditer(text)]
    return found, wrong


def by_number(key):
    return [int(x) for x in (key[0] + "." + key[1]).split(".") if x]


def main():
    found, findings = marks()
    if sys.argv[1:] == ["-l"]:
        for key in sorted(found, key=by_number):
            print("RFC %s: %s" % (" s".join(filter(None, key)),
                                  " ".join(found[key])))
    rows, known = table(), standards()
    numbers = {n for n, _ in rows} | known
    for key in sorted(found, key=by_number):
        if key not in rows if key[1] else key[0] not in numbers:
            findings.append("%s: RFC %s is not in rfc.tbl" % (
                found[key][0], " s".join(filter(None, key))))
    findings += ["rfc.tbl: RFC %s s%s has no mark" % k
                 for k in sorted(rows - set(found), key=by_number)]
    lint.finish(findings)


main()
