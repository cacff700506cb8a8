#!/usr/bin/python3
"""No two types of one name: who reads `struct x' in a debugger or asks grep
for it finds one definition."""

import re

import lint

# a second loop for the process that links no libevent
TWICE = {("hb_loop", "common/io/looppoll.c"),
         ("hb_io", "common/io/looppoll.c"),
         ("hb_timer", "common/io/looppoll.c")}
TYPE = re.compile(r"^(?:struct|union|enum) (\w+) \{", re.M)
TYPEDEF = re.compile(r"^typedef [^;]*?\(?\*?(\w+)\)?(?:\([^;]*\))?;", re.M)


def main():
    first, found = {}, []
    for path in lint.files(".c", ".h"):
        text = lint.read(path)
        for name in TYPE.findall(text) + TYPEDEF.findall(text):
            if (name, path) in TWICE:
                continue
            if name in first:
                found.append("%s defines %s, and so does %s" % (
                    path, name, first[name]))
            first[name] = path
    lint.finish(found)


main()
