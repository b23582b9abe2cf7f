"""Folding: records and plans of runs that are over go into one object each, so that a night leaves none for ever.

A run does it as it begins, to those before it. It takes one try: where another run folds at the same time, that one's
work stands. Killed at any point it leaves records that are in both places, of which the object counts
(`commit.run_history`), and a later run folds them again.

The history is read before the objects, and replaced by If-Match. So what is put into it is never older than what was
there: whoever changed a record after it was read here has changed either the object, which then is not marked, or the
history, which then is not replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from framegate.pipelines.commit.liveness import find_death
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import MAX_PLAN_BYTES, fold_plans, list_plans, plan_of
from framegate.pipelines.commit.run_history import MARK, add_records, begin_history
from framegate.pipelines.commit.runs import ENDED, RunObjects, read_run_objects, read_runs, run_id_of
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import ObjectInfo
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged

FOLD_FROM: Final = 4
"""So many records of runs that are over are folded, and so many plans: readers ask for fewer than that, and for the
history."""
DEAD_FOR: Final = timedelta(days=7)
"""A run that was not heard of for so long is over. Should it wake up, its record goes on in the history."""


def fold_old_runs(output: Output, now: datetime) -> None:
    """Folds records and plans of runs that are over, where that spares readers some requests. Raises StorageError."""
    infos = [info for info in output.list("runs") if info.uri.endswith(".json")]
    if len(infos) >= FOLD_FROM:
        _fold_records(output, infos, now)
    plans = [info for info in list_plans(output) if info.size_bytes <= MAX_PLAN_BYTES]
    if len(plans) >= FOLD_FROM:
        over = {run_id for run_id, record in read_runs(output, on_damaged=_leave).items() if is_over(record, now)}
        if len(fitting := {run_id: info for info in plans if (run_id := plan_of(info.uri)) in over}) >= FOLD_FROM:
            fold_plans(output, fitting)


def is_over(record: Mapping[str, Any], now: datetime) -> bool:
    """Whether a run has ended, or is dead and was not heard of for DEAD_FOR."""
    if record.get("state") in ENDED:
        return True
    heard = (record.get("heartbeat") or {}).get("at") or record.get("started_at")
    return heard is not None and find_death(record, now) is not None and now - _time(heard) > DEAD_FOR


def _fold_records(output: Output, infos: Sequence[ObjectInfo], now: datetime) -> None:
    history = begin_history(output)
    found = read_run_objects(output, [info.uri for info in infos], on_damaged=_leave)
    records = {run_id: record for run_id, record in found.merged(history.records).items() if is_over(record, now)}
    over = [info for info in infos if info.uri in found.folded or run_id_of(info.uri) in records]
    if len(over) < FOLD_FROM or not add_records(output, history, records):
        return
    reach("runs.folded")
    output.store.delete([info.uri for info in over if _mark(output, info, found)])


def _mark(output: Output, info: ObjectInfo, found: RunObjects) -> bool:
    """Whether an object is the mark of a folded record now, and may go. Its version is as old as what was read of it,
    or older."""
    if info.uri in found.folded:
        return True
    try:
        output.store.replace(info.uri, MARK, if_match=info.version)
    except (VersionChanged, ObjectNotFound):
        return False
    return True


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


def _leave(error: StorageError) -> None:
    """A damaged record stays where it is: the audit tells of it."""
