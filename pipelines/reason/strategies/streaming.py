"""One question over a long clip, or a whole video, chunk after chunk: a context of bounded size, however long the video
is. After StreamingVLM (arXiv 2510.09608).

    chunk 1   system, [1]                               question   ──> `no`
    chunk 2   system, [1][2]    by second 30: no,       question   ──> `no`
    chunk 3   system,    [2][3] by 30: no, by 60: no,   question   ──> `yes` ──sure──> exit
                                                                           └──unsure──> thinks, and answers again

Each ask reads a prompt of its own: the system turn, which is always the first (the attention sink), the frames of the
last `window_chunks` chunks, answers at the ends of earlier chunks, as text (the last ones, up to `carry_bytes`), and
the question. Positions count on from 0 without a hole. What the paper keeps in the cache, and turns to new positions,
is read anew here: a chunk's frames are read `window_chunks` times, and no key depends on what has been left out. The
vision tower runs each of them once. A clip of one chunk is the gate's, token for token.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np

from framegate.pipelines.reason.asking.prompt import suffix_after_video
from framegate.pipelines.reason.strategies.frame_steps import FRAMES_PER_STEP
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.many_asks import ManyAsks, by_label, read, to_row
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames, FinishedAsk, TokenBudget
from framegate.schemas.clip import FrameBatch
from framegate.schemas.qa import Answer, Question

SLACK: Final = 0.1
"""Of a chunk: a clip that is longer than whole chunks by no more has no further one (films of 30 s last 30.03 s)."""

SHOWN: Final = (
    "You are shown a video of {total} seconds in pieces, one after the other. These are seconds {start} to {end}."
)
BEFORE: Final = "Your answers so far, each about all that had been shown by then:"
CARRIED: Final = "by second {end}: {answer}"
NOW: Final = "Answer now about all that has been shown up to second {end}."
"""The words before the question of a clip of several chunks: part of config_id. Before it, since a model that was
trained to answer first boxes an answer behind a question, and less often behind other words."""

MAX_WORDS_BYTES: Final = 320
"""Of these, without the carried answers. Seconds of a year have ten characters."""

MIN_CARRIED_BYTES: Final = 14
"""Of one carried answer: `by second 1: A`."""


class Chunk(NamedTuple):
    """Frames [first, end) of a clip, and the seconds of the clip that they stand for."""

    first: int
    end: int
    start_seconds: float
    end_seconds: float


def cut_chunks(frames: FrameBatch, clip_start_seconds: float, *, chunk_seconds: float, max_chunks: int) -> list[Chunk]:
    """A clip's chunks, at least one: equal parts of its time, of `chunk_seconds` or a little less or more, and longer
    where they would be more than `max_chunks`. Each has whole temporal steps. A part in which none begins is left out.
    """
    seconds = frames.duration_seconds
    num_parts = min(max_chunks, max(1, math.ceil(seconds / chunk_seconds - SLACK)))
    length = seconds / num_parts
    firsts = frames.pts_seconds[::FRAMES_PER_STEP] - clip_start_seconds
    parts = np.clip(np.floor(firsts / length + 1e-6).astype(int), 0, num_parts - 1)
    numbers, steps = np.unique(parts, return_index=True)
    starts = [*(int(step) * FRAMES_PER_STEP for step in steps), len(frames)]
    return [
        Chunk(starts[place], starts[place + 1], number * length, (number + 1) * length)
        for place, number in enumerate(numbers.tolist())
    ]


@dataclass(frozen=True, kw_only=True)
class Streaming(ManyAsks):
    """The answer at the end of the last chunk is the row's: that ask is the gate's, and thinks where its first answer
    is below `threshold`. Asks of earlier chunks give a first answer alone. One that cannot be read is not carried.

    Seconds that the model is told, and answers with, are those of the clip. All but `threshold` is part of `document`.
    """

    threshold: float
    chunk_seconds: float
    window_chunks: int
    carry_bytes: int
    max_chunks: int

    @property
    def name(self) -> str:
        return "streaming"

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        return [self._next(clip, question, ())]

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        last = finished[-1]
        if len(finished) < len(self._chunks(last.ask.clip)):
            return [self._next(last.ask.clip, last.ask.question, finished)]
        answer = read(last)
        return to_row(answer, by_label(finished), reason=answer.verdict.reason, threshold=answer.threshold)

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        """As many as the longest clip has chunks."""
        earlier = [self._with_carried(self.answer_budget)] * (self.max_chunks - 1)
        return [*earlier, *(self._with_carried(budget) for budget in self._gate.budgets(question))]

    def document(self) -> dict[str, Any]:
        return {
            "strategy": self.name,
            "chunk_seconds": self.chunk_seconds,
            "window_chunks": self.window_chunks,
            "carry_bytes": self.carry_bytes,
            "max_chunks": self.max_chunks,
            "words": [SHOWN, BEFORE, CARRIED, NOW, "{question}"],
            **self.limits(),
        }

    @property
    def _gate(self) -> Gated:
        return Gated(
            threshold=self.threshold,
            max_answer_tokens=self.max_answer_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
        )

    def _with_carried(self, budget: TokenBudget) -> TokenBudget:
        """A text has at most as many tokens as bytes."""
        return replace(budget, num_carried=MAX_WORDS_BYTES + self.carry_bytes)

    def _chunks(self, clip: ClipFrames) -> list[Chunk]:
        return cut_chunks(clip.frames, clip.start_seconds, chunk_seconds=self.chunk_seconds, max_chunks=self.max_chunks)

    def _next(self, clip: ClipFrames, question: Question, finished: Sequence[FinishedAsk]) -> Ask:
        """The ask about the chunk behind those that are finished."""
        chunks, place = self._chunks(clip), len(finished)
        label = f"chunk {place + 1}"
        if place + 1 < len(chunks):
            ask = self.first_answer(label, clip, question, self.threshold_of(question, self.threshold))
        else:
            (ask,) = self._gate.begin(clip, question)
            ask = replace(ask, label=label)
        if len(chunks) == 1:
            return ask
        window = chunks[max(0, place + 1 - self.window_chunks) : place + 1]
        seen = (window[0].first, window[-1].end)
        words = self._words(clip.frames.duration_seconds, window, self._carried(finished, chunks))
        return replace(
            ask,
            suffix=suffix_after_video(question, told=words),
            frames=None if seen == (0, len(clip.frames)) else tuple(range(*seen)),
            budget=self._with_carried(ask.budget),
            in_step=place > 0,
        )

    def _carried(self, finished: Sequence[FinishedAsk], chunks: Sequence[Chunk]) -> Sequence[str]:
        """Lines for the last answers that can be read, oldest first, of `carry_bytes` together at most."""
        lines: deque[str] = deque()
        room = self.carry_bytes
        newest = zip(reversed(finished), reversed(chunks[: len(finished)]), strict=True)
        for one, chunk in islice(newest, self.carry_bytes // MIN_CARRIED_BYTES):
            answer = read(one)
            if answer.answer is None:
                continue
            content = " ".join((answer.answer_first or "").split())
            line = CARRIED.format(end=_seconds(chunk.end_seconds), answer=content)
            room -= len(line.encode()) + 1
            if room < 0:
                break
            lines.appendleft(line)
        return lines

    @staticmethod
    def _words(total_seconds: float, window: Sequence[Chunk], carried: Sequence[str]) -> str:
        start, end = _seconds(window[0].start_seconds), _seconds(window[-1].end_seconds)
        shown = SHOWN.format(total=_seconds(total_seconds), start=start, end=end)
        return "\n".join([shown, *((BEFORE, *carried) if carried else ()), NOW.format(end=end)])


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}".removesuffix(".0")
