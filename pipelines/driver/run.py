"""One run of a job: how it begins, what is recorded of it and when, how its receipts are heard, what came of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import fix_partitioning
from framegate.pipelines.commit.records import record_config, record_plan
from framegate.pipelines.driver.heartbeat import RecordListener, RunRecord, beating
from framegate.pipelines.driver.outcome import (
    count_videos,
    end_fields,
    failure_fields,
    first_fields,
    plan_fields,
    progress_fields,
    stored_counts,
)
from framegate.pipelines.driver.tally import Tally
from framegate.pipelines.driver.watchers import Watcher, feed_all
from framegate.pipelines.failpoints import reach
from framegate.pipelines.plan.plan import refuse_erased
from framegate.schemas.clock import now
from framegate.schemas.errors import StorageError
from framegate.schemas.job import Job
from framegate.schemas.run import INTERRUPTED, Plan, Progress, RunSummary


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that has begun. `began_seconds` is of the monotonic clock."""

    run_id: str
    job: Job
    output: Output
    record: RunRecord
    started_at: datetime
    began_seconds: float

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self.began_seconds

    def enter(self, phase: str, **fields: Any) -> None:
        """The run is at another of PHASES; its record says so. Raises StorageError."""
        self.record.update(state="running", phase=phase, elapsed_seconds=self.elapsed_seconds, **fields)


@contextmanager
def begin(job: Job, run_id: str | None, on_record: RecordListener | None = None) -> Iterator[Run]:
    """A run, with a name of its own where none is given, that has a record and a heartbeat as long as it lasts.

    What is raised inside of it ends the record: it failed, or was interrupted, and why. Raises StorageError where its
    output cannot be written; then nothing is recorded.
    """
    began_seconds, started_at = time.monotonic(), now()
    run_id = run_id or f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    output, every_seconds = Output.open(job.config.output), job.config.run.heartbeat_seconds
    output.store.check_writable(job.config.output.uri)
    facts = first_fields(run_id, job.name, started_at)
    record = RunRecord(output, facts, every_seconds=every_seconds, on_record=on_record)
    run = Run(run_id=run_id, job=job, output=output, record=record, started_at=started_at, began_seconds=began_seconds)
    record.create()
    try:
        with beating(record, every_seconds):
            yield run
    except BaseException as error:
        if not record.has_ended:
            with suppress(StorageError):  # the error itself may be that storage refuses us; that one is reported
                record.update(**failure_fields(error), ended_at=now().isoformat(), elapsed_seconds=run.elapsed_seconds)
        raise


def record_intent(run: Run, planned: Plan, document: Mapping[str, Any]) -> None:
    """Stores what the run sets out to do, before its first unit. `document` is what its config_id stands for.

    Raises ConfigError where the output is partitioned another way, FramegateError where a planned video was erased.
    """
    output, run_id = run.output, run.run_id
    fix_partitioning(output, run.job.config.output.partition_by)
    record_config(output, planned.config_id, document)
    run.enter("loading", **plan_fields(planned))
    if planned.videos.num_rows:
        config_ids = pa.repeat(planned.config_id, planned.videos.num_rows)
        record_plan(output, run_id, planned.videos.append_column("config_id", config_ids))
        refuse_erased(output, run_id, planned)


def listen(
    run: Run,
    receipts: Generator[Receipt],
    tally: Tally,
    watchers: Sequence[Watcher],
    on_progress: Callable[[Progress], None] | None,
) -> str | None:
    """Hears every receipt, and returns why the run ends early: what a watcher says, INTERRUPTED, or None.

    Closes `receipts` at the end. That ends what still runs, so that nothing is committed while the run is sealed.
    """
    began_seconds = time.monotonic()
    run.record.measure_by(lambda: progress_fields(tally, run.elapsed_seconds, time.monotonic() - began_seconds))
    try:
        for receipt in receipts:
            reach("driver.receipt")
            if tally.num_receipts == 0:
                began_seconds = time.monotonic()  # the model is loaded
                run.enter("working")
            tally.add(receipt)
            if on_progress:
                on_progress(tally.progress(elapsed_seconds=run.elapsed_seconds))
            stop_reason = feed_all(watchers, receipt)
            if stop_reason is not None:
                return stop_reason
        return None
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        receipts.close()


def report(run: Run, planned: Plan, tally: Tally, stop_reason: str | None) -> RunSummary:
    """What came of the run, as storage has it after the seal; stores it as the run's record."""
    summary = RunSummary(
        run_id=run.run_id,
        config_id=planned.config_id,
        num_videos_planned=planned.num_skipped + planned.videos.num_rows,
        **count_videos(planned, run.output),
        counts=stored_counts(run.output, planned.config_id, run.run_id, tally.counts),
        elapsed_seconds=run.elapsed_seconds,
        num_lost_races=tally.num_lost_races,
        stop_reason=stop_reason,
    )
    run.record.update(**end_fields(summary, planned), ended_at=now().isoformat())
    return summary
