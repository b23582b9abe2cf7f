r"""Answer, then think and answer again in the same sequence: what direct, always_think and gated have in common.

first answer ──box──> verdict ──exit──────────────────────────────> exit
                         └──think──> thinking ──second box────────> answered
                                        ├──the model ends its turn─> ended
                                        └──budget──> forced `</think>\boxed{` ──> thinking_budget
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from framegate.pipelines.reason.asking.answers import ParsedAnswer, answer_region, parse_answer
from framegate.pipelines.reason.asking.box import Box, BoxFinder, is_fallback
from framegate.pipelines.reason.asking.confidence import measure_confidence
from framegate.pipelines.reason.asking.prompt import (
    BOX_OPENING,
    FORCED_CLOSING,
    THINK_CLOSING,
    THINK_OPENING,
    suffix_after_video,
)
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    ClipFrames,
    FinishedAsk,
    Token,
    TokenBudget,
)
from framegate.schemas.gate_reason import AUDIT, DEFERRED
from framegate.schemas.qa import Answer, Question, Status, Verdict

FirstAnswer = Literal[
    "box",  # a closed box with at least one token in it
    "empty_box",  # a closed box that holds nothing but white space
    "no_box",  # no box closed within the budget, or before the model ended its turn
    "fallback",  # the model wrote that it would rather think
]
FinishReason = Literal[
    "exit",  # the first answer was enough; not one more token was written
    "answered",  # the second box closed
    "ended",  # the model ended its turn before a second answer
    "thinking_budget",  # max_thinking_tokens were spent; the closing was forced
]
Decide = Callable[[FirstAnswer, float | None], Verdict]
"""(what the first answer is, its confidence or None) -> verdict. Picklable. Its reasons are

    confident   confidence >= threshold
    unsure      confidence < threshold
    no_box, empty_box, fallback   there is nothing to be confident about
    audit       confidence >= threshold, and the row is in the audit sample
    always      the strategy or the question asks for thinking whatever the confidence
    never       the strategy or the question forbids thinking
    deferred    the row would think, and the run lets it go: it gives first answers to all rows before any thinks
"""


def exit_always(first: FirstAnswer, confidence: float | None) -> Verdict:
    """Never think, however unsure the first answer is."""
    return Verdict(route="exit", reason="never", confidence=confidence)


def think_always(first: FirstAnswer, confidence: float | None) -> Verdict:
    """Always think, however sure the first answer is."""
    return Verdict(route="think", reason="always", confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """How the first answer to one question at one clip is judged, and what the row says of that: see `Answer`."""

    decide: Decide
    threshold: float | None = None
    audit_rank: float | None = None
    audit_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class TwoAnswers(ABC):
    """One ask per question. `decide` says whether its first answer is enough; a question's own `think` goes first."""

    max_answer_tokens: int
    max_thinking_tokens: int

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset()

    @property
    @abstractmethod
    def decide(self) -> Decide: ...

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        suffix, budget = suffix_after_video(question), self.budgets(question)[0]
        make_course = self.course_maker(clip, question)
        return [Ask(clip=clip, question=question, suffix=suffix, make_course=make_course, budget=budget)]

    def course_maker(self, clip: ClipFrames, question: Question) -> Callable[[], TwoAnswerCourse]:
        """What makes the course of the first ask; picklable."""
        return partial(
            TwoAnswerCourse,
            question,
            ruling=self.ruling(clip, question),
            max_answer_tokens=self.max_answer_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
            given=self.given_tokens(clip, question),
        )

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Answer:
        (one,) = finished
        assert isinstance(one.course, TwoAnswerCourse)
        return one.course.to_answer(one)

    def given_tokens(self, clip: ClipFrames, question: Question) -> Sequence[int]:
        """Of a first answer that is there already; none where the model writes it."""
        return ()

    def ruling(self, clip: ClipFrames, question: Question) -> Ruling:
        """How this row is judged: by `decide` or by the question's own `think`."""
        return Ruling(decide=self._decide_for(question))

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        """An answer; where the question may be thought about also thoughts, the forced closing, an answer."""
        if not self._may_think(question):
            return [TokenBudget(num_tokens=self.max_answer_tokens)]
        num_tokens = 2 * self.max_answer_tokens + self.max_thinking_tokens
        return [TokenBudget(num_tokens=num_tokens, forced_texts=(FORCED_CLOSING,))]

    def document(self) -> dict[str, Any]:
        """The budgets are in: they cut answers short."""
        return {
            "strategy": self.name,
            "max_answer_tokens": self.max_answer_tokens,
            "max_thinking_tokens": self.max_thinking_tokens,
        }

    def _may_think(self, question: Question) -> bool:
        return self._decide_for(question) is not exit_always

    def _decide_for(self, question: Question) -> Decide:
        if question.think == "never":
            return exit_always
        return think_always if question.think == "always" else self.decide


