"""A month of an archive on S3: what its cameras add and delete by day, and what its index must hold by morning."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from framegate.pipelines.store import Store, join
from framegate.schemas.clip import make_video_id
from framegate.schemas.clock import CLOCK_OFFSET

CAMERAS = ("north", "south")
DAY_SECONDS = 86_400
NIGHT_TIMEOUT_SECONDS = 240
Key = tuple[str, str]
"""(video_id, text of the question)."""


@dataclass
class Month:
    """The archive, its manifest and the job, in a bucket; and the keys that its index must hold.

    films          contents to choose from, by name
    answered       keys that a night has answered, whatever became of the video since
    gone           URIs that the manifest names still, and whose video was deleted
    open_and_gone  of those, with questions open: a failure of the next night, and history from then on
    failed         of those, with that failure: it is of the whole video, so that no later question is open
    """

    root: str
    folder: Path
    endpoint: str
    films: dict[str, bytes]
    model: Path
    first_day: datetime
    questions: dict[str, str] = field(default_factory=lambda: {"red": "Is it red?", "moves": "Does it move?"})
    threshold: float = 0.97
    manifest: dict[str, dict[str, str]] = field(default_factory=dict)
    present: dict[str, str] = field(default_factory=dict)
    answered: set[Key] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    open_and_gone: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    def add(self, name: str, film: str, *, camera: str, day: int) -> None:
        """A video of a day comes into the bucket and into the manifest; another content in its place where it is
        there already."""
        uri = join(self.root, "videos", name)
        store = Store()
        store.delete([uri])
        store.put_once(uri, self.films[film])
        self.manifest[uri] = {"camera": camera, "taken": (self.first_day + timedelta(days=day)).date().isoformat()}
        self.present[uri] = make_video_id(uri, store.stat(uri).version)

    def delete(self, name: str) -> None:
        """The bucket's retention rule: the manifest names it still."""
        uri = join(self.root, "videos", name)
        Store().delete([uri])
        video_id = self.present.pop(uri)
        self.gone.add(uri)
        if any((video_id, text) not in self.answered for text in self.questions.values()):
            self.open_and_gone.add(uri)

    def reword(self, id: str, text: str) -> None:
        """A question is asked in other words from now on: it is open for every video, those that are gone included."""
        self.questions[id] = text
        self.open_and_gone |= self.gone - self.failed

    def promise(self, name: str, *, camera: str, day: int) -> None:
        """The manifest names a video that never came."""
        uri = join(self.root, "videos", name)
        self.manifest[uri] = {"camera": camera, "taken": (self.first_day + timedelta(days=day)).date().isoformat()}

    @property
    def due(self) -> set[Key]:
        """What a night that ends well has answered by the morning, of what is there."""
        return {(video_id, text) for video_id in self.present.values() for text in self.questions.values()}

    @property
    def output(self) -> str:
        return join(self.root, "index")

    def write_job(self) -> Path:
        """The job as it is tonight, and the manifest beside the videos."""
        text = io.StringIO()
        rows = csv.DictWriter(text, ["uri", "camera", "taken"])
        rows.writeheader()
        rows.writerows({"uri": uri, **columns} for uri, columns in self.manifest.items())
        manifest = join(self.root, "manifest.csv")
        store = Store()
        store.delete([manifest])
        store.put_once(manifest, text.getvalue().encode())
        options = {"endpoint_url": self.endpoint}
        job = {
            "input": {"videos": manifest, "storage_options": options},
            "clips": {"seconds": 2},
            "frames": {"fps": 2, "max_frames": 4},
            "questions": [{"id": id, "text": text, "type": "yes_no"} for id, text in self.questions.items()],
            "model": {"name": str(self.model)},
            "output": {
                "uri": self.output,
                "storage_options": options,
                "partition_by": ["camera", "taken.date"],
            },
            "gate": {"threshold": self.threshold},
            "ray": {"decode_workers": 1},
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(job), encoding="utf-8")
        return path

    def start(
        self,
        night: int,
        *options: str,
        script: str = "yes",
        on_ray: bool = False,
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """`framegate run` as a scheduler starts it that night."""
        spec = json.dumps({"script": script, "on_ray": on_ray})
        command = ["run", str(self.write_job()), "--json", str(self.folder / f"night{night}.json"), *options]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.night.child", spec, *command],
            env={**os.environ, CLOCK_OFFSET: str(night * DAY_SECONDS), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def summary(self, night: int) -> dict[str, Any]:
        """What the run of that night wrote to its --json file."""
        return json.loads((self.folder / f"night{night}.json").read_text(encoding="utf-8"))["rows"][0]


def wait(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and all that was printed."""
    try:
        out, err = process.communicate(timeout=NIGHT_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"a night did not end: {out[-2000:]}{err[-2000:]}") from None
    return process.returncode, out + err


def first_day() -> datetime:
    """Today at noon: nights are reckoned from here by the moved clock."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def names(prefix: str, numbers: Sequence[int]) -> list[str]:
    return [f"{prefix}{number:03d}.mp4" for number in numbers]
