"""Describe, then answer: alone, and as the second step of a gate; over the scripted engine."""

from __future__ import annotations

import hashlib
import math
import pickle
from dataclasses import replace

import pytest

from framegate.pipelines.reason.asking.prompt import suffix_after_video
from framegate.pipelines.reason.asking.wording import ANSWER_FIRST, STEP_BY_STEP, read_wording, system_prompt
from framegate.pipelines.reason.engines.scripted import Script, Written
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.inner import complete
from framegate.pipelines.reason.strategies.protocol import Ask, Strategy, TokenBudget
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.config import RunConfig
from framegate.schemas.config.gate import GatedConfig, VideoCotConfig
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.qa import Answer, Question
from tests.asking import NUMBER, YES_NO, answer_all, ask_about, boxed, make_clip

BUDGETS = {"max_answer_tokens": 6, "max_thinking_tokens": 8}
COT = make_strategy(VideoCotConfig(**BUDGETS))
GATED = make_strategy(GatedConfig(inner="video_cot", threshold=0.9, **BUDGETS))  # type: ignore[arg-type]
THOUGHTS: list[Written] = [("A van", -0.5), (" stops.", -0.5)]


def make_config(**parts: object) -> RunConfig:
    base = {"input": {"videos": "v"}, "questions": "q.yaml", "model": {"name": "m"}, "output": {"uri": "o"}}
    return RunConfig.model_validate({**base, **parts})


def is_step_by_step(ask: Ask) -> bool:
    return str(ask.suffix) == str(suffix_after_video(ask.question, STEP_BY_STEP.step_by_step or ""))


def writes(first: list[Written], second: list[Written]) -> Script:
    """`first` where an answer is wanted at once, `second` where thoughts are."""

    def script(ask: Ask) -> list[Written]:
        if is_step_by_step(ask):
            return second
        assert str(ask.suffix) == str(suffix_after_video(ask.question, STEP_BY_STEP.at_once))
        return first

    return script


def ask(strategy: Strategy, script: Script, question: Question = YES_NO) -> Answer:
    found, _ = answer_all(strategy, ask_about("clip", question), script=script)
    answer = found["clip", question.id].answer
    assert answer is not None, found["clip", question.id].failure_message
    return answer


def test_a_row_has_one_thought_and_one_answer_behind_it() -> None:
    answer = ask(COT, writes([], [*THOUGHTS, *boxed("yes", math.log(0.8))]))
    assert (answer.answer, answer.answer_bool, answer.status, answer.finish_reason) == (
        "yes",
        True,
        "answered",
        "answered",
    )
    assert (answer.answer_second, answer.answer_second_value) == ("yes", "yes")
    assert answer.confidence_second == pytest.approx(0.8)
    assert (answer.answer_first, answer.answer_first_value, answer.confidence_first) == (None, None, None)
    assert (answer.thinking, answer.thinking_text, answer.verdict.reason) == (True, "A van stops.", "always")
    assert (answer.num_answer_tokens, answer.num_thinking_tokens, answer.first_token_ids) == (0, 5, None)


def test_thoughts_beyond_their_budget_are_closed_and_answered() -> None:
    answer = ask(COT, writes([], [*[("on ", -0.1)] * 8, ("no", -0.2), ("}", 0.0)]))
    assert (answer.answer, answer.finish_reason) == ("no", "thinking_budget")
    assert answer.thinking_text == "on on on on on on on on"
    assert answer.num_thinking_tokens == 8 + 1 + 2  # the closing is one token of the scripted engine
    never = ask(COT, writes([], [("on ", -0.1)] * 99))
    assert (never.answer, never.status, never.finish_reason) == (None, "unparsed", "thinking_budget")
    assert never.num_thinking_tokens == 8 + 1 + 6


def test_a_turn_that_ends_without_a_box_is_unparsed() -> None:
    answer = ask(COT, writes([], THOUGHTS))
    assert (answer.answer, answer.status, answer.finish_reason) == (None, "unparsed", "ended")
    assert answer.unparsed_text == "A van stops."


