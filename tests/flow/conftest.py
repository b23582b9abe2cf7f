"""A small archive, a job over it, and an engine without weights that tells what it was asked."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.job import Job, parse_job

QUESTIONS = [
    {"id": "red", "text": "Is it red?", "type": "yes_no"},
    {"id": "count", "text": "How many?", "type": "number"},
]


@pytest.fixture
def archive(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Three videos of 3, 2 and 1 clips of two seconds, and two files that are none."""
    folder = tmp_path / "videos"
    for number, seconds in enumerate((6, 4, 2)):
        make_video(folder / f"video{number}.mp4", seconds=seconds, shade=40 * number)
    (folder / "broken.mp4").write_bytes(b"this is no video")
    (folder / "empty.mp4").write_bytes(b"")
    return folder


@pytest.fixture
def make_job(archive: Path, tmp_path: Path, model_folder: Path) -> Callable[..., Job]:
    def make(*, questions: list[dict[str, Any]] = QUESTIONS, **parts: Any) -> Job:
        values = {
            "input": {"videos": str(archive)},
            "clips": {"seconds": 2},
            "frames": {"fps": 2, "max_frames": 4},
            "questions": questions,
            "model": {"name": str(model_folder)},
            "output": {"uri": str(tmp_path / "index")},
            "ray": {"decode_workers": 2},
            **parts,
        }
        return parse_job(values)

    return make


class Asked:
    """What all engines of a test were asked, wherever they ran: one file per engine and per question of a clip."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    @property
    def num_engines(self) -> int:
        return len(list(self._folder.glob("engine-*")))

    @property
    def questions(self) -> list[str]:
        return sorted(itertools.chain.from_iterable(p.read_text().split() for p in self._folder.glob("ask-*")))

    def make_factory(self) -> Callable[[], ScriptedEngine]:
        folder = self._folder

        # Defined here, so that it travels to Ray's workers by value: they cannot import a test's modules.
        class AskedEngine(ScriptedEngine):
            def __init__(self) -> None:
                super().__init__()
                (folder / f"engine-{uuid.uuid4().hex}").touch()

            def add(self, ask: Ask) -> None:
                (folder / f"ask-{uuid.uuid4().hex}").write_text(ask.question.id)
                super().add(ask)

        return lambda: AskedEngine()


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path / "asked")


@pytest.fixture
def at(make_job: Callable[..., Job], tmp_path: Path) -> Callable[..., Job]:
    """Jobs with a threshold, each with an output of its own."""

    def make(threshold: float, name: str = "index", **parts: Any) -> Job:
        parts = {"gate": {"threshold": threshold}, "output": {"uri": str(tmp_path / name)}, **parts}
        parts["decode"] = {"sandbox": False}  # a process less for each run
        return make_job(**parts)

    return make
