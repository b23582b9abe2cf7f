"""A deepening on one screen: begin, choose rows, work, seal, report. Rows that were let go are thought about after all.

It is a run like any other (`pipelines.flow`), but for what it asks: each row goes on from its first answer, and takes
its new values in place when it is sealed (`pipelines.commit.completion`). What was committed and not sealed is sealed
first, so that each row which is chosen lies in a sealed file. It does not seal while it works: each seal writes the
files anew that it completes rows of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.journal import commit_deepened
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
from framegate.pipelines.driver.spending import Spending
from framegate.pipelines.driver.stopping import Stopping
from framegate.pipelines.driver.tally import Tally
from framegate.pipelines.driver.turn import take_turn
from framegate.pipelines.failpoints import check_failpoint, reach
from framegate.pipelines.flow import check, choose, make_workers, work
from framegate.pipelines.plan.certified_threshold import settle_threshold
from framegate.pipelines.plan.config_choice import ConfigChoice
from framegate.pipelines.plan.deepening import Deepening, plan_deepening
from framegate.pipelines.plan.rejudged import rejudge
from framegate.pipelines.reason.engines.build import make_engine_factory
from framegate.pipelines.reason.engines.protocol import EngineFactory
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.worker.attempts import Attempts, read_deaths
from framegate.schemas.deepening import Thresholds
from framegate.schemas.errors import ConfigError, FramegateError, StorageError
from framegate.schemas.job import Job
from framegate.schemas.keys import id_numbers
from framegate.schemas.run import Deadline, Phase, Progress, RunSummary
from framegate.schemas.tables import KEY_COLUMNS

SelectRows = Callable[[str, Thresholds | None], pa.Table]
"""The rows of a config_id that are chosen, fresh from storage, in DEEPENABLE (`results.deepenable`): those that were
let go below these thresholds, and whatever narrows them beside; None: whatever their confidence."""

SelectAudited = Callable[[str, Thresholds], pa.Table]
"""The rows, in RESULTS, that thought for the audit sample alone, and would think with these thresholds."""

NewThreshold = float | Literal["job"] | None
"""What rows are deepened to: a threshold for all questions; `job`, those that the job has by now, certified ones and
those of single questions among them; None: rows are chosen in another way, and keep their own."""


def plan(
    job: Job,
    select: SelectRows,
    *,
    threshold: NewThreshold,
    audited: SelectAudited | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
) -> Deepening:
    """What `deepen` would do. Changes nothing; what waits for its seal is not among it. Raises FramegateError."""
    gate = gate_of(job)
    check(job, gate)
    choice = choose(job, gate).accepted(False)
    thresholds = settle(job, choice.config_id, gate, threshold)
    indexes = ShardIndexCache.of(job.config.output)
    rows = select(choice.config_id, thresholds)
    planned = plan_deepening(job, choice, indexes, rows, limit=limit, retry_failed=retry_failed)
    num_audited = sum(rows.num_rows for rows in _rejudge(choice.config_id, thresholds, audited))
    return replace(planned, num_audited=num_audited)


def settle(job: Job, config_id: str, gate: Gated, threshold: NewThreshold) -> Thresholds | None:
    """What rows are held against. Raises ConfigError where the job's is not settled, StorageError."""
    if threshold is None:
        return None
    if not isinstance(threshold, str):
        return Thresholds(default=threshold)
    settled = settle_threshold(job, config_id, gate)
    assert isinstance(settled, Gated)
    own = {question.hash: settled.threshold_of(question) for question in job.questions}
    of_question = {hash: value for hash, value in own.items() if value is not None and value != settled.threshold}
    # Where each question has its own, those that are in the bank no more stay as they are.
    default = settled.threshold if settled.threshold is not None else 0.0
    return Thresholds(default=default, of_question=of_question)


def gate_of(job: Job) -> Gated:
    """The job's strategy. Raises ConfigError where it lets no answer go by its confidence."""
    strategy = make_strategy(job.config.gate)
    if not isinstance(strategy, Gated):
        raise ConfigError(f"gate.strategy is {strategy.name}: only rows of a gated job can be deepened")
    return strategy


def deepen(
    job: Job,
    select: SelectRows,
    *,
    threshold: NewThreshold,
    audited: SelectAudited | None = None,
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
    spending: Spending | None = None,
) -> RunSummary:
    """Thinks about the rows that `select` gives, and completes them in place. Stops as `flow.run` does.

    `audited`: rows that have thought already, for the audit sample alone: where the new threshold would not have let
    them go, their second answer becomes the answer. `spending`: rows come in the order of spending, within the job's
    budget. All else is as in `flow.run`, and so is what is raised.
    """
    check_failpoint()
    gate = gate_of(job)
    phases = Phases(run_id or name_run(), on_phase=on_phase, on_progress=on_progress)
    stopping = Stopping(deadline)
    heeding = heed_signals(stopping, grace_seconds=job.config.run.grace_seconds)
    with heeding, begin(job, phases, stopping, on_record, command=DEEPEN) as begun:
        has_engine = engine_factory is not None
        told = check(job, gate, has_engine=has_engine, verbose=verbose, in_process=in_process, begins=True)
        begun.record.note(**told)
        choice = stopping.call(lambda: choose(job, gate)).accepted(False)
        thresholds = stopping.call(lambda: settle(job, choice.config_id, gate, threshold))
        return _deepen(
            begun,
            phases,
            choice,
            strategy_of(gate, thresholds),
            lambda: select(choice.config_id, thresholds),
            lambda: _rejudge(choice.config_id, thresholds, audited),
            engine_factory,
            limit=limit,
            retry_failed=retry_failed,
            in_process=in_process,
            verbose=verbose,
            spending=spending,
        )


