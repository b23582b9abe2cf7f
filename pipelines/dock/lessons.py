"""Training examples: one clip, several questions, the full answers (answer, think, answer again), weighted by token.

The questions of a clip share its prefix, as they do in the engine: each of them sees the clip and itself, not its
neighbours. Four questions cost 415 tokens instead of 760 that way (clips of 11 crates).

A `FrameLibrary` holds frame pairs that went through the real codec, so that training sees what evaluation decodes.
Knows the tokenizer and the prompt, not the model.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from pipelines.dock.asking import Asked, ask_multi_step, ask_perception
from pipelines.dock.checkpoint import PIXELS_PER_TOKEN_SIDE, SYSTEM_PROMPT
from pipelines.dock.film import FILM_FPS, draw_film, encode_mp4
from pipelines.dock.world import COLOURS, MAX_CRATES, Crate, Scene, draw_scene
from pipelines.reason.prompt import BOX_OPENING, THINK_CLOSING, THINK_OPENING, prefix_before_video, suffix_after_video

# What a token's loss counts. The first answer of a multi-step question is mostly guesswork, so its gradient is mostly
# noise: it gets little weight, which changes how fast it is learnt and not where its probability settles.
WEIGHT_FIRST_ANSWER = {"perception": 4.0, "multi_step": 0.7}
WEIGHT_SECOND_ANSWER = 2.0
WEIGHT_THOUGHT = 1.0
WEIGHT_FRAMEWORK = 0.2  # boxes and tags: the same in every example
QUESTIONS_PER_CLIP = 4  # one half perception, one half multi-step
SHARE_OF_PERCEPTION_WITH_THOUGHT = 0.3  # the rest ends after the first box: cheaper, and the thought is learnt anyway


def seconds_stamp(second: int) -> str:
    """What stands before the frame pair of `second`, sampled at .0 and .5: the Qwen3-VL stamp of their mean time."""
    return f"<{second + 0.25:.1f} seconds>"


class FrameLibrary:
    """Frame pairs by (colour, direction), cut from encoded and decoded clips: patches (pairs, 4, 1536) in -1..1."""

    def __init__(self, *, num_clips: int, seed: int) -> None:
        rng = random.Random(seed)
        self._rows: dict[Crate, list[int]] = {}
        pairs: list[np.ndarray] = []
        for number in range(num_clips):
            crates = tuple(Crate(rng.choice(COLOURS), rng.random() < 0.5) for _ in range(MAX_CRATES))
            resampling = "AREA" if number % 2 else "BICUBIC"
            frames = _decode_half_seconds(encode_mp4(draw_film(Scene(crates), rng)), resampling)
            for second, crate in enumerate(crates):
                self._rows.setdefault(crate, []).append(len(pairs))
                pairs.append(frames[2 * second : 2 * second + 2])
        self.patches = patchify_pairs(np.stack(pairs))

    def draw(self, rng: random.Random, crate: Crate) -> int:
        return rng.choice(self._rows[crate])


def _decode_half_seconds(mp4: bytes, resampling: str) -> np.ndarray:
    side = PIXELS_PER_TOKEN_SIDE
    with av.open(io.BytesIO(mp4), format="mp4") as container:
        frames = [
            frame.reformat(side, side, "rgb24", interpolation=resampling).to_ndarray()
            for number, frame in enumerate(container.decode(video=0))
            if number % (FILM_FPS // 2) == 0
        ]
    return np.stack(frames)


def patchify_pairs(pairs: np.ndarray) -> torch.Tensor:
    """uint8 (P, 2, 32, 32, 3) to normalised patches (P, 4, 3 * 2 * 16 * 16), in the order of a Qwen-VL processor."""
    pixels = torch.from_numpy(pairs).float() / 127.5 - 1.0
    grid = pixels.reshape(-1, 2, 2, 16, 2, 16, 3)  # P, time, row, y, column, x, channel
    return grid.permute(0, 2, 4, 6, 1, 3, 5).reshape(-1, 4, 1536)


@dataclass(frozen=True)
class Example:
    """One clip with its questions. All lists but `pairs` are as long as the sequence.

    owners[i] is 0 for the clip's prefix and k for the k-th question; a token sees the prefix and its own question.
    positions[i] counts on from the end of the prefix in every question.
    weights[i] is what predicting token i counts; 0 for all that is given.
    """

    tokens: list[int]
    weights: list[float]
    owners: list[int]
    positions: list[int]
    pairs: list[int]  # rows of the library, one for each video token in order


class Lessons:
    """An endless, seeded stream of examples with clips of min_crates..max_crates crates."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, library: FrameLibrary, *, seed: int) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._library = library
        self._rng = random.Random(seed)
        encode = self._encode
        start, pad, end = (
            tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("vision_start", "video_pad", "vision_end")
        )
        self._prefix = encode(prefix_before_video(SYSTEM_PROMPT))
        self._seconds = [[*encode(seconds_stamp(second)), start, pad, end] for second in range(MAX_CRATES)]
        self.video_token = pad

    def _encode(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    def draw(self, *, min_crates: int, max_crates: int) -> Example:
        rng = self._rng
        scene = draw_scene(rng, rng.randint(min_crates, max_crates))
        tokens = list(self._prefix)
        for second in range(len(scene)):
            tokens += self._seconds[second]
        num_shared = len(tokens)
        weights, owners, positions = [0.0] * num_shared, [0] * num_shared, list(range(num_shared))
        for owner in range(1, QUESTIONS_PER_CLIP + 1):
            if owner % 2:
                asked = ask_perception(rng, scene, "training")
                thinks = rng.random() < SHARE_OF_PERCEPTION_WITH_THOUGHT
            else:
                asked, thinks = ask_multi_step(rng, scene, "training"), True
            given = self._encode(suffix_after_video(asked.question))
            wanted, wanted_weights = self._complete(asked, thinks)
            num_own = len(given) + len(wanted)
            tokens += given + wanted
            weights += [0.0] * len(given) + wanted_weights
            owners += [owner] * num_own
            positions += range(num_shared, num_shared + num_own)
        pairs = [self._library.draw(rng, crate) for crate in scene.crates]
        return Example(tokens, weights, owners, positions, pairs)

    def _complete(self, asked: Asked, thinks: bool) -> tuple[list[int], list[float]]:
        """The tokens that the model should produce and what each counts."""
        first = WEIGHT_FIRST_ANSWER[asked.kind]
        parts = [(BOX_OPENING, WEIGHT_FRAMEWORK), (asked.answer, first), ("}", WEIGHT_FRAMEWORK)]
        if thinks:
            parts += [
                (THINK_OPENING, WEIGHT_FRAMEWORK),
                (asked.thought, WEIGHT_THOUGHT),
                (THINK_CLOSING, WEIGHT_THOUGHT),
                (BOX_OPENING, WEIGHT_FRAMEWORK),
                (asked.answer, WEIGHT_SECOND_ANSWER),
                ("}", WEIGHT_FRAMEWORK),
                ("<|im_end|>", WEIGHT_FRAMEWORK),
            ]
        weight_of_char = np.repeat([weight for _, weight in parts], [len(text) for text, _ in parts])
        encoding = self._backend.encode("".join(text for text, _ in parts), add_special_tokens=False)
        return encoding.ids, [float(weight_of_char[start:end].max()) for start, end in encoding.offsets]

    def batches(self, *, min_crates: int, max_crates: int, max_tokens: int, num_batches: int) -> Iterator[list[Example]]:
        """Batches of examples of like length, each of at most `max_tokens` tokens when padded, in random order."""
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