def test_a_question_that_is_never_thought_about_is_answered_at_once() -> None:
    question = replace(YES_NO, think="never")
    answer = ask(COT, writes(boxed("no", math.log(0.5)), THOUGHTS), question)
    assert (answer.answer, answer.thinking, answer.finish_reason, answer.verdict.reason) == (
        "no",
        False,
        "exit",
        "never",
    )
    assert answer.confidence_first == pytest.approx(0.5)
    assert COT.budgets(question) == [TokenBudget(num_tokens=6)]
    assert COT.budgets(YES_NO) == [TokenBudget(num_tokens=14, forced_texts=(STEP_BY_STEP.closing,))]


def test_a_sure_first_answer_is_final_and_no_second_ask_is_made() -> None:
    found, engine = answer_all(GATED, ask_about("clip", YES_NO), script=writes(boxed("yes", math.log(0.95)), THOUGHTS))
    answer = found["clip", "q"].answer
    assert answer is not None
    assert (answer.answer, answer.thinking, answer.finish_reason, answer.verdict.reason) == (
        "yes",
        False,
        "exit",
        "confident",
    )
    assert (engine.num_asks, engine.num_tokens) == (1, 3)
    assert answer.first_token_ids is not None


def test_an_unsure_first_answer_is_asked_anew_in_other_words_and_both_stand_in_the_row() -> None:
    script = writes(boxed("yes", math.log(0.5)), [*THOUGHTS, *boxed("no", math.log(0.7))])
    found, engine = answer_all(GATED, ask_about("clip", YES_NO), script=script)
    answer = found["clip", "q"].answer
    assert answer is not None
    assert engine.num_asks == 2
    assert (answer.answer, answer.answer_bool, answer.status, answer.finish_reason) == (
        "no",
        False,
        "answered",
        "answered",
    )
    assert (answer.answer_first, answer.answer_first_value, answer.answer_second) == ("yes", "yes", "no")
    assert answer.confidence_first == pytest.approx(0.5)
    assert answer.confidence_second == pytest.approx(0.7)
    assert (answer.verdict.reason, answer.threshold, answer.thinking) == ("unsure", 0.9, True)
    assert answer.thinking_text == "A van stops."
    assert (answer.num_answer_tokens, answer.num_thinking_tokens, answer.first_token_ids) == (3, 5, None)
    # Both asks see four frames, of one token each, which count once; and the two words of the question.
    assert (answer.num_video_tokens, answer.num_prompt_tokens) == (4, 4 + 2 + 2)


@pytest.mark.parametrize(
    ("first", "second", "question", "expected"),
    [
        ("yes", "perhaps", YES_NO, ("yes", "answered")),
        ("perhaps", "no", YES_NO, ("no", "answered")),
        ("", "no", YES_NO, ("no", "answered")),
        ("perhaps", "perhaps", YES_NO, (None, "unparsed")),
        ("2", "many", NUMBER, ("2", "answered")),
        ("[90, 99]", "when?", Question(id="s", text="When?", type="span"), (None, "out_of_range")),
    ],
)
def test_what_cannot_be_read_makes_room_for_the_other_answer(first, second, question, expected) -> None:
    answer = ask(GATED, writes(boxed(first, -2.0), boxed(second)), question)
    assert (answer.answer, answer.status) == expected
    assert (answer.unparsed_text is not None) == (expected[1] == "unparsed")


def test_an_audited_row_is_asked_anew_and_keeps_its_first_answer() -> None:
    assert isinstance(GATED, Gated)
    audited = replace(GATED, audit=AuditSample(rate=1.0))
    request = replace(ask_about("clip", YES_NO), key="video/0")
    found, _ = answer_all(audited, request, script=writes(boxed("yes"), boxed("no")))
    answer = found["clip", "q"].answer
    assert answer is not None
    assert (answer.answer, answer.answer_second_value, answer.verdict.reason) == ("yes", "no", "audit")
    assert (answer.audit_rate, answer.audit_rank is not None, answer.num_thinking_tokens) == (1.0, True, 3)


