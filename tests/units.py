"""Answered units as the reason stage would hand them over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from framegate.pipelines.commit.fixed import fix
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config, record_plan
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.schemas.clip import Clip, Video
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.qa import Answer, AskRow, Question, Verdict
from framegate.schemas.unit import AnsweredClip, AnsweredUnit, Failure
from tests.run_records import put_run

SINCE = datetime(2026, 11, 1, 1, tzinfo=UTC)
QUESTIONS = tuple(Question(id=f"q{n}", text=f"question {n}?", type="yes_no") for n in range(3))
ASKS = tuple(
    AskRow(
        label=label,
        num_frames=num_frames,
        num_video_tokens=5,
        num_prompt_tokens=10,
        num_tokens=2,
        confidence=confidence,
        answer=answer,
        thinking=False,
    )
    for label, num_frames, confidence, answer in (("sparse", 2, None, None), ("dense", 4, 0.99, "yes"))
)
"""What rows of the second question say of their asks; those of the others had one."""


def make_answer(question: Question, *, is_parsed: bool = True) -> Answer:
    return Answer(
        question=question,
        answer="yes" if is_parsed else None,
        answer_first="yes" if is_parsed else "it may well be",
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
        status="answered" if is_parsed else "unparsed",
        engine_seconds=0.25,
        prompt_seconds=0.125,
        answer_bool=True if is_parsed else None,
        answer_first_value="yes" if is_parsed else None,
        threshold=0.97,
        asks=ASKS if question == QUESTIONS[1] else None,
        agreement=0.5 if question == QUESTIONS[1] else None,
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
    num_unparsed: int = 0,
) -> AnsweredUnit:
    """Clips `indexes` of `num_clips`; with `failing` the last question of each clip has failed.

    The answers to the first `num_unparsed` questions of each clip cannot be read.
    """
    answered = questions[:-1] if failing else questions
    clips = tuple(
        AnsweredClip(
            clip=Clip(video_id=video.video_id, index=n, start_seconds=2.0 * n, end_seconds=2.0 * n + 2),
            is_last=n == num_clips - 1,
            num_frames=4,
            frame_size=(56, 84),
            fps=2.0,
            decode_seconds=0.5,
            answers=tuple(make_answer(q, is_parsed=place >= num_unparsed) for place, q in enumerate(answered)),
            failures=((questions[-1].hash, Failure(stage="reason", reason="engine_error", message="no")),)
            if failing
            else (),
        )
        for n in indexes
    )
    hashes = tuple(question.hash for question in questions)
    attempts = tuple(attempt for _ in hashes)
    return AnsweredUnit(video=video, question_hashes=hashes, attempts=attempts, decoder="pyav-1", clips=clips)


def make_deepened(
    video: Video,
    indexes: range,
    *,
    num_clips: int,
    questions: tuple[Question, ...] = QUESTIONS[:2],
    failing: bool = False,
    attempt: int = 1,
    second: str = "no",
    num_tokens: int = 7,
    threshold: float | None = 0.995,
) -> AnsweredUnit:
    """The rows of `make_unit`, thought about after the fact; with `failing` the last question of each clip has failed
    again."""
    unit = make_unit(video, indexes, num_clips=num_clips, questions=questions, failing=failing, attempt=attempt)
    given = GivenAnswer(token_ids=(1, 2, 3), answer_first="yes", confidence=0.99, attempt=attempt)
    wanted = {(index, question.hash): given for index in indexes for question in questions}

    def think(answer: Answer) -> Answer:
        return replace(
            answer,
            answer=second,
            answer_bool=second == "yes",
            answer_second=second,
            answer_second_value=second,
            confidence_second=0.75,
            threshold=threshold,
            verdict=Verdict(route="think", reason="unsure", confidence=0.99),
            thinking=True,
            thinking_text="let me see",
            num_thinking_tokens=num_tokens,
            finish_reason="answered",
            thinking_seconds=0.0625,
        )

    clips = tuple(replace(clip, answers=tuple(map(think, clip.answers))) for clip in unit.clips)
    return replace(unit, clips=clips, wanted=wanted)


def make_audited(video: Video, indexes: range, *, num_clips: int) -> AnsweredUnit:
    """The rows of `make_unit`, which thought for the audit sample: the first answer counts, the second is another."""
    unit = make_unit(video, indexes, num_clips=num_clips)

    def audit(answer: Answer) -> Answer:
        return replace(
            answer,
            answer_second="no",
            answer_second_value="no",
            confidence_second=0.75,
            verdict=Verdict(route="think", reason="audit", confidence=0.99),
            thinking=True,
            thinking_text="let me see",
            num_thinking_tokens=7,
            finish_reason="answered",
            thinking_seconds=0.0625,
            audit_rank=0.125,
        )

    return replace(unit, clips=tuple(replace(clip, answers=tuple(map(audit, clip.answers))) for clip in unit.clips))


def make_undecoded(
    video: Video, clip_index: int | None, *, reason: str = "truncated", attempt: int = 1
) -> AnsweredUnit:
    return AnsweredUnit(
        video=video,
        question_hashes=("h",),
        attempts=(),
        decoder="pyav-1",
        failure=Failure(stage="decode", reason=reason, message="it ends early"),
        failed_clip_index=clip_index,
        failed_attempt=attempt,
    )


class FillIndex:
    """Writes an output: two config_ids, each with one run over three videos, one of them in two versions.

    Of each version two clips are sealed and a third is in the journal, each with an answer and a failure; and there
    is an attempt that stands."""

    config_ids = ("a" * 16, "b" * 16)
    videos = tuple(
        Video(uri=uri, version=version, size_bytes=1, inputs={"camera": uri.partition("/")[0]})
        for uri, version in (("cam/erased.mp4", "1"), ("cam/erased.mp4", "2"), ("cam/other.mp4", "1"), ("b/x.mp4", "1"))
    )

    def __init__(self, facts: RunFacts) -> None:
        self._facts = facts

    def __call__(self, output: Output, *, partition_by: tuple[str, ...] = ()) -> None:
        fix(output, partition_by, {"camera": pa.string()})
        for number, config_id in enumerate(self.config_ids, start=1):
            facts = replace(self._facts, run_id=f"run-{number}", config_id=config_id)
            begun = {"config_id": config_id, "started_at": "2026-11-21T12:00:00+00:00", "num_videos": len(self.videos)}
            record_config(output, config_id, {"model": facts.model})
            put_run(output, facts.run_id, **begun)
            self.commit(output, facts, range(2), num_clips=3)
            seal(output, config_id, partition_by=partition_by)
            self.commit(output, facts, range(2, 3), num_clips=3)
            for video in self.videos:
                uri = output.layout.attempt(config_id, video.video_id, "decode", facts.run_id, 1)
                output.store.put_once(uri, b'{"begun_at": "2026-11-21T12:00:00+00:00"}')
            rows = [
                {
                    "video_id": video.video_id,
                    "video_uri": video.uri,
                    "video_version": video.version,
                    "question_hashes": [question.hash for question in QUESTIONS[:2]],
                    "config_id": config_id,
                }
                for video in self.videos
            ]
            record_plan(output, facts.run_id, pa.Table.from_pylist(rows))

    def commit(self, output: Output, facts: RunFacts, clips: range, *, num_clips: int) -> None:
        for video in self.videos:
            unit = make_unit(video, clips, num_clips=num_clips, failing=True)
            commit_unit(output, unit, facts, written_at=datetime(2026, 11, 21, 12, tzinfo=UTC))


@pytest.fixture(scope="session")
def units() -> Any:
    """The makers above: `units.make_unit(...)`; a conftest cannot be imported by name."""
    import types

    return types.SimpleNamespace(
        make_unit=make_unit,
        make_deepened=make_deepened,
        make_audited=make_audited,
        make_undecoded=make_undecoded,
        make_video=make_video,
        QUESTIONS=QUESTIONS,
    )


@pytest.fixture(scope="session")
def fill_index(facts: RunFacts) -> FillIndex:
    """An output with the videos of FillIndex; see there."""
    return FillIndex(facts)


@pytest.fixture(scope="session")
def facts() -> RunFacts:
    return RunFacts(
        run_id="run-1",
        config_id="c0ffee0000000000",
        model="model",
        strategy="gated",
        engine="transformers",
        question_ids={question.hash: question.id for question in QUESTIONS},
        question_since={question.hash: SINCE for question in QUESTIONS},
    )
