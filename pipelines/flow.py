"""The whole flow on one screen: plan -> decode -> reason and commit as one streaming Ray Dataset, then seal.

The only module that knows all rooms. Frames cross the object store once, from decode to reason, one unit at a time;
an answer is committed by the process that has it, and only its receipt comes here. Whatever goes wrong with one video
is a row by then.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import fix_partitioning
from framegate.pipelines.commit.records import record_begun, record_config, record_plan, record_run
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.driver.breaker import Breaker
from framegate.pipelines.driver.cluster import Shares, behind_engines, end_process, start_ray, unwrap
from framegate.pipelines.driver.in_process import run_in_process
from framegate.pipelines.driver.outcome import begun_record, count_videos, run_record, stored_counts
from framegate.pipelines.driver.tally import Tally
from framegate.pipelines.failpoints import check_failpoint, reach
from framegate.pipelines.plan.plan import make_plan, make_policy, read_identity, refuse_erased
from framegate.pipelines.reason.engines.build import check_engine, make_engine_factory
from framegate.pipelines.reason.engines.protocol import EngineFactory
from framegate.pipelines.reason.stage import ReasonStage
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import Attempts, read_deaths
from framegate.pipelines.worker.decode_worker import DecodeWorker
from framegate.schemas.config import RayConfig, answer_document
from framegate.schemas.errors import StorageError
from framegate.schemas.job import Job
from framegate.schemas.run import INTERRUPTED, Plan, Progress, RunSummary

# Units that an actor has in hand, each in a thread of its own. How many of them are at the engine, and are lost with
# it, goes by its slots. A unit is one question at least and 16 MiB of frames at most, which lie in the object store.
UNITS_PER_ACTOR, UNITS_PER_GPU_ACTOR = 64, 256
MAX_PLAN_BLOCKS = 4096  # a block is a decode task; more of them only cost the driver


def plan(job: Job, *, limit: int | None = None, retry_failed: bool = False, strategy: Strategy | None = None) -> Plan:
    """What `run` would do. Changes nothing. `limit`: at most so many videos with work left."""
    strategy = strategy or make_strategy(job.config.gate)
    check_engine(job.config.model.engine, strategy)
    identity = read_identity(job.config, strategy)
    return make_plan(job, identity, limit=limit, retry_failed=retry_failed, keep_indexes=False)


def run(
    job: Job,
    *,
    limit: int | None = None,
    retry_failed: bool = False,
    run_id: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    engine_factory: EngineFactory | None = None,
    strategy: Strategy | None = None,
    in_process: bool = False,
) -> RunSummary:
    """Does what is left to do and seals it. Ctrl-C ends it early with everything committed so far kept.

    `retry_failed` tries everything again that failed, whatever the reason and however often. `engine_factory` and
    `strategy` take the places of the job's own. `in_process` does without Ray: one unit after the other, here, which is
    enough to try a job out or to watch it die. Raises FramegateError (one sentence) where the run cannot start or
    storage fails; what was committed until then stays, and the next run goes on from there.
    """
    check_failpoint()
    started, started_at = time.monotonic(), datetime.now(UTC)
    run_id = run_id or f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    strategy = strategy or make_strategy(job.config.gate)
    if engine_factory is None:
        check_engine(job.config.model.engine, strategy)
        engine_factory = make_engine_factory(job.config, strategy, job.questions)
    config, output = job.config.output, Output.open(job.config.output)
    output.store.check_writable(config.uri)
    identity = read_identity(job.config, strategy)
    planned = make_plan(job, identity, limit=limit, retry_failed=retry_failed, keep_indexes=True)
    fix_partitioning(output, config.partition_by)
    record_config(output, planned.config_id, answer_document(job.config, **identity))
    record_begun(output, run_id, begun_record(planned, started_at))
    if planned.videos.num_rows:
        config_ids = pa.repeat(planned.config_id, planned.videos.num_rows)
        record_plan(output, run_id, planned.videos.append_column("config_id", config_ids))
        refuse_erased(output, run_id, planned)
    reach("driver.planned")

    deaths = {} if retry_failed else read_deaths(output, planned.config_id, now=started_at)
    attempts = Attempts(output=output, config_id=planned.config_id, run_id=run_id, deaths=deaths)
    tally, breaker, stop_reason = Tally(planned.videos.column("video_id")), Breaker(job.config.failures), None
    receipts = _receipts(job, planned, attempts, strategy, engine_factory, in_process=in_process)
    try:
        for receipt in receipts:
            reach("driver.receipt")
            tally.add(receipt)
            if on_progress:
                on_progress(tally.progress(elapsed_seconds=time.monotonic() - started))
            stop_reason = breaker.feed(receipt["failure_reason"])
            if stop_reason is not None:
                break
    except KeyboardInterrupt:
        stop_reason = INTERRUPTED
    except StorageError:
        with suppress(StorageError):  # what was at work elsewhere did not die of it either
            attempts.forget()
        raise
    finally:
        receipts.close()  # ends what still runs, so that nothing is committed behind the back of seal
    reach("driver.drained")
    attempts.forget()
    seal(output, planned.config_id, file_bytes=config.file_bytes, partition_by=config.partition_by)
    reach("driver.sealed")
    summary = RunSummary(
        run_id=run_id,
        config_id=planned.config_id,
        num_videos_planned=planned.num_skipped + planned.videos.num_rows,
        **count_videos(planned, output),
        counts=stored_counts(output, planned.config_id, run_id, tally.counts),
        elapsed_seconds=time.monotonic() - started,
        num_lost_races=tally.num_lost_races,
        stop_reason=stop_reason,
    )
    record_run(output, run_id, run_record(summary, started_at))
    reach("driver.recorded")
    return summary


def _receipts(
    job: Job,
    planned: Plan,
    attempts: Attempts,
    strategy: Strategy,
    engine_factory: EngineFactory,
    *,
    in_process: bool,
) -> Generator[dict[str, Any], None, None]:
    """One receipt for each unit as it is committed, in any order. Nothing is started where nothing is left to do."""
    if planned.videos.num_rows == 0:
        return
    decode, answer = make_stages(job, planned, attempts, strategy, engine_factory, in_process=in_process)
    if in_process:
        yield from run_in_process(planned.videos, decode(), answer())
        return
    shares = start_ray(job.config.ray)
    from ray.exceptions import RayError

    try:
        units = decode_videos(job.config.ray, planned.videos, decode, shares)
        receipts = answer_units(job.config.ray, units, answer, shares)
        for batch in receipts.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from batch.to_pylist()
    except RayError as error:
        raise unwrap(error) from error


def make_stages(
    job: Job,
    planned: Plan,
    attempts: Attempts,
    strategy: Strategy,
    engine_factory: EngineFactory,
    *,
    in_process: bool = False,
) -> tuple[partial[DecodeWorker], partial[AnswerWorker]]:
    """How a worker, or with `in_process` this process, makes its stages: PLANNED to DECODED rows, those to receipts."""
    config = job.config
    facts = RunFacts(
        run_id=attempts.run_id,
        config_id=planned.config_id,
        model=config.model.label,
        strategy=strategy.name,
        engine=config.model.engine,
        threshold=strategy.threshold,
        question_ids={question.hash: question.id for question in planned.questions},
    )
    decode = partial(
        DecodeStage, policy=make_policy(config), decode=config.decode, storage_options=config.input.storage_options
    )
    reason = partial(
        ReasonStage,
        engine_factory=engine_factory,
        strategy=strategy,
        questions=job.questions,
        on_fatal=None if in_process else end_process,
    )
    noted = {"attempts": attempts, "facts": facts, "max_attempts": config.failures.max_attempts}
    return (
        partial(DecodeWorker, make_stage=decode if in_process else partial(behind_engines, decode), **noted),
        partial(AnswerWorker, make_stage=reason, **noted),
    )


def decode_videos(config: RayConfig, videos: pa.Table, decode: partial[Any], shares: Shares) -> Any:
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
        decode.func,
        fn_constructor_kwargs=decode.keywords,
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(config.decode_workers, len(blocks))),
        num_cpus=shares.decode_cpus,
    )


def answer_units(config: RayConfig, units: Any, answer: partial[Any], shares: Shares) -> Any:
    """A dataset of receipts. Each call has one unit; calls of one actor run in threads, and share its engine."""
    from ray.data import ActorPoolStrategy

    num_units = UNITS_PER_GPU_ACTOR if config.gpus_per_actor else UNITS_PER_ACTOR
    return units.map_batches(
        answer.func,
        fn_constructor_kwargs=answer.keywords,
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
