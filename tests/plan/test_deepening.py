"""Rows that were chosen become work for each video, and what came of it is read from storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from framegate.pipelines.deepen import count_rows, wanted_keys
from framegate.pipelines.plan.config_choice import ConfigChoice
from framegate.pipelines.plan.deepening import FAILED, GONE, NEVER, Deepening, plan_deepening
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.schemas.clip import make_video_id
from framegate.schemas.clock import now
from framegate.schemas.deepening import DEEPENABLE, GivenAnswer
from framegate.schemas.job import Job, parse_job
from framegate.schemas.qa import Question
from framegate.schemas.unit import PlannedVideo

RED = Question(id="red", text="Is it red?", type="yes_no")
COUNT = Question(id="count", text="How many?", type="number")
WHICH = Question(id="which", text="Which?", type="choice", options=("left", "right"))
NAMES = "abc"


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """A job over three files, whose bank has two of the three questions."""
    for name in NAMES:
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / f"{name}.mp4").write_bytes(name.encode() * 10)

    def make(**parts: Any) -> Job:
        bank = [{"id": one.id, "text": one.text, "type": one.type} for one in (RED, COUNT)]
        values = {
            "input": {"videos": str(tmp_path / "videos")},
            "questions": bank,
            "model": {"name": "some/model"},
            "output": {"uri": str(tmp_path / "index")},
        }
        return parse_job({**values, **parts})

    return make


def plan(job: Job, rows: Iterable[dict[str, Any]], **how: Any) -> Deepening:
    table = pa.Table.from_pylist([*rows], schema=DEEPENABLE)
    choice = ConfigChoice(config_id="c" * 16, own_id="c" * 16, document={})
    options = {"limit": None, "retry_failed": False, **how}
    return plan_deepening(job, choice, ShardIndexCache.of(job.config.output), table, **options)


@pytest.fixture
def row(make_job: Callable[..., Job]) -> Callable[..., dict[str, Any]]:
    """`row("a", 0, RED)`: of a video that is there, as it is there."""
    from framegate.pipelines.source.find import find_input

    job = make_job()
    found = find_input(job.config.input, ShardIndexCache.of(job.config.output)).videos.to_pylist()
    ids = {Path(one["video_uri"]).stem: (one["video_id"], one["video_uri"]) for one in found}

    def make(name: str, clip: int, question: Question, **values: Any) -> dict[str, Any]:
        video_id, uri = ids.get(name) or (make_video_id(name, "1"), name)
        of_question = {"question_id": question.id, "question_hash": question.hash, "question": question.text}
        return {
            "video_id": video_id,
            "video_uri": uri,
            "clip_index": clip,
            **of_question,
            "answer_type": question.type,
            "question_options": list(question.options) or None,
            "answer_first": "yes",
            "confidence_first": 0.98,
            "gate_reason": "confident",
            "answer_first_tokens": [clip, 7],
            "num_failures": 0,
            **values,
        }

    return make


def test_each_row_is_work_of_its_video_and_nothing_else_is(make_job, row) -> None:
    rows = [row("b", 2, RED), row("a", 1, COUNT), row("b", 0, RED), row("b", 0, COUNT, num_failures=2)]
    deepening = plan(make_job(), rows)
    a, b = PlannedVideo.from_table(deepening.plan.videos)
    assert (Path(a.video.uri).stem, Path(b.video.uri).stem) == ("a", "b")
    given = GivenAnswer(token_ids=(0, 7), answer_first="yes", confidence=0.98)
    assert b.wanted == {
        (0, RED.hash): given,
        (0, COUNT.hash): GivenAnswer(token_ids=(0, 7), answer_first="yes", confidence=0.98, attempt=3),
        (2, RED.hash): GivenAnswer(token_ids=(2, 7), answer_first="yes", confidence=0.98),
    }
    assert [set(b.missing(index)) for index in range(4)] == [{RED.hash, COUNT.hash}, set(), {RED.hash}, set()]
    assert b.attempts_at(0, (RED.hash, COUNT.hash)) == (1, 3)
    assert (deepening.num_rows, deepening.num_clips, deepening.plan.num_videos) == (4, 3, 2)
    assert deepening.by_question == {RED.hash: 2, COUNT.hash: 2}
    assert set(b.wanted_of([0]) or ()) == {(0, RED.hash), (0, COUNT.hash)}
    assert set(b.wanted_from(1) or ()) == {(2, RED.hash)}
    assert b.wanted_from(3) == {}


def test_what_cannot_go_on_is_counted_and_named(make_job, row) -> None:
    bank = [{"id": "red", "text": RED.text, "type": "yes_no", "think": "never"}]
    long_ago, lately = now() - timedelta(days=9), now()
    rows = [
        row("a", 0, RED),
        row("gone", 0, COUNT),
        row("a", 1, COUNT, num_failures=1, failed_reason="engine_error", failed_at=lately),
        row("a", 2, COUNT, num_failures=1, failed_reason="too_long", failed_at=long_ago),
        row("a", 3, COUNT, num_failures=9, failed_reason="engine_error", failed_at=long_ago),
        row("a", 4, COUNT, num_failures=1, failed_reason="engine_error", failed_at=long_ago),
        row("a", 5, WHICH, gate_reason="never"),
    ]
    deepening = plan(make_job(questions=bank), rows)
    assert deepening.left_out == {NEVER: 2, FAILED: 3, GONE: 1}
    assert (deepening.num_rows, len(deepening.plan.notices)) == (1, 3)
    assert plan(make_job(questions=bank), rows, retry_failed=True).left_out == {NEVER: 2, GONE: 1}


def test_a_question_that_is_in_no_bank_is_asked_as_its_row_has_it(make_job, row) -> None:
    deepening = plan(make_job(), [row("a", 0, WHICH, answer_first_tokens=None)])
    assert deepening.plan.questions == (WHICH,)
    assert deepening.num_without_tokens == 1


def test_a_limit_takes_the_first_videos_of_the_input(make_job, row) -> None:
    deepening = plan(make_job(), [row(name, 0, RED) for name in "cba"], limit=2)
    uris = deepening.plan.videos.column("video_uri").to_pylist()
    assert [Path(uri).stem for uri in uris] == ["a", "b"]
    assert (deepening.plan.num_videos, deepening.num_rows) == (3, 2)


def test_nothing_is_a_plan_too(make_job) -> None:
    deepening = plan(make_job(), [])
    assert (deepening.plan.videos.num_rows, deepening.num_rows, deepening.num_clips) == (0, 0, 0)
    assert wanted_keys(deepening.plan.videos).num_rows == 0
    none = {"num_videos_planned": 0, "num_videos_skipped": 0, "num_videos_answered": 0}
    empty = DEEPENABLE.empty_table()
    assert count_rows(deepening.plan.videos, empty) == {**none, "num_videos_failed": 0, "num_videos_left": 0}


def test_what_came_of_videos_is_told_by_the_rows_that_are_left(make_job, row) -> None:
    rows = [row(name, clip, RED) for name in NAMES for clip in range(2)]
    videos = plan(make_job(), rows).plan.videos
    assert np.unique(wanted_keys(videos).column("attempt").to_numpy()).tolist() == [1]
    after = [row("b", 0, RED, num_failures=1), row("c", 0, RED, num_failures=1), row("c", 1, RED), row("d", 0, RED)]
    counts = count_rows(videos, pa.Table.from_pylist(after, schema=DEEPENABLE))
    assert {name: counts[f"num_videos_{name}"] for name in ("planned", "answered", "failed", "left")} == {
        "planned": 3, "answered": 1, "failed": 1, "left": 1,
    }  # fmt: skip
