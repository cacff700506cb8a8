#!/usr/bin/python3
"""Each function that a header declares and each row of a table (.def) is used
by the product: by a test alone, or by nobody, is not enough.  A name in a
table, a macro or behind a pointer counts as well as a call; its declaration,
its definition and what it says of itself in its own body do not.  fields.py
looks at the fields of structs.  The exceptions stand in unused.tbl, and each
of them is needed.  With -l, the names and how many uses each has."""

import collections
import re
import sys

import lint

ROOMS = lint.ROOMS + ("man",)
# rows of these macros are named by the prefix and their first word
ROWS = {"HB_LIMIT": "HB_MAX_", "HB_EVENT": "HB_EV_", "HB_KEY": "HB_K_",
        "HB_STAT": "HB_STAT_", "HB_FAULT": "HB_FAULT_", "I_MSG": "HB_IPC_",
        "HB_REASON": "HB_REASON_", "SMTPD_REPLY": "SMTPD_R_"}
# a column of these tables names a row of another, without its prefix
COLUMNS = {"common/proto/reason.def": (2, "HB_FAULT_"),
           "smtpd/reply.def": (3, "HB_REASON_")}
ROW = re.compile(r"^(\w+)\(((?:[^\n]|\n(?=[ \t]))*)", re.M)


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


def read_table(path, declared, uses):
    """Adds the rows of the table PATH, and what it names in others."""
    for macro, rest in ROW.findall(lint.code(lint.read(path))):
        words = [word.strip() for word in rest.rstrip(")").split(",")]
        if macro in ROWS:
            declared[ROWS[macro] + words[0]] = path
        uses.update(lint.WORD.findall(" ".join(words[1:])))
        column, prefix = COLUMNS.get(path, (0, ""))
        if len(words) > column > 0:
            uses[prefix + words[column]] += 1


def main():
    declared, uses, findings = {}, collections.Counter(), []
    for path in lint.files(".c", ".h", ".def", rooms=ROOMS):
        findings += read(path, declared, uses)
        if path.endswith(".def"):
            read_table(path, declared, uses)
    if sys.argv[1:] == ["-l"]:
        for name in sorted(declared):
            print("%s\t%d" % (name, uses[name]))
    rows = {n for n in lint.table("unused.tbl") if "." not in n}
    findings += ["%s: %s is used by no product code" % (declared[name], name)
                 for name in sorted(declared)
                 if uses[name] == 0 and name not in rows]
    findings += ["unused.tbl: %s is used, or is not there" % name
                 for name in sorted(rows)
                 if uses[name] > 0 or name not in declared]
    lint.finish(findings)


main()
