"""An erasure takes a video out of folded records and plans, whoever folds or dies at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.run_folding import FOLD_FROM, fold_old_runs
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.erase.erase import erase
from tests.folded_runs import NOW, Before, Killed, all_plans, plan_row, put_night


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index") if request.param == "local" else request.getfixturevalue("memory_root"))


def test_an_erasure_takes_videos_and_names_out_of_histories(output: Output) -> None:
    for number in range(FOLD_FROM):
        put_night(output, number, stop_reason=f"cannot read cam/{number}.mp4")
    fold_old_runs(output, NOW)
    receipt = erase(output, ["cam/1.mp4"])
    assert receipt.rows[""] == {"plans": 1}
    runs, plans = read_runs(output), all_plans(output)
    assert runs["night-1"]["stop_reason"].startswith("cannot read erased:")
    assert runs["night-2"]["stop_reason"] == "cannot read cam/2.mp4"
    assert plans["night-1"] == [plan_row(101)]
    assert plans["night-2"] == [plan_row(2), plan_row(102)]
    erase(output, ["cam/101.mp4"])
    assert all_plans(output) == {**plans, "night-1": []}
    assert {check.name: check.findings for check in audit(output).checks if check.findings} == {}


@pytest.mark.parametrize("ending", ["history.json.gz", "history.parquet"])
def test_what_is_erased_while_it_is_folded_does_not_come_back(output: Output, ending: str) -> None:
    """The run that folds has read the name, and comes to write when the erasure is over."""
    for number in range(FOLD_FROM):
        put_night(output, number, stop_reason=f"cannot read cam/{number}.mp4")
    act = [lambda: erase(output, ["cam/1.mp4"])]
    fold_old_runs(Output(Before(ending=ending, act=act), output.layout), NOW)
    assert act == []
    assert "cam/1.mp4" not in str(read_runs(output))
    assert all_plans(output)["night-1"] == [plan_row(101)]
    assert {check.name: check.findings for check in audit(output).checks if check.findings} == {}


def test_an_erasure_that_died_before_it_renewed_the_history_does_so_later(output: Output) -> None:
    for number in range(FOLD_FROM):
        put_night(output, number)

    def die() -> None:
        raise Killed

    def erase_and_die_and_erase() -> None:
        with pytest.raises(Killed):
            erase(Output(Before(ending="history.parquet", act=[die]), output.layout), ["cam/1.mp4"])
        erase(output, ["cam/1.mp4"])

    act = [erase_and_die_and_erase]
    fold_old_runs(Output(Before(ending="history.parquet", act=act), output.layout), NOW)
    assert act == []
    assert all_plans(output)["night-1"] == [plan_row(101)]
