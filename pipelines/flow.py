"""The whole flow on one screen: begin, plan, work, seal, report.

`run` is the five steps. The work is plan -> decode -> answer: `make_workers` puts decode, reason and commit together,
and the driver runs the workers on Ray (`driver.ray_dataset`) or in this process (`driver.in_process`). An answer is
committed by the worker that has it, and only its receipt comes here. What goes wrong with one video is a row by then.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from types import MappingProxyType

import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.run_folding import fold_old_runs
from framegate.pipelines.commit.team import Team
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.decode.part import can_share
from framegate.pipelines.decode.sandbox.sandbox import measure_isolation
from framegate.pipelines.decode.scan_sharing import LocalCutsBoard
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.drift.judge import judge_night
from framegate.pipelines.driver.budget import Budget
from framegate.pipelines.driver.cluster import at_low_priority, check_gpus, end_process
from framegate.pipelines.driver.confined_nodes import measure_on_nodes
from framegate.pipelines.driver.first_answers import budget_of_first_answers, defer_all
from framegate.pipelines.driver.hearing import hear_in_turn
from framegate.pipelines.driver.heartbeat import RecordListener
from framegate.pipelines.driver.in_process import run_in_process
from framegate.pipelines.driver.joining import check_cluster, named_cluster
from framegate.pipelines.driver.outcome import count_videos
from framegate.pipelines.driver.phases import Phases
from framegate.pipelines.driver.ray_dataset import run_on_ray
from framegate.pipelines.driver.rounds import find_rounds
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
from framegate.pipelines.driver.sealing import sealing_beside
from framegate.pipelines.driver.signals import heed_signals
from framegate.pipelines.driver.stopping import Stopping
from framegate.pipelines.driver.tally import Tally
from framegate.pipelines.driver.turn import take_turn
from framegate.pipelines.failpoints import check_failpoint, reach
from framegate.pipelines.plan.audit_rate import settle_audit
from framegate.pipelines.plan.certified_threshold import settle_threshold
from framegate.pipelines.plan.checks import check_job
from framegate.pipelines.plan.config_choice import ConfigChoice, choose_config
from framegate.pipelines.plan.identity import read_document
from framegate.pipelines.plan.parts import deepens, has_parts, order_work
from framegate.pipelines.plan.plan import make_plan, make_policy
from framegate.pipelines.plan.previous_ids import older_config_id
from framegate.pipelines.plan.shard import take_shard
from framegate.pipelines.reason.asking.wording import read_wording
from framegate.pipelines.reason.engines.build import make_engine_factory
from framegate.pipelines.reason.engines.protocol import EngineFactory
from framegate.pipelines.reason.stage import ReasonStage
from framegate.pipelines.reason.still import still_clips
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.attempts import Attempts, read_deaths
from framegate.pipelines.worker.decode_worker import DecodeWorker
from framegate.schemas.config import clip_policy
from framegate.schemas.errors import FramegateError, StorageError
from framegate.schemas.job import Job
from framegate.schemas.run import Deadline, Phase, Plan, Progress, RunSummary, Shard
from framegate.schemas.start_time import WallClock


def plan(job: Job, *, limit: int | None = None, retry_failed: bool = False, strategy: Strategy | None = None) -> Plan:
    """What `run` would do. Changes nothing. `limit`: at most so many videos with work left.

    Raises FramegateError where `run` could not start, as far as that can be told without writing.
    """
    strategy = strategy or make_strategy(job.config.gate)
    check(job, strategy)
    choice = choose(job, strategy)
    settle_threshold(job, choice.config_id, strategy)
    return make_plan(job, choice, ShardIndexCache.of(job.config.output), limit=limit, retry_failed=retry_failed)


def check(
    job: Job,
    strategy: Strategy,
    *,
    has_engine: bool = False,
    verbose: bool = False,
    in_process: bool = False,
    begins: bool = False,
) -> dict[str, list[str]]:
    """Raises FramegateError, one sentence, for what `run` refuses; changes nothing. `has_engine`: the job's own is not
    used. `begins`: work is next, so that a cluster which the job names has to answer, unless it runs `in_process`.
    Gives back what is known by then for a run's record: what confines decoders, unless they run elsewhere."""
    check_job(job, strategy, has_engine=has_engine)
    if not in_process:
        check_cluster(job.config.ray, must_answer=begins)
    if not has_engine:
        check_gpus(job.config.ray, verbose=verbose)
    is_here = in_process or named_cluster(job.config.ray) is None
    return {"sandbox": list(confine(job))} if is_here else {}


def confine(job: Job) -> tuple[str, ...]:
    """What confines decoders on the machine on which it is called. Raises SandboxError where that is not enough."""
    return measure_isolation(job.config.decode, job.config.frames.decoders)


