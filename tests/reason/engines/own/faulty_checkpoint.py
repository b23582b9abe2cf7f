"""A checkpoint that fails where a test says so, and works like any other where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.prefill import PrefixPass
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix
from framegate.pipelines.reason.models.preprocess import ScaledVideo
from framegate.pipelines.reason.questions import QuestionRunner
from framegate.schemas.clip import FrameBatch

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class FaultyCheckpoint(Checkpoint):
    """What a test puts in place of these may raise. `after_...` is called when the pass has been run: all is spoilt by
    then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), revision=None, dtype="float32", device="cpu")
        self.before_layout: Callable[[FrameBatch], None] = lambda frames: None
        self.after_see: Callable[[Sequence[ScaledVideo]], None] = lambda videos: None
        self.after_prefixes: Callable[[Sequence[ClipPrefix], PrefixPass], None] = lambda prefixes, prefix_pass: None
        self.after_rows: Callable[[int], None] = lambda num_rows: None

    def lay_out(self, frames, *args, **kwargs):
        self.before_layout(frames)
        return super().lay_out(frames, *args, **kwargs)

    def see(self, videos, *args):
        features = super().see(videos, *args)
        self.after_see(videos)
        return features

    def prefill_prefixes(self, prefixes, features, prefix_pass):
        super().prefill_prefixes(prefixes, features, prefix_pass)
        self.after_prefixes(prefixes, prefix_pass)

    def run_rows(self, *args, **kwargs):
        logits_BV = super().run_rows(*args, **kwargs)
        self.after_rows(len(logits_BV))
        return logits_BV


def raise_at(number: int, error: Exception):
    """Something that raises when it is called for the `number`-th time, and takes any arguments."""
    calls = []

    def count(*args) -> None:
        calls.append(args)
        if len(calls) == number:
            raise error

    return count


def assert_nothing_is_left(runner: QuestionRunner) -> None:
    """Of `runner`, over our own engine, once all questions have come back."""
    engine = runner.engine
    cache = engine.runner.cache
    assert runner.num_unfinished == engine.num_unfinished == 0
    assert engine.running == []
    assert runner.step() == []
    assert not any((engine.scheduler.running, engine.scheduler.clips))
    assert not any((cache.rows, cache.prefix_tokens, cache.num_thinking, cache.num_keys))
