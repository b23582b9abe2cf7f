"""A run on Ray: plan -> decode -> answer as one streaming Ray Dataset.

    PARTS rows ──> decode workers ──> DECODED rows, blocks ──> answer workers ──> receipts

Frames cross the object store once, a block of units at a time. The answer worker commits, so that only receipts come
here.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Collection, Generator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.block_stats import forget_block_stats
from framegate.pipelines.driver.blocks import AnswerCalls, DecodeCalls, make_tasks, max_together, unpack
from framegate.pipelines.driver.board import BoardOnRay
from framegate.pipelines.driver.budget import Budget
from framegate.pipelines.driver.cluster import Shares, list_workers, start_ray, unwrap, wait_for_end
from framegate.pipelines.driver.data_helpers import is_one_machine, without_helpers
from framegate.pipelines.driver.hearing import END_SECONDS, hear
from framegate.pipelines.driver.ledger import LedgerOnRay
from framegate.pipelines.driver.own_note import own_note_left_out
from framegate.pipelines.driver.stopping import Stopping
from framegate.schemas.config import RayConfig

# Blocks that an answer worker has in hand, each in a thread of its own. How many of them are at the engine, and are
# lost with it, goes by its slots. A block is one question at least, and at most 16 MiB of frames in the object store.
BLOCKS_PER_WORKER, BLOCKS_PER_GPU_WORKER = 64, 256


def run_on_ray(
    config: RayConfig,
    videos: pa.Table,
    make_decode: partial[Any],
    make_answer: partial[Any],
    stopping: Stopping,
    *,
    hear_start: Callable[[float], None] | None = None,
    make_board: Callable[[], Any] | None = None,
    budget: Budget | None = None,
    verbose: bool = False,
) -> Generator[Receipt]:
    """The receipts of all units of `videos` (PARTS), as they are committed, in any order, until the run should stop.

    `make_decode` and `make_answer` make the workers, each in a process of its own; those that decode share what
    `make_board` makes, as their `board`. Those that answer spend of the `budget`. `hear_start` is called once Ray is
    there, with the seconds that its start took. `verbose` shows what Ray logs.
    Raises FramegateError.
    """
    if stopping.reason is not None:
        return
    began_seconds = time.monotonic()
    with nullcontext() if verbose else own_note_left_out():
        shares = start_ray(config, verbose=verbose)
    if hear_start is not None:
        hear_start(time.monotonic() - began_seconds)
    before = set(threading.enumerate())
    board = make_board and BoardOnRay(make_board)
    if board is not None:
        make_decode = partial(make_decode, board=board)
    ledger = budget and LedgerOnRay(budget.ledger_maker(), is_bounded=budget.limit is not None)
    if ledger is not None:
        make_answer = partial(make_answer, ledger=ledger)
    shared = [each for each in (board, ledger) if each is not None]
    # Of work that is one block, where several actors are asked for: nothing that anybody could mend.
    warnings.filterwarnings("ignore", r"The minimum number of concurrent actors for 'MapBatches", UserWarning)
    try:
        with (
            without_helpers() if is_one_machine() else nullcontext(),
            budget.watching(ledger, stopping) if budget and ledger else nullcontext(),
        ):
            receipts = _receipts(config, videos, make_decode, make_answer, shares)
            yield from hear(receipts, stopping, lambda: _end_executions(before, shared))
    finally:
        for each in shared:
            each.end()


def _end_executions(before: Collection[threading.Thread], shared: Collection[BoardOnRay | LedgerOnRay]) -> None:
    """Ends what Ray Data has begun since then and waits for the end of its workers, which are killed.

    What they have in hand is done by a later run. Without `force` Ray would let them finish it first.
    """
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

    for each in shared:
        each.end()
    workers = list_workers()
    for thread in threading.enumerate():
        if isinstance(thread, StreamingExecutor) and thread not in before:
            thread.shutdown(force=True)
    wait_for_end(workers, max_seconds=END_SECONDS)


def _receipts(
    config: RayConfig, videos: pa.Table, make_decode: partial[Any], make_answer: partial[Any], shares: Shares
) -> Generator[Receipt]:
    from ray.exceptions import RayError

    try:
        receipts = answer_units(config, decode_videos(config, videos, make_decode, shares), make_answer, shares)
        for batch in receipts.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in unpack(batch).to_pylist():
                yield Receipt(**row)
    except RayError as error:
        raise unwrap(error) from error


def decode_videos(config: RayConfig, videos: pa.Table, make_decode: partial[Any], shares: Shares) -> Any:
    """A dataset of blocks of units, packed. A block is a unit, or some units of small videos, and moves on as soon as
    it is there."""
    import ray.data
    from ray.data import ActorPoolStrategy

    context = ray.data.DataContext.get_current()
    context.target_max_block_size = 1  # every row that a worker yields is a block: a packed table
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True
    forget_block_stats(context)
    num_together = max_together(videos.num_rows, config.decode_workers)
    tasks = make_tasks(videos, num_together)
    return ray.data.from_blocks(tasks).map_batches(
        DecodeCalls,
        fn_constructor_kwargs={"make_worker": partial(make_decode, max_together=num_together)},
        batch_size=None,  # a task as a whole
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(config.decode_workers, len(tasks))),
        num_cpus=shares.decode_cpus,
    )


def answer_units(config: RayConfig, units: Any, make_answer: partial[Any], shares: Shares) -> Any:
    """A dataset of receipts, packed. Each call has one block. Calls of one worker run in threads, and share its
    engine."""
    from ray.data import ActorPoolStrategy

    num_calls = BLOCKS_PER_GPU_WORKER if config.gpus_per_actor else BLOCKS_PER_WORKER
    return units.map_batches(
        AnswerCalls,
        fn_constructor_kwargs={"make_worker": make_answer},
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            min_size=config.reason_actors.min,
            max_size=config.reason_actors.max,
            max_concurrent_calls_per_actor=num_calls,
            max_tasks_in_flight_per_actor=num_calls,
            enable_true_multi_threading=True,
        ),
        num_cpus=shares.reason_cpus,
        num_gpus=config.gpus_per_actor or None,
    )
