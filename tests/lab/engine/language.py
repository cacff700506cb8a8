"""Scenario files: lines and blocks, checked against the table of words.

A rule is one way to write a line. It belongs to a block, may open a block
below it, and names what the line does:

    @rule("domain", "mx N HOST")
    def mx(lab, v, domain): ...

A file is checked whole before anything of it is done; a mistake is raised as
`FILE:LINE: message`.
"""

import os

from .pattern import NotThat, Pattern, split

RAW = "raw"  # the lines below are taken as they are

RULES = {}   # block -> [Rule], in the order they are written in


class Mistake(Exception):
    def __init__(self, file, line, text):
        super().__init__("%s:%d: %s" % (file, line, text))


class Rule:
    def __init__(self, block, pattern, below, inline, run):
        self.block = block
        self.pattern = Pattern(pattern)
        self.below = below    # block of the lines below, RAW, or None
        self.inline = inline  # one of them may stand on the same line
        self.run = run
        self.about = " ".join((run.__doc__ or "").split())


def rule(block, *patterns, below=None, inline=False):
    """Register a function as what lines of these forms do."""
    def register(run):
        for p in patterns:
            RULES.setdefault(block, []).append(
                Rule(block, p, below, inline, run))
        return run
    return register


class Line:
    """A line as it stands in the file, with those indented below it."""

    def __init__(self, number, text):
        self.number = number
        self.text = text
        self.below = []


class Node:
    """A line that was understood."""

    def __init__(self, file, line, rule, values):
        self.file = file
        self.number = line.number
        self.text = line.text
        self.rule = rule
        self.values = values
        self.below = []

    @property
    def word(self):
        return self.rule.pattern.first

    def run(self, lab, *subject):
        return self.rule.run(lab, self, *subject)

    def __getitem__(self, key):
        return self.values[key]

    def get(self, key, default=None):
        return self.values.get(key, default)

    def __contains__(self, key):
        return key in self.values

    def walk(self):
        yield self
        for node in self.below:
            if isinstance(node, Node):
                yield from node.walk()


def _indent(text):
    body = text.expandtabs(8)
    return len(body) - len(body.lstrip(" "))


def lines(file, text):
    """The tree of lines; comments and empty lines are left out."""
    top = Line(0, "")
    open_blocks = [(-1, top)]
    for number, raw in enumerate(text.splitlines(), 1):
        body = raw.strip()
        if not body or body.startswith("#"):
            continue
        depth = _indent(raw)
        deeper = depth > open_blocks[-1][0]
        while depth < open_blocks[-1][0]:
            open_blocks.pop()
        at, last = open_blocks[-1]
        if depth > at and not deeper:
            raise Mistake(file, number,
                          "the indentation fits none of the lines above")
        if depth > at:
            last = last.below[-1] if last.below else last
            open_blocks.append((depth, last))
        last.below.append(Line(number, body))
    return top.below


def read(file, line, block):
    """A line of this block, and the lines below it."""
    try:
        words = split(line.text)
        return _read_words(file, line, block, words)
    except NotThat as e:
        raise Mistake(file, line.number, str(e)) from None


def _read_words(file, line, block, words):
    rules = [r for r in RULES[block] if r.pattern.first == words[0]]
    if not rules:
        known = sorted({r.pattern.first for r in RULES[block]})
        raise NotThat("unknown word '%s' in %s; known are %s"
                      % (words[0], block, ", ".join(known)))
    why = {}
    for r in rules:
        try:
            values = r.pattern.match(words, prefix=r.inline)
        except NotThat as e:
            why[r] = str(e)
            continue
        return _with_block(file, line, r, values)
    raise NotThat(_nearest(words, why))


def _nearest(words, why):
    """The complaint of the rules that the words are most like."""
    most = max(r.pattern.likeness(words) for r in why)
    near = [r for r in why if r.pattern.likeness(words) == most]
    if len(near) == 1:
        return "%s; it is written: %s" % (why[near[0]], near[0].pattern.text)
    return "\n    ".join(["'%s' is written in one of these ways:" % words[0]]
                         + [r.pattern.text for r in near])


