"""The reason stage: units in, answered units out, and nothing that one clip does stops the others."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from framegate.pipelines.reason.engines.build import make_engine_factory
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.stage import ReasonStage
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.schemas.clip import Clip, ClipSteps, Video
from framegate.schemas.config import PromptConfig, RunConfig
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Question
from framegate.schemas.unit import AnsweredUnit, DecodedClip, DecodedUnit, Failure

QUESTIONS = (
    Question(id="q", text="Did it?", type="yes_no"),
    Question(id="s", text="When?", type="span"),
    Question(id="n", text="How many?", type="number"),
)

GATED = Gated(threshold=0.97, max_answer_tokens=64, max_thinking_tokens=1024)


@pytest.fixture
def make_unit(bench):
    def make(name: str, num_clips: int, questions=QUESTIONS, failure: Failure | None = None) -> DecodedUnit:
        video = Video(uri=f"file:///{name}.mp4", version="1", size_bytes=10, inputs={"camera": name})
        clips = []
        for number in range(num_clips):
            request = bench.make_request(number, (), num_frames=3)
            start = request.clip_start_seconds
            clip = Clip(video_id=video.video_id, index=number, start_seconds=start, end_seconds=start + 1.5)
            is_last = number == num_clips - 1
            clips.append(DecodedClip(clip=clip, frames=request.frames, is_last=is_last, decode_seconds=0.1))
        return DecodedUnit(
            video=video,
            question_hashes=tuple(question.hash for question in questions),
            attempts=tuple(1 for _ in questions),
            decoder="test-1",
            clips=tuple(clips),
            failure=failure,
        )

    return make


def run(stage: ReasonStage, *units: DecodedUnit) -> list[AnsweredUnit]:
    """All at once, each in a thread."""
    with ThreadPoolExecutor(len(units)) as threads:
        return list(threads.map(stage.answer, units))


def test_every_clip_is_asked_every_question_that_its_unit_misses(make_unit):
    stage = ReasonStage(engine_factory=ScriptedEngine, strategy=GATED, questions=QUESTIONS)
    answered = run(stage, make_unit("a", 2), make_unit("b", 1, QUESTIONS[1:2]))
    by_uri = {unit.video.uri: unit for unit in answered}
    assert len(answered) == len(by_uri) == 2
    for clip in by_uri["file:///a.mp4"].clips:
        assert [answer.question.id for answer in clip.answers] == ["q", "s", "n"]
        assert clip.failures == ()
    [clip] = by_uri["file:///b.mp4"].clips
    assert [answer.question.id for answer in clip.answers] == ["s"]
    assert clip.num_frames == 3
    assert clip.is_last


def test_a_clip_has_the_embedding_that_any_of_its_asks_brought(make_unit, bench, random_checkpoints):
    def make_engine():
        return bench.engine(random_checkpoints["qwen3_vl"])

    stage = ReasonStage(engine_factory=make_engine, strategy=GATED, questions=QUESTIONS)
    [unit] = run(stage, make_unit("a", 2, QUESTIONS[:2]))
    first, second = (clip.embedding for clip in unit.clips)
    assert first.shape == second.shape
    assert not (first == second).all()
    assert [clip.steps for clip in unit.clips] == [ClipSteps(num_steps=2, num_steps_reused=0)] * 2
    [unit] = run(ReasonStage(engine_factory=ScriptedEngine, strategy=GATED, questions=QUESTIONS), make_unit("a", 1))
    assert [clip.embedding for clip in unit.clips] == [None]
    assert [clip.steps for clip in unit.clips] == [None]


def test_spans_are_seconds_of_the_video(make_unit):
    stage = ReasonStage(engine_factory=ScriptedEngine, strategy=GATED, questions=QUESTIONS)
    [unit] = run(stage, make_unit("a", 2, QUESTIONS[1:2]))
    assert [clip.answers[0].answer for clip in unit.clips] == ["[0, 1]", "[30, 31]"]


def test_a_unit_that_failed_to_decode_passes_through_unasked(make_unit):
    failure = Failure(stage="decode", reason="truncated", message="it ends early")
    stage = ReasonStage(engine_factory=ScriptedEngine, strategy=GATED, questions=QUESTIONS)
    [unit] = run(stage, make_unit("a", 0, failure=failure))
    assert unit.failure == failure
    assert unit.clips == ()


def test_a_question_that_the_engine_fails_is_a_failure_beside_the_other_answers(make_unit):
    def script(ask):
        if ask.question.id == "s":
            raise RuntimeError("no such moment")
        return [("\\boxed{1}", 0.0)]

    stage = ReasonStage(engine_factory=lambda: ScriptedEngine(script), strategy=GATED, questions=QUESTIONS)
    [unit] = run(stage, make_unit("a", 1))
    [clip] = unit.clips
    assert [answer.question.id for answer in clip.answers] == ["q", "n"]
    failure = Failure(stage="reason", reason="engine_error", message="RuntimeError: no such moment")
    assert clip.failures == ((QUESTIONS[1].hash, failure),)


class BrokenEngine(ScriptedEngine):
    """Breaks down at its third step."""

    num_steps = 0

    def step(self):
        self.num_steps += 1
        if self.num_steps == 3:
            raise RuntimeError("the device is lost")
        return super().step()


def test_an_engine_that_breaks_down_fails_what_was_in_flight_and_is_replaced(make_unit):
    engines = [BrokenEngine(), ScriptedEngine()]
    stage = ReasonStage(engine_factory=lambda: engines.pop(0), strategy=GATED, questions=QUESTIONS)
    [unit] = run(stage, make_unit("a", 2))
    assert [len(clip.failures) for clip in unit.clips] == [3, 3]
    assert unit.clips[0].failures[0][1].message == "RuntimeError: the device is lost"
    [unit] = run(stage, make_unit("b", 1))
    assert len(unit.clips[0].answers) == 3
    assert engines == []


class ForgetfulEngine(ScriptedEngine):
    """Loses whatever it is given."""

    def add(self, ask):
        pass


def test_questions_that_an_engine_loses_are_failures_and_not_an_endless_wait(make_unit):
    stage = ReasonStage(engine_factory=ForgetfulEngine, strategy=GATED, questions=QUESTIONS)
    [unit] = run(stage, make_unit("a", 1))
    assert "lost questions" in unit.clips[0].failures[0][1].message


def make_job(name: str, **ray) -> RunConfig:
    return RunConfig.model_validate(
        {
            "input": {"videos": "x"},
            "output": {"uri": "y"},
            "questions": "q.yaml",
            "model": {"name": name, "dtype": "float32"},
            "frames": {"min_frame_pixels": 1024, "max_frame_pixels": 96 * 96, "max_video_tokens": 256},
            "gate": {"max_answer_tokens": 16, "max_thinking_tokens": 32},
            "ray": ray,
        }
    )


def test_the_transformers_engine_of_a_job_answers_in_the_stage(make_unit, bench, taught_checkpoint):
    config = make_job(str(taught_checkpoint))
    config = config.model_copy(update={"prompt": PromptConfig(system=bench.system_prompt)})
    strategy, questions = make_strategy(config.gate), (bench.sure, bench.unsure)
    factory = pickle.loads(pickle.dumps(make_engine_factory(config, strategy, questions)))  # it travels to the actors
    stage = ReasonStage(engine_factory=factory, strategy=strategy, questions=questions)
    [unit] = run(stage, make_unit("a", 1, questions))
    answers = {answer.question.id: answer for answer in unit.clips[0].answers}
    assert answers["sure"].answer == "yes"
    assert answers["unsure"].thinking


def test_a_job_that_wants_gpus_where_there_are_none_is_told_what_to_set(random_checkpoint):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has an accelerator")
    with pytest.raises(EngineError, match=r"set ray\.gpus_per_actor to 0"):
        make_engine_factory(make_job(str(random_checkpoint), gpus_per_actor=1), GATED, QUESTIONS)()
