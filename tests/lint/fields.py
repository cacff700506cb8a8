#!/usr/bin/python3
"""Each field of a struct, and of a record of a .def file, is read by product
code.  A copy of the sources, in which all fields are marked as deprecated, is
compiled: clang names each use, of the very struct.  To be assigned or counted
up is no reading, nor is a table that is made from the .def file.  To give the
address away is: a buffer that is only filled is not found.  The exceptions
stand in unused.tbl as STRUCT.FIELD.  With -l, all fields and their reads."""

import collections
import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import lint

# what Makefile.am says of the places of files
PLACES = ("LIBEXECDIR", "SBINDIR", "CONF_FILE", "ALIASES_FILE",
          "DEFAULT_SPOOL", "DEFAULT_RUN_DIR", "BUILD_TIME")
MARK = " __attribute__((deprecated))"
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'
                   r"'(?:\\.|[^'\\\n])*'|^[ \t]*#(?:\\\n|[^\n])*|\w+|\s+|.",
                   re.S | re.M)
BLANK = re.compile(r"\s|/\*|//|[ \t]*#")
BODY = re.compile(r"(?:struct|union) (?:(\w+) )?$")
# the name of a declarator: of a pointer to a function, or the last word
NAME = re.compile(r"\( \* (?:const )?(\w+)|(\w+) (?:[\[:].*)?$")
# a macro that makes a field, of a row of a .def file
MAKES = re.compile(r"^(#\s*define.*\bfield);", re.S)
ROW = re.compile(r"^R_(?!BEGIN|END)\w+\((\w+), \w+, (\w+)|"
                 r"^CONF_WORD\([^,\n]*, \w+, (\w+)(.*\n)", re.M)
SAYS = re.compile(r"^(\S+?):(\d+):(\d+): (warning|note|error|fatal error): "
                  r"(?:'(\w+)' (is dep|has been exp)|(expanded from))?")
# after its name: it is assigned, or counted up
ASSIGNED = re.compile(r"(?:\[[^\]]*\])*\s*(?:(?:[-+|&^]|<<|>>)?=(?!=)|"
                      r"(\+\+|--);)")
# before it: what it points to is assigned; no statement of its own
POINTS = re.compile(r"\*[\w\]\[.>()-]*$")
WITHIN = re.compile(r"[^\s\w\]\[.>()-]|\breturn\b")


class Walk:
    """Marks the fields of one source."""

    def __init__(self, path):
        self.path, self.line, self.fields = path, 1, {}
        self.bodies = []  # names of the structs that we are in; None: no struct
        self.words, self.depth = "", 0  # since the last declarator; of brackets

    def end(self):
        """A declarator ends: what is put behind it."""
        match = NAME.search(self.words)
        self.words, name = "", match and (match[1] or match[2])
        if not name or not self.bodies or self.bodies[-1] is None:
            return ""
        self.fields[self.path, self.line, name] = self.bodies[-1] + "." + name
        return MARK

    def token(self, text):
        before = ""
        if BLANK.match(text):
            text_out = MAKES.sub(r"\1%s;" % MARK, text)
            self.line += text.count("\n")
            return text_out
        if text in ";," and self.depth == 0:
            before = self.end()
        elif text == "{":
            match = BODY.search(self.words)
            self.bodies.append(match and (match[1] or "(%s)" % self.path))
            self.words, self.depth = "", 0
        elif text == "}":
            self.bodies.pop()
            self.words = ""
        else:
            self.depth += (text in "([") - (text in ")]")
            self.words += text + " "
        return before + text


def rows(path, text):
    """The fields of the records in PATH; what is not built yet has no use."""
    found = {}
    for m in ROW.finditer(text):
        line = text.count("\n", 0, m.start()) + 1
        if "HB_CW_UNBUILT" not in (m[4] or "") and \
                "HB_CW_REFUSED" not in (m[4] or ""):
            name = m[2] or m[3]
            found[path, line, name] = (m[1] or "hb_conf") + "." + name
    return found


def compile_copy(folder, path):
    """What clang says of PATH."""
    command = ["clang"] + shlex.split(os.environ.get("HB_CPPFLAGS", "")) + [
        "-std=c11", "-Wdeprecated-declarations",
        "-fsyntax-only", "-fno-caret-diagnostics", "-fmacro-backtrace-limit=0",
        "-I.", "-I" + os.path.abspath(lint.BUILD), path] + [
            '-DHB_%s=""' % place for place in PLACES]
    return subprocess.run(command, cwd=folder, text=True, check=False,
                          capture_output=True).stderr


def reads(said, sources):
    """(path, line, name) of the declaration of each field that is read."""
    use = None
    for line in said.splitlines():
        m = SAYS.match(line)
        if m is None:
            continue
        path, number, column = os.path.normpath(m[1]), int(m[2]), int(m[3])
        if m[4].endswith("error"):
            sys.exit(line)
        if m[6] == "is dep":
            use, name = [(path, number, column)], m[5]
        elif m[7] and use:
            use.append((path, number, column))
        elif m[6] and use:
            if not use[0][0].endswith(".def") and is_read(use, name, sources):
                yield path, number, name
            use = None


def is_read(use, name, sources):
    """Of the places of a USE, in a macro and around it, the one with NAME."""
    for path, number, column in use:
        rest = "\n".join(sources.get(path, [])[number - 1:number + 1])
        rest = rest[column - 1:]
        if rest.startswith(name):
            before = sources[path][number - 1][:column - 1]
            match = ASSIGNED.match(rest, len(name))
            return not match or bool(POINTS.search(before)) or bool(
                match[1] and WITHIN.search(before))
    return True


def main():
    if shutil.which("clang") is None:
        print("clang is not installed")
        sys.exit(77)
    declared, uses, sources = {}, collections.Counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        for path in lint.files(".c", ".h", ".def"):
            text = lint.read(path)
            walk = Walk(path)
            if path.endswith(".def"):
                declared.update(rows(path, text))
            else:
                text = "".join(map(walk.token, TOKEN.findall(text)))
            declared.update(walk.fields)
            sources[path] = text.split("\n")
            os.makedirs(os.path.join(folder, os.path.dirname(path)),
                        exist_ok=True)
            with open(os.path.join(folder, path), "w",
                      encoding="utf-8") as f:
                f.write(text)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for said in pool.map(lambda p: compile_copy(folder, p),
                                 lint.files(".c")):
                uses.update(set(reads(said, sources)))
    if sys.argv[1:] == ["-l"]:
        for key, name in sorted(declared.items()):
            print("%s:%d\t%s\t%d" % (key[:2] + (name, uses[key])))
    known = {n for n in lint.table("unused.tbl") if "." in n}
    unread = {name: key for key, name in declared.items() if not uses[key]}
    lint.finish(["%s:%d: nobody reads %s" % (key[:2] + (name,))
                 for name, key in sorted(unread.items()) if name not in known] +
                ["unused.tbl: %s is read, or is not there" % name
                 for name in sorted(known - set(unread))])


main()
