"""Training examples: one clip, several questions, the full answers (answer, think, answer again), weighted by token.

The questions of a clip share its prefix, as they do in the engine: each of them sees the clip and itself, not its
neighbours. Four questions cost 456 tokens instead of 831 that way (mean over clips of 11 crates).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from framegate.pipelines.lab.dock.training.checkpoint import SYSTEM_PROMPT
from framegate.pipelines.lab.dock.training.frame_library import FrameLibrary
from framegate.pipelines.lab.dock.world.asking import Asked, ask_multi_step, ask_perception
from framegate.pipelines.lab.dock.world.scene import MAX_CRATES, draw_scene
from framegate.pipelines.reason.asking.prompt import (
    BOX_OPENING,
    THINK_CLOSING,
    THINK_OPENING,
    prefix_before_video,
    suffix_after_video,
)

QUESTIONS_PER_CLIP = 4  # perception and multi-step in turn
SHARE_OF_PERCEPTION_WITH_THOUGHT = 0.35  # the rest ends after the first box: cheaper, and the thought is learnt too
# A thought that always follows a true first answer teaches to copy that answer: the second one then was the first one
# again, whatever the thought had found. So half of all thoughts follow a wrong first answer, which carries no loss.
SHARE_OF_WRONG_FIRST = 0.5


class Role(IntEnum):
    """What a token is to a model that learns to predict it."""

    GIVEN = 0
    FRAMEWORK = 1  # boxes and tags: the same in every example
    FIRST_PERCEPTION = 2
    FIRST_MULTI_STEP = 3
    THOUGHT = 4
    SECOND = 5


# The first answer of a multi-step question is mostly guesswork, so its gradient is mostly noise: it counts little,
# which changes how fast it is learnt and not where its probability settles.
ROLE_WEIGHTS = {
    Role.GIVEN: 0.0,
    Role.FRAMEWORK: 0.2,
    Role.FIRST_PERCEPTION: 8.0,
    Role.FIRST_MULTI_STEP: 1.0,
    Role.THOUGHT: 1.0,
    Role.SECOND: 2.0,
}


def seconds_stamp(second: int) -> str:
    """What stands before the frame pair of `second`, sampled at .0 and .5: the Qwen3-VL stamp of their mean time."""
    return f"<{second + 0.25:.1f} seconds>"


@dataclass(frozen=True)
class Example:
    """One clip with its questions. All lists but `pairs` are as long as the sequence.

    owners[i] is 0 for the clip's prefix and k for the k-th question; a token sees the prefix and its own question.
    positions[i] counts on from the end of the prefix in every question.
    """

    tokens: list[int]
    roles: list[int]
    owners: list[int]
    positions: list[int]
    pairs: list[int]  # rows of the library, one for each video token in order


@dataclass(frozen=True)
class Batch:
    """Examples side by side, padded at the end to length T."""

    tokens_BT: torch.Tensor
    roles_BT: torch.Tensor
    positions_BT: torch.Tensor
    visible_B1TT: torch.Tensor  # bool: row i may look at column j
    pairs: torch.Tensor


class Lessons:
    """An endless, seeded stream of examples with clips of min_crates..max_crates crates."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, library: FrameLibrary, *, seed: int) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._library = library
        self._rng = random.Random(seed)
        start, pad, end = (self._encode(f"<|{name}|>") for name in ("vision_start", "video_pad", "vision_end"))
        self._prefix = self._encode(prefix_before_video(SYSTEM_PROMPT))
        self._seconds = [self._encode(seconds_stamp(second)) + start + pad + end for second in range(MAX_CRATES)]

    def _encode(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    def draw(self, *, min_crates: int, max_crates: int) -> Example:
        rng = self._rng
        scene = draw_scene(rng, rng.randint(min_crates, max_crates))
        tokens = list(self._prefix)
        for second in range(len(scene)):
            tokens += self._seconds[second]
        num_shared = len(tokens)
        roles, owners, positions = [int(Role.GIVEN)] * num_shared, [0] * num_shared, list(range(num_shared))
        for owner in range(1, QUESTIONS_PER_CLIP + 1):
            if owner % 2:
                asked = ask_perception(rng, scene, "training")
                thinks = rng.random() < SHARE_OF_PERCEPTION_WITH_THOUGHT
            else:
                asked, thinks = ask_multi_step(rng, scene, "training"), True
            given = self._encode(str(suffix_after_video(asked.question)))
            wanted, wanted_roles = self._complete(asked, thinks)
            num_own = len(given) + len(wanted)
            tokens += given + wanted
            roles += [int(Role.GIVEN)] * len(given) + wanted_roles
            owners += [owner] * num_own
            positions += range(num_shared, num_shared + num_own)
        pairs = [self._library.draw(rng, crate) for crate in scene.crates]
        return Example(tokens, roles, owners, positions, pairs)

    def _complete(self, asked: Asked, thinks: bool) -> tuple[list[int], list[int]]:
        """The tokens that the model should produce, and their roles; a token of two parts takes the higher role."""
        first = Role.FIRST_PERCEPTION if asked.kind == "perception" else Role.FIRST_MULTI_STEP
        parts = [(BOX_OPENING, Role.FRAMEWORK), (asked.answer, first), ("}", Role.FRAMEWORK)]
        if thinks and self._rng.random() < SHARE_OF_WRONG_FIRST:
            parts = [(f"{BOX_OPENING}{asked.draw_other_answer(self._rng)}}}", Role.GIVEN)]
        if thinks:
            parts += [
                (THINK_OPENING, Role.FRAMEWORK),
                (asked.thought, Role.THOUGHT),
                (THINK_CLOSING, Role.THOUGHT),
                (BOX_OPENING, Role.FRAMEWORK),
                (asked.answer, Role.SECOND),
                ("}", Role.FRAMEWORK),
                ("<|im_end|>", Role.FRAMEWORK),
            ]
        role_of_char = np.repeat([role for _, role in parts], [len(text) for text, _ in parts])
        encoding = self._backend.encode("".join(text for text, _ in parts), add_special_tokens=False)
        return encoding.ids, [int(role_of_char[start:end].max()) for start, end in encoding.offsets]

    def batches(
        self, *, min_crates: int, max_crates: int, max_tokens: int, num_batches: int
    ) -> Iterator[list[Example]]:
        """About `num_batches` lists of examples of like length, at most `max_tokens` tokens each, in random order."""
        pool: list[Example] = []
        num_tokens = 0
        while num_tokens < num_batches * max_tokens:
            pool.append(self.draw(min_crates=min_crates, max_crates=max_crates))
            num_tokens += len(pool[-1].tokens)
        pool.sort(key=lambda example: len(example.tokens))
        groups: list[list[Example]] = [[]]
        for example in pool:
            if len(example.tokens) * (len(groups[-1]) + 1) > max_tokens:
                groups.append([])
            groups[-1].append(example)
        self._rng.shuffle(groups)
        yield from groups


def collate(examples: Sequence[Example]) -> Batch:
    """Pads at the end, where causal attention lets nothing see the padding."""
    length = max(len(example.tokens) for example in examples)

    def pad(rows: list[list[int]], value: int) -> torch.Tensor:
        return torch.tensor([row + [value] * (length - len(row)) for row in rows])

    owners = pad([example.owners for example in examples], -1)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = causal & ((owners[:, None, :] == 0) | (owners[:, None, :] == owners[:, :, None]))
    return Batch(
        tokens_BT=pad([example.tokens for example in examples], 0),
        roles_BT=pad([example.roles for example in examples], Role.GIVEN),
        positions_BT=pad([example.positions for example in examples], 0),
        visible_B1TT=visible[:, None],
        pairs=torch.tensor([pair for example in examples for pair in example.pairs]),
    )
