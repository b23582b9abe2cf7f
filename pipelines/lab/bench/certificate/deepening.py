"""Deepening against a run: rows that are deepened to a threshold, and those of a run that had it from the start."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from framegate.pipelines import flow
from framegate.pipelines.deepen import deepen
from framegate.pipelines.lab.bench.certificate.confirmation import check_complete
from framegate.pipelines.lab.bench.certificate.dock_job import make_films, make_job
from framegate.pipelines.results.deepenable import Chosen, read_deepenable
from framegate.pipelines.results.views import query
from framegate.schemas.job import Job
from framegate.schemas.qa import Question

Key = tuple[str, int, str]
UNLIKE: Final = (  # columns in which two runs over the same videos differ
    *("config_id", "run_id", "written_at", "question_since", "decode_seconds", "engine_seconds", "prompt_seconds"),
    *("first_answer_seconds", "thinking_seconds", "deepened_at", "deepened_run_id"),
    "threshold",  # of a row that was sure enough: the one that let it go
)
TOLERANCE: Final = 1e-4
"""Of confidences. Rows are computed together with others each time, and float32 sums them in another order:
tokens are the same, and their probabilities but for rounding."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows of both outputs by key.

    num_deepened   rows that were let go and thought later
    num_lost       keys that are lost or doubled; `unlike`: how many rows differ, by column
    """

    low: float
    high: float
    num_rows: int
    num_deepened: int
    num_lost: int
    unlike: Mapping[str, int]

    @property
    def holds(self) -> bool:
        return self.num_deepened > 0 and not self.num_lost and not self.unlike


def compare(
    folder: Path,
    questions: Sequence[Question],
    *,
    num_clips: int,
    seed: int,
    low: float,
    high: float,
    in_process: bool = False,
) -> Comparison:
    """Runs at `low` and deepens to `high`; runs at `high`. The model computes in float32, in which both ways of
    reading a clip give the same tokens. Raises FramegateError."""
    make_films(folder, num_clips=num_clips, seed=seed)
    job, undisturbed = (
        make_job(folder, questions, {"strategy": "gated", "threshold": at}, name=name, dtype="float32")
        for at, name in ((low, "deepened"), (high, "undisturbed"))
    )
    check_complete(flow.run(undisturbed, in_process=in_process))
    check_complete(flow.run(job, in_process=in_process))
    select = partial(read_deepenable, job.config.output, chosen=Chosen())
    deepened = deepen(job, select, threshold=high, in_process=in_process)
    check_complete(deepened)
    ours, wanted = _rows(job), _rows(undisturbed)
    return Comparison(
        low=low,
        high=high,
        num_rows=len(wanted),
        num_deepened=deepened.counts.num_deepened,
        num_lost=len(ours.keys() ^ wanted.keys()) + sum(len(rows) - 1 for rows in ours.values()),
        unlike=Counter(
            name
            for key in ours.keys() & wanted.keys()
            for name, value in wanted[key][0].items()
            if not _is_same(ours[key][0][name], value)
        ),
    )


def _rows(job: Job) -> dict[Key, list[dict[str, Any]]]:
    rows = query(job.config.output.uri, {}, "FROM answers").to_pylist()
    by_key: dict[Key, list[dict[str, Any]]] = {}
    for row in rows:
        kept = {name: value for name, value in row.items() if name not in UNLIKE}
        by_key.setdefault((row["video_id"], row["clip_index"], row["question_hash"]), []).append(kept)
    return by_key


def _is_same(value: object, other: object) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other, rel_tol=0, abs_tol=TOLERANCE)
    return value == other
