"""`framegate bench calibrate`, on small archives: truth curves, rules by hand, figures, goals, and the command."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from framegate.jobs import log
from framegate.jobs.cli import app
from framegate.pipelines.commit.output import Output
from framegate.pipelines.lab.bench.calibrate import rivals, truth
from framegate.pipelines.lab.bench.calibrate.goals import judge
from framegate.pipelines.lab.bench.calibrate.measure import Setting, measure_world
from framegate.pipelines.lab.bench.calibrate.recorded import read_world
from framegate.pipelines.lab.bench.calibrate.run import measure_million
from framegate.pipelines.lab.bench.calibrate.worlds import WORLDS, World, make_world
from framegate.pipelines.store import Store
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.errors import InputError
from framegate.schemas.tables import RESULTS
from tests.outputs import CONFIG_ID, answer_row, video

SETTING = Setting(
    epsilon=0.02, delta=0.05, num_sampled=800, num_labels=400, repetitions=40, bargain_repetitions=0, seed=1
)
NAN = float("nan")


def small_world() -> World:
    return World(
        name="small",
        confidence=np.array([0.9, 0.5, 0.9, NAN, 0.2]),
        differs=np.array([False, True, True, True, False]),
        first_right=np.array([True, True, False, False, True]),
        second_right=np.array([True, False, True, True, True]),
    )


def test_what_each_threshold_does_to_an_archive() -> None:
    curve = truth.disagreement(small_world())
    assert [curve.exit_share(t) for t in (1.0, 0.9, 0.6, 0.5, 0.0, None)] == [0, 0.4, 0.4, 0.6, 0.8, 0]
    assert [curve.loss(t) for t in (1.0, 0.9, 0.5, 0.2, None)] == [0, 0.2, 0.4, 0.4, 0]
    assert (curve.best_exit_share(0.2), curve.best_exit_share(0.4), curve.best_exit_share(0.1)) == (0.4, 0.8, 0)
    loss = truth.accuracy_loss(small_world())
    assert [round(loss.loss(t), 9) for t in (0.9, 0.5, 0.2)] == [0.2, 0, 0]
    assert loss.best_exit_share(0.0) == 0.8
    wrong = truth.error(small_world())
    assert [round(wrong.loss(t), 9) for t in (None, 0.9, 0.5)] == [0.2, 0.4, 0.2]


def test_rules_of_others_by_hand() -> None:
    confidence = np.r_[np.linspace(1, 0.5, 300), np.linspace(0.49, 0.1, 200), NAN]
    differs = np.r_[np.zeros(300, np.bool_), np.ones(200, np.bool_), True]
    assert rivals.naive_sweep(confidence, differs, 0.01) == pytest.approx(0.49 - 4 * 0.39 / 199)
    assert rivals.naive_sweep(np.ones(10), np.ones(10, np.bool_), 0.01) is None
    # Without one row that differs the deviation is 0, and any number of rows is enough.
    assert rivals.lotus_threshold(np.array([0.9, 0.8]), np.array([False, True]), 0.01, 0.05) == 0.9
    assert rivals.supg_threshold(np.array([0.9, 0.8]), np.array([False, True]), 0.01, 0.05) is None
    assert rivals.supg_threshold(confidence, differs, 0.01, 0.05) == 0.5
    assert rivals.lotus_threshold(confidence, differs, 0.01, 0.05) == 0.5
    draws = rivals.lotus_sample(rivals.lotus_weights(np.array([0.0, 1.0])), 4000, np.random.default_rng(0))
    assert np.mean(draws) == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("name", WORLDS)
def test_our_claims_keep_what_they_promise(name: str) -> None:
    world = make_world(name, 8000, 0)
    assert np.array_equal(world.confidence, make_world(name, 8000, 0).confidence)
    figures = {row.rule: row for row in measure_world(world, SETTING)}
    for rule in ("claim 1", "claim 2", "claim 3", "claim 3 by strata"):
        assert figures[rule].broken_low <= 0.05, rule
        assert 0 <= figures[rule].exit_share <= figures[rule].best_exit_share + 0.02
    assert figures["claim 1"].num_labels == 0
    assert 0 < figures["claim 2"].num_labels < 60
    assert figures["claim 3"].num_labels == figures["claim 3 by strata"].num_labels == 400
    assert ("claim 1 before the drift" in figures) == (name == "drift")


def test_the_naive_sweep_breaks_its_promise() -> None:
    figures = {row.rule: row for row in measure_world(make_world("plateau 1 %", 8000, 0), SETTING)}
    assert figures["naive sweep"].broken_low > 0.05
    assert figures["naive sweep"].exit_share > figures["claim 1"].exit_share


def test_rows_of_which_nobody_knows_the_truth_have_claim_1_alone() -> None:
    world = replace(make_world("rising", 3000, 0), first_right=None, second_right=None)
    rules = [row.rule for row in measure_world(world, replace(SETTING, repetitions=2))]
    assert rules == ["claim 1", "naive sweep", "SUPG (from its paper)", "LOTUS (from its paper)"]
    with pytest.raises(ValueError, match="nobody knows"):
        truth.error(world)


def test_goals_say_where_they_do_not_hold() -> None:
    [first, second] = list(measure_world(make_world("rising", 3000, 0), replace(SETTING, repetitions=2)))[:2]
    bargain = replace(first, rule="BARGAIN 0.1.3", exit_share=0.5, num_sampled=100, num_calls=2000)
    rows = [
        replace(first, exit_share=0.55, broken=9, repetitions=100, broken_low=0.04),
        replace(second, num_labels=20),
        bargain,
        replace(first, num_rows=10**6, of_best=0.9, broken=0),
    ]
    goals = {goal.goal: (goal.holds, goal.of) for goal in judge(rows, 0.05)}
    assert list(goals.values()) == [(3, 3), (0, 1), (1, 1), (1, 1), (0, 1)]
    worse = [replace(rows[0], broken_low=0.06), *rows[1:]]
    assert judge(worse, 0.05)[0].holds == 2
    assert len(judge(rows[:2], 0.05)) == 1


def test_the_command(tmp_path: Path) -> None:
    report = tmp_path / "calibrate.json"
    arguments = [
        "bench", "calibrate", "--repetitions", "3", "--archive", "2000", "--sampled", "700", "--labels", "300",
        "--bargain-repetitions", "1", "--without-million", "--json", str(report),
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    is_there = importlib.util.find_spec("BARGAIN") is not None
    assert ("pip install bargain==0.1.3" in result.output) != is_there
    document = json.loads(report.read_text())
    assert {row["world"] for row in document["rows"]} == set(WORLDS)
    assert {row["epsilon"] for row in document["rows"]} == {0.01, 0.02}
    assert document["header"]["goals"][0]["of"] == 40


@pytest.mark.skipif(importlib.util.find_spec("BARGAIN") is None, reason="pip install bargain==0.1.3")
def test_bargain_keeps_its_promise_and_says_what_it_called() -> None:
    from framegate.pipelines.lab.bench.calibrate.bargain import run_bargain

    world = make_world("rising", 3000, 0)
    state = np.random.get_state()[1].copy()
    run = run_bargain(world.confidence, world.differs, epsilon=0.05, delta=0.05, seed=3)
    assert np.array_equal(np.random.get_state()[1], state)
    assert (run.exits & world.differs).mean() <= 0.05
    assert 0 < run.num_choosing <= run.num_calls == (~run.exits).sum() < 3000


def test_a_sample_is_smaller_than_its_archive() -> None:
    result = CliRunner().invoke(app, ["bench", "calibrate", "--archive", "1000", "--sampled", "1000"])
    assert result.exit_code == log.EXIT_REFUSED
    assert "1000 rows are to be sampled of an archive of 1000; sample fewer" in " ".join(result.output.split())


def test_archives_of_a_million_rows_have_claim_1() -> None:
    figures = measure_million(replace(SETTING, repetitions=2), (0.01, 0.02))
    assert [(row.rule, row.num_rows) for row in figures] == [("claim 1", 10**6)] * (2 * len(WORLDS))
    assert all(row.num_sampled == 10_000 for row in figures)


def recorded_output(root: str, num_rows: int) -> None:
    """Rows that thought, each tenth with another second answer, and as many that did not."""
    both = [
        answer_row(
            **video(number // 100), clip_index=number % 100, question_hash="0" * 16, thinking=number < num_rows,
            answer="yes", answer_first_value="no" if number % 10 == 0 else "yes", answer_second="yes",
            confidence_first=number % 97 / 97,
        )
        for number in range(2 * num_rows)
    ]  # fmt: skip
    table = pa.Table.from_pylist(both, schema=RESULTS).sort_by("video_id")
    Store().put_once(Output.at(root).layout.sealed("results", CONFIG_ID, "", 1), encode_parquet(table))


def test_rows_of_an_output_are_an_archive(tmp_path: Path) -> None:
    recorded_output(str(tmp_path / "index"), 1200)
    world = read_world(str(tmp_path / "index"))
    assert (world.num_rows, world.differs.sum(), world.first_right) == (1200, 120, None)
    assert sorted(world.confidence) == sorted(number % 97 / 97 for number in range(1200))
    recorded_output(str(tmp_path / "small"), 900)
    with pytest.raises(InputError, match="900 rows with both answers; the benchmark needs 1000"):
        read_world(str(tmp_path / "small"))
