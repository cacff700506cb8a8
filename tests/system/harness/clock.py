"""A wall clock that is moved under a running server."""

import os
import struct
import subprocess

SOURCE = os.path.join(os.path.dirname(__file__), "movingclock.c")


def library(folder):
    """Build the library that moves a clock; its path. libfaketime reads a
    file each time, which the roles cannot open."""
    made = os.path.join(folder, "movingclock.so")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1",
                    "-o", made, SOURCE], check=True)
    return made


class Mover:
    """The clock of a server, from its next start on."""

    def __init__(self, hb, made):
        self.file = hb.path("time")
        self.asleep_s = 0
        with open(self.file, "wb") as f:
            f.write(bytes(16))
        os.chmod(self.file, 0o644)
        hb.wrap = ["env", "LD_PRELOAD=" + made, "MOVING_CLOCK=" + self.file]

    def to(self, seconds):
        """So far off, from now on."""
        with open(self.file, "r+b") as f:
            f.write(struct.pack("=q", int(seconds) * 1000))

    def sleep(self, seconds):
        """The machine sleeps for so long, and wakes up at once."""
        self.asleep_s += seconds
        with open(self.file, "r+b") as f:
            f.seek(8)
            f.write(struct.pack("=q", int(self.asleep_s) * 1000))
