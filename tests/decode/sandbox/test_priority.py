"""A decode worker that gives way to others takes its decoding process with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from framegate.pipelines.driver.cluster import NICENESS

SCRIPT = """
import os, sys
from framegate.pipelines.driver.cluster import at_low_priority
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from tests.decode.sandbox.sources import Bytes, children

source = Bytes(open(sys.argv[1], "rb").read())
with at_low_priority(lambda: Sandbox(DecodeConfig())) as sandbox, sandbox.open("pyav", source):
    [child] = children()
    group = open(f"/proc/{child}/autogroup").read() if os.path.exists(f"/proc/{child}/autogroup") else ""
    print(os.getpriority(os.PRIO_PROCESS, int(child)), group)
"""


def test_it_has_the_niceness_of_its_worker_among_processes_and_among_sessions(make_video, tmp_path: Path) -> None:
    video = make_video(tmp_path / "video.mp4", seconds=1)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(video)], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    priority, *group = done.stdout.split()
    assert int(priority) == NICENESS + os.nice(0)
    if group:
        assert int(group[-1]) == NICENESS + os.nice(0)