def _deepen(
    begun: Run,
    phases: Phases,
    choice: ConfigChoice,
    strategy: Deepened,
    select: Callable[[], pa.Table],
    rejudge_audited: Callable[[], list[pa.Table]],
    engine_factory: EngineFactory | None,
    *,
    limit: int | None,
    retry_failed: bool,
    in_process: bool,
    verbose: bool,
    spending: Spending | None,
) -> RunSummary:
    job, stopping, config_id = begun.job, begun.stopping, choice.config_id
    shard = None if spending is None else spending.shard
    team = take_turn(begun, config_id, shard, stopping.check)

    phases.enter(Phase.PLANNING)
    stopping.call(lambda: seal_all(begun, config_id))
    indexes = ShardIndexCache.of(job.config.output)
    rows = stopping.call(select)
    budget = None if spending is None else spending.budget_left(job)
    arranged = None if spending is None else spending.arranging(begun, config_id, budget)
    chosen = stopping.call(
        lambda: plan_deepening(job, choice, indexes, rows, limit=limit, retry_failed=retry_failed, arrange=arranged)
    )
    rejudged = stopping.call(rejudge_audited)
    planned = replace(chosen.plan, notices=(*chosen.plan.notices, *_describe(rejudged)))
    question_since = record_intent(begun, planned, choice)
    indexes.keep()
    reach("deepen.planned")
    for rows_of_video in rejudged:
        commit_deepened(begun.output, config_id, rows_of_video)

    num_bytes = sum(info.size_bytes for info in begun.output.list("results", config_id)) if chosen.num_rows else 0
    learn_sealing_pace(begun, config_id, num_bytes=num_bytes)
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
        receipts = work(
            begun, mine, *make, in_process=in_process, verbose=verbose, budget=budget, keeps_order=spending is not None
        )
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
        return {**count_rows(mine, select()), "num_videos_elsewhere": num_elsewhere}

    summary = report(begun, planned, count, tally, phases, is_sealed=is_sealed)
    reach("driver.recorded")
    return summary


def strategy_of(gate: Gated, thresholds: Thresholds | None) -> Deepened:
    """What is asked, with the budgets of the job's gate."""
    return Deepened(
        threshold=None if thresholds is None else thresholds.default,
        by_question=() if thresholds is None else tuple(thresholds.of_question.items()),
        max_answer_tokens=gate.max_answer_tokens,
        max_thinking_tokens=gate.max_thinking_tokens,
    )


def _rejudge(config_id: str, thresholds: Thresholds | None, audited: SelectAudited | None) -> list[pa.Table]:
    if thresholds is None or audited is None:
        return []
    return [*rejudge(audited(config_id, thresholds), thresholds)]


def _describe(rejudged: list[pa.Table]) -> Iterator[str]:
    if rejudged:
        number = sum(rows.num_rows for rows in rejudged)
        yield f"{number:,} rows of the audit sample had thought already: their second answer counts from now on"


def seal_all(begun: Run, config_id: str) -> None:
    """What earlier runs have committed: a row is sealed before it is chosen."""
    config = begun.job.config.output
    seal(begun.output, config_id, file_bytes=config.file_bytes, partition_by=config.partition_by)


def count_rows(planned: pa.Table, after: pa.Table) -> dict[str, int]:
    """What came of planned videos (PLANNED), in the names of RunSummary. `after`: the rows that would be chosen now.

    A video is answered where none of its planned rows is left, failed where all that are left have failed since.
    """
    still = wanted_keys(planned).join(
        after.select([*KEY_COLUMNS, "num_failures"]), list(KEY_COLUMNS), join_type="inner"
    )
    has_failed = still.column("num_failures").to_numpy() >= still.column("attempt").to_numpy()
    videos = id_numbers(still.column("video_id"))
    with_left = np.unique(videos[~has_failed])
    num_left, num_still = len(with_left), len(np.unique(videos))
    return {
        "num_videos_planned": planned.num_rows,
        "num_videos_skipped": 0,
        "num_videos_answered": planned.num_rows - num_still,
        "num_videos_failed": num_still - num_left,
        "num_videos_left": num_left,
    }


def wanted_keys(planned: pa.Table) -> pa.Table:
    """The rows that are deepened: KEY_COLUMNS, and which attempt at each the next one is."""
    wanted = planned.column("wanted").combine_chunks()
    parents = pc.call_function("list_parent_indices", [wanted])
    rows = pa.Table.from_struct_array(wanted.flatten())
    video_ids = planned.column("video_id").combine_chunks().take(parents)
    return rows.select([*KEY_COLUMNS[1:], "attempt"]).add_column(0, KEY_COLUMNS[0], video_ids)
