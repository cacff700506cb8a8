#!/usr/bin/python3
"""No files that call each other in a circle: what is below does not know what
is above.  File A calls B when it names a function that is defined in B, and
others may call; a table of handlers names them too.  The circles that are
accepted stand in circles.tbl with the reason, and each of them is there.  With
-l, all circles; with -l FILE..., the calls among these files."""

import os
import re
import sys

import lint

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS_MAX, LENGTH_MAX = 6, 5
# a second loop, for the process that links no libevent
SECOND = {"common/io/looppoll.c"}
# a row's handler: rt_on_##name
PASTED = re.compile(r"\b([a-z]+_\w+_)##")
# `struct q_stamp' is not the function
TYPE = re.compile(r"\b(?:struct|union|enum)\s+\w+")


def table():
    """[(files, reason)] in circles.tbl."""
    with open(os.path.join(HERE, "circles.tbl"), encoding="ascii") as f:
        rows = [line.rstrip("\n").split("\t") for line in f
                if line.strip() and not line.startswith("#")]
    return [(set(names.split()), why) for names, why in rows]


def read(path):
    """Functions that PATH defines for others, the words that it uses, and how
    words begin that its tables make."""
    defined, uses = set(), set()
    text = lint.code(lint.read(path))
    code = lint.DIRECTIVE.sub("", text)
    for head, body in lint.pieces(code) or ():
        match = lint.HEAD.match(head)
        uses.update(lint.WORD.findall(TYPE.sub("", body)))
        if not match:
            uses.update(lint.WORD.findall(TYPE.sub("", head)))
        elif body and "static" not in head.split():
            defined.add(match[1])
    return defined, uses, tuple(PASTED.findall(text))


def calls():
    """{caller: {callee: names}}"""
    known = {p: read(p) for p in lint.files(".c") if p not in SECOND}
    home = {name: p for p, (defined, _, _) in known.items() for name in defined
            if name != "main"}
    graph = {p: {} for p in known}
    for path, (_, uses, begins) in known.items():
        for name in home:
            if home[name] != path and (name in uses or
                                       name.startswith(begins)):
                graph[path].setdefault(home[name], set()).add(name)
    return graph


def reach(graph, start):
    found, todo = set(), [start]
    while todo:
        for name in graph[todo.pop()]:
            if name not in found:
                found.add(name)
                todo.append(name)
    return found


def circles(graph):
    """Sets of files, each of which leads to each other."""
    far = {p: reach(graph, p) for p in graph}
    return sorted({frozenset(q for q in far[p] if p in far[q])
                   for p in graph if p in far[p]}, key=sorted)


def show(graph, among):
    for path in sorted(among):
        for other in sorted(set(graph[path]) & among):
            print("%s -> %s: %s" % (path, other,
                                    " ".join(sorted(graph[path][other]))))


def judge(found, rows):
    """Findings."""
    wrong = ["circle: " + " ".join(sorted(c)) for c in found
             if not any(c <= names for names, _ in rows)]
    for names, why in rows:
        if not why or why.startswith("to go"):
            wrong.append("circles.tbl: why is it accepted: " +
                         " ".join(sorted(names)))
        left = names.difference(*(c for c in found if c <= names))
        if left:
            wrong.append("circles.tbl: in no circle: " +
                         " ".join(sorted(left)))
    if len(rows) > ROWS_MAX:
        wrong.append("circles.tbl: %d circles; %d at most" % (
            len(rows), ROWS_MAX))
    return wrong + ["circles.tbl: a circle of %d files; %d at most" % (
        len(names), LENGTH_MAX) for names, _ in rows
        if len(names) > LENGTH_MAX]


def main():
    graph = calls()
    found = circles(graph)
    if sys.argv[1:] == ["-l"]:
        for circle in found:
            print("%d: %s" % (len(circle), " ".join(sorted(circle))))
    elif sys.argv[1:2] == ["-l"]:
        show(graph, set(sys.argv[2:]))
    lint.finish(judge(found, table()))


main()
