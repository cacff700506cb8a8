"""Waiting with an end."""

import time


def until(condition, timeout, what="", step=0.02):
    """Wait until the condition is true and return its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise AssertionError("not within %g s: %s" % (timeout, text))
        time.sleep(step)
