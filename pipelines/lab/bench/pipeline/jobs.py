"""The jobs that `bench pipeline` runs: over dock clips made for it, or over videos of the user's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from framegate.pipelines.lab.dock.demo import BANK, make_demo
from framegate.pipelines.lab.dock.evaluation import dock_settings
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job, parse_job

QUESTIONS = (
    {"id": "person", "text": "Is there a person?", "type": "yes_no"},
    {"id": "vehicles", "text": "How many vehicles pass?", "type": "number"},
    {"id": "motion", "text": "What moves first?", "type": "choice", "options": ["a person", "a vehicle", "nothing"]},
    {"id": "when", "text": "When does something enter the picture?", "type": "span"},
)


def dock_job(folder: Path, *, num_clips: int, parts: Mapping[str, Any]) -> Job:
    """A job over dock clips, drawn and encoded below `folder`, with the demo's questions. `parts` replace its own."""
    make_demo(folder, num_clips=num_clips)
    values = {
        **dock_settings(strategy="gated"),
        "input": {"videos": str(folder / "videos" / "*.mp4")},
        "questions": [_question(asdict(entry.question)) for entry in BANK],
    }
    return _job(folder, values, parts)


def videos_job(folder: Path, videos: Sequence[Path], *, num_copies: int, parts: Mapping[str, Any]) -> Job:
    """A job over copies of files or folders of videos, in clips of 10 seconds of up to 16 small frames.

    Raises ConfigError where one of them does not exist.
    """
    values = {
        "input": {"videos": [str(path) for path in _copy(_files(videos), folder / "videos", num_copies)]},
        "questions": list(QUESTIONS),
        "clips": {"seconds": 10},
        "frames": {"fps": 2, "max_frames": 16, "min_frame_pixels": 224 * 224, "max_frame_pixels": 224 * 224},
    }
    return _job(folder, values, parts)


def _job(folder: Path, values: Mapping[str, Any], parts: Mapping[str, Any]) -> Job:
    merged = {"output": {"uri": str(folder / "output")}, **values}
    for name, part in parts.items():
        merged[name] = {**merged.get(name, {}), **part}
    return parse_job(merged)


def _files(paths: Sequence[Path]) -> list[Path]:
    if missing := [str(path) for path in paths if not path.exists()]:
        raise ConfigError(f"--videos: {', '.join(missing)} is not there; give files, or folders of files")
    return [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def _copy(files: Sequence[Path], folder: Path, num_copies: int) -> Iterator[Path]:
    """Copies the files `num_copies` times under names of their own, since a name stands for one video."""
    for number in range(num_copies):
        for place, file in enumerate(files):
            copy = folder / str(number) / f"{place}-{file.name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            yield copy


def _question(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("id", "text", "type", "options") if values.get(name)}
