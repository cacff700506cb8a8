"""The lab: scenario files, a world on loopback, attacks, a runner."""

import os
import sys

# the servers and the server under test are those of the system tests
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../system"))