def choose(job: Job, strategy: Strategy) -> ConfigChoice:
    """Under which config_id the job's answers are filed. Changes nothing. Raises FramegateError."""
    document = read_document(job.config, strategy)
    older = partial(older_config_id, job.config, strategy, read_wording(job.config))
    return choose_config(Output.open(job.config.output), document, adopt=job.config.adopt, older=older)


def run(
    job: Job,
    *,
    limit: int | None = None,
    shard: Shard | None = None,
    retry_failed: bool = False,
    run_id: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_phase: Callable[[Progress], None] | None = None,
    on_record: RecordListener | None = None,
    engine_factory: EngineFactory | None = None,
    strategy: Strategy | None = None,
    in_process: bool = False,
    deadline: Deadline | None = None,
    verbose: bool = False,
    accept_new_config: bool = False,
) -> RunSummary:
    """Does what is left to do and seals it. SIGTERM, SIGINT and SIGHUP end it early with all that is committed kept.

    `shard` does one part of the work, and leaves the others to the other runs of an array.
    `retry_failed` tries everything again that failed, whatever the reason and however often. `on_progress` is called
    after each committed unit, `on_phase` as each phase of the run begins, `on_record` with the run's record whenever
    that changes, each heartbeat included. `engine_factory` and `strategy` take the places of the job's own.
    `in_process` does without Ray: one unit after the other, here, which is enough to try a job out or to watch it die.
    `verbose` shows what Ray logs. The run stops in time to be over, seal included, by the `deadline`. What it
    has deferred waits for `deepen.deepen`, which `framegate run` calls next.
    `accept_new_config` begins a config_id that is new in an output which has others; it is refused otherwise.

    Raises AnotherRun where one is at work and this one is not to run beside it, RunStopped where it was to stop before
    it had a plan, FramegateError (one sentence) where the run cannot start or storage fails. What was committed until
    then stays, and the next run goes on from there.
    """
    check_failpoint()
    strategy = strategy or make_strategy(job.config.gate)
    phases = Phases(run_id or name_run(), on_phase=on_phase, on_progress=on_progress)
    stopping = Stopping(deadline)
    heeding = heed_signals(stopping, grace_seconds=job.config.run.grace_seconds)
    with heeding, begin(job, phases, stopping, on_record, shard=shard) as begun:
        has_engine = engine_factory is not None
        told = check(job, strategy, has_engine=has_engine, verbose=verbose, in_process=in_process, begins=True)
        begun.record.note(**told)
        if engine_factory is None:
            engine_factory = make_engine_factory(job.config, strategy, job.questions)
        choice = stopping.call(partial(choose, job, strategy)).accepted(accept_new_config)
        strategy = stopping.call(partial(settle_threshold, job, choice.config_id, strategy))
        return _run(
            begun,
            phases,
            choice,
            strategy,
            engine_factory,
            limit=limit,
            shard=shard,
            retry_failed=retry_failed,
            in_process=in_process,
            verbose=verbose,
        )


def _run(
    begun: Run,
    phases: Phases,
    choice: ConfigChoice,
    strategy: Strategy,
    engine_factory: EngineFactory,
    *,
    limit: int | None,
    shard: Shard | None,
    retry_failed: bool,
    in_process: bool,
    verbose: bool,
) -> RunSummary:
    """The five steps, inside of which the run has a heartbeat. What they raise ends its record."""
    job, stopping = begun.job, begun.stopping
    team = take_turn(begun, choice.config_id, shard, stopping.check)

    phases.enter(Phase.PLANNING)
    stopping.call(lambda: fold_old_runs(begun.output, begun.started_at))
    indexes = ShardIndexCache.of(job.config.output)
    most = None if shard else limit
    planned = stopping.call(lambda: make_plan(job, choice, indexes, limit=most, retry_failed=retry_failed))
    planned, strategy = stopping.call(lambda: settle_audit(job, planned, strategy))
    planned = take_shard(planned, shard, limit)
    strategy = defer_all(job, strategy)
    budget = stopping.call(lambda: budget_of_first_answers(begun, planned, strategy, shard))
    question_since = record_intent(begun, planned, choice)
    indexes.keep()
    reach("driver.planned")

    learn_sealing_pace(begun, planned.config_id)
    phases.begin_work(planned)
    deaths = {} if retry_failed else read_deaths(begun.output, planned.config_id, now=begun.started_at)
    attempts = Attempts(output=begun.output, config_id=planned.config_id, run_id=begun.run_id, deaths=deaths)
    make = make_workers(
        job, planned, attempts, strategy, engine_factory, team, question_since=question_since, in_process=in_process
    )
    tally = Tally(planned.videos, clips_by_size=not job.config.clips.whole_video)
    watchers = make_watchers(job.config.failures)
    try:
        with sealing_beside(job.config.output, planned.config_id, job.config.seal) as beside:
            for videos in find_rounds(begun, planned, team):
                tally.expect(videos)
                receipts = work(begun, videos, *make, in_process=in_process, verbose=verbose, budget=budget)
                listen(beside.hear(receipts), tally, watchers, phases, begun)
    except FramegateError:  # no worker died of it: their attempts do not count
        with suppress(StorageError):
            attempts.forget()
        raise
    reach("driver.drained")

    attempts.forget()
    phases.enter(Phase.SEALING)
    is_sealed = seal_in_time(begun, planned.config_id)
    reach("driver.sealed")

    phases.enter(Phase.RECORDING)
    count = partial(count_videos, planned, begun.output, team)
    defers = (budget is not None and budget.horizon is not None) or (isinstance(strategy, Gated) and strategy.defers)
    drift = partial(judge_night, job, planned.questions, run_id=begun.run_id, shard=shard)
    find_drift = drift if job.config.drift.on_end else None
    summary = report(begun, planned, count, tally, phases, is_sealed=is_sealed, defers=defers, find_drift=find_drift)
    reach("driver.recorded")
    return summary


