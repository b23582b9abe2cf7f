"""One run of a job: how it begins, what is recorded of it and when, how its receipts are heard, what came of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa

from framegate.pipelines.commit.first_asked import note_first_asked
from framegate.pipelines.commit.fixed import fix
from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.commit.liveness import end_here
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.quarantine import count_set_aside, set_aside_damaged
from framegate.pipelines.commit.records import record_adoption, record_config, record_plan
from framegate.pipelines.commit.runs import RUN, read_runs
from framegate.pipelines.commit.seal import SEALED_FOLDERS, seal
from framegate.pipelines.commit.video_log import add_to_video_log, read_video_log
from framegate.pipelines.driver.breaker import Breaker
from framegate.pipelines.driver.drift import FindDrift, look_for_drift
from framegate.pipelines.driver.heartbeat import RecordListener, RunRecord, beating
from framegate.pipelines.driver.outcome import (
    end_fields,
    failure_fields,
    first_fields,
    plan_fields,
    progress_fields,
    stored_counts,
    uncounted,
)
from framegate.pipelines.driver.phases import Phases
from framegate.pipelines.driver.sealing_pace import SealingPace
from framegate.pipelines.driver.stopping import Stopping
from framegate.pipelines.driver.tally import Tally
from framegate.pipelines.driver.unparsed import UnparsedWatch
from framegate.pipelines.driver.watchers import Watcher, feed_all
from framegate.pipelines.failpoints import reach
from framegate.pipelines.plan.config_choice import ConfigChoice
from framegate.pipelines.plan.plan import refuse_erased
from framegate.schemas.clock import now
from framegate.schemas.config import FailuresConfig
from framegate.schemas.counts import Counts
from framegate.schemas.errors import StorageError
from framegate.schemas.job import Job
from framegate.schemas.run import INTERRUPTED, Plan, RunSummary, Shard

RECORD_SECONDS: Final = 6.0  # kept for the record where a run has to be over by some time, beside what it seals
PUT_SECONDS: Final = 1.5  # of these, for storing it


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that has begun. `began_seconds` is of the monotonic clock."""

    run_id: str
    job: Job
    output: Output
    record: RunRecord
    stopping: Stopping
    pace: SealingPace
    started_at: datetime
    began_seconds: float

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self.began_seconds


def name_run() -> str:
    """A name that no other run has, and that sorts by time."""
    return f"{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@contextmanager
def begin(
    job: Job,
    phases: Phases,
    stopping: Stopping,
    on_record: RecordListener | None = None,
    *,
    shard: Shard | None = None,
    command: str = RUN,
) -> Iterator[Run]:
    """A run that has a record, which follows its phases, and a heartbeat as long as it lasts.

    What is raised inside of it ends the record: it failed, or was interrupted, and why. Raises StorageError where its
    output cannot be written; then nothing is recorded.
    """
    began_seconds, started_at = time.monotonic(), now()
    run_id, every_seconds = phases.latest.run_id, job.config.run.heartbeat_seconds
    output = Output.open(job.config.output)
    output.store.check_writable(job.config.output.uri)
    facts = first_fields(run_id, job, started_at, shard, command=command)
    record = RunRecord(output, facts, every_seconds=every_seconds, on_record=on_record)
    record.create()
    record.measure_by(lambda: progress_fields(phases))
    run = Run(
        run_id=run_id,
        job=job,
        output=output,
        record=record,
        stopping=stopping,
        pace=SealingPace(),
        started_at=started_at,
        began_seconds=began_seconds,
    )
    try:
        with beating(record, every_seconds):
            phases.follow(lambda _: record.update())
            yield run
    except BaseException as error:
        if not record.has_ended:
            with suppress(StorageError):  # the error itself may be that storage refuses us; that one is reported
                record.update(**failure_fields(error), ended_at=now().isoformat())
        raise
    finally:
        end_here(run_id, started_at)


def record_intent(run: Run, planned: Plan, choice: ConfigChoice) -> dict[str, datetime | None]:
    """Stores what the run sets out to do, before its first unit. Gives back when each wording was first asked, by its
    hash; nothing where nothing is left to ask.

    Raises ConfigError where another run has fixed other partitions or types of columns meanwhile, FramegateError where
    a planned video was erased.
    """
    output, run_id = run.output, run.run_id
    fix(output, run.job.config.output.partition_by, planned.columns, run.job.config.input.time_zone)
    has_work = planned.videos.num_rows > 0
    since = note_first_asked(output, planned.questions, run.started_at) if has_work else {}
    if choice.is_adopted:
        record_adoption(output, choice.own_id, choice.config_id, choice.document, run_id)
    else:
        record_config(output, choice.config_id, choice.document)
    run.record.update(**plan_fields(planned))
    set_aside_damaged(output, planned.damaged)  # their names must be free when the units are committed again
    if has_work:
        config_ids = pa.repeat(planned.config_id, planned.videos.num_rows)
        record_plan(output, run_id, planned.videos.append_column("config_id", config_ids))
        refuse_erased(output, run_id, planned)
    if planned.changes.num_rows:
        add_to_video_log(output, planned.changes, read_video_log(output))
    return since


