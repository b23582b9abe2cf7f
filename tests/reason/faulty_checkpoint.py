"""A checkpoint that fails where a test says so, and works like any other where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.prefill import PrefixPass
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix
from framegate.pipelines.reason.models.preprocess import VideoPatches

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class FaultyCheckpoint(Checkpoint):
    """What a test puts in place of these is called when the pass has been run, and may raise: all is spoilt by then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), revision=None, dtype="float32", device="cpu")
        self.after_see: Callable[[Sequence[VideoPatches]], None] = lambda videos: None
        self.after_prefixes: Callable[[Sequence[ClipPrefix], PrefixPass], None] = lambda prefixes, prefix_pass: None
        self.after_rows: Callable[[int], None] = lambda num_rows: None

    def see(self, videos):
        seen = super().see(videos)
        self.after_see(videos)
        return seen

    def prefill_prefixes(self, prefixes, features, prefix_pass):
        super().prefill_prefixes(prefixes, features, prefix_pass)
        self.after_prefixes(prefixes, prefix_pass)

    def run_rows(self, *args, **kwargs):
        logits_BV = super().run_rows(*args, **kwargs)
        self.after_rows(len(logits_BV))
        return logits_BV
