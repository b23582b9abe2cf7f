"""Answers that are taken over: from which row, at which cost, and what is asked all the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.stage import ReasonStage
from framegate.pipelines.reason.still import still_clips, take_over
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Ask, Strategy
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.clip import Clip, FrameBatch, Video
from framegate.schemas.config import RunConfig
from framegate.schemas.config.gate import STRATEGY_NAMES
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.qa import Answer, AskRow, Question
from framegate.schemas.still import SameAs
from framegate.schemas.unit import AnsweredUnit, DecodedClip, DecodedUnit

SEEN = Question(id="seen", text="Is anybody there?", type="yes_no")
WHEN = Question(id="when", text="When?", type="span")
COUNT = Question(id="count", text="How many?", type="number")
QUESTIONS = (SEEN, WHEN, COUNT)
ALL = AuditSample(rate=1.0)
GATED = Gated(threshold=0.9, max_answer_tokens=16, max_thinking_tokens=64)
OUT = {"uri": "-"}
VIDEO = Video(uri="v.mp4", version="1", size_bytes=1)


def write(ask: Ask) -> Sequence[Written]:
    """By the picture: bright clips have somebody in them. The count is unsure, and thinking adds one."""
    level = int(ask.clip.frames.frames_THWC.max())
    content = {"yes_no": "yes" if level > 100 else "no", "number": str(level), "span": "[0, 1]"}[ask.question.type]
    sure = 0.5 if ask.question.type == "number" else 0.99
    second = str(level + 1) if ask.question.type == "number" else content
    thought = [token(text, -0.1) for text in ("<think>", "look", "</think>")]
    return [*boxed(content, sure), *thought, *boxed(second, 0.8)]


def boxed(content: str, confidence: float) -> list[Written]:
    return [token("\\boxed{", -0.01), token(content, math.log(confidence)), token("}", -0.01)]


def token(text: str, logprob: float) -> Written:
    """With an entropy and a margin, which some strategies need."""
    return text, logprob, 0.1, 0.9


def make_unit(*levels: int, same_as: dict[int, SameAs], wanted: dict | None = None) -> DecodedUnit:
    """A clip of that grey for each level. Clips that show the same and are asked nothing have the other one's pixels,
    as they have when they come from the decoder."""

    def clip(place: int) -> DecodedClip:
        index, same = place + 3, same_as.get(place + 3)
        level = levels[same.clip_index - 3] if same is not None and not same.asked else levels[place]
        frames = FrameBatch(
            frames_THWC=np.full((2, 28, 28, 3), level, np.uint8),
            pts_seconds=2.0 * index + np.array([0.0, 1.0]),
            duration_seconds=2.0,
        )
        stretch = Clip(video_id=VIDEO.video_id, index=index, start_seconds=2.0 * index, end_seconds=2.0 * index + 2)
        return DecodedClip(clip=stretch, frames=frames, is_last=False, decode_seconds=0.1, same_as=same)

    return DecodedUnit(
        video=VIDEO,
        question_hashes=tuple(question.hash for question in QUESTIONS),
        attempts=(1, 1, 1),
        decoder="test-1",
        clips=tuple(map(clip, range(len(levels)))),
        wanted=wanted,
    )


class Asking:
    """A stage, and what its engine was asked: (clip's start, question id)."""

    def __init__(
        self,
        strategy: Strategy = GATED,
        *,
        audit: AuditSample | None = None,
        ill: Callable[[Ask], bool] = lambda ask: False,
    ) -> None:
        self.asked: list[tuple[float, str]] = []

        def script(ask: Ask) -> Sequence[Written]:
            self.asked.append((ask.clip.start_seconds, ask.question.id))
            if ill(ask):
                raise ValueError("ill")
            return write(ask)

        self.stage = ReasonStage(
            engine_factory=lambda: ScriptedEngine(script), strategy=strategy, questions=QUESTIONS, audit=audit
        )

    def __call__(self, unit: DecodedUnit) -> AnsweredUnit:
        return self.stage.answer(unit)


def by_id(unit: AnsweredUnit, place: int) -> dict[str, Answer]:
    return {answer.question.id: answer for answer in unit.clips[place].answers}


STILL = {4: SameAs(clip_index=3, asked=(WHEN.hash,)), 5: SameAs(clip_index=3, asked=(WHEN.hash,))}


def test_a_row_says_whose_answer_it_took_over_and_costs_nothing() -> None:
    asking = Asking()
    unit = make_unit(100, 101, 102, same_as=STILL)
    answered = asking(unit)
    assert sorted(asking.asked) == [(6.0, "count"), (6.0, "seen"), (6.0, "when"), (8.0, "when"), (10.0, "when")]
    assert len(asking.asked) == unit.num_asked == 5
    source = by_id(answered, 0)
    for place in (1, 2):
        found = by_id(answered, place)
        for name in ("seen", "count"):
            one = found[name]
            assert one.copied_from == 3, "the clip that was asked, not the one before"
            assert (one.num_prompt_tokens, one.num_video_tokens, one.num_answer_tokens, one.num_thinking_tokens) == (
                0, 0, 0, 0,
            )  # fmt: skip
            assert (one.engine_seconds, one.prompt_seconds, one.thinking_seconds, one.thinking_text) == (0, 0, 0, None)
            costless = {
                "thinking_text": None, "num_prompt_tokens": 0, "num_video_tokens": 0, "num_answer_tokens": 0,
                "num_thinking_tokens": 0, "engine_seconds": 0, "prompt_seconds": 0, "thinking_seconds": 0,
            }  # fmt: skip
            assert one == replace(source[name], copied_from=3, **costless), "all else is that row's"
    assert (source["count"].answer, source["count"].thinking, source["count"].num_thinking_tokens > 0) == (
        "101", True, True,
    )  # fmt: skip
    assert (by_id(answered, 1)["count"].answer, by_id(answered, 1)["count"].thinking) == ("101", True)


def test_what_speaks_of_time_is_asked_of_each_clip() -> None:
    answered = Asking()(make_unit(100, 100, 100, same_as=STILL))
    assert [by_id(answered, place)["when"].answer for place in range(3)] == ["[6, 7]", "[8, 9]", "[10, 11]"]
    assert all(by_id(answered, place)["when"].copied_from is None for place in range(3))


def test_answers_come_in_the_order_of_the_questions_and_each_once() -> None:
    for clip in Asking()(make_unit(100, 100, same_as={4: STILL[4]})).clips:
        assert [answer.question for answer in clip.answers] == [*QUESTIONS]
        assert clip.failures == ()


def test_where_the_other_clip_failed_a_clip_is_asked_itself() -> None:
    asking = Asking(ill=lambda ask: ask.question.id == "count" and ask.clip.start_seconds == 6.0)
    answered = asking(make_unit(100, 100, 100, same_as=STILL))
    assert [hash for hash, _ in answered.clips[0].failures] == [COUNT.hash]
    for place, start in ((1, 8.0), (2, 10.0)):
        assert (start, "count") in asking.asked
        found = by_id(answered, place)
        assert (found["count"].answer, found["count"].copied_from) == ("101", None)
        assert found["count"].num_answer_tokens > 0
        assert found["seen"].copied_from == 3
    assert len(asking.asked) == 7, "and nothing else is asked again"


def test_where_it_fails_itself_too_each_row_is_a_failure_of_its_own() -> None:
    answered = Asking(ill=lambda ask: ask.question.id == "count")(make_unit(100, 100, same_as={4: STILL[4]}))
    assert [[hash for hash, _ in clip.failures] for clip in answered.clips] == [[COUNT.hash], [COUNT.hash]]


def test_several_units_at_once_keep_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(ill=lambda ask: ask.question.id == "seen" and ask.clip.frames.frames_THWC.max() == 50)
    units = [make_unit(level, level, same_as={4: STILL[4]}) for level in (50, 150, 40)]
    found = dict(asking.stage.answer_each(units))
    assert [by_id(found[place], 1)["count"].answer for place in range(3)] == ["51", "151", "41"]
    assert [len(found[place].clips[1].failures) for place in range(3)] == [1, 0, 0]


def test_a_row_of_the_audit_sample_keeps_what_it_took_over_and_tells_what_it_said_itself() -> None:
    asked = tuple(question.hash for question in QUESTIONS)
    unit = make_unit(100, 101, same_as={4: SameAs(clip_index=3, asked=asked)})
    asking = Asking(replace(GATED, audit=ALL), audit=ALL)
    answered = asking(unit)
    assert len(asking.asked) == 6
    found = by_id(answered, 1)
    seen, count = found["seen"], found["count"]
    assert (seen.answer, seen.answer_bool, seen.answer_asked, seen.copied_from) == ("no", False, "yes", 3)
    assert (count.answer, count.answer_number, count.answer_asked) == ("101", 101.0, "102")
    for one in (seen, count):
        assert one.audit_rank == ALL.rank(f"{VIDEO.video_id}/4", one.question.hash)
        assert one.audit_rate == 1.0
        assert one.num_answer_tokens > 0, "what the audit took stands in the row"
    plain = by_id(Asking(GATED)(make_unit(100, 101, same_as={4: SameAs(clip_index=3)})), 1)
    same = ("answer", "answer_first", "answer_second", "confidence_first", "thinking", "verdict", "status")
    for name in ("seen", "count"):
        for column in same:
            assert getattr(found[name], column) == getattr(plain[name], column), "auditing changes no answer"
    assert found["when"].copied_from is None
    assert found["when"].answer_asked is None


def test_a_row_that_thought_for_the_audit_sample_alone_is_taken_over_as_if_it_had_exited() -> None:
    answered = Asking(replace(GATED, audit=ALL), audit=ALL)(make_unit(100, 100, same_as={4: SameAs(clip_index=3)}))
    source, copied = by_id(answered, 0)["seen"], by_id(answered, 1)["seen"]
    assert (source.verdict.reason, source.thinking, source.audit_rank is not None) == ("audit", True, True)
    assert (copied.verdict.route, copied.verdict.reason, copied.thinking) == ("exit", "confident", False)
    assert (copied.answer, copied.answer_second, copied.finish_reason) == (source.answer, None, "exit")
    assert (copied.audit_rank, copied.audit_rate, copied.threshold) == (None, 1.0, 0.9)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_what_is_deferred_is_taken_over_as_deferred_unless_for_the_audit_alone(rate: float) -> None:
    audit = AuditSample(rate=rate)
    strategy = replace(GATED, audit=audit, defers=True)
    copied = by_id(Asking(strategy, audit=audit)(make_unit(100, 100, same_as={4: SameAs(clip_index=3)})), 1)
    assert copied["count"].verdict.reason == "deferred"
    assert copied["seen"].verdict.reason == "confident"


def test_the_rule_of_a_run() -> None:
    assert still_clips(None, QUESTIONS, ALL) is None
    rule = still_clips(1.5, QUESTIONS, ALL)
    assert rule is not None
    assert (rule.within, rule.timed, rule.audit) == (1.5, {WHEN.hash}, ALL)
    plain = still_clips(0, QUESTIONS, None)
    assert plain is not None
    assert plain.audit is None


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_rows_are_audited_whatever_the_strategy(name: str) -> None:
    """Whatever asks, a row of the sample says what its own clip answers, and another one nothing."""
    config = RunConfig.model_validate(
        {"gate": {"strategy": name}, "model": {"name": "m"}, "input": {"videos": "-"}, "questions": [], "output": OUT}
    )
    asked = tuple(question.hash for question in QUESTIONS)
    own = by_id(Asking(make_strategy(config.gate))(make_unit(101, same_as={})), 0)
    for audit in (None, ALL):
        unit = make_unit(100, 101, same_as={4: SameAs(clip_index=3, asked=asked if audit else (WHEN.hash,))})
        asking = Asking(make_strategy(config.gate), audit=audit)
        found = by_id(asking(unit), 1)
        for one in (found["seen"], found["count"]):
            assert one.copied_from == 3
            assert (one.answer_asked, one.audit_rate) == ((own[one.question.id].answer, 1.0) if audit else (None, None))
            assert (one.num_answer_tokens + one.num_thinking_tokens > 0) == (audit is not None)
        assert {start for start, one in asking.asked if one == "seen"} == ({6.0, 8.0} if audit else {6.0})


def test_a_row_that_is_deepened_takes_over_what_its_source_thought() -> None:
    let_go = by_id(Asking(replace(GATED, threshold=0.4))(make_unit(100, same_as={})), 0)["count"]
    first = GivenAnswer(token_ids=let_go.first_token_ids, answer_first="100", confidence=let_go.confidence_first)
    wanted = {(index, question.hash): first for index in (3, 4) for question in QUESTIONS}
    strategy = Deepened(threshold=0.9, max_answer_tokens=16, max_thinking_tokens=64)
    asking = Asking(strategy)
    unit = replace(
        make_unit(100, 100, same_as={4: SameAs(clip_index=3)}, wanted=wanted),
        question_hashes=(COUNT.hash,),
        attempts=(1,),
    )
    answered = asking(unit)
    assert asking.asked == [(6.0, "count")]
    source, copied = by_id(answered, 0)["count"], by_id(answered, 1)["count"]
    assert (source.answer, source.thinking, source.num_thinking_tokens > 0) == ("101", True, True)
    assert (copied.answer, copied.thinking, copied.num_thinking_tokens, copied.copied_from) == ("101", True, 0, 3)


def test_a_row_that_is_deepened_for_the_audit_alone_gives_nothing_to_others() -> None:
    first = GivenAnswer(token_ids=None, answer_first="no", confidence=0.99)
    wanted = {(3, SEEN.hash): replace(first, audit_rank=0.1), (4, SEEN.hash): first}
    asking = Asking(Deepened(threshold=0.9, max_answer_tokens=16, max_thinking_tokens=64))
    unit = make_unit(100, 100, same_as={4: SameAs(clip_index=3)}, wanted=wanted)
    answered = asking(replace(unit, question_hashes=(SEEN.hash,), attempts=(1,)))
    assert asking.asked == [(6.0, "seen"), (8.0, "seen")]
    source, own = by_id(answered, 0)["seen"], by_id(answered, 1)["seen"]
    assert (source.verdict.reason, own.verdict.reason, own.copied_from) == ("audit", "asked", None)


@pytest.mark.parametrize(("before", "expected"), [(40, 0), (None, None)])
def test_what_is_taken_over_has_no_video_tokens_before_pruning_either(before: int | None, expected: int | None) -> None:
    answer = by_id(Asking()(make_unit(100, same_as={})), 0)["seen"]
    assert take_over(replace(answer, num_video_tokens_full=before), 3).num_video_tokens_full == expected


def test_chunks_and_asks_stay_in_the_row_that_took_them() -> None:
    answer = by_id(Asking()(make_unit(100, same_as={})), 0)["seen"]
    ask = AskRow(
        label="sample 1",
        num_frames=2,
        num_video_tokens=8,
        num_prompt_tokens=20,
        num_tokens=5,
        confidence=0.9,
        answer="no",
        thinking=True,
    )
    copied = take_over(replace(answer, num_chunks=3, asks=(ask,), agreement=0.8), 3)
    assert (copied.num_chunks, copied.asks) == (None, None), "else a sum of their tokens counts them twice"
    assert (copied.answer, copied.agreement) == (answer.answer, 0.8), "what says how sure the answer is comes along"