def make_watchers(config: FailuresConfig) -> list[Watcher]:
    """What looks at each receipt, and may stop the run."""
    return [Breaker(config), UnparsedWatch(config)]


def listen(
    receipts: Generator[Receipt],
    tally: Tally,
    watchers: Sequence[Watcher],
    phases: Phases,
    run: Run,
) -> None:
    """Hears every receipt until there are no more: `receipts` itself ends where the run should stop.

    Closes `receipts` at the end. That ends what still runs, so that nothing is committed while the run is sealed.
    """
    try:
        for receipt in receipts:
            reach("driver.receipt")
            tally.add(receipt)
            run.pace.num_units += 1
            phases.hear(tally)
            if (stop := feed_all(watchers, receipt)) is not None:
                run.stopping.ask(stop)
    except KeyboardInterrupt:  # where nobody heeds signals: the run is in a thread, or somebody else raised it
        run.stopping.ask(INTERRUPTED)
    finally:
        receipts.close()


def seal_in_time(run: Run, config_id: str) -> bool:
    """Seals what is committed. False where that would take longer than a run that stops may: the next run completes it.

    What is left of a seal goes on until the process ends, and may break off anywhere, like any sealer.
    """
    config = run.job.config.output
    began_seconds = time.monotonic()
    sealed = run.stopping.finish(
        lambda: seal(run.output, config_id, file_bytes=config.file_bytes, partition_by=config.partition_by),
        keep_seconds=RECORD_SECONDS,
    )
    if sealed is not None:
        run.pace.learn(sealed.num_units, time.monotonic() - began_seconds)
    return sealed is not None


def learn_sealing_pace(run: Run, config_id: str, *, num_bytes: int = 0) -> None:
    """From now on a run that has a deadline keeps as much time free before it as sealing takes, as far as is known.

    `num_bytes` are of files that it writes anew, at most.
    """
    run.pace.num_bytes = num_bytes
    if run.stopping.has_deadline:
        run.pace.learn_from(read_runs(run.output).values())
        run.pace.num_units = sum(1 for folder in SEALED_FOLDERS for _ in run.output.list(folder, config_id))
        run.stopping.reserve_seconds = run.pace.reserve_seconds


def report(
    run: Run,
    planned: Plan,
    count: Callable[[], dict[str, int]],
    tally: Tally,
    phases: Phases,
    *,
    is_sealed: bool,
    defers: bool = False,
    find_drift: FindDrift | None = None,
) -> RunSummary:
    """What came of the run, as storage has it after the seal; stores it as the run's record.

    `count` tells what came of the videos. Where there is no time left to look, the counts are those of the receipts,
    and videos are not counted. `find_drift` is asked where the run is complete.
    """

    def look() -> tuple[dict[str, int], Counts, int]:
        counts = stored_counts(run.output, planned.config_id, run.run_id, tally.counts)
        return count(), counts, count_set_aside(run.output, planned.config_id, run.started_at)

    found = run.stopping.finish(look, keep_seconds=PUT_SECONDS)
    stop = run.stopping.reason
    drift = look_for_drift(find_drift, run.stopping, planned, found, is_sealed=is_sealed)
    if (asked := run.stopping.reason) is not None and asked.code == "signal":  # a deadline stops no run that is done
        stop = asked
    summary = RunSummary(
        run_id=run.run_id,
        config_id=planned.config_id,
        **(found[0] if found is not None else uncounted(planned)),
        counts=found[1] if found is not None else tally.counts,
        elapsed_seconds=run.elapsed_seconds,
        num_videos_gone=planned.num_gone,
        num_lost_races=tally.num_lost_races,
        num_set_aside=found[2] if found is not None else 0,
        stop=stop,
        is_sealed=is_sealed,
        seal_seconds_per_unit=run.pace.measured,
        phase_seconds=phases.seconds(),
        notices=tuple(planned.notices),
        defers=defers,
        drift=drift.rows,
        drift_look=drift.look,
        drift_note=drift.note,
    )
    run.record.update(**end_fields(summary, planned), ended_at=now().isoformat())
    return summary
