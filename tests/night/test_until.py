"""A run with a deadline on a machine that others keep busy is over before it, sealed, and its books balance.

One try here; FRAMEGATE_UNTIL=20 makes twenty.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs

TRIES = int(os.environ.get("FRAMEGATE_UNTIL", "1"))
NUM_BUSY = 4  # processes on whatever cores there are
SECONDS = 45
NUM_VIDEOS = 40

RUN = """
import math, sys, time
from framegate.jobs.deadline import read_deadline
from framegate.jobs.run import run_job
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.clock import now
from framegate.schemas.job import load_job

def write(ask):
    confidence = 0.9 if ask.clip.start_seconds else 0.999
    box = [("\\\\boxed{", -0.01), ("yes", math.log(confidence)), ("}", -0.01)]
    return [*box, ("<think>", -0.1), *[("hm", -0.1)] * 20, ("</think>", -0.1), *box]

class Slow(ScriptedEngine):
    def __init__(self):
        super().__init__(write, before_step=lambda asks: time.sleep(0.02 * len(asks)))

job = load_job(sys.argv[1])
deadline = read_deadline(None, sys.argv[2], timezone=job.config.run.timezone, now=now())
print(deadline.at.isoformat(), flush=True)
sys.exit(run_job(job, name="job.yaml", engine_factory=Slow, deadline=deadline))
"""


@pytest.fixture
def busy() -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(NUM_BUSY)]
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def job(tmp_path: Path, model_folder: Path, make_video: Callable[..., Path]) -> Path:
    for number in range(NUM_VIDEOS):
        make_video(tmp_path / "videos" / f"{number}.mp4", seconds=4, shade=6 * number)
    values = {
        "input": {"videos": "videos/"},
        "clips": {"seconds": 2},
        "frames": {"fps": 1, "max_frames": 2, "min_frame_pixels": 3136, "max_frame_pixels": 3136},
        "questions": [
            {"id": name, "text": f"Is there a {name}", "type": "yes_no"} for name in ("car", "cat", "crane", "crow")
        ],
        "model": {"name": str(model_folder)},
        "output": {"uri": "index"},
        "ray": {"decode_workers": 1},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("number", range(TRIES))
def test_a_run_with_a_deadline_is_over_before_it(job: Path, number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(job), f"{SECONDS}s"], capture_output=True, text=True, timeout=4 * SECONDS
    )
    ended = datetime.now(UTC)
    assert done.returncode in (0, 3), done.stderr[-3000:]
    deadline = datetime.fromisoformat(done.stdout.split("\n", 1)[0])
    assert ended < deadline, f"{(ended - deadline).total_seconds():.1f} s late"
    output = Output.at(str(job.parent / "index"))
    records = [*read_runs(output).values()]
    assert records[-1]["state"] == "stopped", "there was more to do than the time allows"
    assert records[-1]["stop_code"] == "deadline"
    assert all(record["is_sealed"] for record in records)
    assert not any(output.list("journal"))
    assert not any(output.list("deepened"))
    assert {check.name: check.findings for check in audit(output).checks if check.findings} == {}
