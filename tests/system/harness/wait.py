"""Waiting with an end."""

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
