"""A run on Ray: plan -> decode -> answer as one streaming Ray Dataset.

    PARTS rows ──> decode workers ──> DECODED rows, one unit a block ──> answer workers ──> receipts

Frames cross the object store once, one unit at a time. The answer worker commits, so that only receipts come here.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.cluster import Shares, list_workers, start_ray, unwrap, wait_for_end
from framegate.pipelines.driver.hearing import END_SECONDS, hear
from framegate.pipelines.driver.own_note import own_note_left_out
from framegate.pipelines.driver.stopping import Stopping
from framegate.schemas.config import RayConfig

# Units that an answer worker has in hand, each in a thread of its own. How many of them are at the engine, and are lost
# with it, goes by its slots. A unit is one question at least, and at most 16 MiB of frames in the object store.
UNITS_PER_WORKER, UNITS_PER_GPU_WORKER = 64, 256
MAX_PLAN_BLOCKS = 4096  # a block is a decode task; more of them only cost the driver


def run_on_ray(
    config: RayConfig,
    videos: pa.Table,
    make_decode: partial[Any],
    make_answer: partial[Any],
    stopping: Stopping,
    *,
    verbose: bool = False,
) -> Generator[Receipt]:
    """The receipts of all units of `videos` (PARTS), as they are committed, in any order, until the run should stop.

    `make_decode` and `make_answer` make the workers, each in a process of its own. `verbose` shows what Ray logs.
    Raises FramegateError.
    """
    if stopping.reason is not None:
        return
    with nullcontext() if verbose else own_note_left_out():
        shares = start_ray(config, verbose=verbose)
    before = set(threading.enumerate())
    receipts = _receipts(config, videos, make_decode, make_answer, shares)
    yield from hear(receipts, stopping, lambda: _end_executions(before))


def _end_executions(before: Collection[threading.Thread]) -> None:
    """Ends what Ray Data has begun since then and waits for the end of its workers, which are killed.

    What they have in hand is done by a later run. Without `force` Ray would let them finish it first.
    """
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

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
            for row in batch.to_pylist():
                yield Receipt(**row)
    except RayError as error:
        raise unwrap(error) from error


def decode_videos(config: RayConfig, videos: pa.Table, make_decode: partial[Any], shares: Shares) -> Any:
    """A dataset of units. Every unit is a block of its own: it moves on as soon as it is there."""
    import ray.data
    from ray.data import ActorPoolStrategy

    context = ray.data.DataContext.get_current()
    context.target_max_block_size = 1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True
    per_block = -(-videos.num_rows // MAX_PLAN_BLOCKS)
    blocks = [videos.slice(start, per_block) for start in range(0, videos.num_rows, per_block)]
    return ray.data.from_arrow(blocks).map_batches(
        make_decode.func,
        fn_constructor_kwargs=make_decode.keywords,
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(config.decode_workers, len(blocks))),
        num_cpus=shares.decode_cpus,
    )


def answer_units(config: RayConfig, units: Any, make_answer: partial[Any], shares: Shares) -> Any:
    """A dataset of receipts. Each call has one unit; calls of one worker run in threads, and share its engine."""
    from ray.data import ActorPoolStrategy

    num_units = UNITS_PER_GPU_WORKER if config.gpus_per_actor else UNITS_PER_WORKER
    return units.map_batches(
        make_answer.func,
        fn_constructor_kwargs=make_answer.keywords,
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            min_size=config.reason_actors.min,
            max_size=config.reason_actors.max,
            max_concurrent_calls_per_actor=num_units,
            max_tasks_in_flight_per_actor=num_units,
            enable_true_multi_threading=True,
        ),
        num_cpus=shares.reason_cpus,
        num_gpus=config.gpus_per_actor or None,
    )