class TwoAnswerCourse:
    """The tokens of one question, what was found in them, and what was decided. `verdict` is there after the first
    answer, `finish_reason` when it is over."""

    def __init__(
        self,
        question: Question,
        *,
        ruling: Ruling,
        max_answer_tokens: int,
        max_thinking_tokens: int,
        given: Sequence[int] = (),
    ) -> None:
        """`given`: tokens of the first answer that is there already; the engine writes them again, and goes on."""
        self.question = question
        self.token_ids: list[int] = []
        self.forced: deque[int] = deque(given)
        self.verdict: Verdict | None = None
        self.finish_reason: FinishReason | None = None
        self._ruling = ruling
        self._max_answer_tokens = max_answer_tokens
        self._max_thinking_tokens = max_thinking_tokens
        self._encoded: Mapping[str, Sequence[int]] = {}
        self._logprobs: list[float] = []
        self._finder = BoxFinder()
        self._first: Box | None = None
        self._second: Box | None = None
        self._num_answer_tokens = 0
        self._thinking_start = 0
        self._num_tokens_when_closed: int | None = None

    @property
    def is_over(self) -> bool:
        return self.finish_reason is not None

    @property
    def is_thinking(self) -> bool:
        return self.verdict is not None

    def start(self, encoded: Mapping[str, Sequence[int]]) -> None:
        self._encoded = encoded

    @property
    def num_thinking_tokens(self) -> int:
        """Tokens after the first answer, forced ones included."""
        return 0 if self.verdict is None else len(self.token_ids) - self._num_answer_tokens

    def append(self, token: Token) -> None:
        """Take the next token; set `verdict` and `finish_reason` where it decides them."""
        assert self.finish_reason is None, "a course that is over takes no more tokens"
        self.token_ids.append(token.id)
        self._logprobs.append(token.logprob)
        box = self._finder.feed(token.piece)
        if self.verdict is None:
            self._watch_first_answer(box, token.ends_turn)
        else:
            self._watch_thinking(box, token.ends_turn)

    def to_answer(self, finished: FinishedAsk) -> Answer:
        """The second answer if it can be read and lies in the clip, else the first; of an audited row the first alone.
        `finished` is the ask that this is the course of."""
        assert self.finish_reason is not None, "the course is not over"
        assert self.verdict is not None
        first, second = (self._parse(box, finished.ask.clip) for box in (self._first, self._second))
        offered = (first,) if self.verdict.reason == AUDIT else (second, first)
        parsed = next((one for one in offered if one and one.is_in_range), None)
        start_seconds, end_seconds = parsed.span_seconds if parsed and parsed.span_seconds else (None, None)
        is_unparsed = not any(offered)
        return Answer(
            question=self.question,
            answer=parsed.value if parsed else None,
            answer_letter=parsed.letter if parsed else None,
            answer_number=parsed.number if parsed else None,
            answer_bool=parsed.is_yes if parsed else None,
            answer_first_value=first.value if first and first.is_in_range else None,
            answer_second_value=second.value if second and second.is_in_range else None,
            answer_first=self._first.content if self._first else None,
            answer_second=self._second.content if self._second else None,
            confidence_first=self.verdict.confidence,
            confidence_second=self._measure(self._second),
            verdict=self.verdict,
            thinking=self.num_thinking_tokens > 0,
            thinking_text=self._thinking_text(),
            span_start_seconds=start_seconds,
            span_end_seconds=end_seconds,
            num_prompt_tokens=finished.num_prompt_tokens,
            num_video_tokens=finished.num_video_tokens,
            num_answer_tokens=self._num_answer_tokens,
            num_thinking_tokens=self.num_thinking_tokens,
            finish_reason=self.finish_reason,
            status=self._status(parsed, is_unparsed=is_unparsed),
            engine_seconds=finished.engine_seconds,
            prompt_seconds=finished.prompt_seconds,
            thinking_seconds=finished.thinking_seconds,
            unparsed_text=self._finder.text() if is_unparsed else None,
            threshold=self._ruling.threshold,
            audit_rank=self._ruling.audit_rank,
            audit_rate=self._ruling.audit_rate,
            first_token_ids=None if self.num_thinking_tokens else tuple(self.token_ids),
        )

    def _watch_first_answer(self, box: Box | None, ends_turn: bool) -> None:
        first: FirstAnswer
        if box is not None:
            self._first = box
            first = "fallback" if is_fallback(box.content) else "box" if box.content.strip() else "empty_box"
        elif is_fallback(self._finder.text()):
            first = "fallback"
        elif ends_turn or len(self.token_ids) >= self._max_answer_tokens:
            first = "no_box"
        else:
            return
        confidence = self._measure(box) if first == "box" else None
        self.verdict = self._ruling.decide(first, confidence)
        self._num_answer_tokens = len(self.token_ids)
        self._thinking_start = self._finder.num_bytes
        if box is None:
            self._finder.restart()
        if self.verdict.route == "exit":
            self.finish_reason = "exit"
        elif ends_turn:
            self.finish_reason = "ended"

    def _watch_thinking(self, box: Box | None, ends_turn: bool) -> None:
        closed_at = self._num_tokens_when_closed
        is_closed = closed_at is not None
        if box is not None:
            self._second = box
            self.finish_reason = "thinking_budget" if is_closed else "answered"
        elif ends_turn:
            self.finish_reason = "thinking_budget" if is_closed else "ended"
        elif closed_at is not None:
            if len(self.token_ids) - closed_at >= self._max_answer_tokens:
                self.finish_reason = "thinking_budget"
        elif self.num_thinking_tokens >= self._max_thinking_tokens:
            closing = self._encoded[FORCED_CLOSING]
            self.forced.extend(closing)
            self._num_tokens_when_closed = len(self.token_ids) + len(closing)
            self._finder.restart()

    def _status(self, parsed: ParsedAnswer | None, *, is_unparsed: bool) -> Status:
        assert self.verdict is not None
        if parsed is not None:
            return "answered"
        if self.verdict.reason == DEFERRED:
            return "deferred"
        return "unparsed" if is_unparsed else "out_of_range"

    def _measure(self, box: Box | None) -> float | None:
        if box is None:
            return None
        start, end = answer_region(box.content, self.question)
        start_byte = box.start + len(box.content[:start].encode())
        # A content that ends in broken UTF-8 decodes to more bytes than it has: never look past the box.
        end_byte = min(box.end, start_byte + len(box.content[start:end].encode()))
        tokens = self._finder.tokens_overlapping(start_byte, end_byte)
        return measure_confidence([self._logprobs[index] for index in tokens]) if tokens else None

    def _parse(self, box: Box | None, clip: ClipFrames) -> ParsedAnswer | None:
        if box is None or is_fallback(box.content):
            return None
        seconds = clip.frames.duration_seconds
        return parse_answer(box.content, self.question, clip_start_seconds=clip.start_seconds, clip_seconds=seconds)

    def _thinking_text(self) -> str | None:
        if not self.num_thinking_tokens:
            return None
        end = self._second.start - len(BOX_OPENING) if self._second else None
        text = self._finder.text(self._thinking_start, end)
        return text.replace(THINK_OPENING, "").replace(THINK_CLOSING, "").strip()
