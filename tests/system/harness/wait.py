"""Waiting with an end, and measuring.

A limit on waiting counts by a clock that goes as fast as the machine serves
one process: where ten want to run on two processors, it goes at a fifth of
the usual speed, and never slower than 1/MOST, so that what hangs still ends.
"""

import contextlib
import os
import signal
import threading
import time

MOST = 8        # times a limit, on a machine that others use
TICK_S = 0.25
LATE_S = 5      # what was so long ago says little of now
AGAIN_S = 60    # for the clean-up after a limit was over

_CPUS = os.cpu_count() or 1


def _share():
    """How much of a processor one process gets now: those that run or wait
    for a disk share what there is."""
    crowd = 0
    try:
        with open("/proc/stat") as f:
            for line in f:
                if line.startswith(("procs_running ", "procs_blocked ")):
                    crowd += int(line.split()[1])
    except (OSError, ValueError):
        pass
    return max(1 / MOST, min(1, _CPUS / max(crowd, 1)))


class _Clock:
    def __init__(self):
        # an interrupt of who holds it may ask for the time
        self._lock = threading.RLock()
        self._total = 0.0
        self._seen = time.monotonic()
        self._stopped = 0
        self.share = _share()  # of late
        self._thread = None

    def now(self):
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._tick,
                                                daemon=True)
                self._thread.start()
            self._look()
            return self._total

    def _look(self):
        now = time.monotonic()
        took, self._seen = now - self._seen, now
        share = _share()
        weight = min(1, took / LATE_S)
        self.share += (share - self.share) * weight
        if not self._stopped:
            self._total += took * share

    def _tick(self):
        while True:
            time.sleep(TICK_S)
            with self._lock:
                self._look()

    @contextlib.contextmanager
    def stopped(self):
        with self._lock:
            self._look()
            self._stopped += 1
        try:
            yield
        finally:
            with self._lock:
                self._look()
                self._stopped -= 1


_clock = _Clock()


def _anew():
    """The thread is the parent's alone."""
    global _clock
    _clock = _Clock()


os.register_at_fork(after_in_child=_anew)


def now():
    """The time of the clock that all limits count by."""
    return _clock.now()


def uncounted():
    """A context whose time no limit counts; it needs an end of its own."""
    return _clock.stopped()


def most(seconds):
    """For calls that can only count seconds of the wall."""
    return seconds * MOST


def stretched(seconds):
    """The same, as busy as the machine is now."""
    now()
    return seconds / _clock.share


@contextlib.contextmanager
def limit(seconds):
    """Fail what is not done in time; what cleans up gets some time more."""
    end = now() + seconds

    def look(_number, _frame):
        nonlocal end
        if now() > end:
            end = now() + AGAIN_S
            raise AssertionError("not done in %d s" % seconds)

    old = signal.signal(signal.SIGALRM, look)
    timer = signal.setitimer(signal.ITIMER_REAL, 1, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, old)


def until(condition, timeout, what="", step=0.02):
    """Wait until the condition is true and return its value.

    Half of the time at least is left to those who are waited for."""
    end = now() + timeout
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        if now() > end:
            text = what() if callable(what) else what
            raise AssertionError("not within %g s: %s" % (timeout, text))
        time.sleep(max(step, time.monotonic() - began))


def ended(process, timeout):
    """The exit code of a child, when it has ended."""
    until(lambda: process.poll() is not None, timeout,
          "the end of process %d" % process.pid)
    return process.returncode


def starved(pid):
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


YARD_MS = 2      # what that is on a quiet machine


def _yard_ms():
    """The time of the processor that a piece of work in memory takes."""
    began = time.thread_time()
    block = bytearray(8 << 20)
    for i in range(0, len(block), 256):
        block[i] = 1
    return (time.thread_time() - began) * 1000


def slowness():
    """How many times longer work takes the processor than on a machine that
    nobody else uses, 1 at least: two that share a core, or a host that lends
    its processors to others, get less done in the same processor time."""
    times = sorted(_yard_ms() for _ in range(25))
    return max(1, times[len(times) * 3 // 4] / YARD_MS)


class Watch:
    """A stop-watch for what a server promises to do in a time, from now on.
    What others took from it and from us on a busy machine does not count; for
    that is added up over all processes, it is less than the time then."""

    def __init__(self, hb):
        self._hb = hb
        self._before = self._look()
        self._began = time.monotonic()

    def _look(self):
        return {p: starved(p) for p in [os.getpid(), *self._hb.pids()]}

    def seconds(self):
        took = time.monotonic() - self._began
        return took - sum(max(0, s - self._before.get(p, 0))
                          for p, s in self._look().items())
