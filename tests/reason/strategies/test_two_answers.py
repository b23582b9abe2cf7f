"""One question's way through the gate, token by token, without weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import ClipFrames, FinishedAsk, Strategy, Token
from framegate.schemas.clip import FrameBatch
from framegate.schemas.qa import Answer, Question

YES_NO = Question(id="q", text="Did it?", type="yes_no")
CHOICE = Question(id="c", text="Which?", type="choice", options=("red", "blue"))
GATED = Gated(threshold=0.9, max_answer_tokens=6, max_thinking_tokens=8)
DIRECT = Direct(max_answer_tokens=6, max_thinking_tokens=8)
ALWAYS_THINK = AlwaysThink(max_answer_tokens=6, max_thinking_tokens=8)
FRAMES = FrameBatch(frames_THWC=np.zeros((1, 2, 2, 3), np.uint8), pts_seconds=np.zeros(1), duration_seconds=4.0)
CLIP = ClipFrames(id="r", frames=FRAMES, start_seconds=10.0)
SURE, UNSURE = math.log(0.99), math.log(0.5)
END = ("", 0.0)
CLOSING_ID = 9


def play(
    script: list[tuple[str, float]], question: Question = YES_NO, strategy: Strategy = GATED
) -> tuple[Answer, int]:
    """Feed (text, logprob) pairs, forced tokens in between; the answer and how many of the pairs were needed."""
    (ask,) = strategy.begin(CLIP, question)
    course = ask.make_course()
    course.start({text: [CLOSING_ID] for text in ask.budget.forced_texts})
    waiting = list(script)
    num_tokens = 0
    while not course.is_over:
        num_tokens += 1
        if course.forced:
            assert course.forced.popleft() == CLOSING_ID
            course.append(Token(CLOSING_ID, FORCED_CLOSING.encode(), 0.0))
            continue
        text, logprob = waiting.pop(0)
        course.append(Token(1, text.encode(), logprob, ends_turn=(text, logprob) == END))
    assert num_tokens <= ask.budget.max_tokens(lambda text: 1)
    answer = strategy.after([FinishedAsk(ask=ask, course=course)], num_open=0)
    assert isinstance(answer, Answer)
    return answer, len(script) - len(waiting)


def boxed(content: str, logprob: float) -> list[tuple[str, float]]:
    return [("\\boxed{", 0.0), (content, logprob), ("}", 0.0)]


THOUGHT = [("<think>", 0.0), ("hm", 0.0), ("</think>", 0.0)]


def test_a_sure_answer_exits_at_its_closing_brace():
    answer, num_needed = play([*boxed("yes", SURE), *THOUGHT])
    assert num_needed == 3
    assert (answer.answer, answer.finish_reason, answer.verdict.reason) == ("yes", "exit", "confident")
    assert answer.confidence_first == pytest.approx(0.99)


def test_an_unsure_answer_goes_on_to_the_second_box_which_wins():
    answer, _ = play([*boxed("yes", UNSURE), *THOUGHT, *boxed("no", SURE)])
    assert (answer.answer_first, answer.answer_second, answer.answer) == ("yes", "no", "no")
    assert (answer.finish_reason, answer.thinking, answer.thinking_text) == ("answered", True, "hm")
    assert (answer.num_answer_tokens, answer.num_thinking_tokens) == (3, 6)
    assert answer.confidence_second == pytest.approx(0.99)


def test_a_second_box_that_cannot_be_read_leaves_the_first():
    answer, _ = play([*boxed("yes", UNSURE), *THOUGHT, *boxed("perhaps", SURE)])
    assert (answer.answer, answer.answer_second, answer.status) == ("yes", "perhaps", "answered")


def test_two_boxes_that_cannot_be_read_are_unparsed():
    answer, _ = play([*boxed("dunno", UNSURE), *THOUGHT, *boxed("perhaps", SURE)])
    assert (answer.answer, answer.status) == (None, "unparsed")


def test_a_turn_that_ends_while_thinking_keeps_the_first_answer():
    answer, _ = play([*boxed("yes", UNSURE), *THOUGHT, END])
    assert (answer.answer, answer.finish_reason, answer.num_thinking_tokens) == ("yes", "ended", 4)


def test_a_turn_that_ends_before_any_box_is_unparsed():
    answer, _ = play([("well", 0.0), END])
    assert (answer.answer, answer.status, answer.finish_reason) == (None, "unparsed", "ended")
    assert (answer.verdict.reason, answer.thinking) == ("no_box", False)


def test_without_a_box_in_the_budget_it_thinks_and_the_next_box_is_the_second():
    answer, _ = play([("word", 0.0)] * 6 + boxed("no", SURE))
    assert (answer.verdict.reason, answer.confidence_first) == ("no_box", None)
    assert (answer.answer_first, answer.answer_second, answer.answer) == (None, "no", "no")
    assert answer.num_answer_tokens == 6


def test_a_box_that_never_closes_does_not_swallow_the_second():
    answer, _ = play([("\\boxed{", 0.0), *[("word", 0.0)] * 5, *boxed("no", SURE)])
    assert (answer.answer_first, answer.answer_second) == (None, "no")


@pytest.mark.parametrize("apostrophe", ["'", "’"])
def test_the_fallback_sentence_in_the_box_is_no_answer(apostrophe):
    answer, _ = play([*boxed(f"Let{apostrophe}s analyze it", SURE), *THOUGHT, *boxed("no", SURE)])
    assert (answer.verdict.reason, answer.confidence_first, answer.answer) == ("fallback", None, "no")
    text_question = Question(id="t", text="What?", type="text")
    for second in ([END], boxed(f"Let{apostrophe}s analyze it again", SURE)):
        answer, _ = play([*boxed(f"Let{apostrophe}s analyze it", SURE), *THOUGHT, *second], text_question)
        assert (answer.answer, answer.status) == (None, "unparsed")


def test_the_fallback_sentence_without_a_box_is_noticed_at_once():
    answer, _ = play([("Let's", 0.0), (" analyze", 0.0), (" the clip", 0.0), *boxed("no", SURE)])
    assert (answer.verdict.reason, answer.num_answer_tokens, answer.answer) == ("fallback", 2, "no")


def test_an_empty_box_is_thought_about():
    answer, _ = play([("\\boxed{", 0.0), ("}", 0.0), *boxed("no", SURE)])
    assert (answer.verdict.reason, answer.confidence_first, answer.answer) == ("empty_box", None, "no")


def test_thinking_over_budget_is_closed_by_force_and_the_answer_still_counts():
    answer, _ = play([*boxed("yes", UNSURE), *[("hm ", 0.0)] * 8, ("no", SURE), ("}", 0.0)])
    assert (answer.answer_second, answer.answer, answer.finish_reason) == ("no", "no", "thinking_budget")
    assert answer.num_thinking_tokens == 8 + 1 + 2, "the forced token counts"
    assert answer.thinking_text == "hm hm hm hm hm hm hm hm"


def test_a_forced_box_inside_one_that_is_open_is_a_box_of_its_own():
    answer, _ = play([*boxed("yes", UNSURE), ("\\boxed{", 0.0), *[("hm", 0.0)] * 7, ("no", SURE), ("}", 0.0)])
    assert answer.answer_second == "no"


@pytest.mark.parametrize("tail", [[("hm", 0.0)] * 6, [END]])
def test_a_forced_box_that_stays_open_leaves_the_first_answer(tail):
    answer, _ = play([*boxed("yes", UNSURE), *[("hm", 0.0)] * 8, *tail])
    assert (answer.answer, answer.answer_second, answer.finish_reason) == ("yes", None, "thinking_budget")


def test_direct_stops_at_the_first_box_and_always_think_never_does():
    script = [*boxed("yes", UNSURE), *THOUGHT, *boxed("no", SURE)]
    direct, num_needed = play(script, strategy=DIRECT)
    assert (num_needed, direct.answer, direct.verdict.reason) == (3, "yes", "never")
    always, _ = play([*boxed("yes", SURE), *script[3:]], strategy=ALWAYS_THINK)
    assert (always.answer, always.verdict.reason, always.thinking) == ("no", "always", True)


def test_direct_without_a_box_ends_at_the_budget():
    answer, num_needed = play([("word", 0.0)] * 9, strategy=DIRECT)
    assert (num_needed, answer.finish_reason, answer.status) == (6, "exit", "unparsed")


def test_a_choice_is_measured_by_its_letter_alone():
    script = [("\\boxed{", -5.0), ("(", -5.0), ("B", SURE), (") blue", -5.0), ("}", -5.0)]
    answer, _ = play(script, CHOICE)
    assert (answer.answer, answer.answer_letter, answer.finish_reason) == ("blue", "B", "exit")
    assert answer.confidence_first == pytest.approx(0.99)


def test_a_token_that_writes_more_than_the_answer_still_carries_it():
    answer, _ = play([("\\boxed", -5.0), ("{yes", SURE), ("}\n", -5.0)])
    assert answer.confidence_first == pytest.approx(0.99)


def test_a_span_is_answered_in_seconds_of_the_video():
    answer, _ = play(boxed("[1, 2.5]", SURE), Question(id="s", text="When?", type="span"))
    assert (answer.answer, answer.span_start_seconds, answer.span_end_seconds) == ("[11, 12.5]", 11.0, 12.5)


def test_a_span_outside_the_clip_is_out_of_range_and_its_text_is_kept():
    span = Question(id="s", text="When?", type="span")
    answer, _ = play(boxed("[3, 90]", SURE), span)
    assert (answer.status, answer.answer, answer.answer_first) == ("out_of_range", None, "[3, 90]")
    assert (answer.span_start_seconds, answer.answer_first_value, answer.unparsed_text) == (None, None, None)
    unsure = [*boxed("[1, 2]", UNSURE), *boxed("[3, 1]", SURE), END]
    answer, _ = play(unsure, span)
    assert (answer.status, answer.answer, answer.answer_second) == ("answered", "[11, 12]", "[3, 1]")
    assert answer.answer_first_value == "[11, 12]"


def test_the_first_answer_is_read_like_the_final_one():
    answer, _ = play([*boxed("(A) red", UNSURE), ("hm", 0.0), *boxed("B", SURE), END], CHOICE)
    assert (answer.answer, answer.answer_letter) == ("blue", "B")
    assert (answer.answer_first, answer.answer_first_value) == ("(A) red", "red")
    number, _ = play(boxed("3 cars", SURE), Question(id="n", text="How many?", type="number"))
    assert (number.answer, number.answer_number) == ("3", 3.0)
    yes, _ = play(boxed("Yes.", SURE))
    assert (yes.answer, yes.answer_bool) == ("yes", True)


@given(
    st.lists(st.sampled_from(["\\boxed{", "}", "yes", "<think>", "{", "é", "Let's analyze"]), max_size=40),
    st.sampled_from([DIRECT, GATED, ALWAYS_THINK]),
)
def test_whatever_is_written_every_sequence_ends_within_its_budgets(texts, strategy):
    answer, _ = play([*((text, UNSURE) for text in texts), *[END] * 40], strategy=strategy)
    assert answer.num_answer_tokens <= 6
    assert answer.num_thinking_tokens <= 8 + 1 + 6
    assert (answer.status == "unparsed") == (answer.answer is None)
    assert answer.answer in (None, "yes")
