#!/usr/bin/python3
"""Manual pages are free of warnings."""

import glob
import os
import shutil
import subprocess
import sys

import lint

if not shutil.which("mandoc"):
    print("mandoc is not installed")
    sys.exit(77)
pages = sorted(glob.glob(os.path.join(lint.SRC, "man/*.[1-9]")))
for name in ("hauberk.conf.5", "hauberk-sts.7"):
    made = os.path.join(lint.BUILD, "man", name)
    if made not in pages:
        pages.append(made)
done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *pages],
                      check=False, capture_output=True, text=True)
lint.finish(done.stdout.splitlines())
