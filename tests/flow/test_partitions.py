"""Partitions of an output: what they are called, and that a slip of the pen costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job


@pytest.fixture
def manifest(archive: Path) -> Path:
    lines = [f"{archive / name}.mp4,{camera}" for name, camera in (("video1", "north"), ("video2", "south"))]
    path = archive / "manifest.csv"
    path.write_text("\n".join(["uri,camera", *lines]), encoding="utf-8")
    return path


def test_a_name_that_is_no_column_is_refused_and_fixes_nothing(
    make_job: Callable[..., Job], manifest: Path, tmp_path: Path
) -> None:
    def job(*partition_by: str) -> Job:
        output = {"uri": str(tmp_path / "index"), "partition_by": list(partition_by)}
        return make_job(input={"videos": str(manifest)}, output=output)

    with pytest.raises(ConfigError, match="'camra' is no column of the manifest; did you mean 'camera'"):
        flow.run(job("camra"), engine_factory=ScriptedEngine, in_process=True)
    assert {path.parent.name for path in (tmp_path / "index").rglob("*.json")} == {"runs", "leases"}
    flow.run(job("camera"), engine_factory=ScriptedEngine, in_process=True)
    folders = {path.parent.name for path in (tmp_path / "index" / "results").rglob("*.parquet")}
    assert folders == {"camera=north", "camera=south"}
    with pytest.raises(ConfigError, match="partition"):
        flow.run(job(), engine_factory=ScriptedEngine, in_process=True)
