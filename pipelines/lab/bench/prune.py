"""`bench prune`: how many video tokens of films stay under `frames.prune`, and what prefills of the rest cost.

Each clip is decoded, seen and prefilled as a run does it, one at a time. Without a checkpoint of one's own the model
has random weights: its speed is that of its shape, and what stays is what a tower that has learnt nothing tells apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from framegate.pipelines.lab.bench.engines.checkpoint import make_checkpoint
from framegate.pipelines.lab.bench.overlap import Sizes, decode_clips, make_still_film
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.request import Clip
from framegate.pipelines.reason.engines.own.runner import Runner
from framegate.pipelines.reason.engines.own.seen_steps import SeenSteps
from framegate.pipelines.reason.strategies.protocol import ClipFrames
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import ClipsConfig
from framegate.schemas.config.pruning import PruneByChange, PruneByRate, PruneConfig

_SYSTEM_PROMPT: Final = "Answer questions about the video."


@dataclass(frozen=True, kw_only=True)
class PruneFigures:
    """Of one film and one setting of `frames.prune`. Seconds are medians over the repeats, of all clips together.

    kept_share     of the clips' video tokens: those that stay
    prefill_share  seconds of prefills with pruning by those without
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
            _run(clips[:1], checkpoint, sizes, None)  # what is made once is made now
            plain = _median(clips, checkpoint, sizes, None, num_repeats)
            yield _tell(path, "none", 0.0, len(clips), plain, plain)
            for prune in prunes:
                value = prune.rate if isinstance(prune, PruneByRate) else prune.threshold
                outcome = _median(clips, checkpoint, sizes, prune, num_repeats)
                yield _tell(path, prune.method, value, len(clips), outcome, plain)


class _Outcome(NamedTuple):
    num_kept: int
    num_full: int
    vision_seconds: float
    prefill_seconds: float


def _tell(path: Path, method: str, value: float, num_clips: int, outcome: _Outcome, plain: _Outcome) -> PruneFigures:
    return PruneFigures(
        film=path.stem,
        method=method,
        value=value,
        num_clips=num_clips,
        kept_share=round(outcome.num_kept / outcome.num_full, 4),
        vision_seconds=round(outcome.vision_seconds, 3),
        prefill_seconds=round(outcome.prefill_seconds, 3),
        prefill_share=round(outcome.prefill_seconds / plain.prefill_seconds, 3),
    )


def _median(
    clips: Sequence[FrameBatch], checkpoint: Checkpoint, sizes: Sizes, prune: PruneConfig | None, num_repeats: int
) -> _Outcome:
    outcomes = [_run(clips, checkpoint, sizes, prune) for _ in range(num_repeats)]
    vision, prefill = (median(seconds) for seconds in zip(*(each[2:] for each in outcomes), strict=True))
    return outcomes[0]._replace(vision_seconds=vision, prefill_seconds=prefill)


def _run(clips: Sequence[FrameBatch], checkpoint: Checkpoint, sizes: Sizes, prune: PruneConfig | None) -> _Outcome:
    """See and prefill clips; their tokens are forgotten one clip after the other."""
    runner = Runner(checkpoint, seen=SeenSteps(), prune=prune)
    num_kept = num_full = 0
    for number, frames in enumerate(clips):
        start_seconds = float(frames.pts_seconds[0])
        prefix = checkpoint.lay_out(frames, start_seconds, system_prompt=_SYSTEM_PROMPT, limits=sizes.frames)
        source = ClipFrames(id=str(number), frames=frames, start_seconds=start_seconds)
        clip = Clip(source=source, num_prefix_tokens=len(prefix.token_ids))
        runner.add_clips({clip: prefix})
        num_kept += clip.num_video_tokens
        num_full += prefix.num_video_tokens
        runner.cache.remove_clip(clip)
    return _Outcome(num_kept, num_full, runner.times.vision_seconds, runner.times.prefill_seconds)
