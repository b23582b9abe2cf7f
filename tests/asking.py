"""Clips without content, and questions driven over a scripted engine until all have come back."""

from __future__ import annotations

import numpy as np

from framegate.pipelines.reason.engines.scripted import Script, ScriptedEngine, Written, say_yes
from framegate.pipelines.reason.questions import ClipRequest, Finished, QuestionRunner
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import ClipFrames, Strategy
from framegate.schemas.clip import FrameBatch
from framegate.schemas.qa import Question

GATED = Gated(threshold=0.97, max_answer_tokens=64, max_thinking_tokens=1024)
YES_NO = Question(id="q", text="Did it?", type="yes_no")
NUMBER = Question(id="n", text="How many?", type="number")


def make_frames(num_frames: int = 4) -> FrameBatch:
    """Black, two by two pixels, two frames a second."""
    return FrameBatch(
        frames_THWC=np.zeros((num_frames, 2, 2, 3), np.uint8),
        pts_seconds=np.arange(num_frames) / 2,
        duration_seconds=num_frames / 2,
    )


def make_clip(name: str = "clip", *, start_seconds: float = 0.0, num_frames: int = 4) -> ClipFrames:
    return ClipFrames(id=name, frames=make_frames(num_frames), start_seconds=start_seconds)


def ask_about(name: str, *questions: Question, start_seconds: float = 0.0, num_frames: int = 4) -> ClipRequest:
    frames = make_frames(num_frames)
    return ClipRequest(id=name, frames=frames, clip_start_seconds=start_seconds, questions=questions)


def boxed(content: str, logprob: float = -0.001) -> list[Written]:
    return [("\\boxed{", 0.0), (content, logprob), ("}", 0.0)]


def drain(runner: QuestionRunner) -> list[Finished]:
    finished: list[Finished] = []
    for _ in range(10_000):
        if not runner.num_unfinished:
            return finished
        finished += runner.step()
    raise AssertionError(f"{runner.num_unfinished} questions never come back")


def answer_all(
    strategy: Strategy, *requests: ClipRequest, script: Script = say_yes
) -> tuple[dict[tuple[str, str], Finished], ScriptedEngine]:
    """What came of each question by (clip, question id), and the engine."""
    engine = ScriptedEngine(script)
    runner = QuestionRunner(engine, strategy)
    for request in requests:
        runner.add(request)
    finished = drain(runner)
    assert engine.num_unfinished == 0
    by_key = {(one.request_id, one.question.id): one for one in finished}
    assert len(by_key) == len(finished) == sum(len(request.questions) for request in requests)
    return by_key, engine
