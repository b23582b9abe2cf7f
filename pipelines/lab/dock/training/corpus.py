"""The text that the dock tokenizer learns its merges from: the text of training, in the same proportions."""

from __future__ import annotations

import random
from collections.abc import Iterator

from transformers import PreTrainedTokenizerFast

from framegate.pipelines.lab.dock.training.checkpoint import SYSTEM_PROMPT
from framegate.pipelines.lab.dock.training.lessons import seconds_stamp
from framegate.pipelines.lab.dock.training.tokenizer import build_tokenizer
from framegate.pipelines.lab.dock.world.asking import ask_multi_step, ask_perception
from framegate.pipelines.lab.dock.world.scene import MAX_CRATES, MIN_CRATES, draw_scene
from framegate.pipelines.reason.asking.prompt import BOX_OPENING, prefix_before_video, suffix_after_video

NUM_SCENES = 3000
VOCAB_SIZE = 640  # 256 bytes and enough merges that every word of the dock is one token


def dock_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the dock checkpoint; always the same."""
    return build_tokenizer(_texts(), vocab_size=VOCAB_SIZE)


def _texts() -> Iterator[str]:
    rng = random.Random(1)
    for _ in range(NUM_SCENES):
        scene = draw_scene(rng, rng.randint(MIN_CRATES, MAX_CRATES))
        yield prefix_before_video(SYSTEM_PROMPT) + seconds_stamp(rng.randrange(MAX_CRATES))
        for ask in (ask_perception, ask_multi_step):
            asked = ask(rng, scene, "training")
            yield str(suffix_after_video(asked.question))
            yield f"{BOX_OPENING}{asked.answer}}}"
            yield asked.thought
