"""Turns, for processes that run tests side by side.

Most tests wait most of the time and run beside each other. One that measures
time, or loads the machine, has it for itself. Those that come after it wait
until it had its turn, so it comes to one.
"""

import contextlib
import fcntl
import os


@contextlib.contextmanager
def turn(folder, alone=False):
    """Take a turn, alone or beside others; FOLDER is the same for all who
    share the machine, None for one who has it anyway."""
    if not folder:
        yield
        return
    with open(os.path.join(folder, "floor"), "a") as floor:
        with open(os.path.join(folder, "door"), "a") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(floor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
