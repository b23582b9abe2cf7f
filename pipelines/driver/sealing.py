"""Sealing while a run works: a child process now and then turns what is committed into tables.

It is a process of its own, so that the memory which a seal takes goes back, and so that nothing of the run waits for
it. Being killed anywhere is no harm: the next seal, or the run's own at its end, completes what it began. What goes
wrong in it is a line in the log, not the end of the run: the seal at the end tells whether storage is well.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.schemas.config import OutputConfig, SealConfig
from framegate.schemas.errors import FramegateError
from framegate.schemas.escape import escape
from framegate.schemas.signatures import hide

NICENESS: Final = 5  # engines and decoders go first, as before decode workers
ENDING_SECONDS: Final = 10.0
"""How long the end of a run waits for the child. What it has not sealed by then, the run's own seal does."""

_EXIT_FAILED: Final = 1


@contextmanager
def sealing_beside(output: OutputConfig, config_id: str, config: SealConfig) -> Iterator[SealingBeside]:
    """Seals one config_id of an output as often as `config` says, until the end of the block. Never two at once."""
    beside = SealingBeside(output, config_id, config)
    beside.start()
    try:
        yield beside
    finally:
        beside.end()


class SealingBeside:
    """Starts one child after the other. `num_seals` counts those that ended well."""

    def __init__(self, output: OutputConfig, config_id: str, config: SealConfig) -> None:
        self._order = {"output": output.model_dump(mode="json"), "config_id": config_id}
        self._every_seconds, self._every_units = config.every_seconds, config.every_units
        self._num_units = self.num_seals = 0
        self._is_due, self._is_over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="sealing", daemon=True)
        self._lock = threading.Lock()  # of `_child`: it is started or killed, and not both
        self._child: subprocess.Popen[str] | None = None

    def hear(self, receipts: Generator[Receipt]) -> Generator[Receipt]:
        """The same receipts, counted. Closes `receipts` when it is closed."""
        try:
            for receipt in receipts:
                self._num_units += 1
                if self._num_units == self._every_units:
                    self._num_units = 0
                    self._is_due.set()
                yield receipt
        finally:
            receipts.close()

    def start(self) -> None:
        if self._every_seconds is not None or self._every_units is not None:
            self._thread.start()

    def end(self) -> None:
        """Starts no more, and waits some seconds for the one that is at work; then kills it."""
        self._is_over.set()
        self._is_due.set()
        if self._thread.ident is None:
            return
        try:
            self._thread.join(ENDING_SECONDS)
        finally:
            with self._lock:
                if self._child is not None:
                    self._child.kill()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._is_due.wait(self._every_seconds)
            self._is_due.clear()
            if self._is_over.is_set():
                return
            self._seal_once()

    def _seal_once(self) -> None:
        try:
            with self._lock:
                if self._is_over.is_set():
                    return
                self._child = child = self._start_child()
            with child:
                said = self._talk(child)
        except OSError as error:  # no process or pipe can be made, or the child died before it read its order
            self._tell(str(error))
            return
        finally:
            with self._lock:
                self._child = None
        if child.returncode == 0:
            self.num_seals += 1
        else:
            self._tell(said or f"its process ended with {child.returncode}")

    def _start_child(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "framegate.pipelines.driver.sealing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # what a terminal or a scheduler sends to the run's group is for the run
        )

    def _talk(self, child: subprocess.Popen[str]) -> str:
        """Tells the child what to do, and returns what it said when it has ended."""
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(json.dumps(self._order) + "\n")
        child.stdin.flush()  # and left open: its end is the sign that this process is gone
        return child.stderr.read().strip()

    def _tell(self, what: str) -> None:
        if not self._is_over.is_set():
            last = what.splitlines()[-1]
            logging.getLogger("framegate").warning(
                "the run goes on, and what it committed was not sealed yet: %s", last
            )


def main() -> None:
    """The child: reads from standard input what to seal, and seals it as long as its parent is there."""
    order: Mapping[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    os.nice(NICENESS)
    config = OutputConfig.model_validate(order["output"])
    try:
        seal(Output.open(config), order["config_id"], file_bytes=config.file_bytes, partition_by=config.partition_by)
    except FramegateError as error:
        sys.stderr.write(f"{escape(hide(str(error)))}\n")
        sys.exit(_EXIT_FAILED)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(_EXIT_FAILED)


if __name__ == "__main__":
    main()
