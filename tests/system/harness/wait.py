"""Waiting with an end, and measuring."""

import os
import time


def until(condition, timeout, what="", step=0.02):
    """Wait until the condition is true and return its value.

    Half of the time at least is left to those who are waited for."""
    end = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        if now > end:
            text = what() if callable(what) else what
            raise AssertionError("not within %g s: %s" % (timeout, text))
        time.sleep(max(step, now - began))


def _starved(pid):
    """How long the threads of a process could have run so far while others
    had the processor."""
    total = 0
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, thread)) as f:
                total += int(f.read().split()[1])
    except (OSError, IndexError):
        pass
    return total / 1e9


class Watch:
    """A stop-watch for what a server promises to do in a time, from now on.
    What others took from it and from us on a busy machine does not count; for
    that is added up over all processes, it is less than the time then."""

    def __init__(self, hb):
        self._hb = hb
        self._before = self._look()
        self._began = time.monotonic()

    def _look(self):
        return {p: _starved(p) for p in [os.getpid(), *self._hb.pids()]}

    def seconds(self):
        took = time.monotonic() - self._began
        return took - sum(max(0, s - self._before.get(p, 0))
                          for p, s in self._look().items())
