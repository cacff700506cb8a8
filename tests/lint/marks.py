#!/usr/bin/python3
"""A short comment that stands alone between blank lines begins a section of the
file and is written `/* --- words --- */'.  With --mend the sources are changed
so.  No section is empty."""

import os
import re
import sys

import lint

ALONE = re.compile(r"(?<=\n\n)/\* ([^\n]*) \*/(?=\n\n)")
# up to the next mark, or where another file's section begins
SECTION = re.compile(r"(?m)^/\* --- (.*) --- \*/\n((?:.*\n)*?)"
                     r"(?=/\* --- |#endif\n*\Z|/\* [\w/]*\.c\b|\Z)")
WORDS = 9  # a longer one is a sentence about what follows


def mark(text):
    """How the mark is written that says TEXT; None: that is no mark."""
    words = re.sub(r"^-+ | -+$", "", text).removesuffix(".")
    if len(words.split()) > WORDS or re.search(r"[;.] ", words):
        return None
    # a name, such as DNS or Content-Type, stays
    if re.match(r"[A-Z][a-z]*(?![\w-])", words):
        words = words[0].lower() + words[1:]
    return "/* --- %s --- */" % words


def main():
    found, mend = [], sys.argv[1:] == ["--mend"]
    for path in lint.files(".c", ".h", rooms=lint.ROOMS + ("man", "tests")):
        text = lint.read(path)
        changed = ALONE.sub(lambda m: mark(m[1]) or m[0], text)
        if changed != text and mend:
            with open(os.path.join(lint.SRC, path), "w",
                      encoding="utf-8") as f:
                f.write(changed)
        elif changed != text:
            found += ["%s:%d: write %s" % (
                path, text.count("\n", 0, m.start()) + 1, mark(m[1]))
                for m in ALONE.finditer(text)
                if mark(m[1]) not in (None, m[0])]
        found += ["%s: section \"%s\" is empty" % (path, m[1])
                  for m in SECTION.finditer(text) if not m[2].strip()]
    lint.finish(found)


main()
