"""The gate's saving is measured on rows that thought: of the night, else beside it, else there is no figure."""

from __future__ import annotations

import math
import random
import statistics
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.report.figures import Saving
from framegate.schemas.config import OutputConfig
from framegate.schemas.gate_reason import GATED_STRATEGIES
from tests.report.nights import EVENING, FIRST, LAST, Night, answers_of, put_night, put_rows


def saving_of(output: Output) -> Saving:
    return build_report(OutputConfig(uri=output.root), Request()).saving


def of_person(saving: Saving):
    return next(each for each in saving.questions if each.question_id == "person")


def few(videos: int = 3, **answers: Any) -> Night:
    return Night(run_id="20261129T220000Z-cccccc", began=EVENING + timedelta(days=1), videos=range(70, 70 + videos),
                 answers=answers)  # fmt: skip


def test_the_interval_is_that_of_the_mean(tmp_path: Path) -> None:
    output, rng = Output.at(str(tmp_path / "index")), random.Random(3)
    rows = answers_of(LAST)
    for row in rows:
        if row["thinking"]:
            row |= {"num_thinking_tokens": rng.randint(10, 400), "thinking_seconds": rng.uniform(0.1, 4.0)}
    put_night(output, 0, LAST, rows=rows)
    found = of_person(saving_of(output))
    thought = [row for row in rows if row["thinking"] and row["question_id"] == "person"]
    for name, estimate in (("num_thinking_tokens", found.saved_tokens), ("thinking_seconds", found.saved_seconds)):
        values = [row[name] for row in thought]
        half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
        assert estimate is not None
        assert estimate.value == pytest.approx(96 * statistics.mean(values))
        assert (estimate.low, estimate.high) == (
            pytest.approx(96 * (statistics.mean(values) - half)),
            pytest.approx(96 * (statistics.mean(values) + half)),
        )


def test_audited_rows_say_what_rows_that_exited_would_have_taken(tmp_path: Path) -> None:
    """Rows that the gate found unsure think longer than those that it let go: they would overstate the saving."""
    output, rows = Output.at(str(tmp_path / "index")), answers_of(LAST)
    sure = [row for row in rows if row["question_id"] == "person" and not row["thinking"]]
    for row in sure[:30]:
        row |= {"thinking": True, "gate_reason": "audit", "num_thinking_tokens": 10, "thinking_seconds": 0.125,
                "answer_second": "yes", "answer_second_value": "yes"}  # fmt: skip
    put_night(output, 0, LAST, rows=rows)
    found = of_person(saving_of(output))
    assert (found.num_exited, found.measured_on, found.num_measured) == (96 - 30, "audited rows", 30)
    assert found.saved_tokens is not None
    assert found.saved_seconds is not None
    assert (found.saved_tokens.value, found.saved_seconds.value) == (66 * 10, 66 * 0.125)


def test_few_rows_that_thought_are_measured_on_all_nights(index: Output) -> None:
    put_night(index, 2, few())
    found = of_person(saving_of(index))
    assert (found.num_thought, found.measured_on, found.num_measured) == (3, "all nights", 3 + 24 + 8)
    assert found.saved_tokens is not None
    assert found.saved_tokens.value == pytest.approx(12 * 100)


def test_a_question_that_never_thinks_is_measured_where_all_rows_think(tmp_path: Path) -> None:
    """Most of what a gate saves is at questions that hardly ever think."""
    output = Output.at(str(tmp_path / "index"))
    rows = [row for row in answers_of(LAST) if not row["thinking"]]
    put_night(output, 0, LAST, rows=rows)
    assert of_person(saving_of(output)).saved_tokens is None
    always = [
        {**row, "strategy": "always_think", "thinking": True, "num_thinking_tokens": 60, "run_id": "other"}
        for row in answers_of(LAST)
    ]
    put_rows(output, "results", 0, always, "b" * 16)
    found = of_person(saving_of(output))
    assert (found.num_thought, found.measured_on, found.num_measured) == (0, "always_think", 120)
    assert found.saved_tokens is not None
    assert found.saved_tokens.value == pytest.approx(96 * 60)


@pytest.mark.parametrize("strategy", GATED_STRATEGIES)
def test_each_strategy_with_a_gate_saves(tmp_path: Path, strategy: str) -> None:
    output = Output.at(str(tmp_path / "index"))
    put_night(output, 0, LAST, rows=[{**row, "strategy": strategy} for row in answers_of(LAST)])
    found = saving_of(output)
    assert found.is_gated
    assert found.think_rate == pytest.approx(0.2)


def test_of_another_model_nothing_is_measured(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path / "index"))
    put_night(output, 0, LAST, rows=[row for row in answers_of(LAST) if not row["thinking"]])
    always = [
        {**row, "strategy": "always_think", "thinking": True, "num_thinking_tokens": 60, "model": "other"}
        for row in answers_of(LAST)
    ]
    put_rows(output, "results", 0, always, "b" * 16)
    found = saving_of(output)
    assert of_person(found).measured_on is None
    assert (found.is_gated, found.saved_tokens) == (True, None)


def test_rows_that_were_told_not_to_think_are_no_savings(index: Output) -> None:
    put_night(index, 2, few(gate_reason="never", thinking=False))
    assert of_person(saving_of(index)).num_exited == 0


def test_without_a_gate_nothing_is_saved_by_one(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path / "index"))
    put_night(output, 0, Night(run_id=FIRST.run_id, began=EVENING, videos=range(4), answers={"strategy": "direct"}))
    report = build_report(OutputConfig(uri=output.root), Request())
    assert not report.saving.is_gated
    assert "no gate was at work" in report.verdicts[1].sentence


def test_what_was_taken_over_is_told_apart_and_is_no_saving_of_the_gate(tmp_path: Path) -> None:
    asked, output = answers_of(LAST), Output.at(str(tmp_path / "index"))
    taken = [
        {**row, "clip_index": row["clip_index"] + 1000, "copied_from": row["clip_index"], "engine_seconds": 0.0,
         "num_answer_tokens": 0, "num_thinking_tokens": 0}
        for row in asked
    ]  # fmt: skip
    put_night(output, 0, LAST, rows=[*asked, *taken])
    found = saving_of(output)
    plain = Output.at(str(tmp_path / "plain"))
    put_night(plain, 0, LAST, rows=asked)
    alone = saving_of(plain)
    assert found.copied_share == 0.5
    assert found.copied_seconds is not None
    assert found.copied_seconds.value == pytest.approx(sum(row["engine_seconds"] for row in asked))
    assert found.questions == alone.questions
    assert (found.saved_tokens, found.saved_seconds, found.think_rate) == (
        alone.saved_tokens, alone.saved_seconds, alone.think_rate,
    )  # fmt: skip
    assert (alone.copied_share, alone.copied_seconds) == (0.0, None)