def _with_block(file, line, r, values):
    node = Node(file, line, r, values)
    rest = values.pop("rest")
    below = line.below
    if rest:
        node.below.append(_read_rest(file, line, r, rest))
        below = []
    if below and r.below is None:
        raise Mistake(file, below[0].number,
                      "nothing can stand below '%s'" % r.pattern.first)
    for child in below:
        node.below.append(_raw(child) if r.below == RAW
                          else read(file, child, r.below))
    return node


def _read_rest(file, line, r, words):
    """What stands behind `publish NAME` on the same line."""
    if r.below is None or r.below == RAW:
        raise NotThat("'%s' is not expected here" % words[0])
    return _read_words(file, line, r.below, words)


def _raw(line):
    return " ".join([line.text] + [_raw(c) for c in line.below])


class Scenario:
    """A file that was understood: what it says of itself, world, steps."""

    def __init__(self, file, nodes):
        self.file = file
        self.name = os.path.splitext(os.path.basename(file))[0]
        self.title = ""
        self.ids = []
        self.why = ""
        self.slow = False
        self.unbroken = False
        self.world = []
        self.steps = []
        for node in nodes:
            node.run(self)

    def hosts(self):
        """The names of all hosts that the file makes."""
        return {name for top in self.world + self.steps
                for node in top.walk() for name in _made(node)}


def _made(node):
    """The names of the hosts that a line makes."""
    if node.rule.block == "world" and node.word == "host":
        return [node["name"]]
    if node.rule.block == "world" and node.word == "domain":
        return ["mx." + node["domain"], node["domain"]]
    if node.rule.block == "domain" and node.word == "mx":
        return [node["name"]]
    return []


@rule("a scenario", "title TEXT...")
def _title(scenario, v):
    """One line that says what it is about."""
    scenario.title = " ".join(v["text"])


@rule("a scenario", "proves ID...")
def _proves(scenario, v):
    """The requirements that break it when they are broken."""
    scenario.ids += v["id"]


@rule("a scenario", "why TEXT...", "why", below=RAW)
def _why(scenario, v):
    """Why it matters, in the lines below."""
    scenario.why = " ".join(list(v.get("text", ())) + v.below)


@rule("a scenario", "slow")
def _slow(scenario, v):
    """Left out of `lab run --quick`."""
    scenario.slow = True


@rule("a scenario", "unbroken")
def _unbroken(scenario, v):
    """It is about what Hauberk keeps in memory alone: left out of
    `--between`."""
    scenario.unbroken = True


@rule("a scenario", "world", below="world")
def _world(scenario, v):
    """The world that it is set in."""
    scenario.world += v.below


@rule("a scenario", "steps", below="steps")
def _steps(scenario, v):
    """What is done, and what is expected."""
    scenario.steps += v.below


def load(path):
    """The scenario in a file; Mistake if it cannot be understood."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    scenario = Scenario(path, [read(path, l, "a scenario")
                               for l in lines(path, text)])
    _check(scenario)
    return scenario


def step(text, name="-"):
    """One step that was typed; for the standing lab."""
    tree = lines(name, text)
    if len(tree) != 1:
        raise Mistake(name, 1, "one step at a time")
    return read(name, tree[0], "steps")


def _check(scenario):
    for what, value in (("title", scenario.title), ("proves", scenario.ids),
                        ("why", scenario.why), ("steps", scenario.steps)):
        if not value:
            raise Mistake(scenario.file, 1, "'%s' is missing" % what)
    hosts = scenario.hosts()
    for top in scenario.world + scenario.steps:
        for node in top.walk():
            check_hosts(node, hosts)
    _check_messages(scenario.steps)


def check_hosts(node, hosts):
    """Every HOST of a step must be there."""
    if node.rule.block == "domain":
        return
    for key in node.rule.pattern.uses("HOST"):
        if key in node and node[key] not in hosts:
            raise Mistake(node.file, node.number,
                          "no host '%s' in this world" % node[key])


def _check_messages(steps):
    """`message=NAME` names a message that was sent before."""
    sent = set()
    for node in steps:
        if node.word == "send":
            sent |= {"", node.get("as", "")}
        elif "message" in node.rule.pattern.options and \
                node.get("message", "") not in sent:
            raise Mistake(node.file, node.number, "no message '%s' was sent "
                          "before" % node.get("message", ""))
