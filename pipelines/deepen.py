"""A deepening on one screen: begin, choose rows, work, seal, report. Rows that were let go are thought about after all.

It is a run like any other (`pipelines.flow`), but for what it asks: each row goes on from its first answer, and takes
its new values in place when it is sealed (`pipelines.commit.completion`). What was committed and not sealed is sealed
first, so that each row which is chosen lies in a sealed file. It does not seal while it works: each seal writes the
files anew that it completes rows of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import pyarrow as pa

from framegate.pipelines.commit.runs import DEEPEN
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.driver.heartbeat import RecordListener
from framegate.pipelines.driver.phases import Phases
from framegate.pipelines.driver.run import (
    Run,
    begin,
    learn_sealing_pace,
    listen,
    make_watchers,
    name_run,
    record_intent,
    report,
    seal_in_time,
)
from framegate.pipelines.driver.signals import heed_signals
from framegate.pipelines.driver.stopping import Stopping
from framegate.pipelines.driver.tally import Tally
from framegate.pipelines.driver.turn import take_turn
from framegate.pipelines.failpoints import check_failpoint, reach
from framegate.pipelines.flow import check, choose, make_workers, work
from framegate.pipelines.plan.config_choice import ConfigChoice
from framegate.pipelines.plan.deepening import Deepening, plan_deepening
from framegate.pipelines.reason.engines.build import make_engine_factory
from framegate.pipelines.reason.engines.protocol import EngineFactory
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.worker.attempts import Attempts, read_deaths
from framegate.schemas.errors import ConfigError, FramegateError, StorageError
from framegate.schemas.job import Job
from framegate.schemas.keys import id_numbers
from framegate.schemas.run import Deadline, Phase, Progress, RunSummary

SelectRows = Callable[[str], pa.Table]
"""The rows of a config_id that are chosen, fresh from storage, in DEEPENABLE (`results.deepenable`)."""


def plan(job: Job, select: SelectRows, *, limit: int | None = None, retry_failed: bool = False) -> Deepening:
    """What `deepen` would do. Changes nothing; what waits for its seal is not among it. Raises FramegateError."""
    strategy = gate_of(job)
    check(job, strategy)
    choice = choose(job, strategy).accepted(False)
    indexes = ShardIndexCache.of(job.config.output)
    rows = select(choice.config_id)
    return plan_deepening(job, choice, indexes, rows, limit=limit, retry_failed=retry_failed)


def gate_of(job: Job) -> Gated:
    """The job's strategy. Raises ConfigError where it lets no answer go by its confidence."""
    strategy = make_strategy(job.config.gate)
    if not isinstance(strategy, Gated):
        raise ConfigError(
            f"gate.strategy is {strategy.name}, which has no gate: only rows of a gated job can be deepened"
        )
    return strategy


def deepen(
    job: Job,
    select: SelectRows,
    *,
    threshold: float | None,
    limit: int | None = None,
    retry_failed: bool = False,
    run_id: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_phase: Callable[[Progress], None] | None = None,
    on_record: RecordListener | None = None,
    engine_factory: EngineFactory | None = None,
    in_process: bool = False,
    deadline: Deadline | None = None,
    verbose: bool = False,
) -> RunSummary:
    """Thinks about the rows that `select` gives, and completes them in place. Stops as `flow.run` does.

    `threshold` is the one that rows then have; None: they keep their own. All else is as in `flow.run`, and so is what
    is raised.
    """
    check_failpoint()
    gate = gate_of(job)
    budgets = {"max_answer_tokens": gate.max_answer_tokens, "max_thinking_tokens": gate.max_thinking_tokens}
    strategy = Deepened(threshold=threshold, **budgets)
    phases = Phases(run_id or name_run(), on_phase=on_phase, on_progress=on_progress)
    stopping = Stopping(deadline)
    heeding = heed_signals(stopping, grace_seconds=job.config.run.grace_seconds)
    with heeding, begin(job, phases, stopping, on_record, command=DEEPEN) as begun:
        check(job, gate, has_engine=engine_factory is not None, verbose=verbose)
        choice = stopping.call(lambda: choose(job, gate)).accepted(False)
        return _deepen(
            begun,
            phases,
            choice,
            strategy,
            select,
            engine_factory,
            limit=limit,
            retry_failed=retry_failed,
            in_process=in_process,
            verbose=verbose,
        )