def work(
    begun: Run,
    videos: pa.Table,
    decode: partial[DecodeWorker],
    answer: partial[AnswerWorker],
    *,
    in_process: bool,
    verbose: bool,
    budget: Budget | None = None,
    keeps_order: bool = False,
) -> Generator[Receipt]:
    """One receipt for each committed unit, until the `budget` is spent. `keeps_order`: videos begin as they stand."""
    if videos.num_rows == 0:
        return
    if in_process and budget is not None:
        ledger = budget.ledger_maker()()
        with budget.watching(ledger, begun.stopping):
            receipts = run_in_process(videos, decode(), answer(ledger=ledger))
            yield from budget.hear(hear_in_turn(receipts, begun.stopping))
    elif in_process:
        yield from hear_in_turn(run_in_process(videos, decode(), answer()), begun.stopping)
    else:
        config = begun.job.config
        # Where frames are missing the part would tell of rows that other parts deepen.
        is_shared = can_share(config.clips) and not deepens(videos)
        ordered = order_work(
            videos, num_workers=config.ray.decode_workers, is_shared=is_shared, keeps_order=keeps_order
        )
        receipts = run_on_ray(
            config.ray,
            ordered,
            decode,
            answer,
            begun.stopping,
            hear_start=partial(_hear_start, begun),
            make_board=LocalCutsBoard if config.clips.scenes and has_parts(ordered) else None,
            budget=budget,
            verbose=verbose,
        )
        yield from receipts if budget is None else budget.hear(receipts)


def _hear_start(begun: Run, seconds: float) -> None:
    """Ray took so long to start. Where decoders run on other machines: what confines them there, or SandboxError."""
    begun.pace.start_seconds = seconds
    if begun.record.fields["sandbox"] is None:
        begun.record.update(sandbox=list(measure_on_nodes(partial(confine, begun.job))))


def make_workers(
    job: Job,
    planned: Plan,
    attempts: Attempts,
    strategy: Strategy,
    engine_factory: EngineFactory,
    team: Team | None = None,
    *,
    question_since: Mapping[str, datetime | None] = MappingProxyType({}),
    in_process: bool = False,
) -> tuple[partial[DecodeWorker], partial[AnswerWorker]]:
    """How a worker process, or with `in_process` this one, makes its DecodeWorker or its AnswerWorker."""
    config = job.config
    facts = RunFacts(
        run_id=attempts.run_id,
        config_id=planned.config_id,
        model=config.model.label,
        strategy=strategy.name,
        engine=config.model.engine,
        question_ids={question.hash: question.id for question in planned.questions},
        question_since=dict(question_since),
        clip_policy=clip_policy(config),
        clock=WallClock(config.input.starts, config.input.time_zone),
    )
    decode = partial(
        DecodeStage,
        policy=make_policy(config),
        decode=config.decode,
        storage_options=config.input.storage_options,
        still=still_clips(config.clips.same_within, planned.questions, planned.audit),
    )
    reason = partial(
        ReasonStage,
        engine_factory=engine_factory,
        strategy=strategy,
        questions=planned.questions,
        audit=planned.audit,
        prune=config.frames.prune,
        on_fatal=None if in_process else end_process,
        limits=None if in_process else config.engine,
    )
    shared = {"attempts": attempts, "facts": facts, "max_attempts": config.failures.max_attempts}
    make_decode = decode if in_process else partial(at_low_priority, decode)
    return (
        partial(DecodeWorker, make_stage=make_decode, team=team, **shared),
        partial(AnswerWorker, make_stage=reason, end_process=None if in_process else end_process, **shared),
    )
