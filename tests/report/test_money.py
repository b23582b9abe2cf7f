"""What a night cost: by the job's price or the records of its runs, and by question and camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.report.figures import Report
from framegate.schemas.config import CostConfig, OutputConfig, RayConfig
from tests.report.nights import LAST, answers_of, put_night
from tests.run_records import put_run


def report_of(output: Output, **values: Any) -> Report:
    return build_report(OutputConfig(uri=output.root), Request(**values))


@pytest.fixture
def output(tmp_path: Path) -> Output:
    output, rows = Output.at(str(tmp_path / "index")), answers_of(LAST)
    for row in rows:
        row["engine_seconds"] = 3.0 if row["question_id"] == "load" else 1.0
    put_night(output, 0, LAST, rows=rows)
    return output


def test_questions_and_cameras_share_the_cost_by_engine_time(output: Output) -> None:
    cost = report_of(output, cost=CostConfig(gpu_hour=2.0, currency="USD"), ray=RayConfig()).cost
    assert cost.total is not None
    shares = {each.name: each for each in cost.questions}
    assert shares["load"].engine_share == pytest.approx(0.5)
    assert shares["load"].cost == pytest.approx(cost.total / 2)
    assert next(iter(cost.questions)).name == "load", "the dearest comes first"
    assert sum(each.engine_share for each in cost.cameras) == pytest.approx(1.0)
    assert sum(each.num_rows for each in cost.cameras) == sum(each.num_rows for each in cost.questions)


def test_without_a_price_there_are_shares_alone(output: Output) -> None:
    cost = report_of(output).cost
    assert cost.total is None
    assert {each.cost for each in cost.questions} == {None}
    assert sum(each.engine_share for each in cost.questions) == pytest.approx(1.0)


def test_an_output_alone_knows_the_price_of_its_runs(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path / "index"))
    put_night(output, 0, LAST)
    plain = report_of(output).cost
    put_run(
        output, "20991231T000000Z-ffffff", state="complete", config_id="a" * 16, cost_per_hour=7.2, currency="CHF",
        started_at="2099-12-31T00:00:00+00:00", ended_at="2099-12-31T00:30:00+00:00", elapsed_seconds=1800.0,
    )  # fmt: skip
    cost = report_of(output).cost
    assert (plain.total, cost.total, cost.currency) == (None, pytest.approx(3.6), "CHF")


def test_the_gate_pays_below_a_think_rate(output: Output) -> None:
    saving = report_of(output).saving
    # In these nights a first answer takes 0.2 s and thinking 1 s.
    assert saving.break_even_think_rate == pytest.approx(0.8)
    assert saving.think_rate is not None
    assert 0 < saving.think_rate < saving.break_even_think_rate
