"""The one piece of work that all systems do: clips, questions, and how many tokens are written.

Frames are made, not decoded: moving shapes under noise, the same for a seed. Random weights never write a box, so
lengths are fixed: a first answer is `num_answer_tokens` tokens, thinking `num_thinking_tokens` more, and no token ends
anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from framegate.pipelines.lab.bench.engines.fixed_length import FixedLength, make_fixed_length
from framegate.pipelines.reason.questions import ClipRequest
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import FramesConfig
from framegate.schemas.qa import Question

FPS = 2.0
SMALLEST_SQUARE = 28  # pixels of the sides of one token's picture; of two frames, in both families
_NUM_SHAPES = 3
_STEMS = (
    "Which shape moves first?",
    "Is there a bright disc near the left edge at any time?",
    "How many discs are there in all, and how many of them are larger than the others?",
    "Where does the largest disc stand in the end?",
    "Does the darkest disc ever stand still, and if it does, for how long and at which place of the picture?",
    "What happens?",
    "In which order do the discs pass the middle of the picture, counted from the first frame on?",
    "Is the background dark?",
)
_ADDITIONS = ("", " Look at the first half alone.", " Look at the last half alone.", " Leave the smallest disc out.")


@dataclass(frozen=True, kw_only=True)
class EngineWork:
    """`num_videos` clips of `num_frames` frames, `size` pixels square, each asked the same `num_questions`."""

    num_videos: int
    num_questions: int
    num_frames: int
    size: int
    num_answer_tokens: int
    num_thinking_tokens: int
    seed: int = 0

    @property
    def num_asked(self) -> int:
        """Questions over all clips."""
        return self.num_videos * self.num_questions

    @property
    def num_written(self) -> int:
        """Tokens of a question that thinks."""
        return self.num_answer_tokens + self.num_thinking_tokens

    @property
    def limits(self) -> FramesConfig:
        """Under which frames are taken as they are, and engines get ready for nothing larger."""
        num_squares = -(-self.size // SMALLEST_SQUARE)
        return FramesConfig(
            max_frames=self.num_frames,
            max_video_tokens=-(-self.num_frames // 2) * num_squares**2,
            min_frame_pixels=self.size**2,
            max_frame_pixels=self.size**2,
        )

    def strategy(self, name: str, threshold: float) -> FixedLength:
        return make_fixed_length(
            name, threshold, num_answer_tokens=self.num_answer_tokens, num_thinking_tokens=self.num_thinking_tokens
        )

    def with_other_frames(self) -> EngineWork:
        """The same shapes, nothing of which could be in a cache."""
        return replace(self, seed=self.seed + 1_000_000)

    def requests(self) -> list[ClipRequest]:
        questions = make_questions(self.num_questions)
        return [
            ClipRequest(
                id=f"clip-{self.seed}-{number}",
                frames=make_frames(self.seed + number, self.num_frames, self.size),
                clip_start_seconds=0.0,
                questions=questions,
            )
            for number in range(self.num_videos)
        ]


def make_questions(number: int) -> tuple[Question, ...]:
    """So many, each in words of its own and of 12 to 40 tokens; what a longer list begins with is the shorter one."""
    texts = []
    for index in range(number):
        turn, stem = divmod(index, len(_STEMS))
        again, addition = divmod(turn, len(_ADDITIONS))
        count = f" Answer {again + 1} times." if again else ""
        texts.append(_STEMS[stem] + _ADDITIONS[addition] + count)
    return tuple(Question(id=f"q{index}", text=text, type="text") for index, text in enumerate(texts))


def make_frames(seed: int, num_frames: int, size: int) -> FrameBatch:
    """Discs that wander over a background, under noise of up to 16 grey levels, at FPS frames a second."""
    chance = np.random.default_rng(seed)
    background, colours = chance.integers(0, 256, 3), chance.integers(0, 256, (_NUM_SHAPES, 3))
    centres = chance.uniform(0.2, 0.8, (_NUM_SHAPES, 2)) * size
    steps = chance.uniform(-0.04, 0.04, (_NUM_SHAPES, 2)) * size
    radii = chance.uniform(0.08, 0.2, _NUM_SHAPES) * size
    rows, columns = np.mgrid[:size, :size]
    frames = np.empty((num_frames, size, size, 3), np.uint8)
    for time, frame in enumerate(frames):
        pixels = np.broadcast_to(background, frame.shape) + chance.integers(-16, 17, frame.shape)
        for colour, centre, step, radius in zip(colours, centres, steps, radii, strict=True):
            row, column = (centre + time * step) % size
            pixels[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = colour
        frame[:] = pixels.clip(0, 255)
    return FrameBatch(frames_THWC=frames, pts_seconds=np.arange(num_frames) / FPS, duration_seconds=num_frames / FPS)
