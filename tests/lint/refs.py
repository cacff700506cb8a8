#!/usr/bin/python3
"""What comments, documents and manuals refer to exists: files of the tree,
functions in them (FILE:FUNCTION), sections of the documents at the root
(HACKING "Clocks"), our manual pages and their sections.  Documents that are not
in the tree are not cited.  A word with `_' in HACKING and in comments of C is a
name of the sources: whole, a parameter in capitals, the beginning before `*',
or the end of an enumerator; NAME and the like stand for any.  HACKING names each
.def file."""

import glob
import os
import re

import lint

DOCUMENTS = ("HACKING", "NEWS", "README", "SECURITY")
TEXTS = DOCUMENTS + ("queue/spool/states", "tests/lab/README.md",
                     "tests/system/README.md")
SCRIPTS = (".py", ".am", ".tbl", ".ac", "bootstrap", "tests/lab/lab")
TOPS = lint.ROOMS + ("man", "tests")

# A name with a folder of ours in front, or with an ending of our sources.
PATH = re.compile(r"(?<![\w./~$<%%-])((?:%s)/[\w./*-]*[\w*]|"
                  r"[\w-]+(?:/[\w-]+)*\.(?:c|h|def|py|am|tbl|lab|dlg))"
                  r"(?![\w/-])(?::([a-z]\w*))?" % "|".join(TOPS))
# of the system or the build
OTHERS = {"config.h", "db.h", "uthash.h", "man/hauberk.conf.5", "man/hauberk-sts.7"}
# tests/lab/scenarios/NAME.lab, tests/unit/test_x.c: any such file
ANY = re.compile(r"(?<![A-Z])(?!README|HACKING)[A-Z]{2,}(?![a-z])|/\w+_x\b")
# a name; what stands in it for any part, and for what is not ours
IDENTIFIER = re.compile(r"(?<![\w/.-])[A-Za-z]\w*_\w*")
CAPITALS = re.compile(r"(?<=[a-z]_)[A-Z]+|^[A-Z]+(?=_[a-z])|SYMBOL|NAME")
FOREIGN = {"close_notify", "sd_notify", "PTRACE_MODE", "MAX_AGE"}
SECTION = re.compile(r'\b(%s)[\s*#]+"([^"]+)"' % "|".join(DOCUMENTS))
# what the maintainers keep elsewhere
ELSEWHERE = re.compile(r"\b(DESIGN|INTERFACE|REQUIREMENTS|STYLE|REVIEW|FAULTS)"
                       r"(?:\.md)?\b(?!_)")
PAGE = re.compile(r"\b((?:hauberk|sendmail|mailq|newaliases)[\w.-]*)\((\d)\)"
                  r"|^\.Xr (hauberk\S*) (\d)", re.M)
HEADING = re.compile(r"^\.S[hs] (.+)$", re.M)
WITHIN = re.compile(r"^\.Sx (.+?)(?: [.,;:)])*$(?:\n(?:in\n)?\.Xr (\S+) (\d))?",
                    re.M)
C_COMMENT = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
PY_COMMENT = re.compile(r'"""(?:.|\n)*?"""|(?:^|(?<=\s))#[^\n]*')


def all_files():
    found = set()
    for folder, below, names in os.walk(lint.SRC):
        below[:] = [b for b in below if not b.startswith((".git", "build"))
                    and b not in ("autom4te.cache", "__pycache__")]
        here = os.path.relpath(folder, lint.SRC)
        found |= {os.path.normpath(os.path.join(here, n)) for n in names}
    return found


FILES = all_files()
NAMES = {os.path.basename(f) for f in FILES}


def comments(path):
    """(line number, text) of what people read in PATH."""
    text = lint.read(path)
    if path in TEXTS or path.startswith("man/") and path[-3:] != ".am":
        return [(1, text)]
    pattern = PY_COMMENT if path.endswith(SCRIPTS) else C_COMMENT
    return [(text.count("\n", 0, m.start()) + 1, m[0])
            for m in pattern.finditer(text) if m[0][0] != '"'
            or m[0].startswith('"""')]


