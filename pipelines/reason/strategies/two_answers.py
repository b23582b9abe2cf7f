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

from framegate.pipelines.reason.asking.answers import ParsedAnswer, parse_answer
from framegate.pipelines.reason.asking.box import Box, BoxFinder, is_fallback
from framegate.pipelines.reason.asking.prompt import (
    BOX_OPENING,
    THINK_CLOSING,
    THINK_OPENING,
    suffix_after_video,
)
from framegate.pipelines.reason.asking.wording import ANSWER_FIRST, Wording
from framegate.pipelines.reason.strategies.answer_tokens import answer_tokens, confidence_of, measure, needs_of
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    ClipFrames,
    FinishedAsk,
    Token,
    TokenBudget,
)
from framegate.pipelines.reason.strategies.ruling import Decide, FirstAnswer, Ruling, exit_always, think_always
from framegate.schemas.gate_reason import AUDIT, DEFERRED
from framegate.schemas.qa import Answer, Measure, Question, Status, Verdict

FinishReason = Literal[
    "exit",  # the first answer was enough; not one more token was written
    "handed_on",  # it was not, and another ask follows; never in a row
    "answered",  # the second box closed
    "ended",  # the model ended its turn before a second answer
    "thinking_budget",  # max_thinking_tokens were spent; the closing was forced
]


@dataclass(frozen=True, kw_only=True)
class TwoAnswers(ABC):
    """One ask per question. `decide` says whether its first answer is enough; a question's own `think` goes first."""

    max_answer_tokens: int
    max_thinking_tokens: int
    wording: Wording = ANSWER_FIRST
    measures: tuple[Measure, ...] = ()

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[Capability]:
        return needs_of(self.measures)

    @property
    @abstractmethod
    def decide(self) -> Decide: ...

    @property
    def hands_on(self) -> bool:
        """The first answer's sequence is over with it, also where the row is to think: other asks follow."""
        return False

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        return [
            Ask(
                clip=clip,
                question=question,
                suffix=suffix_after_video(question, self.wording.at_once),
                make_course=self.course_maker(clip, question),
                budget=self.budgets(question)[0],
                needs_distribution="distribution" in needs_of(self.measures),
                until_thinking=True,
            )
        ]

    def course_maker(self, clip: ClipFrames, question: Question) -> Callable[[], TwoAnswerCourse]:
        """What makes the course of the first ask; picklable."""
        return partial(
            TwoAnswerCourse,
            question,
            ruling=self.ruling(clip, question),
            max_answer_tokens=self.max_answer_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
            closing=self.wording.closing,
            given=self.given_tokens(clip, question),
            hands_on=self.hands_on,
            measures=self.measures,
        )

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        return self.answer_of(finished)

    def answer_of(self, finished: Sequence[FinishedAsk]) -> Answer:
        """What the one ask came to."""
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
        return [TokenBudget(num_tokens=num_tokens, forced_texts=(self.wording.closing,))]

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
        closing: str = ANSWER_FIRST.closing,
        given: Sequence[int] = (),
        hands_on: bool = False,
        skips_first: bool = False,
        measures: Sequence[Measure] = (),
    ) -> None:
        """`closing`: forced where thoughts have used up their budget; it opens a box.
        `given`: tokens of the first answer that is there already; the engine writes them again, and goes on.
        `hands_on`: it is over with the first answer, whatever the verdict.
        `skips_first`: it thinks from its first token on. There is no first answer, and the ruling's verdict is on none.
        `measures`: of the first answer, beside its confidence.
        """
        self.question = question
        self.token_ids: list[int] = []
        self.forced: deque[int] = deque(given)
        self.verdict: Verdict | None = ruling.decide("no_box", None) if skips_first else None
        self.finish_reason: FinishReason | None = None
        self._ruling = ruling
        self._max_answer_tokens = max_answer_tokens
        self._max_thinking_tokens = max_thinking_tokens
        self._closing = closing
        self._hands_on = hands_on
        self._encoded: Mapping[str, Sequence[int]] = {}
        self._tokens: list[Token] = []
        self._measures = measures
        self._measured: dict[Measure, float] = {}
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
        self._tokens.append(token)
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
            confidence_second=confidence_of(self._answer_tokens(self._second)),
            verdict=self.verdict,
            thinking=self.num_thinking_tokens > 0,
            thinking_text=self._thinking_text(),
            span_start_seconds=start_seconds,
            span_end_seconds=end_seconds,
            num_prompt_tokens=finished.num_prompt_tokens,
            num_video_tokens=finished.num_video_tokens,
            num_video_tokens_full=finished.num_video_tokens_full,
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
            confidence_min_probability=self._measured.get("min_probability"),
            confidence_margin=self._measured.get("margin"),
            confidence_entropy=self._measured.get("entropy"),
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
        tokens = self._answer_tokens(box) if first == "box" else ()
        confidence, self._measured = confidence_of(tokens), measure(tokens, self._measures)
        self.verdict = self._ruling.decide(first, confidence)
        self._num_answer_tokens = len(self.token_ids)
        self._thinking_start = self._finder.num_bytes
        if box is None:
            self._finder.restart()
        if self.verdict.route == "exit":
            self.finish_reason = "exit"
        elif self._hands_on:
            self.finish_reason = "handed_on"
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
            closing = self._encoded[self._closing]
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

    def _answer_tokens(self, box: Box | None) -> Sequence[Token]:
        return answer_tokens(self._tokens, self._finder, box, self.question) if box is not None else ()

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
        if self._num_tokens_when_closed is not None:
            text = text.removesuffix(self._closing.removesuffix(BOX_OPENING))
        return text.replace(THINK_OPENING, "").replace(THINK_CLOSING, "").strip()
