"""How long a run looks for drift as it ends: over synthetic nights, each with a record, as runs leave them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import encode_record
from framegate.pipelines.drift.judge import judge_night
from framegate.pipelines.lab.bench.query.sealed_output import make_output
from framegate.pipelines.lab.bench.query.synthetic_rows import CONFIG_ID, Archive, question_hash, question_id
from framegate.schemas.job import Job, parse_job
from framegate.schemas.qa import Question

NUM_BEFORE: Final = 10  # as by default; three nights more are read, for which three are one side
NUM_NIGHTS: Final = 1 + NUM_BEFORE + 2


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the last night."""

    num_rows_a_night: int
    num_videos_a_night: int
    seconds: float
    num_rows: int
    record_bytes: int


class _Synthetic(Question):
    """A question of the synthetic rows, whose hashes stand for ids."""

    @property
    def hash(self) -> str:
        return question_hash(int(self.id.rpartition("-")[2]))


def measure_drift(
    folder: Path, *, num_rows: int, num_videos: int, num_cameras: int, num_questions: int, repeats: int
) -> Iterator[Look]:
    """Looks at the last of NUM_NIGHTS nights of so many rows and videos each, one after the other."""
    archive = Archive(
        num_nights=NUM_NIGHTS,
        num_videos=num_videos,
        num_cameras=num_cameras,
        num_clips=max(1, num_rows // (num_videos * num_questions)),
        num_questions=num_questions,
    )
    output = make_output(folder, archive)
    for night in range(archive.num_nights):
        _put_record(output, archive, night)
    questions = [_Synthetic(id=question_id(number), text="How many?", type="number") for number in range(num_questions)]
    job, last = _job_of(output), archive.run_id(archive.num_nights - 1)
    for _ in range(repeats):
        began = time.perf_counter()
        found = judge_night(job, questions, run_id=last)
        seconds = time.perf_counter() - began
        rows = [asdict(row) for row in found.rows or ()]
        yield Look(
            num_rows_a_night=archive.num_rows // archive.num_nights,
            num_videos_a_night=num_videos,
            seconds=seconds,
            num_rows=len(rows),
            record_bytes=len(json.dumps(rows)),
        )


def _put_record(output: Output, archive: Archive, night: int) -> None:
    run_id = archive.run_id(night)
    began = datetime.combine(archive.night(night), datetime.min.time(), UTC)
    record = {
        "run_id": run_id,
        "state": "complete",
        "config_id": CONFIG_ID,
        "job": "the job",
        "started_at": began.isoformat(),
        "counts": {"num_answers": 1, "num_failures": 0},
    }
    output.store.put_once(output.layout.run(run_id), encode_record(record))


def _job_of(output: Output) -> Job:
    questions = [{"id": "any", "text": "How many?", "type": "number"}]
    parts = {"input": {"videos": "videos/"}, "model": {"name": "dock"}, "output": {"uri": output.root}}
    return parse_job({**parts, "questions": questions})
