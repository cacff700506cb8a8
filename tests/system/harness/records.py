"""Reading the log: `... ev=NAME key=value key="quoted"` records."""

import json
import re

_PAIR = re.compile(r'([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|\S*)')
_ESCAPE = re.compile(r'\\(x[0-9a-fA-F]{2}|.)')
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}


def _unquote(value):
    if not value.startswith('"'):
        return value

    def one(m):
        code = m.group(1)
        if code[0] == "x" and len(code) == 3:
            return chr(int(code[1:], 16))
        return _NAMED.get(code, code)
    return _ESCAPE.sub(one, value[1:-1])


def parse(line):
    """One record as a dict, or None if the line holds none."""
    if line.startswith("{"):
        return json.loads(line)
    at = line.find("ev=")
    if at < 0:
        return None
    record = {m.group(1): _unquote(m.group(2))
              for m in _PAIR.finditer(line, at)}
    record.setdefault("level", line[:at].rpartition(" ")[0].split(" ")[-1])
    return record


def read(path, ev=""):
    """All records of a file, or those of an event at least, in order; a last
    line without end is left."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            text = f.read()
    except FileNotFoundError:
        return []
    whole = text[:text.rfind("\n") + 1]
    # to look for a word costs a hundredth of what parsing does
    lines = (line for line in whole.splitlines() if ev in line)
    return [r for r in map(parse, lines) if r]


def match(records, **want):
    return [r for r in records
            if all(r.get(k) == v for k, v in want.items())]