def resolve(path, name):
    """The files that NAME means in PATH."""
    name = name.rstrip(".")
    places = [name, os.path.join(os.path.dirname(path), name),
              os.path.join("tests", name)]
    for place in places:
        place = os.path.normpath(place)
        if place in FILES:
            return [place]
        whole = os.path.join(glob.escape(lint.SRC), place)
        found = glob.glob(whole) or glob.glob(whole + ".*")
        if found:
            return [os.path.relpath(f, lint.SRC) for f in found]
    if "/" not in name and name in NAMES:
        return [f for f in FILES if os.path.basename(f) == name]
    return []


def check_path(path, name, function):
    if name in OTHERS or ANY.search(name):
        return None
    found = resolve(path, name)
    if not found:
        return "%s is not there" % name
    if function and not any(
            re.search(r"^%s\(|^#define %s\(|\b%s(?:\[\w*\])? =" % (
                (function,) * 3), lint.read(f), re.M) for f in found):
        return "%s has no %s" % (name, function)
    return None


def headings(document):
    lines = lint.read(document).split("\n")
    return {a for a, b in zip(lines, lines[1:]) if a and
            re.fullmatch(r"[=-]{3,}", b)}


def has_page(name, section):
    return any("man/%s.%s%s" % (name, section, end) in FILES
               for end in ("", ".in")) or name in (
                   "sendmail", "mailq", "newaliases")


def unfold(text):
    """TEXT with one blank where a comment goes on in the next line."""
    return re.sub(r"\n[ \t]*(?:\*|#)?[ \t]*", " ", text)


def source_words():
    """The words of all sources, without their comments."""
    words = set()
    for path in lint.files(".c", ".h", ".def", ".py", ".am", rooms=TOPS):
        pattern = PY_COMMENT if path.endswith(SCRIPTS) else C_COMMENT
        text = pattern.sub(lambda m: m[0] if m[0][0] == '"' else " ",
                           lint.read(path))
        words.update(re.findall(r"[A-Za-z_]\w*", text))
    return words


WORDS = source_words()
ALL_WORDS = " %s " % " ".join(sorted(WORDS))


def check_name(name):
    if name in WORDS or name in FOREIGN or name.lower() in WORDS:
        return None
    if name.endswith("_") and " " + name in ALL_WORDS or \
            name.isupper() and "_%s " % name in ALL_WORDS:
        return None
    pattern = CAPITALS.sub(r"\\w+", name)
    if pattern != name and re.search(r" %s " % pattern, ALL_WORDS):
        return None
    return "no source has the name %s" % name


def check_text(path, text):
    if path == "HACKING" or path.endswith((".c", ".h", ".def")):
        for match in IDENTIFIER.finditer(text):
            yield match.start(), check_name(match[0])
    for match in PATH.finditer(text):
        yield match.start(), check_path(path, match[1], match[2])
    for match in SECTION.finditer(text):
        if unfold(match[2]) not in headings(match[1]):
            yield match.start(), "%s has no section \"%s\"" % (
                match[1], unfold(match[2]))
    for match in ELSEWHERE.finditer(text):
        yield match.start(), "%s is not in the tree" % match[0]
    for match in PAGE.finditer(text):
        name, section = match[1] or match[3], match[2] or match[4]
        if not has_page(name, section):
            yield match.start(), "no page %s(%s)" % (name, section)


def check_sections(path, text):
    """.Sx NAME is a section of the page, or of the page that follows."""
    for match in WITHIN.finditer(text):
        page = path
        if match[2]:
            page = next((f for f in FILES if f.startswith(
                "man/%s.%s" % (match[2], match[3]))), None)
        if page and match[1] not in HEADING.findall(lint.read(page)):
            yield match.start(), "%s has no section %s" % (page, match[1])


def main():
    paths = set(TEXTS) | {"Makefile.am", "configure.ac", "bootstrap"}
    paths |= set(lint.files(".c", ".h", ".def", ".py", ".am", ".tbl",
                            rooms=TOPS))
    paths |= {f for f in FILES if re.fullmatch(r"man/[\w.-]+\.\d(\.in)?", f)}
    paths -= {"man/hauberk.conf.5", "man/hauberk-sts.7"}  # made from the .in
    found = []
    for path in sorted(paths):
        for line, text in comments(path):
            checks = list(check_text(path, text))
            if path.startswith("man/"):
                checks += check_sections(path, text)
            found += ["%s:%d: %s" % (path, line + text.count("\n", 0, at), f)
                      for at, f in checks if f]
    found += ["HACKING does not name %s" % f for f in FILES
              if f.endswith(".def") and f not in lint.read("HACKING")]
    lint.finish(found)


main()
