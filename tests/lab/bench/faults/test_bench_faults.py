"""`framegate bench faults`: a row for each fault, and an exit code that a nightly job can rest on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.lab.bench.faults import workbench as faults_module
from framegate.pipelines.lab.bench.faults.workbench import Fault, Verdict


def invoke(*words: str) -> int:
    return CliRunner().invoke(app, ["bench", "faults", *words], catch_exceptions=False).exit_code


def test_each_fault_is_a_row_and_what_is_never_reached_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    assert invoke("--places", "seal.recorded", "--numbers", "1,99,100", "--json", str(file)) == 0
    told = json.loads(file.read_text())
    assert told["command"] == "bench faults"
    faults = [(row["action"], row["kind"], row["place"], row["number"]) for row in told["rows"]]
    assert faults == [
        ("run", "raced", "everywhere", 2),
        ("run", "raced", "everywhere", 4),
        ("run", "killed", "seal.recorded", 1),
        ("run", "frozen", "seal.recorded", 1),
        ("spend", "killed", "seal.recorded", 1),
    ]
    assert all(row["happened"] and row["is_good"] and row["lost"] == row["doubled"] == 0 for row in told["rows"])


def test_a_row_that_is_lost_is_told_and_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(bench: object, fault: Fault) -> Verdict:
        return Verdict(
            fault=fault,
            happened=True,
            num_commands=2,
            num_lost=1,
            num_doubled=0,
            num_changed=0,
            num_findings=0,
            complaint="",
            seconds=1.0,
        )

    monkeypatch.setattr(faults_module.Workbench, "try_fault", lose)
    assert invoke("--places", "seal.file", "--numbers", "1") == 1


@pytest.mark.parametrize(("words", "named"), [(("--places", "seal.fil"), "seal.fil"), (("--numbers", "one"), "one")])
def test_a_wrong_word_is_named(words: tuple[str, ...], named: str) -> None:
    told = CliRunner().invoke(app, ["bench", "faults", *words], catch_exceptions=False)
    assert (told.exit_code, named in told.output) == (2, True)
