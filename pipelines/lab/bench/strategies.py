"""`bench strategies`: films of the dock, one job for each strategy over them, and the right answers as a file.

The strategies are those of the configuration, in its order, so that a new one is here by itself. Each job has the
strategy's own defaults but for lengths: those that the packaged checkpoint was trained for, chunks of thought that are
shorter than its long thoughts, and chunks of video that are shorter than its clips.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from framegate.pipelines import flow
from framegate.pipelines.lab.dock.demo import DEMO_SEED, BankEntry, dump_yaml, question_mapping, write_file
from framegate.pipelines.lab.dock.evaluation import dock_settings
from framegate.pipelines.lab.dock.question_sets import QuestionSet
from framegate.pipelines.lab.dock.world.film import encode_mp4
from framegate.pipelines.lab.dock.world.scene import Scene
from framegate.schemas.config import RunConfig
from framegate.schemas.job import load_job

_LENGTHS: Final = {"max_answer_tokens": 16, "max_thinking_tokens": 224, "chunk_tokens": 96, "carry_tokens": 64}

_SHORT_CLIPS: Final[Mapping[str, Mapping[str, Any]]] = {"streaming": {"chunk_seconds": 8}}
"""Clips of the dock last 11 to 20 s: one chunk by the defaults, and the gate itself."""


@dataclass(frozen=True, kw_only=True)
class StrategyFiles:
    """`jobs` by strategy; all of them write to one output. `labels`: what `framegate compare --labels` takes."""

    jobs: Mapping[str, Path]
    labels: Path


def make_strategies(
    folder: Path, strategies: Iterable[str], *, asked: QuestionSet, num_clips: int, model: Path | None
) -> StrategyFiles:
    """Writes everything below `folder`. What is there with the same bytes stays, so that a second call finds the work
    of the first one done."""
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    rng = random.Random(DEMO_SEED)
    scenes: dict[str, Scene] = {}
    for number in range(num_clips):
        name = f"dock-{number:03d}.mp4"
        scenes[name], film = asked.draw(rng)
        write_file(videos / name, encode_mp4(film))
    write_file(folder / "questions.yaml", dump_yaml([question_mapping(entry.question) for entry in asked.bank]))
    jobs = {strategy: folder / f"{strategy}.yaml" for strategy in strategies}
    for strategy, path in jobs.items():
        job = {
            "input": {"videos": "videos"},
            "questions": "questions.yaml",
            **dock_settings(strategy=strategy, model=model),
            "gate": _gate(strategy),
            "output": {"uri": "index"},
            "decode": {"sandbox": False},  # nobody else wrote these films, and a process less starts for each job
        }
        write_file(path, dump_yaml(job))
    labels = folder / "labels.csv"
    _write_labels(labels, videos, scenes, asked.bank)
    return StrategyFiles(jobs=jobs, labels=labels)


def run_strategy(path: Path) -> bool:
    """Runs the job in this process, one video after the other; whether nothing of it is left undone. What is there
    already stays. Raises FramegateError where it cannot run, as where the engine lacks what the strategy needs."""
    return flow.run(load_job(path), in_process=True, accept_new_config=True).is_complete


def _gate(strategy: str) -> dict[str, Any]:
    named = {"strategy": strategy}
    config = RunConfig.model_validate(
        {"gate": named, "model": {"name": "dock"}, "input": {"videos": "-"}, "questions": [], "output": {"uri": "-"}}
    )
    known = type(config.gate).model_fields
    lengths = {key: value for key, value in _LENGTHS.items() if key in known}
    return {**named, **lengths, **_SHORT_CLIPS.get(strategy, {})}


def _write_labels(path: Path, videos: Path, scenes: Mapping[str, Scene], bank: Iterable[BankEntry]) -> None:
    """Without questions that have no answer in a scene: when a black crate passed, where none did."""
    entries = tuple(bank)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["video_uri", "clip_index", "question_id", "label"])
        for name, scene in scenes.items():
            for entry in entries:
                if (truth := entry.truth(scene)) is not None:
                    rows.writerow([str((videos / name).resolve()), 0, entry.question.id, truth])
