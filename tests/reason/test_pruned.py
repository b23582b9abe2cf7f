"""Rows of the audit sample of a job that prunes: at which levels they are answered, and what their rows say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.pruned import prune_audit
from framegate.pipelines.reason.stage import ReasonStage
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Ask, Strategy
from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.clip import Clip, FrameBatch, Video
from framegate.schemas.config.pruning import PruneByChange, PruneByRate, PruneConfig
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Answer, Question
from framegate.schemas.still import SameAs
from framegate.schemas.unit import AnsweredUnit, DecodedClip, DecodedUnit

SEEN = Question(id="seen", text="Is anybody there?", type="yes_no")
COUNT = Question(id="count", text="How many?", type="number")
NEVER = Question(id="never", text="Is it dark?", type="yes_no", think="never")
QUESTIONS = (SEEN, COUNT, NEVER)
VIDEO = Video(uri="v.mp4", version="1", size_bytes=1)
PRUNE = PruneByChange(method="change", threshold=0.1, audit_thresholds=(0.3, 0.02))
ALL = AuditSample(rate=1.0)
GATED = Gated(threshold=0.9, max_answer_tokens=16, max_thinking_tokens=64, audit=ALL)


def level_of(ask: Ask, prune: PruneConfig = PRUNE) -> float:
    return (ask.clip.prune or prune).level


def write(ask: Ask) -> Sequence[Written]:
    """The count is its level in hundredths; somebody is seen below 0.3. The count is unsure, and thinking adds one."""
    level = level_of(ask)
    if ask.question.type == "yes_no":
        return boxed("yes" if level < 0.3 else "no", 0.99) + THOUGHT + boxed("no", 0.8)
    number = round(100 * level)
    return boxed(str(number), 0.5) + THOUGHT + boxed(str(number + 1), 0.8)


def boxed(content: str, confidence: float) -> list[Written]:
    return [("\\boxed{", -0.01), (content, math.log(confidence)), ("}", -0.01)]


THOUGHT: list[Written] = [("<think>", -0.1), ("look", -0.1), ("</think>", -0.1)]


def make_unit(num_clips: int = 1, *, same_as: dict[int, SameAs] | None = None, wanted: Any = None) -> DecodedUnit:
    def clip(index: int) -> DecodedClip:
        frames = FrameBatch(
            frames_THWC=np.full((2, 28, 28, 3), index, np.uint8),
            pts_seconds=2.0 * index + np.array([0.0, 1.0]),
            duration_seconds=2.0,
        )
        stretch = Clip(video_id=VIDEO.video_id, index=index, start_seconds=2.0 * index, end_seconds=2.0 * index + 2)
        same = (same_as or {}).get(index)
        return DecodedClip(clip=stretch, frames=frames, is_last=False, decode_seconds=0.1, same_as=same)

    return DecodedUnit(
        video=VIDEO,
        question_hashes=tuple(question.hash for question in QUESTIONS),
        attempts=(1,) * len(QUESTIONS),
        decoder="test-1",
        clips=tuple(map(clip, range(num_clips))),
        wanted=wanted,
    )


class Asking:
    """A stage, and what its engine was asked: (clip's start, question id, level of its own or None)."""

    def __init__(
        self,
        strategy: Strategy = GATED,
        prune: PruneConfig | None = PRUNE,
        *,
        ill: Callable[[Ask], bool] = lambda ask: False,
    ) -> None:
        self.asked: list[tuple[float, str, float | None]] = []

        def script(ask: Ask) -> Sequence[Written]:
            own = None if ask.clip.prune is None else ask.clip.prune.level
            self.asked.append((ask.clip.start_seconds, ask.question.id, own))
            if ill(ask):
                raise ValueError("ill")
            return write(ask)

        self.stage = ReasonStage(
            engine_factory=lambda: ScriptedEngine(script), strategy=strategy, questions=QUESTIONS, prune=prune
        )

    def __call__(self, unit: DecodedUnit) -> AnsweredUnit:
        return self.stage.answer(unit)


def by_id(unit: AnsweredUnit, place: int = 0) -> dict[str, Answer]:
    return {answer.question.id: answer for answer in unit.clips[place].answers}


def test_an_audited_row_is_answered_without_pruning_and_at_each_level() -> None:
    asking = Asking()
    found = by_id(asking(make_unit()))
    assert sorted(asking.asked[3:], key=str) == sorted(
        [(0.0, name, level) for name in ("seen", "count") for level in (0.0, 0.02, 0.3)], key=str
    ), "at its own level it is not asked again, and a question that the gate does not decide about is not audited"
    seen, count, never = found["seen"], found["count"], found["never"]
    assert seen.prune_levels == count.prune_levels == (0.0, 0.02, 0.1, 0.3)
    assert [(one.level, one.answer) for one in seen.prune_answers or ()] == [
        (0.0, "yes"), (0.02, "yes"), (0.1, "yes"), (0.3, "no"),
    ]  # fmt: skip
    assert [one.answer for one in count.prune_answers or ()] == ["1", "3", "11", "31"], "each thinks by itself"
    assert (seen.answer, seen.answer_whole) == ("yes", "yes")
    assert (count.answer, count.answer_whole) == ("11", "1")
    assert (never.prune_levels, never.prune_answers, never.answer_whole) == (None, None, None)


def test_the_audit_changes_nothing_else_of_a_row() -> None:
    """Seconds apart, which are those of all asks."""
    audited, plain = (by_id(Asking(GATED, prune)(make_unit(2))) for prune in (PRUNE, None))
    for name, one in audited.items():
        assert _bare(one) == _bare(plain[name])
    assert audited["seen"].verdict.reason == "audit"


def _bare(answer: Answer) -> Answer:
    nothing = dict.fromkeys(("prune_levels", "prune_answers", "answer_whole"))
    return replace(answer, engine_seconds=0.0, prompt_seconds=0.0, thinking_seconds=0.0, **nothing)


def test_seconds_of_a_row_are_those_of_all_asks() -> None:
    found = by_id(Asking()(make_unit()))
    for name in ("seen", "count"):
        one = found[name]
        assert one.prune_answers is not None
        assert one.engine_seconds == pytest.approx(sum(each.engine_seconds for each in one.prune_answers))
        own = next(each for each in one.prune_answers if each.level == PRUNE.threshold)
        assert own.num_video_tokens == one.num_video_tokens, "tokens are those of its own asks"


def test_rows_that_are_not_in_the_sample_say_at_which_levels_the_others_were_answered() -> None:
    unit = make_unit(8)
    sample = AuditSample(rate=0.5)
    asking = Asking(replace(GATED, audit=sample))
    answered = asking(unit)
    assert {answer.audit_rank is not None for clip in answered.clips for answer in clip.answers} == {True, False}
    for clip in answered.clips:
        for answer in clip.answers:
            if answer.question is NEVER:
                continue
            key = clip_key(VIDEO.video_id, clip.clip.index)
            is_in = sample.rank_if_in(key, answer.question.hash) is not None
            assert answer.prune_levels == (0.0, 0.02, 0.1, 0.3)
            assert (answer.prune_answers is not None) == (answer.answer_whole is not None) == is_in
            assert ((2.0 * clip.clip.index, answer.question.id, 0.0) in asking.asked) == is_in


@pytest.mark.parametrize(
    ("strategy", "prune"),
    [
        (GATED, None),
        (replace(GATED, audit=None), PRUNE),
        (replace(GATED, audit=AuditSample(rate=0.0)), PRUNE),
        (Direct(max_answer_tokens=16, max_thinking_tokens=64), PRUNE),
    ],
)
def test_without_pruning_or_audit_nothing_more_is_asked(strategy: Strategy, prune: PruneConfig | None) -> None:
    assert prune_audit(prune, strategy) is None
    asking = Asking(strategy, prune)
    found = by_id(asking(make_unit()))
    assert len(asking.asked) == 3
    assert {(one.prune_levels, one.prune_answers, one.answer_whole) for one in found.values()} == {(None, None, None)}


def test_a_job_that_leaves_nothing_out_has_the_answer_without_pruning_already() -> None:
    asking = Asking(GATED, PruneByRate(method="evs", rate=0.0, audit_rates=(0.5,)))
    seen = by_id(asking(make_unit()))["seen"]
    assert {level for *_, level in asking.asked} == {None, 0.5}
    assert (seen.prune_levels, seen.answer_whole) == ((0.0, 0.5), seen.answer)


def test_a_row_that_fails_at_a_level_keeps_its_answer_and_says_so() -> None:
    asking = Asking(ill=lambda ask: ask.question is COUNT and level_of(ask) in (0.0, 0.3))
    answered = asking(make_unit())
    count = by_id(answered)["count"]
    assert answered.clips[0].failures == ()
    assert [(one.status, one.answer) for one in count.prune_answers or ()] == [
        ("failed", None), ("answered", "3"), ("answered", "11"), ("failed", None),
    ]  # fmt: skip
    assert (count.answer, count.answer_whole) == ("11", None)


def test_a_row_that_fails_has_no_other_answers() -> None:
    asking = Asking(ill=lambda ask: ask.question is COUNT and ask.clip.prune is None)
    answered = asking(make_unit())
    assert [hash for hash, _ in answered.clips[0].failures] == [COUNT.hash]
    assert {name for _, name, level in asking.asked if level is not None} == {"seen"}


def test_what_was_taken_over_is_not_asked_and_what_was_asked_in_its_place_is() -> None:
    still = {1: SameAs(clip_index=0)}
    asking = Asking(ill=lambda ask: ask.question is COUNT and ask.clip.start_seconds == 0.0)
    answered = asking(make_unit(2, same_as=still))
    copied, own = by_id(answered, 1)["seen"], by_id(answered, 1)["count"]
    assert (copied.copied_from, copied.prune_levels, copied.prune_answers, copied.answer_whole) == (0, None, None, None)
    assert (own.copied_from, own.answer_whole) == (None, "1")
    assert {name for start, name, level in asking.asked if start == 2.0 and level is not None} == {"count"}


def test_what_is_deepened_is_not_asked_again() -> None:
    given = GivenAnswer(token_ids=None, answer_first="yes", confidence=0.5, audit_rank=0.1)
    wanted = {(0, question.hash): given for question in QUESTIONS}
    asking = Asking()
    found = by_id(asking(make_unit(wanted=wanted)))
    assert {level for *_, level in asking.asked} == {None}
    assert {one.prune_levels for one in found.values()} == {None}


def test_several_units_at_once_keep_their_own() -> None:
    units = [make_unit(number) for number in (1, 3, 2)]
    found = dict(Asking().stage.answer_each(units))
    assert [len(found[place].clips) for place in range(3)] == [1, 3, 2]
    for answered in found.values():
        for place in range(len(answered.clips)):
            assert by_id(answered, place)["count"].answer_whole == "1"


def test_an_engine_that_cannot_is_refused_in_one_sentence() -> None:
    class Plain(ScriptedEngine):
        capabilities = ScriptedEngine.capabilities - {"pruning"}

    def stage(prune: PruneConfig | None) -> ReasonStage:
        return ReasonStage(engine_factory=lambda: Plain(write), strategy=GATED, questions=QUESTIONS, prune=prune)

    with pytest.raises(EngineError, match=r"clips that are pruned in another way than the job says \(pruning\)"):
        stage(PRUNE).answer(make_unit())
    assert len(stage(PruneByChange(method="change", threshold=0.0)).answer(make_unit()).clips[0].answers) == 3
