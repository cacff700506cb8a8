#!/usr/bin/python3
"""Which file may include what, and what the pure libraries may call.

Floors: 0 base, 1 grammar, 2 machines, 3 adaptors, 4 role mains.  A file
includes lower floors and siblings; floors 0 to 2 know no input, output, clock
or library; each library is known to the files named here alone.
"""

import fnmatch
import os
import re
import subprocess

import lint

# the first pattern that fits
FLOORS = (
    ("common/base/*", 0),
    ("common/proto/*", 1),
    ("common/io/*", 3),
    ("common/tools/smmessage.*", 2), ("common/tools/smsubmit.*", 3),
    ("common/control/*", 4), ("common/keyagent/*", 4),
    ("common/parent/*", 4), ("common/tools/*", 4),
    ("sts/decide.*", 1), ("sts/match.*", 1), ("sts/policy.*", 1),
    ("sts/record.*", 1), ("sts/txt.*", 1),
    ("sts/cache.*", 2), ("sts/clock.*", 2), ("sts/core*", 2),
    ("sts/fetch.*", 2),
    ("sts/*", 3),
    ("queue/sched/*", 2),
    ("queue/spool/change.h", 1), ("queue/spool/record.*", 1),
    ("queue/spool/*", 3),
    ("queue/router/dovecot.*", 2), ("queue/router/judge.*", 3),
    ("queue/router/rules.*", 2), ("queue/router/unread.*", 2),
    ("queue/router/usual.*", 2), ("queue/router/expansion.*", 2),
    ("queue/router/lookup.*", 3), ("queue/router/work.*", 3),
    ("queue/router/*", 4),
    ("queue/manager/dsn_text.*", 2), ("queue/manager/places.*", 2),
    ("queue/manager/rules.*", 2), ("queue/manager/turns.*", 2),
    ("queue/manager/*", 4),
    ("delivery/smtp/seen.*", 1), ("delivery/smtp/pool.*", 3),
    ("delivery/smtp/encoder.*", 3),
    ("delivery/smtp/*", 2),
    ("delivery/local/text.*", 2), ("delivery/local/main.c", 4),
    ("delivery/local/*", 3),
    ("delivery/role/*", 4),
    ("smtpd/certs.c", 4), ("smtpd/client.c", 4), ("smtpd/filterio.c", 4),
    ("smtpd/frames.c", 4),
    ("smtpd/main.c", 4), ("smtpd/proxy.c", 4), ("smtpd/sessions.c", 4),
    ("smtpd/worker.*", 4),
    ("smtpd/*", 2),
)

# header -> the only files that may include it
LIBRARIES = (
    ("event2/*", ("common/io/loop.c",)),
    ("openssl/*", ("common/io/tls*.c", "common/io/keyprov.c",
                   "common/io/keysign.c", "common/io/keyid.h",
                   "common/io/selfsign.c",
                   "common/io/certcheck.c",
                   "sts/http.c")),
    ("ares*.h", ("common/io/dns.c",)),
    ("curl/*", ("sts/http.c",)),
    ("db.h", ("common/io/map.c", "queue/spool/store.c")),
    ("jansson.h", ("common/control/*",)),
    ("crypt.h", ("queue/router/work.c",)),
    ("seccomp.h", ("common/io/sandbox.c",)),
    ("linux/landlock.h", ("common/io/sandbox.c",)),
    ("pthread.h", ("queue/spool/flush.c",)),
    ("uthash.h", ("common/base/table.h",)),
)

# what floors 0 to 2 include of the system
PURE_HEADERS = {"config.h", "assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h",
                "stdalign.h", "stdarg.h", "stdbool.h", "stddef.h",
                "stdint.h", "stdio.h", "stdlib.h", "string.h",
                "sys/queue.h", "uthash.h"}

# each pure library and its floor, where its file has none lower; what it calls outside these and the rows
# below fails
PURE = (("common/libbase.a", 0), ("common/libproto.a", 1),
        ("sts/libsts.a", 2), ("smtpd/libsession.a", 2),
        ("queue/libsched.a", 2), ("queue/librules.a", 2),
        ("delivery/libdelivery.a", 2))
# bcmp: clang's word for a memcmp whose order nobody asks for
PURE_CALLS = {"bcmp", "free", "memchr", "memcmp", "memcpy", "memmem", "memmove",
              "memrchr", "memset", "qsort", "snprintf", "strchr", "strcmp",
              "strcspn", "strerror", "strlen", "strncmp", "strnlen",
              "strrchr", "strspn", "strstr", "vsnprintf", "bsearch"}
