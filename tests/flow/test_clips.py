"""What runs leave in the table of clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from framegate.pipelines import flow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.job import Job
from tests.flow.conftest import QUESTIONS


def run(job: Job) -> list[dict[str, Any]]:
    """The rows of clips after one more run."""
    flow.run(job, engine_factory=ScriptedEngine, in_process=True, accept_new_config=True)
    output = Output.open(job.config.output)
    rows = [row for info in output.list("clips") for row in pq.ParquetFile(info.uri).read().to_pylist()]
    return sorted(rows, key=lambda row: (row["video_uri"], row["clip_index"], row["run_id"]))


def test_every_clip_has_a_picture_of_some_kilobytes_once(make_job: Callable[..., Job]) -> None:
    rows = run(make_job(questions=QUESTIONS[:1]))
    keys = [(Path(row["video_uri"]).name, row["clip_index"]) for row in rows]
    assert keys == [(f"video{n}.mp4", index) for n, clips in enumerate((3, 2, 1)) for index in range(clips)]
    assert all(row["thumbnail"][:2] == b"\xff\xd8" and len(row["thumbnail"]) < 6000 for row in rows)
    assert all(0 <= row["motion"] <= 1 and 0 <= row["darkness"] <= 1 for row in rows)
    assert run(make_job()) == rows, "another question adds no clip"


def test_another_model_or_gate_has_the_same_policy_and_another_cut_has_not(make_job: Callable[..., Job]) -> None:
    policies = [
        {row["clip_policy"] for row in run(make_job(**parts))}
        for parts in ({}, {"gate": {"strategy": "direct"}}, {"frames": {"fps": 1, "max_frames": 4}})
    ]
    assert [len(found) for found in policies] == [1, 1, 2]
    assert policies[0] == policies[1]
