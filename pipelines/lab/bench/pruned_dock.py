"""`bench pruned-dock`: how much pruning may be certified where nothing happens for much of the time, and its saving.

Films are those of the dock's world, each followed by seconds in which the dock stands empty: the same pixels in every
frame. They are asked questions of the demo, by the packaged checkpoint, in this process, as a gated job that prunes and
audits. `framegate calibrate` is made of what it answered.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate.pipelines import flow
from framegate.pipelines.certify.calibrate import Findings
from framegate.pipelines.certify.of_output import calibrate_output, store
from framegate.pipelines.certify.request import Request
from framegate.pipelines.lab.bench.certificate.confirmation import check_complete
from framegate.pipelines.lab.bench.overlap import decode_clips
from framegate.pipelines.lab.bench.prune import Seen, see_clips, time_prefills
from framegate.pipelines.lab.dock.demo import BANK, question_mapping
from framegate.pipelines.lab.dock.evaluation import dock_settings
from framegate.pipelines.lab.dock.world.film import draw_film, encode_mp4
from framegate.pipelines.lab.dock.world.scene import MAX_CRATES, MIN_CRATES, draw_scene
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.schemas.config.gate_parts import AuditConfig
from framegate.schemas.config.pruning import PruneByChange
from framegate.schemas.job import Job, parse_job

FILM_SEED: Final = 7_100_000  # of films that no other part of the lab has
QUESTION_IDS: Final = tuple(entry.question.id for entry in BANK)
_PREFILL_CLIPS: Final = 24


@dataclass(frozen=True, kw_only=True)
class PrefillFigures:
    """Of one threshold. Seconds are the processor's: medians over the repeats, with what it takes to choose the tokens;
    the share is by those without pruning."""

    threshold: float
    video_share: float
    prompt_share: float
    prefill_seconds: float
    prefill_share: float


@dataclass(frozen=True, kw_only=True)
class DockSizes:
    """How many films, the seconds after the last crate, the questions by id, the share of rows that is audited."""

    num_clips: int
    idle_seconds: int
    question_ids: tuple[str, ...]
    audit_rate: float


def make_films(folder: Path, sizes: DockSizes) -> list[Path]:
    """Those that are there already stay."""
    films = folder / f"films-{sizes.idle_seconds}"
    films.mkdir(parents=True, exist_ok=True)
    rng = random.Random(FILM_SEED)
    paths: list[Path] = []
    for number in range(sizes.num_clips):
        scene, own = draw_scene(rng, rng.randint(MIN_CRATES, MAX_CRATES)), random.Random(rng.getrandbits(64))
        paths.append(films / f"dock-{number:05d}.mp4")
        if not paths[-1].exists():
            paths[-1].write_bytes(encode_mp4(draw_film(scene, own, idle_seconds=sizes.idle_seconds)))
    return paths


def certify_dock(
    films: Sequence[Path],
    folder: Path,
    sizes: DockSizes,
    *,
    thresholds: Sequence[float],
    epsilon: float,
    delta: float,
    model: Path | None,
) -> Findings:
    """Answers all films anew at the lowest threshold, audits the others, and keeps the calibration. FramegateError."""
    output = folder / "index"
    shutil.rmtree(output, ignore_errors=True)
    job = _job(films, output, sizes, thresholds, model)
    summary = flow.run(job, in_process=True)
    check_complete(summary)
    audit = AuditConfig(rate=sizes.audit_rate)
    findings = calibrate_output(
        job.config.output, Request(job=None, config_id=summary.config_id, audit=audit, epsilon=epsilon, delta=delta)
    )
    store(job.config.output, findings)
    return findings


def measure_prefills(
    films: Sequence[Path], *, thresholds: Sequence[float], num_repeats: int, model: Path | None
) -> Iterator[PrefillFigures]:
    """Prefills of some of the films, one clip at a time, without pruning and at each threshold."""
    settings: Any = dock_settings(strategy="gated", model=model)
    job = _job(
        films,
        Path("unused"),
        DockSizes(num_clips=1, idle_seconds=0, question_ids=QUESTION_IDS, audit_rate=1),
        [0.1],
        model,
    )
    config = job.config
    checkpoint = Checkpoint(config.model.name, revision=None, dtype=config.model.dtype, device="cpu")
    seen: Seen = []
    for film in films[:_PREFILL_CLIPS]:
        clips = decode_clips(film, config.clips, config.frames)
        seen = [*seen, *see_clips(clips, checkpoint, settings["prompt"]["system"], config.frames)[0]]
    num_video, num_prompt = (
        sum(count) for count in zip(*((p.num_video_tokens, len(p.token_ids)) for p, _ in seen), strict=True)
    )
    plain = 0.0
    for threshold in (0.0, *thresholds):
        prune = PruneByChange(method="change", threshold=threshold) if threshold else None
        outcome = time_prefills(seen, checkpoint, prune, num_repeats)
        plain = plain or outcome.seconds
        yield PrefillFigures(
            threshold=threshold,
            video_share=round(outcome.num_kept / num_video, 4),
            prompt_share=round((num_prompt - num_video + outcome.num_kept) / num_prompt, 4),
            prefill_seconds=round(outcome.seconds, 4),
            prefill_share=round(outcome.seconds / plain, 3),
        )


def _job(films: Sequence[Path], output: Path, sizes: DockSizes, thresholds: Sequence[float], model: Path | None) -> Job:
    settings: Any = dock_settings(strategy="gated", model=model)
    lowest, *others = sorted(thresholds)
    bank = [entry.question for entry in BANK if entry.question.id in sizes.question_ids]
    return parse_job(
        {
            "input": {"videos": [str(film) for film in films]},
            "questions": [question_mapping(question) for question in bank],
            **settings,
            "frames": {
                **settings["frames"],
                "prune": {"method": "change", "threshold": lowest, "audit_thresholds": others},
            },
            "gate": {**settings["gate"], "audit": {"rate": sizes.audit_rate}},
            "output": {"uri": str(output)},
        }
    )
