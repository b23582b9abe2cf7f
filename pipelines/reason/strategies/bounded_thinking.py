r"""The gate, with thoughts in chunks: a context of bounded size, however long the model thinks (The Markovian Thinker,
arXiv 2510.06557).

    chunk 1    prompt ──> first answer ──> `<think>` c c c c c c c c
    chunk 2    prompt,    first answer,    `<think>`         c c c c ──> c c c c c c c c
    chunk 3    prompt,    first answer,    `<think>`                             c c c c ──> c c </think>\boxed{...}

Each chunk but the last has `chunk_tokens` tokens of thought. Behind a chunk another ask begins: its context is the
prompt, what was written up to the end of the first answer, the opening of the thought, and the last `carry_tokens`
tokens, all as ids that the model wrote. The ask shares its clip's prefix with the ones before. Boxes are found in the
whole thought, so that one may open in a chunk and close in the next. A thought that ends within its first chunk is the
gate's, token for token.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from framegate.pipelines.reason.asking.box import BoxFinder
from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING, THINK_OPENING
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk, Token, TokenBudget
from framegate.pipelines.reason.strategies.two_answers import TwoAnswerCourse
from framegate.schemas.qa import Answer, Question

MAX_OPENING_TOKENS: Final = 16  # `<think>` letter by letter is 7, and white space may stand before it


@dataclass(frozen=True, kw_only=True)
class BoundedThinking(Gated):
    """`max_thinking_tokens` bounds all chunks of a thought together. 0 < `carry_tokens` < `chunk_tokens`."""

    chunk_tokens: int
    carry_tokens: int

    @property
    def name(self) -> str:
        return "bounded_thinking"

    def course_maker(self, clip: ClipFrames, question: Question) -> Callable[[], ChunkedCourse]:
        return partial(
            ChunkedCourse,
            question,
            ruling=self.ruling(clip, question),
            max_answer_tokens=self.max_answer_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
            given=self.given_tokens(clip, question),
            measures=self.measures,
            chunk_tokens=self.chunk_tokens,
        )

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer:
        """The next chunk, or the answer: its seconds are those of all chunks, its prompt is the first one's."""
        first, last = finished[0], finished[-1]
        course = last.course
        assert isinstance(course, ChunkedCourse)
        for one in finished[:-1]:  # else a thought of n chunks would be kept n times
            assert isinstance(one.course, ChunkedCourse)
            one.course.let_go()
        if course.is_cut:
            return [self._next_chunk(first.ask, course)]
        return course.to_answer(
            replace(
                first,
                engine_seconds=sum(one.engine_seconds for one in finished),
                prompt_seconds=sum(one.prompt_seconds for one in finished),
                thinking_seconds=sum(one.thinking_seconds for one in finished),
            )
        )

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        """One for each chunk; all that is written is counted once. The last one has the closing and the answer."""
        if not self._may_think(question):
            return super().budgets(question)
        return [self._budget(number) for number in range(1, self._max_chunks + 1)]

    def document(self) -> dict[str, Any]:
        return {**super().document(), "chunk_tokens": self.chunk_tokens, "carry_tokens": self.carry_tokens}

    @property
    def _max_chunks(self) -> int:
        return -(-self.max_thinking_tokens // self.chunk_tokens)

    def _budget(self, number: int) -> TokenBudget:
        """Of the chunk with this number, from 1, where the question may be thought about."""
        is_first, is_last = number == 1, number == self._max_chunks
        thought = self.max_thinking_tokens - (number - 1) * self.chunk_tokens if is_last else self.chunk_tokens
        return TokenBudget(
            num_tokens=thought + (is_first + is_last) * self.max_answer_tokens,
            forced_texts=(FORCED_CLOSING,) if is_last else (),
            num_carried=0 if is_first else self.max_answer_tokens + MAX_OPENING_TOKENS + self.carry_tokens,
        )

    def _next_chunk(self, first: Ask, course: ChunkedCourse) -> Ask:
        return Ask(
            clip=first.clip,
            question=first.question,
            suffix=first.suffix,
            carried=course.kept_tokens(self.carry_tokens),
            make_course=course.next_chunk,
            budget=self._budget(course.num_chunks + 1),
            label=f"chunk {course.num_chunks + 1}",
        )


@dataclass(frozen=True, kw_only=True)
class DeepenedInChunks(Deepened, BoundedThinking):
    """Goes on from a first answer that is there, and thinks in chunks."""

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer:
        outcome = BoundedThinking.after(self, finished, num_open)
        if isinstance(outcome, Answer):
            self.check(outcome, finished)
        return outcome


class ChunkedCourse(TwoAnswerCourse):
    """The tokens of all chunks so far. It is over at the end of a chunk too (`is_cut`), and `next_chunk` goes on."""

    def __init__(self, question: Question, *, chunk_tokens: int, **how: Any) -> None:
        """`how`: as in TwoAnswerCourse."""
        super().__init__(question, **how)
        self.num_chunks = 1
        self.is_cut = False
        self._chunk_tokens = chunk_tokens

    @property
    def is_over(self) -> bool:
        return self.is_cut or super().is_over

    def append(self, token: Token) -> None:
        super().append(token)
        if not self.is_over and self._num_tokens_when_closed is None:
            self.is_cut = self.num_thinking_tokens >= self.num_chunks * self._chunk_tokens

    def next_chunk(self) -> ChunkedCourse:
        """A fresh course that has all tokens of this one, which is cut; this one stays as it is."""
        course = copy.copy(self)
        course.token_ids, course._tokens = list(self.token_ids), list(self._tokens)
        course._finder, course.forced = self._finder.copy(), deque()
        course.is_cut, course.num_chunks = False, self.num_chunks + 1
        return course

    def let_go(self) -> None:
        """Of its tokens, which the next chunk has: nothing can be read of it any more."""
        self.token_ids, self._tokens, self._finder = [], [], BoxFinder()

    def kept_tokens(self, carry_tokens: int) -> tuple[int, ...]:
        """What the next chunk's context has behind the prompt. Tokens between the opening and the last `carry_tokens`
        are left out; where there are none of these, it is all that was written."""
        num_head = self._num_answer_tokens + self._count_opening_tokens()
        start = max(num_head, len(self.token_ids) - carry_tokens)
        return (*self.token_ids[:num_head], *self.token_ids[start:])

    def to_answer(self, finished: FinishedAsk) -> Answer:
        return replace(super().to_answer(finished), num_chunks=self.num_chunks if self.num_thinking_tokens else None)

    def _count_opening_tokens(self) -> int:
        """Tokens up to the end of a `<think>` that the thought begins with; 0 where it begins with something else."""
        text = self._finder.text(self._thinking_start)
        opening = text[: len(text) - len(text.lstrip())] + THINK_OPENING
        if not text.startswith(opening):
            return 0
        tokens = self._finder.tokens_overlapping(self._thinking_start, self._thinking_start + len(opening.encode()))
        count = tokens.stop - self._num_answer_tokens
        return count if count <= MAX_OPENING_TOKENS else 0