def test_a_row_is_deepened_by_a_new_ask() -> None:
    assert isinstance(GATED, Gated)
    script = writes(boxed("yes", math.log(0.95)), [*THOUGHTS, *boxed("no")])
    given = ask(GATED, script)
    deepened = Deepened(
        threshold=0.99, max_answer_tokens=6, max_thinking_tokens=8, wording=GATED.wording, inner=GATED.inner
    )
    known = GivenAnswer(token_ids=given.first_token_ids, answer_first="yes", confidence=0.95)
    for one in (known, replace(known, token_ids=None)):
        request = replace(ask_about("clip", YES_NO), given={YES_NO.hash: one})
        found, engine = answer_all(deepened, request, script=script)
        answer = found["clip", "q"].answer
        assert answer is not None, found["clip", "q"].failure_message
        assert (answer.answer, answer.answer_first, answer.verdict.reason) == ("no", "yes", "unsure")
        assert (engine.num_asks, answer.num_answer_tokens, answer.num_thinking_tokens) == (2, 3, 5)
    other = replace(known, answer_first="no")
    found, _ = answer_all(deepened, replace(ask_about("clip", YES_NO), given={YES_NO.hash: other}), script=script)
    assert found["clip", "q"].failure_reason == "first_answer_differs"


def test_budgets_are_of_both_asks_and_courses_travel() -> None:
    assert list(GATED.budgets(YES_NO)) == [
        TokenBudget(num_tokens=6),
        TokenBudget(num_tokens=14, forced_texts=(STEP_BY_STEP.closing,)),
    ]
    assert GATED.budgets(replace(YES_NO, think="never")) == [TokenBudget(num_tokens=6)]
    for strategy in (COT, GATED):
        (one,) = strategy.begin(make_clip(), YES_NO)
        course = pickle.loads(pickle.dumps(one.make_course))()
        assert course.is_thinking == (strategy is COT)


def test_words_are_part_of_the_config_id_and_other_strategies_keep_theirs() -> None:
    own = make_config(gate={"instruction": "Look twice. Box the answer.", "strategy": "video_cot"})
    configs = [
        make_config(),
        make_config(gate={"strategy": "video_cot"}),
        make_config(gate={"inner": "video_cot"}),
        own,
        make_config(gate={"inner": {"strategy": "video_cot", "instruction": "Look twice. Box the answer."}}),
        make_config(gate={"strategy": "video_cot", "max_thinking_tokens": 9}),
    ]
    documents = [(read_wording(config), str(make_strategy(config.gate).document())) for config in configs]
    assert len(set(documents)) == len(configs)
    assert "Look twice. Box the answer." in read_wording(own)
    assert system_prompt(configs[0]) == ANSWER_FIRST.system
    assert {system_prompt(config) for config in configs[1:]} == {STEP_BY_STEP.system}
    given = make_config(gate={"strategy": "video_cot"}, prompt={"system": "Mine."})
    assert system_prompt(given) == "Mine."
    assert "inner" not in make_strategy(configs[0].gate).document()


@pytest.mark.parametrize("strategy", ["direct", "always_think", "gated"])
def test_words_of_other_strategies_are_those_of_before_there_were_several(strategy: str) -> None:
    """Their config_ids are in archives."""
    told = read_wording(make_config(gate={"strategy": strategy})).encode()
    assert hashlib.sha256(told).hexdigest()[:16] == "53189359c915844d"


@pytest.mark.parametrize(
    ("first", "second", "sees_same_frames", "expected"),
    [(40, 40, True, 40), (40, 60, False, 100), (None, None, True, None), (None, None, False, None)],
)
def test_video_tokens_before_pruning_count_as_those_that_stayed_do(
    first: int | None, second: int | None, sees_same_frames: bool, expected: int | None
) -> None:
    one = ask(COT, writes(boxed("no", math.log(0.5)), THOUGHTS), replace(YES_NO, think="never"))
    completed = complete(
        replace(one, num_video_tokens_full=first),
        replace(one, num_video_tokens_full=second),
        sees_same_frames=sees_same_frames,
    )
    assert completed.num_video_tokens_full == expected
