"""Ctrl-C while DuckDB works: it would be heard only when DuckDB comes back, which may take minutes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final, TypeVar

import duckdb

HEARD_SECONDS: Final = 0.2
_Result = TypeVar("_Result")


def interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], _Result]) -> _Result:
    """What `work` gives, which uses `connection` in a thread of its own. Raises what it raises.

    KeyboardInterrupt ends what the connection is at, and is raised when `work` has come to its end.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="query") as thread:
        done = thread.submit(work)
        try:
            while not done.done():  # a signal that another thread got is heard by this one between two waits
                wait([done], timeout=HEARD_SECONDS)
            return done.result()
        except KeyboardInterrupt:
            while not done.done():  # what runs between two statements is not ended by one interrupt
                connection.interrupt()
                wait([done], timeout=0.1)
            raise
        finally:
            del done
