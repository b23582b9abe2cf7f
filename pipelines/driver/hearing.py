"""Hears receipts while it keeps an eye on whether the run should stop: a run that gets none stops just as well."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import Final

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.stopping import TICK_SECONDS, Stopping

END_SECONDS: Final = 8.0  # for what makes receipts to come to its end; it is told to, and then left to itself
SAME_CAUSE_SECONDS: Final = 0.5  # a signal for the whole group ends workers a moment before the driver has it


def hear(receipts: Generator[Receipt], stopping: Stopping, end: Callable[[], None]) -> Generator[Receipt]:
    """The receipts, until there are no more or the run should stop. Raises what `receipts` raises.

    `receipts` runs in a thread of its own, and is closed there. Where the run stops, or this generator is closed, `end`
    is called from here: it makes `receipts` end soon. What arrived until then is still heard. What it raises then is a
    consequence of that, and no error.
    """
    arrived: queue.SimpleQueue[Receipt | _End] = queue.SimpleQueue()
    thread = threading.Thread(target=_pull, args=(receipts, arrived), name="receipts", daemon=True)
    thread.start()
    is_through = False
    try:
        while not is_through and stopping.reason is None:
            try:
                item = arrived.get(timeout=TICK_SECONDS)
            except queue.Empty:
                continue
            if not isinstance(item, _End):
                yield item
                continue
            is_through = True
            if item.error is not None and not _comes_of_a_stop(stopping):
                raise item.error
        if not is_through:
            is_through = True
            _end(end, thread, stopping)
            yield from _arrived(arrived)
    finally:
        if not is_through:
            _end(end, thread, stopping)


def hear_in_turn(receipts: Generator[Receipt], stopping: Stopping) -> Generator[Receipt]:
    """The same without a thread: looks after each receipt, where units are worked on in this process."""
    try:
        while stopping.reason is None:
            receipt = next(receipts, None)
            if receipt is None:
                return
            yield receipt
    finally:
        receipts.close()


def _end(end: Callable[[], None], thread: threading.Thread, stopping: Stopping) -> None:
    """Bounded, as what is to be ended may not answer any more. What has not ended by then ends with the process."""
    over_by = time.monotonic() + _end_seconds(stopping)
    ending = threading.Thread(target=end, name="ends receipts", daemon=True)
    ending.start()
    for each in (ending, thread):
        each.join(max(0.0, over_by - time.monotonic()))


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _pull(receipts: Generator[Receipt], arrived: queue.SimpleQueue[Receipt | _End]) -> None:
    try:
        for receipt in receipts:
            arrived.put(receipt)
        arrived.put(_End(None))
    except BaseException as error:
        arrived.put(_End(error))
    finally:
        receipts.close()


def _arrived(arrived: queue.SimpleQueue[Receipt | _End]) -> Generator[Receipt]:
    while not arrived.empty():
        if not isinstance(item := arrived.get(), _End):
            yield item


def _comes_of_a_stop(stopping: Stopping) -> bool:
    over_by = time.monotonic() + SAME_CAUSE_SECONDS
    while stopping.reason is None and time.monotonic() < over_by:
        time.sleep(TICK_SECONDS / 10)
    return stopping.reason is not None


def _end_seconds(stopping: Stopping) -> float:
    """A third of what is left at most: sealing and recording come after it."""
    left = stopping.seconds_left()
    return END_SECONDS if left is None else min(END_SECONDS, left / 3)
