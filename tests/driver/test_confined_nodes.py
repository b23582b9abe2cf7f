"""Each machine of a cluster is asked what confines decoders there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from framegate.pipelines import flow
from framegate.pipelines.driver.confined_nodes import measure_on_nodes
from framegate.pipelines.lab.bench.faults.small_archive import QUESTIONS, make_archive, make_model
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.errors import SandboxError
from framegate.schemas.job import parse_job

pytestmark = pytest.mark.usefixtures("ray_cluster")


def refuse(words: str) -> Callable[[], tuple[str, ...]]:
    def measure() -> tuple[str, ...]:
        raise SandboxError(words)

    return measure


def test_what_is_in_force_on_all_machines_is_told() -> None:
    def measure() -> tuple[str, ...]:
        return ("rlimits", "seccomp")

    assert measure_on_nodes(measure) == ("rlimits", "seccomp")


def test_a_machine_that_cannot_confine_decoders_is_named() -> None:
    with pytest.raises(SandboxError, match=r"^machine [0-9a-f.:]+: seccomp is not to be had$"):
        measure_on_nodes(refuse("seccomp is not to be had"))


def test_a_machine_that_cannot_tell_is_no_machine_to_decode_on() -> None:
    def measure() -> tuple[str, ...]:
        raise ValueError("no such thing")

    with pytest.raises(SandboxError, match=r"machine [0-9a-f.:]+ cannot tell what confines decoders there"):
        measure_on_nodes(measure)


def test_a_run_on_a_cluster_records_what_its_machines_say(tmp_path: Path) -> None:
    make_archive(tmp_path / "videos")
    job = parse_job(
        {
            "input": {"videos": str(tmp_path / "videos")},
            "questions": QUESTIONS,
            "model": {"name": str(make_model(tmp_path / "model"))},
            "output": {"uri": str(tmp_path / "index")},
            "clips": {"seconds": 2},
            "frames": {"fps": 2, "max_frames": 4},
            "ray": {"decode_workers": 1, "address": "auto"},  # it is there already: it only counts as another machine
        }
    )
    summary = flow.run(job, engine_factory=ScriptedEngine)
    assert summary.is_complete
    record = json.loads((tmp_path / "index" / "runs" / f"{summary.run_id}.json").read_text())
    assert "seccomp" in record["sandbox"]
    assert "rlimits" in record["sandbox"]
