#!/usr/bin/python3
"""Each header compiles alone, and twice; its guard is its path."""

import concurrent.futures
import os
import re
import shlex
import subprocess

import lint

# pieces of X-macros, for the inside of a file
PIECES = ("common/io/handlers.h", "common/proto/record-none.h",
          "common/proto/record-struct.h", "common/proto/record-table.h",
          "common/proto/record-undef.h")


def compile_alone(path):
    text = '#include "config.h"\n' + '#include "%s"\n' % path * 2
    command = shlex.split(os.environ.get("HB_CC", "cc")) + shlex.split(
        os.environ.get("HB_CPPFLAGS", "")) + [
            "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
            "-I" + lint.SRC, "-I" + lint.BUILD, "-x", "c", "-"]
    done = subprocess.run(command, input=text, text=True, check=False,
                          capture_output=True)
    return [] if done.returncode == 0 else [path + ":", done.stderr]


def guard(path):
    """COMMON is HB, the prefix of what is there."""
    name = re.sub(r"\W", "_", re.sub("^common/", "hb/", path)).upper()
    if "\n#ifndef %s\n#define %s\n" % (name, name) in lint.read(path):
        return []
    return ["%s: its guard is not %s" % (path, name)]


def main():
    paths = [p for p in lint.files(".h") if p not in PIECES]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        lint.finish([f for found in pool.map(compile_alone, paths)
                     for f in found] + [f for p in paths for f in guard(p)])


main()
