"""The one line that Ray's core writes to standard error to say that it was told to write none: it is left out."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NOTE: Final = b"Set ray log level from environment variable RAY_BACKEND_LOG_LEVEL"
_STDERR: Final = 2


@contextmanager
def own_note_left_out() -> Iterator[None]:
    """What is written to standard error inside, by any thread or library, is written at the end, without Ray's NOTE.

    Ray's C++ part writes it to the descriptor as it connects, before any setting of Python's counts.
    """
    sys.stderr.flush()
    before = os.dup(_STDERR)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, _STDERR)
            os.close(before)
            held.seek(0)
            os.write(_STDERR, b"".join(line for line in held if NOTE not in line))
