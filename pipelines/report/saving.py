"""What the night cost, and what the gate saved: measured on the rows of the night, not assumed.

A row that exited would have thought without the gate. How long, nobody measured; rows of the same question that did
think were measured. So for each question

    saved tokens  = rows that exited as confident x mean thinking tokens of the rows that thought
    saved seconds = rows that exited as confident x mean thinking seconds of the rows that thought

with a 95 % interval of the mean (normal, 1.96 x standard error), which is wide where few rows thought, and no figure
where fewer than MIN_ROWS did. Rows without `thinking_seconds`, of earlier versions, have their seconds from the
difference of the means of `engine_seconds` of rows that thought and rows that exited. The sum over questions adds the
squares of the half widths, since the questions' rows are drawn apart.

What this leaves open: rows that thought were those that the gate found unsure. Where easy clips need less thought than
hard ones, the true saving is less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from framegate.pipelines.report.figures import Cost, Ended, Estimate, QuestionSaving, Saving
from framegate.pipelines.report.night import Scope
from framegate.pipelines.report.rows import NIGHT, NightRows
from framegate.schemas.config import CostConfig, RayConfig

MIN_ROWS: Final = 20
"""Rows that thought, of one question. With fewer the normal interval of a mean is too narrow."""

Z: Final = 1.96
CONFIDENT: Final = "confident"
"""The gate_reason of rows that the gate let go. Others that did not think were told not to."""

_BY_QUESTION: Final = f"""
    SELECT question_id, question_hash, bool_or(strategy = 'gated') AS is_gated,
        count(*) FILTER (NOT thinking AND gate_reason = '{CONFIDENT}') AS num_exited,
        count(*) FILTER (thinking) AS num_thought,
        sum(num_answer_tokens + num_thinking_tokens)::BIGINT AS spent_tokens, sum(engine_seconds) AS spent_seconds,
        avg(num_thinking_tokens) FILTER (thinking) AS tokens,
        var_samp(num_thinking_tokens) FILTER (thinking) AS tokens_var,
        count(thinking_seconds) FILTER (thinking) AS num_timed,
        avg(thinking_seconds) FILTER (thinking) AS seconds, var_samp(thinking_seconds) FILTER (thinking) AS seconds_var,
        avg(engine_seconds) FILTER (thinking) AS busy, var_samp(engine_seconds) FILTER (thinking) AS busy_var,
        avg(engine_seconds) FILTER (NOT thinking AND gate_reason = '{CONFIDENT}') AS exit_busy,
        var_samp(engine_seconds) FILTER (NOT thinking AND gate_reason = '{CONFIDENT}') AS exit_var
    FROM {NIGHT} GROUP BY ALL ORDER BY question_id, question_hash"""


def find_saving(rows: NightRows) -> Saving:
    """Raises StorageError."""
    found = rows.ask(_BY_QUESTION)
    is_timed = bool(found) and all(row["num_timed"] == row["num_thought"] for row in found)
    seconds_are: Literal["thinking", "difference"] = "thinking" if is_timed else "difference"
    questions = tuple(_of_question(row, is_timed=is_timed) for row in found)
    return Saving(
        is_gated=any(row["is_gated"] for row in found),
        questions=questions,
        spent_tokens=sum(row["spent_tokens"] for row in found),
        spent_seconds=sum(row["spent_seconds"] for row in found),
        saved_tokens=add_estimates(each.saved_tokens for each in questions),
        saved_seconds=add_estimates(each.saved_seconds for each in questions),
        seconds_are=seconds_are,
    )


def find_cost(scope: Scope, ended: Ended, saving: Saving, price: CostConfig | None, ray: RayConfig | None) -> Cost:
    """`price` and `ray` are those of the job; None where no job file was given."""
    price, ray = price or CostConfig(), ray or RayConfig()
    spans = [run.get("elapsed_seconds") for run in scope.night.runs]
    costs = [price.of_run(seconds, ray) for seconds in spans if seconds is not None]
    known = [cost for cost in costs if cost is not None]
    total = sum(known) if known else None
    is_same = scope.night is scope.answered  # else the rows are of another night than the time that was paid
    per_second = None if price.gpu_hour is None else price.gpu_hour * (ray.gpus_per_actor or 1.0) / 3600
    return Cost(
        currency=price.currency,
        gpu_hour=price.gpu_hour,
        total=total,
        is_least=price.is_least(ray) or len(known) < len(spans),
        per_thousand_clips=total / ended.num_clips * 1000
        if total is not None and ended.num_clips and is_same
        else None,
        per_clip_hour=total / ended.clip_hours if total is not None and ended.clip_hours and is_same else None,
        saved=_scaled(saving.saved_seconds, per_second),
    )


def add_estimates(estimates: Iterable[Estimate | None]) -> Estimate | None:
    """The sum of those that are known, with the interval of independent ones; None where none is."""
    known = [each for each in estimates if each is not None]
    if not known:
        return None
    value = sum(each.value for each in known)
    half = math.sqrt(sum((each.high - each.value) ** 2 for each in known))
    return Estimate(value=value, low=value - half, high=value + half)


def _of_question(row: Mapping[str, Any], *, is_timed: bool) -> QuestionSaving:
    exited, thought = row["num_exited"], row["num_thought"]
    enough = thought >= MIN_ROWS and exited > 0
    timed = (row["seconds"], (row["seconds_var"] or 0.0) / thought) if enough and is_timed else None
    return QuestionSaving(
        question_id=row["question_id"],
        num_exited=exited,
        num_thought=thought,
        spent_tokens=row["spent_tokens"],
        saved_tokens=_times(exited, row["tokens"], (row["tokens_var"] or 0.0) / thought) if enough else None,
        saved_seconds=_times(exited, *(timed or _difference(row))) if enough else None,
    )


def _difference(row: Mapping[str, Any]) -> tuple[float, float]:
    """How much longer the engine was busy with a row that thought, and the variance of that mean."""
    variance = (row["busy_var"] or 0.0) / row["num_thought"] + (row["exit_var"] or 0.0) / row["num_exited"]
    return row["busy"] - row["exit_busy"], variance


def _times(number: int, mean: float, variance: float) -> Estimate:
    half = Z * math.sqrt(variance)
    return Estimate(value=number * mean, low=number * (mean - half), high=number * (mean + half))


def _scaled(estimate: Estimate | None, factor: float | None) -> Estimate | None:
    if estimate is None or factor is None:
        return None
    return Estimate(value=estimate.value * factor, low=estimate.low * factor, high=estimate.high * factor)
