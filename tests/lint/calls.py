#!/usr/bin/python3
"""Calls that no source may make."""

import re

import lint

FORBIDDEN = {
    "strcpy": "hb_span_copy", "stpcpy": "hb_span_copy",
    "strncpy": "hb_span_copy", "strcat": "hb_buf_adds",
    "strncat": "hb_buf_add", "sprintf": "hb_buf_addf",
    "vsprintf": "hb_buf_addf", "strtok": "hb_span_cut",
    "strtok_r": "hb_span_cut", "gets": "hb_buf", "atoi": "hb_span_u64",
    "atol": "hb_span_u64", "atoll": "hb_span_u64", "alloca": "hb_arena_alloc",
    "setjmp": "an error code", "longjmp": "an error code",
    "system": "a child of its own", "popen": "a child of its own",
    "tmpnam": "mkostemp", "mktemp": "mkostemp", "rand": "hb_random",
    "gethostbyname": "common/io/dns.h",
}
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(FORBIDDEN))
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")


def check(path):
    text = lint.read(path)
    found = []
    for number, line in enumerate(lint.code(text).splitlines(), 1):
        found += ["%s:%d: %s; take %s" % (path, number, name,
                                          FORBIDDEN[name])
                  for name in CALL.findall(line)]
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            found.append("%s:%d: unfinished" % (path, number))
    return found


lint.finish([f for p in lint.files(".c", ".h", ".def",
                                   rooms=lint.ROOMS + ("man",))
             for f in check(p)])
