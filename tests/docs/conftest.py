"""An output as runs, a kill and an erasure leave it, to hold docs/output.md against."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.quarantine import set_aside_damaged
from framegate.pipelines.commit.records import PLAN, record_plan
from framegate.pipelines.commit.run_folding import FOLD_FROM, fold_old_runs
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.report.build import Request
from framegate.pipelines.report.stored import store_report
from framegate.schemas.clock import now
from framegate.schemas.config import OutputConfig
from tests.docs.pages import ROOT
from tests.run_records import put_run

RUN = """
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.job import load_job
flow.run(load_job("job.yaml"), engine_factory=ScriptedEngine, in_process=True)
"""
DEEPEN = """
from functools import partial
from framegate.pipelines.deepen import deepen
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.results.deepenable import Chosen, read_audited, read_deepenable
from framegate.schemas.job import load_job
job = load_job("job.yaml")
select = partial(read_deepenable, job.config.output, chosen=Chosen())
audited = partial(read_audited, job.config.output, chosen=Chosen())
deepen(job, select, threshold=0.9999, audited=audited, engine_factory=ScriptedEngine, in_process=True)
"""
QUESTIONS = [
    {"id": "door", "text": "Is it open?", "type": "choice", "options": ["open", "closed"]},
    {"id": "people", "text": "How many?", "type": "number"},
]


@pytest.fixture(scope="module")
def outputs(
    tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path], model_folder: Path
) -> tuple[Path, ...]:
    """An output of which a run was killed as it committed its second unit; the same after the next run, and after
    one video was erased, and all was signed; that with its seals, runs and plans folded, and an object that was no
    unit; and one whose rows were deepened, which was killed
    before it had completed any. A manifest of two videos, one that is none,
    and a tar shard of one."""
    folder = tmp_path_factory.mktemp("output")
    for number in range(2):
        make_video(folder / f"v{number}.mp4", seconds=4, shade=40 * number)
    (folder / "broken.mp4").write_bytes(b"no video")
    with tarfile.open(folder / "shard.tar", "w") as shard:
        shard.add(folder / "v0.mp4", "a.mp4")
    lines = [f"{name},north,dock-1,2026-11-21T10:00:00" for name in ("v0.mp4", "v1.mp4", "broken.mp4", "shard.tar")]
    (folder / "manifest.csv").write_text("\n".join(["uri,camera,dock,taken", *lines]))
    job = {
        "input": {"videos": "manifest.csv"},
        "questions": QUESTIONS,
        "clips": {"seconds": 2},
        "frames": {"fps": 2, "max_frames": 4},
        "model": {"name": str(model_folder)},
        "output": {"uri": "index", "partition_by": ["camera", "taken.date"]},
        "decode": {"sandbox": False},
        "gate": {"audit": {"rate": 1.0}},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    killed = run(folder, FRAMEGATE_FAIL_AT="commit.after:2")
    assert killed == -signal.SIGKILL
    shutil.copytree(folder / "index", folder / "killed")
    assert run(folder) == 0
    erase = ["erase", str(folder / "job.yaml"), "--video", str(folder / "v1.mp4"), "--execute"]
    assert CliRunner().invoke(app, erase, catch_exceptions=False).exit_code == 0
    [known] = (folder / "index" / "configs").iterdir()
    adopting = {**job, "frames": {"fps": 1, "max_frames": 4}, "adopt": known.stem}
    (folder / "job.yaml").write_text(yaml.safe_dump(adopting))
    assert run(folder) == 0
    [*_, last] = read_runs(Output.at(str(folder / "index")))
    store_report(OutputConfig(uri=str(folder / "index")), Request(), last)
    calibrate = ["calibrate", str(folder / "job.yaml"), "--config-id", known.stem, "--epsilon", "80%"]
    assert CliRunner().invoke(app, calibrate, catch_exceptions=False).exit_code == 0
    label = ["label", str(folder / "job.yaml"), "--config-id", known.stem, "--claim", "error", "--most", "1"]
    wanted = folder / "labels.jsonl"
    assert CliRunner().invoke(app, [*label, "--out", str(wanted)], catch_exceptions=False).exit_code == 0
    row = json.loads(wanted.read_text())
    wanted.write_text(json.dumps(row | {"label": row["first_value"]}))
    assert CliRunner().invoke(app, [*label, "--read", str(wanted), "--by", "anna"]).exit_code == 0
    sign(folder)
    shutil.copytree(folder / "index", folder / "folded")
    folded = Output.at(str(folder / "folded"))
    SealLog(folded, known.stem).fold(1)
    for number in range(FOLD_FROM):
        fields = {"config_id": known.stem, "started_at": f"2026-01-0{number + 1}T00:00:00+00:00"}
        put_run(folded, f"night-{number}", state="complete", **fields)
        row = dict(zip(PLAN.names, ("a" * 16, "gone.mp4", "1", ["b" * 16], known.stem), strict=True))
        record_plan(folded, f"night-{number}", pa.Table.from_pylist([row]))
    fold_old_runs(folded, now())
    no_unit = (
        folder / "folded" / "journal" / f"config_id={known.stem}" / ("0" * 16) / f"0000000-0000002-{'a' * 12}.arrow.zst"
    )
    no_unit.parent.mkdir(parents=True)
    no_unit.write_bytes(b"no unit")
    set_aside_damaged(folded, (str(no_unit),))
    shutil.copytree(folder / "index", folder / "deepened")
    (folder / "job.yaml").write_text(yaml.safe_dump({**adopting, "output": {**job["output"], "uri": "deepened"}}))
    assert run(folder, DEEPEN, FRAMEGATE_FAIL_AT="deepen.agreed:1") == -signal.SIGKILL
    return folder / "killed", folder / "index", folder / "folded", folder / "deepened"


def sign(folder: Path) -> None:
    """As a person does who holds a key of openssl's."""
    key = folder / "key.pem"
    made = Ed25519PrivateKey.generate()
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    command = ["audit", str(folder / "index"), "--sign", str(key)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def run(folder: Path, script: str = RUN, **environment: str) -> int:
    # Not in the folder of the sources, but with what this process finds its modules by.
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=folder, env={**os.environ, **paths, **environment}).returncode
