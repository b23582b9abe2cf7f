"""What strategies to come will need of the protocol, each as a small strategy of its own over the scripted engine."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.strategies.direct import Direct
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk, Token, TokenBudget
from framegate.pipelines.reason.strategies.two_answers import TwoAnswers
from framegate.schemas.qa import Answer, Question
from tests.asking import NUMBER, YES_NO, answer_all, ask_about, boxed

DIRECT = Direct(max_answer_tokens=8, max_thinking_tokens=8)


class LookAgain(Direct):
    """Looks at every other frame, and where it is unsure then at all of them."""

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        sparse = tuple(range(0, len(clip.frames), 2))
        return [replace(ask, frames=sparse, label="sparse") for ask in super().begin(clip, question)]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Any:
        answer = super().after(finished[-1:], num_open)
        if len(finished) == 1 and (answer.confidence_first or 0) < 0.9:
            return [replace(finished[0].ask, frames=None, label="dense")]
        return replace(answer, num_answer_tokens=answer.num_answer_tokens * len(finished))


def test_a_second_request_sees_other_frames_where_the_first_was_unsure() -> None:
    seen: list[tuple[str, str, int]] = []

    def script(ask: Ask) -> Sequence[Any]:
        num_frames = len(ask.clip.frames if ask.frames is None else ask.frames)
        seen.append((ask.clip.id, ask.label, num_frames))
        unsure = ask.clip.id == "hard" and ask.label == "sparse"
        return boxed("no" if unsure else "yes", math.log(0.5) if unsure else -0.001)

    strategy = LookAgain(max_answer_tokens=8, max_thinking_tokens=8)
    requests = [ask_about(name, YES_NO, num_frames=8) for name in ("easy", "hard")]
    finished, engine = answer_all(strategy, *requests, script=script)
    assert sorted(seen) == [("easy", "sparse", 4), ("hard", "dense", 8), ("hard", "sparse", 4)]
    easy, hard = (finished[name, "q"].answer for name in ("easy", "hard"))
    assert easy is not None
    assert hard is not None
    assert (easy.answer, easy.num_video_tokens, hard.answer, hard.num_video_tokens) == ("yes", 4, "yes", 8)
    assert engine.num_asks == 3


class BoundedCourse:
    """Thinks `num_thoughts` tokens; half way it is told to hurry, and then to answer, in at most four tokens."""

    def __init__(self, *, num_thoughts: int) -> None:
        self.forced: deque[int] = deque()
        self.written = b""
        self.is_over = False
        self._num_thoughts = num_thoughts
        self._num_chosen = 0

    @property
    def is_thinking(self) -> bool:
        return self._num_chosen < self._num_thoughts

    def start(self, encoded: Mapping[str, Sequence[int]]) -> None:
        self._encoded = encoded

    def append(self, token: Token) -> None:
        self.written += token.piece
        if token.id in (self._encoded["HURRY."][-1], self._encoded[FORCED_CLOSING][-1]):
            return
        self._num_chosen += 1
        if self._num_chosen == self._num_thoughts // 2:
            self.forced.extend(self._encoded["HURRY."])
        elif self._num_chosen == self._num_thoughts:
            self.forced.extend(self._encoded[FORCED_CLOSING])
        self.is_over = token.piece == b"}" or self._num_chosen == self._num_thoughts + 4


@dataclass(frozen=True, kw_only=True)
class BoundedThinking(TwoAnswers):
    """Thinks about numbers for longer than about yes and no."""

    name = "bounded"

    @property
    def decide(self) -> Any:
        raise AssertionError("it decides nothing")

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        return [TokenBudget(num_tokens=self._num_thoughts(question) + 4, forced_texts=("HURRY.", FORCED_CLOSING))]

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        (ask,) = DIRECT.begin(clip, question)
        make_course = partial(BoundedCourse, num_thoughts=self._num_thoughts(question))
        return [replace(ask, make_course=make_course, budget=self.budgets(question)[0])]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Any:
        course = finished[0].course
        assert isinstance(course, BoundedCourse)
        WRITTEN[finished[0].ask.question.id] = course.written.decode()
        return Answer(**(vars(TEMPLATE) | {"question": finished[0].ask.question}))

    def _num_thoughts(self, question: Question) -> int:
        return 6 if question.type == "number" else 2


WRITTEN: dict[str, str] = {}
(_ANSWERED,) = answer_all(DIRECT, ask_about("clip", YES_NO))[0].values()
assert _ANSWERED.answer is not None
TEMPLATE = _ANSWERED.answer


def test_texts_are_forced_in_the_middle_and_each_question_has_its_own_budget() -> None:
    strategy = BoundedThinking(max_answer_tokens=4, max_thinking_tokens=6)

    def script(ask: Ask) -> Sequence[Any]:
        return [(letter, -0.1) for letter in "abcdef"[: ask.budget.num_tokens - 4]] + [("7", -0.1), ("}", -0.1)]

    finished, engine = answer_all(strategy, ask_about("clip", YES_NO, NUMBER), script=script)
    assert all(one.answer is not None for one in finished.values())
    assert WRITTEN == {"q": "aHURRY.b</think>\\boxed{7}", "n": "abcHURRY.def</think>\\boxed{7}"}
    assert engine.num_tokens == (2 + 2 + 2) + (6 + 2 + 2)
    assert [budget.max_tokens(len) for budget in strategy.budgets(NUMBER)] == [6 + 4 + len("HURRY." + FORCED_CLOSING)]


def test_a_budget_that_is_too_small_fails_its_question() -> None:
    class Stingy(BoundedThinking):
        def budgets(self, question: Question) -> Sequence[TokenBudget]:
            return [replace(budget, num_tokens=budget.num_tokens - 4) for budget in super().budgets(question)]

    strategy = Stingy(max_answer_tokens=4, max_thinking_tokens=6)
    finished, _ = answer_all(strategy, ask_about("clip", NUMBER), script=lambda ask: [("a", 0.0)] * 20)
    assert finished["clip", "n"].failure_message == "the course goes on beyond its budget of 6 tokens"


class EntropySwitch(Gated):
    """Thinks where the tokens of its first answer were spread widely, whatever their probability."""

    @property
    def needs(self) -> Any:
        return frozenset({"distribution"})

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        (ask,) = super().begin(clip, question)
        return [replace(ask, needs_distribution=True, make_course=partial(EntropyCourse, ask.make_course))]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Answer:
        (one,) = finished
        assert isinstance(one.course, EntropyCourse)
        return super().after([replace(one, course=one.course.inner)], num_open)


class EntropyCourse:
    """Passes tokens on with exp(-entropy) in place of their probability."""

    def __init__(self, make_inner: Any) -> None:
        self.inner = make_inner()
        self.forced = self.inner.forced
        self.start = self.inner.start

    @property
    def is_over(self) -> bool:
        return self.inner.is_over

    @property
    def is_thinking(self) -> bool:
        return self.inner.is_thinking

    def append(self, token: Token) -> None:
        assert token.entropy is not None
        self.inner.append(token._replace(logprob=-token.entropy))


def test_a_course_reads_the_entropy_of_each_step() -> None:
    def script(ask: Ask) -> Sequence[Any]:
        assert ask.needs_distribution
        entropy = 1.5 if ask.clip.id == "spread" else 0.01
        words = [*boxed("yes"), ("<think>hm</think>", -0.1), *boxed("no")]
        return [(text, -0.001, entropy) for text, _ in words] + [("", 0.0, 0.0)]

    strategy = EntropySwitch(threshold=0.9, max_answer_tokens=8, max_thinking_tokens=8)
    finished, _ = answer_all(strategy, ask_about("narrow", YES_NO), ask_about("spread", YES_NO), script=script)
    narrow, spread = (finished[name, "q"].answer for name in ("narrow", "spread"))
    assert narrow is not None
    assert spread is not None
    assert (narrow.answer, narrow.confidence_first) == ("yes", pytest.approx(math.exp(-0.01)))
    assert (spread.answer, spread.confidence_first) == ("no", pytest.approx(math.exp(-1.5)))
