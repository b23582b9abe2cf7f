"""Standard error inside is what it is outside, but for Ray's note."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, sys, threading
from framegate.pipelines.driver.own_note import own_note_left_out

print("before", file=sys.stderr)
try:
    with own_note_left_out():
        os.write(2, b"[I 1] logging.cc:303: Set ray log level from environment variable RAY_BACKEND_LOG_LEVEL to 3\\n")
        thread = threading.Thread(target=lambda: print("inside", file=sys.stderr))
        thread.start()
        thread.join()
        raise OSError("out")
except OSError as error:
    print(error, file=sys.stderr)
"""


def test_what_others_write_inside_comes_through_in_order_and_the_note_does_not() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["before", "inside", "out"]


def test_the_note_is_what_ray_writes() -> None:
    """Else a line of Ray comes first in every log: its words have changed, or it says nothing any more."""
    script = "import os; os.environ['RAY_BACKEND_LOG_LEVEL'] = 'fatal'; import ray._raylet; print(ray._raylet.__file__)"
    path = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    with open(path, "rb") as library:
        assert b"Set ray log level from environment variable " in library.read()
