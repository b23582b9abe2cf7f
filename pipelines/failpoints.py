"""Named places at which a process can be made to die or freeze, to show that it loses and doubles nothing there.

`FRAMEGATE_FAIL_AT=name[:n]` ends the process with SIGKILL when it comes to that place for the n-th time (the first by
default), as losing power would: nothing is cleaned up. With `FRAMEGATE_FAIL_ONCE=FILE` it happens only where FILE can
be created, so that a worker that is started again, with the same environment, lives on. `FRAMEGATE_FAIL_WITH=STOP`
freezes the process instead, until it gets SIGCONT. With `TERM`, `INT` or `HUP` that signal goes to the driver of the
run, as from a scheduler, and the process goes on. Without the variable a place costs one look into a dict. Knows
nothing of what happens around a place.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

from framegate.schemas.errors import ConfigError

FAIL_AT: Final = "FRAMEGATE_FAIL_AT"
FAIL_ONCE: Final = "FRAMEGATE_FAIL_ONCE"
FAIL_WITH: Final = "FRAMEGATE_FAIL_WITH"
FAIL_DRIVER: Final = "FRAMEGATE_FAIL_DRIVER"
"""The driver's process: `check_failpoint` sets it, and its workers inherit it."""
SIGNALS: Final = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}
DRIVER_SIGNALS: Final = {"TERM": signal.SIGTERM, "INT": signal.SIGINT, "HUP": signal.SIGHUP}

FAILPOINTS: Final[dict[str, str]] = {
    "put.before": "an object is about to be created",
    "put.after": "an object was just created",
    "replace.before": "an object is about to be replaced",
    "replace.after": "an object was just replaced",
    "delete.before": "an object is about to be deleted",
    "delete.after": "an object was just deleted",
    "decode.before": "a video was taken up by a decode worker, and its attempt marked",
    "decode.unit": "a decode worker has filled a unit",
    "decode.after": "a video is decoded to its end",
    "attempt.before": "an attempt is about to be marked",
    "attempt.after": "an attempt was marked",
    "reason.before": "units are about to go to the engine",
    "reason.after": "a unit came back from the engine, and is not committed",
    "commit.before": "a unit is about to be put into the journal",
    "commit.after": "a unit was put into the journal, and its attempt still stands",
    "driver.planned": "the plan is made, nothing of it begun",
    "driver.receipt": "the driver heard of a committed unit",
    "driver.drained": "all units are committed, nothing of them sealed",
    "driver.sealed": "everything is sealed, the run not recorded",
    "driver.recorded": "the run is recorded",
    "videos.added": "which videos came and went is logged",
    "videos.folded": "the log of videos is folded, the objects before it not yet deleted",
    "runs.folded": "records of old runs are in their history, their objects not yet marked and deleted",
    "plans.folded": "plans of old runs are in their history, their objects not yet deleted",
    "seal.planned": "a seal is agreed on, none of its files written",
    "seal.reserved": "the name of a new file is reserved, nothing written to it",
    "seal.file": "a seal's rows are in one of its files",
    "seal.recorded": "a seal is recorded, none of its journal objects deleted",
    "seal.deleted": "a journal object of a seal is deleted",
    "deepen.planned": "the rows that are deepened are chosen, nothing of them begun",
    "deepen.committing": "a deepened unit is about to be put",
    "deepen.committed": "a deepened unit was put, its rows not completed, and its attempt still stands",
    "deepen.agreed": "the seal that completes rows is agreed on, none of its files written",
    "deepen.file": "rows of one file are completed, the seal not recorded",
    "deepen.recorded": "the seal that completed rows is recorded, none of its objects deleted",
    "deepen.deleted": "a deepened object is deleted",
    "erase.tombstone": "a tombstone is set",
    "erase.noted": "the replacement of a file is noted, and not yet done",
    "erase.replaced": "a file is replaced",
    "erase.swept": "journal and attempts of a video are deleted",
    "erase.receipt": "the receipt is stored",
}
"""Every name and what is true there. `framegate run`, `deepen`, `seal` and `erase` come by all of them."""

PLACES: Final = tuple(name for name in FAILPOINTS if name != "videos.folded")
"""Those that every archive comes by. The one that is left out comes after a month of nights."""

_reached: dict[str, int] = {}


def reach(name: str) -> None:
    """The process is at the place `name`, one of FAILPOINTS."""
    wanted = os.environ.get(FAIL_AT)
    if wanted is not None:
        _die_if_wanted(name, wanted)


def check_failpoint() -> None:
    """Called by a driver. Raises ConfigError where a variable is none of what it can be: a typo must not pass for a run
    that survived."""
    wanted = os.environ.get(FAIL_AT)
    if wanted is not None:
        name, _, number = wanted.partition(":")
        if name not in FAILPOINTS or not (number or "1").isdigit():
            raise ConfigError(f"{FAIL_AT}={wanted} must be name[:n] with one of {', '.join(FAILPOINTS)}")
        if (with_ := os.environ.get(FAIL_WITH, "KILL")) not in {**SIGNALS, **DRIVER_SIGNALS}:
            raise ConfigError(f"{FAIL_WITH}={with_} must be one of {', '.join([*SIGNALS, *DRIVER_SIGNALS])}")
        os.environ[FAIL_DRIVER] = str(os.getpid())


def _die_if_wanted(name: str, wanted: str) -> None:
    at, _, number = wanted.partition(":")
    if name != at:
        return
    _reached[name] = _reached.get(name, 0) + 1
    if _reached[name] != int(number or 1):
        return
    once = os.environ.get(FAIL_ONCE)
    if once is not None:
        try:
            os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return
    with_ = os.environ.get(FAIL_WITH, "KILL")
    if with_ in DRIVER_SIGNALS:
        os.kill(int(os.environ.get(FAIL_DRIVER, os.getpid())), DRIVER_SIGNALS[with_])
    else:
        # To this thread, which stops or dies here; sent to the process, it may go on while another thread gets it.
        signal.pthread_kill(threading.get_ident(), SIGNALS[with_])
