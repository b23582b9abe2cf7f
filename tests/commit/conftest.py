"""Answered units as the reason stage would hand them over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipelines.commit.rows import RunFacts
from schemas.clip import Clip, Video
from schemas.qa import Answer, Question, Verdict
from schemas.rows import Failure
from schemas.tables import ANSWERED
from schemas.work import AnsweredClip, AnsweredUnit, to_table

QUESTIONS = tuple(Question(id=f"q{n}", text=f"question {n}?", type="yes_no") for n in range(3))


def make_answer(question: Question) -> Answer:
    return Answer(
        question=question,
        answer="yes",
        answer_first="yes",
        answer_second=None,
        confidence_first=0.99,
        confidence_second=None,
        verdict=Verdict(route="exit", reason="confident", confidence=0.99),
        thinking=False,
        thinking_text=None,
        span_start_seconds=None,
        span_end_seconds=None,
        num_prompt_tokens=20,
        num_video_tokens=10,
        num_answer_tokens=3,
        num_thinking_tokens=0,
        finish_reason="exit",
        status="answered",
        engine_seconds=0.25,
    )


def make_video(name: str = "v", inputs: Mapping[str, object] | None = None) -> Video:
    return Video(uri=f"{name}.mp4", version="1", size_bytes=1, inputs=inputs or {})


def make_unit(
    video: Video,
    indexes: range,
    *,
    num_clips: int,
    questions: tuple[Question, ...] = QUESTIONS[:2],
    failing: bool = False,
    attempt: int = 1,
) -> dict[str, Any]:
    """A row of ANSWERED: clips `indexes` of `num_clips`; with `failing` the last question of each clip has failed."""
    answered = questions[:-1] if failing else questions
    clips = tuple(
        AnsweredClip(
            clip=Clip(video_id=video.video_id, index=n, start_seconds=2.0 * n, end_seconds=2.0 * n + 2),
            is_last=n == num_clips - 1,
            num_frames=4,
            decode_seconds=0.5,
            answers=tuple(make_answer(question) for question in answered),
            failures=((questions[-1].hash, Failure(stage="reason", reason="engine_error", message="no")),)
            if failing
            else (),
        )
        for n in indexes
    )
    hashes = tuple(question.hash for question in questions)
    attempts = tuple(attempt for _ in hashes)
    unit = AnsweredUnit(video=video, question_hashes=hashes, attempts=attempts, decoder="pyav-1", clips=clips)
    return to_table([unit], ANSWERED).to_pylist()[0]


def make_undecoded(
    video: Video, clip_index: int | None, *, reason: str = "truncated", attempt: int = 1
) -> dict[str, Any]:
    unit = AnsweredUnit(
        video=video,
        question_hashes=("h",),
        attempts=(),
        decoder="pyav-1",
        failure=Failure(stage="decode", reason=reason, message="it ends early"),
        failed_clip_index=clip_index,
        failed_attempt=attempt,
    )
    return to_table([unit], ANSWERED).to_pylist()[0]


@pytest.fixture(scope="session")
def units() -> Any:
    """The makers above: `units.make_unit(...)`; a conftest cannot be imported by name."""
    import types

    return types.SimpleNamespace(
        make_unit=make_unit, make_undecoded=make_undecoded, make_video=make_video, QUESTIONS=QUESTIONS
    )


@pytest.fixture(scope="session")
def facts() -> RunFacts:
    return RunFacts(
        run_id="run-1",
        config_id="c0ffee0000000000",
        model="model",
        strategy="gated",
        engine="transformers",
        threshold=0.97,
        question_ids={question.hash: question.id for question in QUESTIONS},
    )
