"""Exit code 2 means that nothing was done: `plan` and `run` refuse the same, in one sentence, and leave nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.store import Store
from framegate.schemas.errors import EngineError, StorageError
from framegate.schemas.job import load_job
from tests.model_folders import make_model_folder

Framegate = Callable[..., Result]


@pytest.fixture
def write_job(tmp_path: Path, model_folder: Path, make_video: Callable[..., Path]) -> Callable[..., Path]:
    """`write_job(output=...)`: a job over a manifest with one film of two seconds."""
    make_video(tmp_path / "film.mp4", seconds=2)
    (tmp_path / "list.csv").write_text("uri,camera\nfilm.mp4,north\n")

    def write(**parts: object) -> Path:
        values = {
            "input": {"videos": "list.csv"},
            "clips": {"seconds": 2},
            "frames": {"fps": 1, "max_frames": 2},
            "questions": [{"id": "anyone", "text": "Is anyone there", "type": "yes_no"}],
            "model": {"name": str(model_folder)},
            "output": {"uri": "index"},
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump({**values, **parts}))
        return path

    return write


@pytest.fixture
def quantized(tmp_path: Path, model_folder: Path) -> str:
    folder = make_model_folder(tmp_path / "quantized")
    config = json.loads((model_folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "awq"}}))
    return str(folder)


def below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REFUSED = {
    "gpus": ({"ray": {"gpus_per_actor": 1}}, "needs 1 GPUs and Ray finds 0 here; set ray.gpus_per_actor: 0"),
    "engine": ({"model": {"name": "dock", "engine": "vllm"}}, "vLLM is not installed: pip install"),
    "measure": (
        {"model": {"name": "dock", "engine": "vllm"}, "gate": {"measures": ["min_probability", "margin"]}},
        "gate.measures: [margin] needs the distribution of each token (distribution), which the engine vllm does not"
        " offer; use engine: transformers, or take margin out of gate.measures",
    ),
    "column": ({"output": {"uri": "index", "partition_by": ["kamera"]}}, "did you mean 'camera'?"),
    "folder": ({"output": {"uri": "index", "partition_by": ["a-b"]}}, "letters, digits and underscores"),
    "taken": ({"output": {"uri": "index", "partition_by": ["model"]}}, "a column of the tables already"),
    "output": ({"output": {"uri": "film.mp4/index"}}, "cannot write"),
    "budget": ({"frames": {"max_video_tokens": 1, "max_frames": 64}}, "max_video_tokens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_plan_refuses_what_a_run_refuses_and_neither_leaves_anything(
    case: str, write_job: Callable[..., Path], framegate: Framegate, tmp_path: Path
) -> None:
    parts, said = REFUSED[case]
    path = str(write_job(**parts))
    before = below(tmp_path)
    told = [framegate(command, path) for command in ("plan", "run")]
    assert [result.exit_code for result in told] == [2, 2], told[0].output + told[1].output
    assert told[0].stderr == told[1].stderr
    assert said in told[0].stderr
    assert len(told[0].stderr.strip().splitlines()) == 1
    left = {path: data for path, data in below(tmp_path).items() if path not in before}
    records = [
        json.loads(data) for path, data in left.items() if f"{tmp_path}/index/runs/" in path and "lock" not in path
    ]
    assert [record["state"] for record in records] == ([] if case == "output" else ["failed"])
    folders = {path.removeprefix(f"{tmp_path}/index/").partition("/")[0] for path in left}
    assert folders <= {"runs", "leases"}  # that it failed, and that it was there


def test_quantized_weights_are_refused_where_our_own_engine_should_run_them(
    quantized: str, write_job: Callable[..., Path], framegate: Framegate, tmp_path: Path
) -> None:
    path = str(write_job(model={"name": quantized}))
    for command in ("plan", "run"):
        result = framegate(command, path)
        assert (result.exit_code, "are quantized (awq)" in result.stderr) == (2, True), result.output
    assert {path.parent.name for path in (tmp_path / "index").rglob("[!.]*") if path.is_file()} == {"runs"}


def test_other_partitions_than_those_of_the_first_rows_are_refused_by_a_plan_as_well(
    write_job: Callable[..., Path], framegate: Framegate, tmp_path: Path
) -> None:
    flow.run(load_job(write_job()), engine_factory=ScriptedEngine, in_process=True)
    before = below(tmp_path / "index")
    path = str(write_job(output={"uri": "index", "partition_by": ["camera"]}))
    for command in ("plan", "run"):
        result = framegate(command, path)
        assert (result.exit_code, "partitioned by [] since their first rows" in result.stderr) == (2, True)
    after = below(tmp_path / "index")
    assert {path: data for path, data in after.items() if path in before} == before
    assert [f"{tmp_path}/index/runs/" in path for path in after if path not in before] == [True]  # that it failed


def test_an_output_is_probed_without_a_trace(tmp_path: Path, s3_root: str) -> None:
    for root in (str(tmp_path / "index"), s3_root):
        Store().check_writable(root)
        Store().check_reachable(root)
        assert list(Store().list(root)) == []
    assert os.listdir(tmp_path / "index") == []


def test_a_kind_of_storage_that_cannot_replace_by_version_is_refused_without_writing() -> None:
    with pytest.raises(StorageError, match=r"no conditional replacing .*single_writer: true"):
        Store().check_reachable("webhdfs://127.0.0.1:9/nowhere")


def test_a_run_that_began_and_broke_off_does_not_exit_with_2(
    write_job: Callable[..., Path], framegate: Framegate, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process = flow.run

    def begin_and_break(*args: Any, **options: Any) -> Any:
        return in_process(*args, **{**options, "in_process": True, "engine_factory": _broken})

    monkeypatch.setattr(flow, "run", begin_and_break)
    result = framegate("run", str(write_job()))
    assert result.exit_code == 1
    assert "its weights are half; run 'framegate run" in result.stderr


def _broken() -> ScriptedEngine:
    raise EngineError("its weights are half")
