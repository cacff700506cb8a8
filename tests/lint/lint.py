"""What the lint tests share: the sources, and how findings are reported."""

import os
import re
import sys

SRC = os.environ.get("HB_SRCDIR", ".")
BUILD = os.environ.get("HB_BUILDDIR", SRC)
ROOMS = ("common", "delivery", "queue", "smtpd", "sts")


def files(*endings, rooms=ROOMS):
    """Paths below the root of the sources, sorted."""
    found = []
    for room in rooms:
        for folder, _, names in os.walk(os.path.join(SRC, room)):
            found += [os.path.relpath(os.path.join(folder, n), SRC)
                      for n in names if n.endswith(endings)]
    return sorted(found)


def read(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as f:
        return f.read()


def table(name):
    """Rows of NAME in this folder: the first word, and why."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name),
              encoding="ascii") as f:
        rows = [line.rstrip("\n").split("\t") for line in f
                if line.strip() and not line.startswith("#")]
    return {name: why for name, why in rows}


_NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|("(?:\\.|[^"\\\n])*")'
                       r"|('(?:\\.|[^'\\\n])*')", re.S)


def code(text):
    """TEXT without comments and without what is in strings."""
    def blank(match):
        if match[1]:
            return '""'
        return "' '" if match[2] else "\n" * match[0].count("\n") or " "
    return _NOT_CODE.sub(blank, text)


DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.M)
# not a member: .name, ->name
WORD = re.compile(r"(?<![\w.])(?<!->)[A-Za-z_]\w*")
# the head of a function: type, name, bracket; `(*' begins the name of a pointer
HEAD = re.compile(r"\s*(?!typedef\b)[A-Za-z_][\w\s*]*[\s*]([A-Za-z_]\w*)\s*"
                  r"\((?!\s*\*)")


def pieces(text):
    """[(head, body)]: what ends with `;' or braces outside of all braces."""
    found, depth, start, middle = [], 0, 0, 0
    for match in re.finditer(r"[{};]", text):
        at, sign = match.start(), match[0]
        if sign == "{":
            middle = at if depth == 0 else middle
            depth += 1
        elif sign == "}":
            depth -= 1
        if depth == 0 and sign != "{":
            end = middle if sign == "}" else at
            found.append((text[start:end], text[end:at]))
            start = at + 1
    return found if depth == 0 else None


def finish(findings):
    """End the test: 0, or 1 with one finding a line."""
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)
