#!/usr/bin/python3
"""Each function that a header declares is used by the product: by a test
alone, or by nobody, is not enough.  A name in a table, a macro or behind a
pointer counts as well as a call; its declaration, its definition and what it
says of itself in its own body do not.  The exceptions stand in unused.tbl,
and each of them is needed.  With -l, the functions and how many uses each
has."""

import collections
import os
import sys

import lint

HERE = os.path.dirname(os.path.abspath(__file__))
ROOMS = lint.ROOMS + ("man",)


def table():
    """Names in unused.tbl."""
    with open(os.path.join(HERE, "unused.tbl"), encoding="ascii") as f:
        rows = [line.rstrip("\n").split("\t") for line in f
                if line.strip() and not line.startswith("#")]
    return {name: why for name, why in rows}


def read(path, declared, uses):
    """Adds the functions that PATH declares, if it is a header, and the words
    that it uses.  Returns findings."""
    text = lint.code(lint.read(path))
    for match in lint.DIRECTIVE.finditer(text):
        uses.update(lint.WORD.findall(match[0]))
    found = lint.pieces(lint.DIRECTIVE.sub("", text))
    if found is None:
        return ["%s: braces do not pair" % path]
    for head, body in found:
        words = lint.WORD.findall(head + body)
        match = lint.HEAD.match(head)
        if match:
            words = [w for w in words if w != match[1]]
            if path.endswith(".h"):
                declared[match[1]] = path
        uses.update(words)
    return []


def main():
    declared, uses, findings = {}, collections.Counter(), []
    for path in lint.files(".c", ".h", ".def", rooms=ROOMS):
        findings += read(path, declared, uses)
    if sys.argv[1:] == ["-l"]:
        for name in sorted(declared):
            print("%s\t%d" % (name, uses[name]))
    rows = table()
    findings += ["%s: %s is used by no product code" % (declared[name], name)
                 for name in sorted(declared)
                 if uses[name] == 0 and name not in rows]
    findings += ["unused.tbl: %s is used, or is no function" % name
                 for name in sorted(rows)
                 if uses[name] > 0 or name not in declared]
    lint.finish(findings)


main()
