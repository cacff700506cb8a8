"""Running scenarios: one in this process, or many side by side."""

import functools
import glob
import json
import os
import selectors
import sys
import time
import traceback

from harness import hauberk, space as spacemod, turns, wait

from . import language, step_words, world, world_words  # noqa: the words

SCENARIOS = os.path.relpath(os.path.join(os.path.dirname(__file__),
                                         "../scenarios"))
LIMIT_S = 180
LOG_LINES = 40


def find(names):
    """The files of scenarios by name or path; all of them without names."""
    if not names:
        return sorted(glob.glob(os.path.join(SCENARIOS, "*.lab")))
    out = []
    for name in names:
        path = name if os.sep in name or name.endswith(".lab") \
            else os.path.join(SCENARIOS, name + ".lab")
        if not os.path.exists(path):
            raise SystemExit("lab: no scenario %s" % name)
        out.append(os.path.relpath(path))
    return out


class Result:
    """What came of one scenario; `failure` is None when it passed."""

    def __init__(self, name, ids, steps, failure, seconds):
        self.name = name
        self.ids = ids
        self.steps = steps
        self.failure = failure
        self.seconds = seconds


def run_steps(lab, between=None):
    """All steps of the lab's scenario; the failing one, or None."""
    steps = lab.scenario.steps
    for i, node in enumerate(steps):
        try:
            take(lab, node)
            if between and i + 1 < len(steps):
                getattr(lab, between)()
            step_words.invariants(lab, i + 1 == len(steps))
        except (world.Failed, AssertionError, OSError) as e:
            return "%s:%d: %s\n%s" % (node.file, node.number, node.text, e)
    return None


def take(lab, node):
    """One step."""
    if not step_words.is_expectation(node):
        lab.set_mark()
    node.run(lab)
    lab.outwait()


def _tail(path):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-LOG_LINES:])
    except OSError:
        return ""


def run_one(space, path, between=None, slowness=1.0):
    """A Result. Leaves nothing behind."""
    began = time.monotonic()
    scenario = language.load(path)
    lab = world.Lab(space, scenario, slowness)
    try:
        lab.build()
        failure = run_steps(lab, between)
        if failure:
            failure += "\nthe end of Hauberk's log:\n" + _tail(lab.hb.log)
    finally:
        _quietly(lab.close)
    return Result(scenario.name, scenario.ids, len(scenario.steps), failure,
                  time.monotonic() - began)


def _quietly(what):
    """Call it without what it prints."""
    keep, sys.stdout = sys.stdout, open(os.devnull, "w")
    try:
        what()
    finally:
        sys.stdout.close()
        sys.stdout = keep


# many at once: a process for each, its result through a pipe


class _Child:
    def __init__(self, path, work):
        """Do WORK, which writes a result, in a process of its own."""
        self.path = path
        self.out, inner = os.pipe()
        self.text = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.out)
            work(inner)
        os.close(inner)

    def result(self):
        os.waitpid(self.pid, 0)
        os.close(self.out)
        name = os.path.splitext(os.path.basename(self.path))[0]
        try:
            return Result(**json.loads(self.text))
        except ValueError:
            return Result(name, [], 0, self.path + ":1: the run itself died",
                          0.0)


def _child(out, space, path, between, folder):
    """Run one scenario, write what came of it, and end."""
    slowness = 2.0 if between else 1.0
    try:
        with turns.turn(folder):
            with wait.limit(LIMIT_S * slowness):
                result = run_one(space, path, between, slowness)
    except BaseException as e:  # all of it is the parent's to tell
        text = str(e) if isinstance(e, language.Mistake) else \
            "%s:1: %s" % (path, traceback.format_exc())
        name = os.path.splitext(os.path.basename(path))[0]
        result = Result(name, [], 0, text, 0.0)
    with os.fdopen(out, "w") as f:
        json.dump(vars(result), f)
    os._exit(0)


def need_hauberk():
    program = os.path.join(hauberk.SBIN or "", "hauberkd")
    if not os.access(program, os.X_OK):
        raise SystemExit("lab: HAUBERK_SBIN must name an installed tree's "
                         "sbin")


def run_many(paths, jobs, between=None, done=lambda result: None,
             folder=None):
    """All Results, in the order of the paths; FOLDER: of harness.turns."""
    need_hauberk()
    space = spacemod.Space()
    if os.geteuid() == 0:
        space.enter()
    try:
        return _run_many(paths, jobs, done, lambda path: functools.partial(
            _child, space=space, path=path, between=between, folder=folder))
    finally:
        space.leave()


def _run_many(paths, jobs, done, work_on):
    waiting, live, results = list(paths), {}, {}
    with selectors.DefaultSelector() as selector:
        while waiting or live:
            while waiting and len(live) < jobs:
                path = waiting.pop(0)
                child = _Child(path, work_on(path))
                live[child.out] = child
                selector.register(child.out, selectors.EVENT_READ)
            for key, _ in selector.select():
                child = live[key.fd]
                part = os.read(key.fd, 65536)
                child.text += part
                if part:
                    continue
                selector.unregister(key.fd)
                del live[key.fd]
                results[child.path] = child.result()
                done(results[child.path])
    return [results[p] for p in paths]


def check_all(paths):
    """The mistakes in files, without running any."""
    found = []
    for path in paths:
        try:
            language.load(path)
        except language.Mistake as e:
            found.append(str(e))
    return found