def _deepen(
    begun: Run,
    phases: Phases,
    choice: ConfigChoice,
    strategy: Deepened,
    select: SelectRows,
    engine_factory: EngineFactory | None,
    *,
    limit: int | None,
    retry_failed: bool,
    in_process: bool,
    verbose: bool,
) -> RunSummary:
    job, stopping, config_id = begun.job, begun.stopping, choice.config_id
    team = take_turn(begun, config_id, None, stopping.check)

    phases.enter(Phase.PLANNING)
    stopping.call(lambda: seal_all(begun, config_id))
    indexes = ShardIndexCache.of(job.config.output)
    rows = stopping.call(lambda: select(config_id))
    chosen = stopping.call(lambda: plan_deepening(job, choice, indexes, rows, limit=limit, retry_failed=retry_failed))
    planned = chosen.plan
    question_since = record_intent(begun, planned, choice)
    indexes.keep()
    reach("deepen.planned")

    learn_sealing_pace(begun, config_id)
    phases.begin_work(planned)
    if engine_factory is None:
        engine_factory = make_engine_factory(job.config, strategy, planned.questions)
    deaths = {} if retry_failed else read_deaths(begun.output, config_id, now=begun.started_at)
    attempts = Attempts(output=begun.output, config_id=config_id, run_id=begun.run_id, deaths=deaths)
    make = make_workers(
        job, planned, attempts, strategy, engine_factory, team, question_since=question_since, in_process=in_process
    )
    tally = Tally(planned.videos)
    mine = planned.videos.filter(pa.array(team.are_mine(id_numbers(planned.videos.column("video_id"))), pa.bool_()))
    tally.expect(mine)
    try:
        receipts = work(begun, mine, *make, in_process=in_process, verbose=verbose)
        listen(receipts, tally, make_watchers(job.config.failures), phases, begun)
    except FramegateError:  # no worker died of it: their attempts do not count
        with suppress(StorageError):
            attempts.forget()
        raise
    reach("driver.drained")

    attempts.forget()
    phases.enter(Phase.SEALING)
    is_sealed = seal_in_time(begun, config_id)
    reach("driver.sealed")

    phases.enter(Phase.RECORDING)

    def count() -> dict[str, int]:
        num_elsewhere = planned.videos.num_rows - mine.num_rows
        return {**count_rows(mine, select(config_id)), "num_videos_elsewhere": num_elsewhere}

    summary = report(begun, planned, count, tally, phases, is_sealed=is_sealed)
    reach("driver.recorded")
    return summary


def seal_all(begun: Run, config_id: str) -> None:
    """What earlier runs have committed: a row is sealed before it is chosen."""
    config = begun.job.config.output
    seal(begun.output, config_id, file_bytes=config.file_bytes, partition_by=config.partition_by)


def count_rows(planned: pa.Table, after: pa.Table) -> dict[str, int]:
    """What came of planned videos (PLANNED), in the names of RunSummary. `after`: the rows that would be chosen now.

    A video is answered where none of its planned rows is left, failed where all that are left have failed since.
    """
    still = {
        (row["video_id"], row["clip_index"], row["question_hash"]): row["num_failures"]
        for batch in after.select(["video_id", "clip_index", "question_hash", "num_failures"]).to_batches()
        for row in batch.to_pylist()
    }
    counts: dict[str, int] = dict.fromkeys(("answered", "failed", "left"), 0)
    for video in planned.select(["video_id", "wanted"]).to_batches():
        for row in video.to_pylist():
            counts[_outcome(row, still)] += 1
    return {
        "num_videos_planned": planned.num_rows,
        "num_videos_skipped": 0,
        **{f"num_videos_{name}": number for name, number in counts.items()},
    }


def _outcome(video: Mapping[str, object], still: Mapping[tuple[object, object, object], int]) -> str:
    wanted = video["wanted"]
    assert isinstance(wanted, list)
    keys = [((video["video_id"], one["clip_index"], one["question_hash"]), one["attempt"]) for one in wanted]
    left = [still[key] >= attempt for key, attempt in keys if key in still]
    return "answered" if not left else "failed" if all(left) else "left"
