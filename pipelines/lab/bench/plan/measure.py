"""`bench plan`: the time and memory of a plan, over an archive of which all or nearly all is done.

Each case runs in a process of its own, `python -m framegate.pipelines.lab.bench.plan.measure CASE`, which prints a row.
CASE is JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from framegate.pipelines.commit.output import Output
from framegate.pipelines.lab.bench.plan.archive import CONFIG_ID, Archive
from framegate.pipelines.lab.bench.processes import peak_rss_bytes
from framegate.schemas.errors import FramegateError


@dataclass(frozen=True, kw_only=True)
class Case:
    """`videos` is the input, `num_questions` the bank, `num_left` how many videos must turn out to have work left."""

    name: str
    videos: str
    num_questions: int
    num_left: int


def cases(archive: Archive) -> list[Case]:
    """All is done; one more question; a hundredth of new videos."""
    bank = archive.num_questions
    return [
        Case(name="all done", videos=archive.stored, num_questions=bank, num_left=0),
        Case(name="new question", videos=archive.stored, num_questions=bank + 1, num_left=archive.num_videos),
        Case(name="new videos", videos=archive.everything, num_questions=bank, num_left=archive.num_new),
    ]


def measure(archive: Archive, *, on_case: Callable[[Case], None]) -> Iterator[dict[str, Any]]:
    """A row for each case. Raises FramegateError where a plan is not the expected one."""
    for case in cases(archive):
        on_case(case)
        task = json.dumps({"archive": asdict(archive), "case": asdict(case)})
        command = [sys.executable, "-m", "framegate.pipelines.lab.bench.plan.measure", task]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise FramegateError(f"the process that planned '{case.name}' ended with {done.returncode}; see above")
        row = json.loads(done.stdout)
        if row["num_left"] != case.num_left:
            raise FramegateError(
                f"the plan of '{case.name}' has {row['num_left']:,} videos with work left, and it must be"
                f" {case.num_left:,}; does something write to {archive.folder}?"
            )
        yield row


def plan_once(archive: Archive, case: Case) -> dict[str, Any]:
    """Plan once in this process: the seconds of each step, and the peak memory."""
    from framegate.pipelines.plan.coverage import Retries
    from framegate.pipelines.plan.remaining import remaining
    from framegate.pipelines.plan.stored import read_stored
    from framegate.pipelines.source.find import find_videos
    from framegate.pipelines.store import Store
    from framegate.schemas.config import InputConfig

    questions = archive.questions(num_more=case.num_questions - archive.num_questions)
    began = time.perf_counter()
    found = find_videos(InputConfig(videos=case.videos))
    listed = time.perf_counter()
    stored = read_stored(Output(Store(), archive.layout), CONFIG_ID)
    read = time.perf_counter()
    hashes = [question.hash for question in questions]
    left = remaining(found, hashes, stored, retries=Retries(now=datetime.now(UTC), max_attempts=3))
    videos = left.videos()
    ended = time.perf_counter()
    return {
        "case": case.name,
        "num_videos": left.num_found,
        "num_answers": stored.answered.num_rows,
        "num_left": videos.num_rows,
        "list_seconds": listed - began,
        "done_seconds": read - listed,
        "plan_seconds": ended - read,
        "seconds": ended - began,
        "peak_rss_mib": peak_rss_bytes(os.getpid()) / 2**20,
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(plan_once(Archive(**given["archive"]), Case(**given["case"]))))
