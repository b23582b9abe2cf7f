"""A full disk ends the run with one sentence; nothing half-written is seen, and with more room the run goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from framegate.pipelines.lab.bench.faults.small_archive import QUESTIONS, make_archive, make_model

SCRIPT = """
import json, os, subprocess, sys
from pathlib import Path
import pyarrow.parquet as pq
from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.errors import StorageFull
from framegate.schemas.job import parse_job

values = json.loads(Path(sys.argv[1]).read_text())
output = values["output"]["uri"]
job = parse_job(values)
for num_kib in range(32, 2048, 32):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"remount,size={num_kib}k", "tmpfs", output], check=True)
    try:
        summary = flow.run(job, engine_factory=ScriptedEngine, in_process=True)
        break
    except StorageFull as error:
        print(json.dumps({"error": str(error)}))
        for path in Path(output).rglob("*.parquet"):
            pq.ParquetFile(path).read()
report = audit(Output.at(output))
print(json.dumps({"answers": summary.counts.num_answers, "findings": report.num_findings}))
"""


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    return tried.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs a file system of its own (unshare -rm)")
def test_a_full_disk_stops_the_run_with_one_sentence_and_more_room_lets_it_go_on(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "videos")
    output = tmp_path / "index"
    output.mkdir()
    job = {
        "input": {"videos": str(archive[0].parent)},
        "clips": {"seconds": 2},
        "frames": {"fps": 2, "max_frames": 4},
        "questions": QUESTIONS,
        "model": {"name": str(make_model(tmp_path / "model"))},
        "output": {"uri": str(output)},
    }
    (tmp_path / "job.json").write_text(json.dumps(job), encoding="utf-8")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    mount = f"mount -t tmpfs -o size=32k tmpfs {output}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mount} && exec {sys.executable} script.py job.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *errors, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(errors) >= 3, "the disk was never full"
    assert all("there is no room left" in line["error"] and "\n" not in line["error"] for line in errors)
    assert last["findings"] == 0
