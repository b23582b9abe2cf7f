"""`framegate bench engines` as a person types it, on a checkpoint and work of seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.jobs.lab import bench_engines
from framegate.jobs.printing import cell
from framegate.pipelines.lab.bench.engines import machine, run
from tests.lab.bench.engines.conftest import MACHINE, Runs

TINY = (
    "--parameters", "1M", "--family", "qwen3_vl", "--dtype", "float32", "--videos", "2", "--questions", "3",
    "--frames", "4", "--size", "64", "--answer-tokens", "4", "--thinking-tokens", "6",
)  # fmt: skip
FIELDS = {
    *("system", "seconds", "num_questions", "num_thinking", "num_generated_tokens", "ratio_to_two_call"),
    *("peak_rss_mib", "peak_device_mib", "clips_per_second", "num_same_tokens", "load_seconds", "threshold"),
    *("min_seconds", "max_seconds", "num_repeats", "settings", "versions", "complaint", "step_seconds", "num_steps"),
    *("vision_share", "prefill_share", "answer_share", "think_share", "steps_over_floor", "prefill_seconds"),
    *("answer_rows", "think_rows", "bound_seconds", "share_of_bound", "ratio_to_two_request"),
    *("vision_seconds", "floor_step_seconds", "floor_step_bytes", "floor_step_operations"),
    *("floor_weights_seconds", "floor_prefill_seconds", "floor_vision_seconds"),
}


def test_systems_are_measured_beside_the_first_and_their_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads that wait for each other at every layer take a hundred times as long on cores that others work on, too.
    monkeypatch.setattr(machine, "count_cores", lambda: 1)
    report, kept = tmp_path / "engines.json", tmp_path / "checkpoint"
    systems = "two_call,transformers_gated"
    options = ["--think-rate", "0.5", "--systems", systems, "--folder", str(kept), "--output", str(report)]
    result = CliRunner().invoke(app, ["bench", "engines", *TINY, *options])
    assert result.exit_code == 0, result.output
    assert "transformers_gated" in result.output
    assert (kept / "model.safetensors").is_file()
    document = json.loads(report.read_text())
    assert document["command"] == "bench engines"
    header = document["header"]
    assert header["num_parameters"] > 1_000_000
    assert header["read_bytes_per_second"] > 1e8
    assert header["matrix_operations_per_second"] > 1e8
    assert {"torch", "transformers"} <= set(header["versions"])
    assert (header["work"]["num_videos"], header["think_rate"]) == (2, 0.5)
    baseline, gated = document["rows"]
    assert set(baseline) == set(gated) == FIELDS
    assert [row["system"] for row in document["rows"]] == systems.split(",")
    for row in (baseline, gated):
        assert row["complaint"] is None
        assert (row["num_questions"], row["num_thinking"], row["num_same_tokens"]) == (6, 3, 6)
        assert 0 < row["threshold"] < 1
        assert f"{row['system']} {cell(row['threshold'])}" in result.output
        assert row["peak_rss_mib"] > 100
    assert (baseline["num_generated_tokens"], gated["num_generated_tokens"]) == (6 * 4 + 3 * 10, 6 * 4 + 3 * 6)
    assert gated["ratio_to_two_call"] == pytest.approx(baseline["seconds"] / gated["seconds"])
    shares = [gated[f"{part}_share"] for part in ("vision", "prefill", "answer", "think")]
    assert all(share > 0 for share in shares)
    assert sum(shares) == pytest.approx(1)
    assert gated["steps_over_floor"] == pytest.approx(gated["step_seconds"] / gated["floor_step_seconds"])
    assert gated["floor_prefill_seconds"] > 0
    assert gated["floor_vision_seconds"] > 0


@pytest.fixture
def invoke(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, dict]]:
    """The command with vLLM beside it, but without processes: exit code, output and document."""
    monkeypatch.setattr(machine, "measure_machine", lambda *_: MACHINE)
    monkeypatch.setattr(run, "find_vllm_python", lambda given: "python")

    def call(*arguments: str) -> tuple[int, str, dict]:
        report = tmp_path / "report.json"
        result = CliRunner().invoke(app, ["bench", "engines", *TINY, "--output", str(report), *arguments])
        return result.exit_code, result.output, json.loads(report.read_text()) if report.exists() else {}

    return call


def test_a_range_has_rows_of_our_engines_in_both_packages(invoke: Callable[..., tuple[int, str, dict]]) -> None:
    exit_code, output, document = invoke("--scale", "think-rate")
    assert exit_code == 0, output
    rows = document["rows"]
    assert [row["think_rate"] for row in rows[::4]] == [0, 0.25, 0.5, 0.75, 1]
    assert [row["system"] for row in rows[:4]] == list(bench_engines.SCALED)
    assert [row["num_thinking"] for row in rows if row["system"] == "vllm_gated"] == [0, 2, 3, 4, 6]
    assert document["header"]["versions"] == {"torch": "ours and vLLM's"}
    assert "x two_call" not in output, "it was not measured"


def test_the_gates_cost_is_measured_of_the_engines_that_are_chosen(
    invoke: Callable[..., tuple[int, str, dict]], runs: Runs
) -> None:
    exit_code, output, document = invoke("--gating-cost", "--repeats", "2")
    assert exit_code == 0, output
    assert [(row["engine"], row["num_pairs"], row["ratio"]) for row in document["rows"]] == [
        ("transformers", 2, 1.0), ("vllm", 2, 1.0),
    ]  # fmt: skip
    assert document["header"]["versions"] == {"torch": "ours and vLLM's"}
    runs.tasks.clear()
    _, _, document = invoke("--gating-cost", "--systems", "vllm_gated")
    assert [row["engine"] for row in document["rows"]] == ["vllm"]
    assert {task.system for task in runs.tasks} == {"vllm_gated"}


def test_with_more_work_than_slots_all_systems_have_as_many_slots_and_stand_beside_the_bound(
    invoke: Callable[..., tuple[int, str, dict]], runs: Runs
) -> None:
    exit_code, output, document = invoke("--steady", "--slots", "4", "--think-rate", "0.5")
    assert exit_code == 0, output
    assert [row["system"] for row in document["rows"]] == list(bench_engines.STEADY)
    assert {task.num_slots for task in runs.tasks} == {4}
    assert document["header"]["num_slots"] == 4
    assert "bound of a gated run: 1.0 + 3/6 x (1.0 - 1.0) = 1.0 s" in output
    beside = {row["system"]: row["share_of_bound"] for row in document["rows"]}
    assert {name for name, share in beside.items() if share == 1.0} == {
        "transformers_gated", "vllm_two_request", "vllm_gated",
    }  # fmt: skip


def test_what_one_engine_comes_to_is_told_though_the_other_fails(
    invoke: Callable[..., tuple[int, str, dict]], runs: Runs
) -> None:
    runs.fails = lambda task: task.system == "vllm_gated"
    for arguments, sentence in (
        (("--gating-cost",), "vllm: vllm_gated ended with 1"),
        (("--scale", "questions"), "vllm_gated: no threshold was found: vllm_gated ended with 1"),
    ):
        exit_code, output, document = invoke(*arguments)
        assert exit_code == 1
        assert sentence in output
        rows = [row for row in document["rows"] if row["complaint"] is None]
        assert rows
        assert all(row["seconds" if "seconds" in row else "gated_seconds"] == 1.0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--systems", "two_call,three_call"), "--systems: 'three_call' is unknown; use some of: two_call,"),
        (("--scale", "videos"), "--scale: 'videos' is unknown; use one of: think-rate, questions, frames"),
        (("--dtype", "int4"), "--dtype: 'int4' is unknown; use bfloat16, float16 or float32"),
        (("--parameters", "lots"), "'lots' is no number of parameters; write it as 1M, 180M or 7B"),
        (("--scale", "frames", "--gating-cost"), "--scale and --gating-cost are two measurements"),
        (
            ("--gating-cost", "--systems", "two_call,transformers_gated"),
            "--systems: with --gating-cost use some of: transformers_gated, vllm_gated; got two_call",
        ),
        (("--steady", "--scale", "frames"), "--steady is a measurement of its own"),
        (("--steady", "--videos", "16"), "--steady: 64 questions are no more than the 64 slots; give more --videos"),
        (
            ("--steady", "--systems", "transformers_gated,two_call"),
            "--systems: with --steady use some of: transformers_direct, transformers_gated, transformers_always,",
        ),
        (("--vllm-python", "/nowhere/python"), "--vllm-python: /nowhere/python is no Python that has vLLM"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", "engines", *arguments])
    assert result.exit_code != 0
    assert sentence in " ".join(result.output.split())


def test_vllm_is_asked_for_where_its_systems_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_vllm_python", lambda given: None)
    result = CliRunner().invoke(app, ["bench", "engines", "--systems", "vllm_gated,two_call"])
    assert result.exit_code != 0
    assert "--systems: vllm_gated needs vLLM, which is not installed" in " ".join(result.output.split())


def test_without_vllm_its_systems_are_left_out() -> None:
    choose, options = bench_engines._choose_systems, bench_engines.EngineOptions(scale="questions")
    assert choose(options, has_vllm=False) == ["transformers_direct", "transformers_gated", "transformers_always"]
    assert choose(options, has_vllm=True) == list(bench_engines.SCALED)


def test_the_virtual_environment_of_the_vllm_tests_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / ".venv-vllm" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "_has_vllm", lambda path: path == python)
    assert run.find_vllm_python(None) == str(python)
    monkeypatch.setattr(run, "_has_vllm", lambda path: False)
    assert run.find_vllm_python(None) is None
