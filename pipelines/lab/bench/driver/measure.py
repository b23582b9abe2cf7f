"""Whole processes, one after the other: a run of ours, of another checkout, and bare Ray Data over the same films."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framegate.pipelines.lab.bench.driver import ours
from framegate.pipelines.lab.bench.driver.films import job_values, make_films
from framegate.pipelines.lab.bench.driver.sampled import KindFigures, Sampler
from framegate.pipelines.lab.bench.faults.small_archive import make_model
from framegate.schemas.errors import ConfigError, FramegateError


@dataclass(frozen=True, kw_only=True)
class System:
    """What is measured. `per_block` films travel together in bare Ray Data; None: a run of ours, of `checkout`."""

    name: str
    per_block: int | None = None
    checkout: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One whole process, from its start to its end.

    steady_per_second   videos a second between a fifth and nine tenths of them; None where that was too short
    """

    system: str
    num_videos: int
    num_rows: int
    seconds: float
    steady_per_second: float | None
    kinds: tuple[KindFigures, ...]

    @property
    def videos_per_second(self) -> float:
        return self.num_videos / self.seconds


class Workbench:
    """Films, made once below `folder`, and the runs over them."""

    def __init__(self, folder: Path, num_videos: int, *, decode_workers: int) -> None:
        self._folder = folder
        self._num_videos = num_videos
        self._decode_workers = decode_workers
        self._films = folder / "archive"
        self._model = make_model(folder / "model")
        make_films(self._films, num_videos)

    def measure(self, system: System) -> Measured:
        """Raises FramegateError where the process fails or answers other than all of the films."""
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            output, progress = Path(scratch, "output"), Path(scratch, "progress")
            if system.per_block is None:
                command = self.run_command(str(output), progress)
            else:
                command = self._bare_command(output, progress, system.per_block)
            return self._run(system, command, progress)

    def run_command(self, output: str, progress: Path, parts: Mapping[str, Any] | None = None) -> list[str]:
        """A run of ours into `output`. `parts` go over those of the job."""
        job = job_values(self._films, self._model, output, decode_workers=self._decode_workers)
        for name, part in (parts or {}).items():
            job[name] = {**job.get(name, {}), **part}
        # -P: the script's folder is no place to import from.
        return [sys.executable, "-P", str(ours.__file__), json.dumps({"job": job, "progress": str(progress)})]

    def _bare_command(self, output: Path, progress: Path, per_block: int) -> list[str]:
        spec = {
            "films": str(self._films / "films"),
            "output": str(output),
            "progress": str(progress),
            "per_block": per_block,
            "decode_workers": self._decode_workers,
        }
        return [sys.executable, "-m", "framegate.pipelines.lab.bench.driver.bare", json.dumps(spec)]

    def _run(self, system: System, command: Sequence[str], progress: Path) -> Measured:
        with tempfile.TemporaryDirectory(dir=self._folder) as names:
            environment = environment_of(system.checkout, Path(names))
            began = time.monotonic()
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            sampler = Sampler(process.pid)
            written, errors = process.communicate()
            seconds = time.monotonic() - began
            sampler.stop()
        if process.returncode:
            raise FramegateError(f"{system.name} ended with {process.returncode}: {errors[-2000:]}")
        told = json.loads(written.splitlines()[-1])
        if told["num_videos"] != self._num_videos:
            raise FramegateError(f"{system.name} did {told['num_videos']:,} of {self._num_videos:,} videos")
        begun = read_progress(progress)
        return Measured(
            system=system.name,
            num_videos=told["num_videos"],
            num_rows=told["num_rows"],
            seconds=seconds,
            steady_per_second=_steady(begun),
            kinds=tuple(sampler.figures(begun)),
        )


def measure_in_turn(bench: Workbench, systems: Sequence[System], num_turns: int) -> Iterator[Measured]:
    """Each system once a turn; the order is turned round from turn to turn."""
    for turn in range(num_turns):
        yield from map(bench.measure, systems if turn % 2 == 0 else reversed(systems))


def environment_of(checkout: Path | None, names: Path) -> dict[str, str]:
    """The environment in which Python imports framegate from another checkout: `names` becomes a folder of links.

    Raises ConfigError where the checkout is none.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    if checkout is None:
        return environment
    if not (checkout / "pipelines" / "flow.py").is_file():
        raise ConfigError(f"--checkout {checkout} is no checkout of this program: pipelines/flow.py is not there")
    package = names / "framegate"
    package.mkdir()
    for part in (*(checkout / "jobs" / "framegate").glob("*.py"), *(checkout / n for n in _PARTS)):
        (package / part.name).symlink_to(part.resolve())
    return {**environment, "PYTHONPATH": str(names)}


_PARTS = ("jobs", "pipelines", "schemas")


def read_progress(path: Path) -> list[tuple[float, int]]:
    """(monotonic seconds, videos begun), as `ours` leaves them; nothing where there is no such file."""
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(float(seconds), int(begun)) for seconds, begun in lines]


def _steady(progress: Sequence[tuple[float, int]]) -> float | None:
    inside = [(at, begun) for at, begun in progress if 0.2 <= begun / progress[-1][1] <= 0.9]
    if len(inside) < 2 or inside[-1][0] == inside[0][0]:
        return None
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])
