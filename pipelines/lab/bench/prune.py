"""`bench prune`: how many video tokens of films stay under `frames.prune`, and what prefills of the rest cost.

Each clip is seen once, and prefilled as a run does it, one at a time, for each setting. Without a checkpoint of one's
own the model has random weights: its speed is that of its shape, and what stays is what a tower that has learnt nothing
tells apart.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from framegate.pipelines.lab.bench.engines.checkpoint import make_checkpoint
from framegate.pipelines.lab.bench.overlap import Sizes, decode_clips, make_still_film
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.kv_cache import KVCache
from framegate.pipelines.reason.engines.own.prefill import PrefixPass
from framegate.pipelines.reason.engines.own.runner import prune_clip
from framegate.pipelines.reason.engines.own.seen_steps import SeenSteps, VideoFeatures
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.config.pruning import PruneByChange, PruneByRate, PruneConfig

_SYSTEM_PROMPT: Final = "Answer questions about the video."


@dataclass(frozen=True, kw_only=True)
class PruneFigures:
    """Of one film and one setting of `frames.prune`, all clips together. Seconds are the processor's, which other
    processes hardly change; those of prefills are medians over the repeats, with what it takes to choose the tokens.

    kept_share      of the clips' video tokens: those that stay
    vision_seconds  the same with every setting
    prefill_share   seconds of prefills with pruning by those without
    """

    film: str
    method: str
    value: float
    num_clips: int
    kept_share: float
    vision_seconds: float
    prefill_seconds: float
    prefill_share: float


def measure_prune(
    files: Sequence[Path],
    sizes: Sizes,
    *,
    model: str | None,
    thresholds: Sequence[float],
    rates: Sequence[float],
    num_repeats: int,
) -> Iterator[PruneFigures]:
    """First two made films of a camera that does not move, then the files; each without pruning, then with each
    setting. Raises VideoError, StorageError, EngineError."""
    prunes: list[PruneConfig] = [PruneByChange(method="change", threshold=value) for value in thresholds]
    prunes += [PruneByRate(method="evs", rate=value) for value in rates]
    with tempfile.TemporaryDirectory(prefix="framegate-prune-") as folder:
        if model is None:
            model = str(make_checkpoint(Path(folder, "model"), sizes.family, sizes.num_parameters, seed=0).folder)
        checkpoint = Checkpoint(model, revision=None, dtype=sizes.dtype, device="cpu")
        films = [Path(folder, f"{name}.mp4") for name in ("made-still", "made-still-noisy")]
        for film, noise in zip(films, (0, 2), strict=True):
            make_still_film(film, noise=noise)
        for path in (*films, *files):
            clips = decode_clips(path, ClipsConfig(seconds=sizes.clip_seconds), sizes.frames)
            seen, vision_seconds = see_clips(clips, checkpoint, _SYSTEM_PROMPT, sizes.frames)
            plain = time_prefills(seen, checkpoint, None, num_repeats)
            for prune in (None, *prunes):
                outcome = plain if prune is None else time_prefills(seen, checkpoint, prune, num_repeats)
                yield PruneFigures(
                    film=path.stem,
                    method="none" if prune is None else prune.method,
                    value=_value(prune),
                    num_clips=len(clips),
                    kept_share=round(outcome.num_kept / plain.num_kept, 4),
                    vision_seconds=round(vision_seconds, 3),
                    prefill_seconds=round(outcome.seconds, 3),
                    prefill_share=round(outcome.seconds / plain.seconds, 3),
                )


def _value(prune: PruneConfig | None) -> float:
    if prune is None:
        return 0.0
    return prune.rate if isinstance(prune, PruneByRate) else prune.threshold


class Outcome(NamedTuple):
    """Video tokens that stay, and seconds of prefilling all clips."""

    num_kept: int
    seconds: float


Seen = Sequence[tuple[ClipPrefix, VideoFeatures]]


def see_clips(
    clips: Sequence[FrameBatch], checkpoint: Checkpoint, system_prompt: str, limits: FramesConfig
) -> tuple[Seen, float]:
    """What the vision tower makes of clips, and its seconds. What they share is seen once."""
    seen: list[tuple[ClipPrefix, VideoFeatures]] = []
    steps = SeenSteps()
    started = time.process_time()
    for frames in clips:
        prefix = checkpoint.lay_out(frames, float(frames.pts_seconds[0]), system_prompt=system_prompt, limits=limits)
        (features,) = checkpoint.see([prefix.video], steps)
        seen.append((prefix, features))
    return seen, time.process_time() - started


def time_prefills(seen: Seen, checkpoint: Checkpoint, prune: PruneConfig | None, num_repeats: int) -> Outcome:
    """Of the repeats; one more goes before them, in which memory is touched for the first time."""
    cache = KVCache(checkpoint.kv_shape, checkpoint.device, memory_bytes=None)
    cache.reserve_clips(1, max(len(prefix.token_ids) for prefix, _ in seen))
    num_kept, *_ = _prefill(seen, checkpoint, cache, prune)
    return Outcome(num_kept, median(_prefill(seen, checkpoint, cache, prune).seconds for _ in range(num_repeats)))


def _prefill(seen: Seen, checkpoint: Checkpoint, cache: KVCache, prune: PruneConfig | None) -> Outcome:
    """Prune and prefill clips, each in place of the one before."""
    num_kept = 0
    started = time.process_time()
    for prefix, features in seen:
        if prune is not None:
            prefix, features = prune_clip(prefix, features, prune)
        num_kept += prefix.num_video_tokens
        prefix_pass = PrefixPass(cache.clip_store, 0, [len(prefix.token_ids)])
        checkpoint.prefill_prefixes([prefix], [features], prefix_pass)
    return Outcome(num_kept, time.process_time() - started)