# memory, the last word of hb_bug, and what the compiler knows of the processor
BASE_CALLS = {"__cpu_model", "__cpu_indicator_init",
              "abort", "calloc", "fprintf", "fputs", "fwrite", "malloc",
              "realloc", "stderr"}
INSTRUMENTED = re.compile(r"_+(asan|ubsan|gcov|llvm|sanitizer|stack_chk|"
                          r"sancov|start___sancov|stop___sancov|lsan|msan)|"
                          r"_GLOBAL_OFFSET_TABLE_")

INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.M)
SAYS = re.compile(r"Floor (\d)")


def floor_of(path):
    for pattern, floor in FLOORS:
        if fnmatch.fnmatch(path, pattern):
            return floor
    return None


def room_of(path):
    return path.split("/")[0]


def is_ours(name):
    return room_of(name) in lint.ROOMS


def check_ours(path, name):
    floor, other = floor_of(path), floor_of(name)
    if other > floor:
        return "%s (floor %d) includes %s (floor %d)" % (
            path, floor, name, other)
    if other == floor and floor < 3 and room_of(name) not in (
            room_of(path), "common"):
        return "%s includes %s of another folder's same floor" % (path, name)
    return None


def check_outside(path, name):
    for pattern, may in LIBRARIES:
        if fnmatch.fnmatch(name, pattern) and \
                not any(fnmatch.fnmatch(path, m) for m in may):
            return "%s includes %s, which is for %s" % (
                path, name, " ".join(may))
    if floor_of(path) < 3 and name not in PURE_HEADERS:
        return "%s (floor %d) includes %s" % (path, floor_of(path), name)
    return None


def check_file(path):
    text = lint.read(path)
    found = []
    said = SAYS.search(text[:1500])
    if floor_of(path) is None:
        return ["%s has no floor" % path]
    if said and int(said[1]) != floor_of(path):
        found.append("%s says floor %s and is of floor %d" % (
            path, said[1], floor_of(path)))
    for name in INCLUDE.findall(text):
        check = check_ours if is_ours(name) else check_outside
        found.append(check(path, name))
    return [f for f in found if f]


def cycles(paths):
    """Headers that include each other."""
    graph = {p: [n for n in INCLUDE.findall(lint.read(p)) if is_ours(n)]
             for p in paths}
    done, found = set(), []

    def walk(path, way):
        if path in way:
            found.append("cycle: " + " -> ".join(
                way[way.index(path):] + [path]))
        elif path not in done:
            for name in graph.get(path, ()):
                walk(name, way + [path])
            done.add(path)
    for path in paths:
        walk(path, [])
    return found


def symbols(archive, floor, sources):
    """({defined: floor of its file}, undefined) of an archive."""
    out = subprocess.run(["nm", "-gA", os.path.join(lint.BUILD, archive)],
                         check=True, capture_output=True, text=True).stdout
    defined, wanted = {}, set()
    for line in out.splitlines():
        place, *_, kind, name = line.split()
        file = re.sub(r".*[-:](\w+)\.o:\w*$", r"\1.c", place)
        path = os.path.join(os.path.dirname(archive), file)
        if kind in "Uw":
            wanted.add(name)
        else:
            defined[name] = floor_of(path) if path in sources else floor
    return defined, wanted - set(defined)


def plain(symbol):
    """__snprintf_chk is snprintf."""
    return re.sub(r"^__(\w+)_chk$", r"\1", symbol)


def check_calls(sources):
    table = {a: symbols(a, floor, sources) for a, floor in PURE}
    found = []
    for archive, floor in PURE:
        known = set(PURE_CALLS)
        if floor == 0:
            known |= BASE_CALLS
        for other, _ in PURE:
            known |= {s for s, below in table[other][0].items()
                      if below < floor}
        found += ["%s calls %s" % (archive, s)
                  for s in sorted(table[archive][1])
                  if not INSTRUMENTED.match(s) and s not in known
                  and plain(s) not in known]
    return found


def main():
    paths = lint.files(".c", ".h", ".def")
    found = [f for p in paths for f in check_file(p)]
    lint.finish(found + cycles(paths) + check_calls(set(paths)))


main()
