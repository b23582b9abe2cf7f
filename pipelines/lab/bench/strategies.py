"""`bench strategies`: films of the dock, one job for each strategy over them, and the right answers as a file.

The strategies are those of the configuration, in its order, so that a new one is here by itself. Each job has the
strategy's own defaults but for the lengths that the packaged checkpoint was trained for, and those of its short clips.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from framegate.pipelines.lab.dock.demo import BANK, make_demo
from framegate.pipelines.lab.dock.evaluation import dock_settings
from framegate.pipelines.lab.dock.world.scene import Scene
from framegate.schemas.config import RunConfig

_LENGTHS: Final = {"max_answer_tokens": 16, "max_thinking_tokens": 224}

_SHORT_CLIPS: Final[Mapping[str, Mapping[str, Any]]] = {"streaming": {"chunk_seconds": 8}}
"""Clips of the dock last 11 to 20 s: one chunk by the defaults, and the gate itself."""


@dataclass(frozen=True, kw_only=True)
class StrategyFiles:
    """`jobs` by strategy; all of them write to one output. `labels`: what `framegate compare --labels` takes."""

    jobs: Mapping[str, Path]
    labels: Path


def make_strategies(folder: Path, strategies: Iterable[str], *, num_clips: int, model: Path | None) -> StrategyFiles:
    """Writes everything below `folder`. What is there with the same bytes stays, so that a second call finds the work
    of the first one done."""
    made = make_demo(folder, num_clips=num_clips)
    jobs = {strategy: folder / f"{strategy}.yaml" for strategy in strategies}
    for strategy, path in jobs.items():
        job = {
            "input": {"videos": "manifest.csv"},
            "questions": "questions.yaml",
            **dock_settings(strategy=strategy, model=model),
            "gate": _gate(strategy),
            "output": {"uri": "index"},
            "ray": {"reason_actors": {"min": 1, "max": 1}, "decode_workers": 1},
        }
        path.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    labels = folder / "labels.csv"
    _write_labels(labels, folder / "videos", made.scenes)
    return StrategyFiles(jobs=jobs, labels=labels)


def _gate(strategy: str) -> dict[str, Any]:
    named = {"strategy": strategy}
    config = RunConfig.model_validate(
        {"gate": named, "model": {"name": "dock"}, "input": {"videos": "-"}, "questions": [], "output": {"uri": "-"}}
    )
    known = type(config.gate).model_fields
    lengths = {key: value for key, value in _LENGTHS.items() if key in known}
    return {**named, **lengths, **_SHORT_CLIPS.get(strategy, {})}


def _write_labels(path: Path, videos: Path, scenes: Mapping[str, Scene]) -> None:
    """Without questions that have no answer in a scene: when a black crate passed, where none did."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["video_uri", "clip_index", "question_id", "label"])
        for name, scene in scenes.items():
            for entry in BANK:
                if (truth := entry.truth(scene)) is not None:
                    rows.writerow([str((videos / name).resolve()), 0, entry.question.id, truth])
