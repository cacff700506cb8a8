#!/usr/bin/python3
"""Each file of the sources and the tests goes into the tarball: an .am file
names it, its program or a folder that it is in.  `make distcheck' alone would
tell only when a test that it runs misses the file."""

import os
import re

import lint

ROOMS = lint.ROOMS + ("man", "tests")
ENDINGS = (".am", ".c", ".def", ".dict", ".dlg", ".h", ".in", ".lab", ".md",
           ".py", ".sample", ".tbl")
COMMENT = re.compile(r"^#.*", re.M)


def named():
    """The words of all .am files."""
    paths = ["Makefile.am"] + lint.files(".am", rooms=ROOMS)
    return {word for p in paths
            for word in COMMENT.sub("", lint.read(p)).split()}


def goes(path, names):
    # the source of a test program is made of the program's name
    if path in names or os.path.splitext(path)[0] in names:
        return True
    folder = os.path.dirname(path)
    while folder and folder not in names:
        folder = os.path.dirname(folder)
    return bool(folder)


def main():
    names = named()
    lint.finish(["%s: no .am file names it, so the tarball misses it" % p
                 for p in lint.files(*ENDINGS, rooms=ROOMS)
                 if not goes(p, names)])


if __name__ == "__main__":
    main()
