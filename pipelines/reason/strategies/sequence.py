r"""One question on its way: what was produced so far, what the gate said, and when it is over.

Every engine drives its questions through this class, token by token; the scripted engine of the tests does so without
weights. Free of torch: knows tokens by id, bytes and log-probability, and neither models nor storage.

    first answer ──box──> verdict ──exit──────────────────────────────> exit
                             └──think──> thinking ──second box────────> answered
                                            ├──the model ends its turn─> ended
                                            └──budget──> forced `</think>\boxed{` ──> thinking_budget
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from framegate.pipelines.reason.asking.answers import ParsedAnswer, answer_region, parse_answer
from framegate.pipelines.reason.asking.box import Box, BoxFinder, is_fallback
from framegate.pipelines.reason.asking.prompt import BOX_OPENING, THINK_CLOSING, THINK_OPENING
from framegate.pipelines.reason.strategies.choose import choose_strategy
from framegate.pipelines.reason.strategies.gate import FirstAnswer, measure_confidence
from framegate.schemas.config import GateConfig
from framegate.schemas.qa import Answer, FinishReason, Question, Verdict


class Token(NamedTuple):
    """One produced token. `piece` are the bytes it writes; a token that ends the turn writes none."""

    id: int
    piece: bytes
    logprob: float
    ends_turn: bool = False


class GatedSequence:
    """The running state of one question of one request.

    An engine feeds `append` until `finish_reason` is set. While `forced` holds token ids, the engine appends those in
    place of the model's own choice. `engine_seconds` is the engine's to add to.
    """

    def __init__(
        self,
        *,
        request_id: str,
        question: Question,
        clip_start_seconds: float,
        gate: GateConfig,
        closing: Sequence[int],
        num_prompt_tokens: int = 0,
        num_video_tokens: int = 0,
    ) -> None:
        self.request_id = request_id
        self.question = question
        self.num_prompt_tokens = num_prompt_tokens
        self.num_video_tokens = num_video_tokens
        self.token_ids: list[int] = []
        self.forced: deque[int] = deque()
        self.verdict: Verdict | None = None
        self.finish_reason: FinishReason | None = None
        self.engine_seconds = 0.0
        self._clip_start_seconds = clip_start_seconds
        self._gate = gate
        self._decide = choose_strategy(gate.strategy, question.think)
        self._closing = tuple(closing)
        self._logprobs: list[float] = []
        self._finder = BoxFinder()
        self._first: Box | None = None
        self._second: Box | None = None
        self._num_answer_tokens = 0
        self._thinking_start = 0
        self._num_tokens_when_closed: int | None = None

    @property
    def num_thinking_tokens(self) -> int:
        """Tokens after the first answer, forced ones included."""
        return 0 if self.verdict is None else len(self.token_ids) - self._num_answer_tokens

    def append(self, token: Token) -> None:
        """Take the next token; set `verdict` and `finish_reason` where it decides them."""
        assert self.finish_reason is None, "a finished sequence takes no more tokens"
        self.token_ids.append(token.id)
        self._logprobs.append(token.logprob)
        box = self._finder.feed(token.piece)
        if self.verdict is None:
            self._watch_first_answer(box, token.ends_turn)
        else:
            self._watch_thinking(box, token.ends_turn)

    def to_answer(self) -> Answer:
        """The finished question as the engine hands it over: the second answer if it parses, else the first."""
        assert self.finish_reason is not None, "the sequence is still running"
        assert self.verdict is not None
        parsed = self._parse(self._second) or self._parse(self._first)
        start_seconds, end_seconds = parsed.span_seconds if parsed and parsed.span_seconds else (None, None)
        return Answer(
            question=self.question,
            answer=parsed.value if parsed else None,
            answer_first=self._first.content if self._first else None,
            answer_second=self._second.content if self._second else None,
            confidence_first=self.verdict.confidence,
            confidence_second=self._measure(self._second),
            verdict=self.verdict,
            thinking=self.num_thinking_tokens > 0,
            thinking_text=self._thinking_text(),
            span_start_seconds=start_seconds,
            span_end_seconds=end_seconds,
            num_prompt_tokens=self.num_prompt_tokens,
            num_video_tokens=self.num_video_tokens,
            num_answer_tokens=self._num_answer_tokens,
            num_thinking_tokens=self.num_thinking_tokens,
            finish_reason=self.finish_reason,
            status="answered" if parsed else "unparsed",
            engine_seconds=self.engine_seconds,
        )

    def _watch_first_answer(self, box: Box | None, ends_turn: bool) -> None:
        first: FirstAnswer
        if box is not None:
            self._first = box
            first = "fallback" if is_fallback(box.content) else "box" if box.content.strip() else "empty_box"
        elif is_fallback(self._finder.text()):
            first = "fallback"
        elif ends_turn or len(self.token_ids) >= self._gate.max_answer_tokens:
            first = "no_box"
        else:
            return
        confidence = self._measure(box) if first == "box" else None
        self.verdict = self._decide(first, confidence, self._gate.threshold)
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
            if len(self.token_ids) - closed_at >= self._gate.max_answer_tokens:
                self.finish_reason = "thinking_budget"
        elif self.num_thinking_tokens >= self._gate.max_thinking_tokens:
            self.forced.extend(self._closing)
            self._num_tokens_when_closed = len(self.token_ids) + len(self._closing)
            self._finder.restart()

    def _measure(self, box: Box | None) -> float | None:
        if box is None:
            return None
        start, end = answer_region(box.content, self.question)
        start_byte = box.start + len(box.content[:start].encode())
        # A content that ends in broken UTF-8 decodes to more bytes than it has: never look past the box.
        end_byte = min(box.end, start_byte + len(box.content[start:end].encode()))
        tokens = self._finder.tokens_overlapping(start_byte, end_byte)
        return measure_confidence([self._logprobs[index] for index in tokens]) if tokens else None

    def _parse(self, box: Box | None) -> ParsedAnswer | None:
        if box is None or is_fallback(box.content):
            return None
        return parse_answer(box.content, self.question, clip_start_seconds=self._clip_start_seconds)

    def _thinking_text(self) -> str | None:
        if not self.num_thinking_tokens:
            return None
        end = self._second.start - len(BOX_OPENING) if self._second else None
        text = self._finder.text(self._thinking_start, end)
        return text.replace(THINK_OPENING, "").replace(THINK_CLOSING, "").strip()
