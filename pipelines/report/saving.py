"""What the night cost, and what the gate saved: measured on the rows of the night, not assumed.

A row that exited would have thought without the gate. How long, nobody measured; rows of the same question that did
think were measured. So for each question

    saved tokens  = rows that exited as confident x mean thinking tokens of the rows that thought
    saved seconds = rows that exited as confident x mean thinking seconds of the rows that thought

with a 95 % interval of the mean (normal, 1.96 x standard error). The rows that were measured are the first of these
that are at least MIN_ROWS; where none are, there is no figure:

    audited rows   where this night has any: of all nights under this config_id, those that thought for the audit sample
                   alone, a uniform draw of the rows that exited
    this night     those that thought in it
    all nights     those that thought in any night under this config_id
    always_think   those of the same question and model under that strategy

Rows without `thinking_seconds`, of earlier versions, have their seconds from the difference of the means of
`engine_seconds` of rows that thought and rows that exited. The sum over questions adds the squares of the half widths,
since the questions' rows are drawn apart.

Rows that took over the answer of a clip that showed the same (`clips.same_within`) are left out of all this. What they
saved is told beside it: for each question, their number x the mean engine seconds of the night's rows that were asked,
where these are at least MIN_ROWS.

What this leaves open where nothing is audited: rows that thought were those that the gate found unsure. Where easy
clips need less thought than hard ones, the true saving is less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from framegate.pipelines.report.figures import Estimate, MeasuredOn, QuestionSaving, Saving
from framegate.pipelines.report.rows import NIGHT, NightRows
from framegate.pipelines.results.kept_rows import list_columns
from framegate.pipelines.results.view_sql import text_literal
from framegate.schemas.gate_reason import IS_GATED

MIN_ROWS: Final = 20
"""Rows that thought, of one question. With fewer the normal interval of a mean is too narrow."""

Z: Final = 1.96
CONFIDENT: Final = "confident"
"""The gate_reason of rows that the gate let go. Others that did not think were told not to."""

_ASKED: Final = "copied_from IS NULL"
_EXITED: Final = f"NOT thinking AND gate_reason = '{CONFIDENT}' AND {_ASKED}"
_THOUGHT: Final = """
    SELECT question_hash, count(*) AS num_thought,
        avg(num_thinking_tokens) AS tokens, var_samp(num_thinking_tokens) AS tokens_var,
        count({thinking_seconds}) AS num_timed, avg({thinking_seconds}) AS seconds,
        var_samp({thinking_seconds}) AS seconds_var,
        avg(engine_seconds) AS busy, var_samp(engine_seconds) AS busy_var
    FROM {table} WHERE thinking AND copied_from IS NULL AND {condition} GROUP BY question_hash"""
_BY_QUESTION: Final = f"""
    SELECT question_id, question_hash, any_value(model) AS model, bool_or({IS_GATED}) AS is_gated,
        count(*) FILTER ({_EXITED}) AS num_exited, count(*) FILTER (thinking AND {_ASKED}) AS num_thinking,
        count(*) FILTER (gate_reason = 'audit') AS num_audited,
        sum(num_answer_tokens + num_thinking_tokens)::BIGINT AS spent_tokens, sum(engine_seconds) AS spent_seconds,
        avg(engine_seconds) FILTER ({_EXITED}) AS exit_busy, var_samp(engine_seconds) FILTER ({_EXITED}) AS exit_var,
        count(*) FILTER (NOT {_ASKED}) AS num_copied, count(*) FILTER ({_ASKED}) AS num_asked,
        avg(engine_seconds) FILTER ({_ASKED}) AS asked_busy, var_samp(engine_seconds) FILTER ({_ASKED}) AS asked_var
    FROM {NIGHT} GROUP BY ALL ORDER BY question_id, question_hash"""

_RATES: Final = f"""
    SELECT avg(thinking::INT) AS think_rate,
        1 - avg(first_answer_seconds) / nullif(avg(thinking_seconds) FILTER (thinking), 0) AS break_even_think_rate
    FROM {NIGHT} WHERE {IS_GATED} AND {_ASKED}"""


def find_saving(rows: NightRows) -> Saving:
    """Raises StorageError."""
    found = rows.ask(_BY_QUESTION)
    thought = _find_thought(rows, found)
    means = [thought.get(row["question_hash"]) for row in found]
    is_timed = all(mean["num_timed"] == mean["num_thought"] for _, mean in filter(None, means))
    questions = tuple(_of_question(row, mean, is_timed=is_timed) for row, mean in zip(found, means, strict=True))
    num_copied = sum(row["num_copied"] for row in found)
    return Saving(
        is_gated=any(row["is_gated"] for row in found),
        questions=questions,
        spent_tokens=sum(row["spent_tokens"] for row in found),
        spent_seconds=sum(row["spent_seconds"] for row in found),
        saved_tokens=add_estimates(each.saved_tokens for each in questions),
        saved_seconds=add_estimates(each.saved_seconds for each in questions),
        seconds_are="thinking" if is_timed and thought else "difference",
        copied_share=num_copied / sum(row["num_copied"] + row["num_asked"] for row in found) if num_copied else 0.0,
        copied_seconds=add_estimates(map(_of_copied, found)),
        **rows.one(_RATES),
    )


def _find_thought(rows: NightRows, found: Sequence[Mapping[str, Any]]) -> dict[str, tuple[MeasuredOn, dict[str, Any]]]:
    """By question, what rows that thought took, and which rows those were: the nearest ones that are enough."""
    columns, config = list_columns(rows.views, "answers"), text_literal(rows.config_id or "")
    timed = "thinking_seconds" if "thinking_seconds" in columns else "NULL::DOUBLE"
    models = ", ".join(sorted({text_literal(row["model"]) for row in found})) or "NULL"
    means: dict[str, tuple[MeasuredOn, dict[str, Any]]] = {}
    places: list[tuple[MeasuredOn, str, str]] = [
        ("this night", NIGHT, "true"),
        ("all nights", "answers", f"config_id = {config}"),
        ("always_think", "answers", f"strategy = 'always_think' AND model IN ({models})"),
    ]
    if any(row["num_audited"] for row in found):  # else rows of all nights would be read for nothing
        places.insert(0, ("audited rows", "answers", f"config_id = {config} AND gate_reason = 'audit'"))
    for place, table, condition in places:
        open_ones = [row["question_hash"] for row in found if row["num_exited"] and row["question_hash"] not in means]
        if not open_ones:
            break
        hashes = ", ".join(map(text_literal, open_ones))
        sql = _THOUGHT.format(
            thinking_seconds=timed, table=table, condition=f"{condition} AND question_hash IN ({hashes})"
        )
        means |= {row["question_hash"]: (place, row) for row in rows.ask(sql) if row["num_thought"] >= MIN_ROWS}
    return means


def add_estimates(estimates: Iterable[Estimate | None]) -> Estimate | None:
    """The sum of those that are known, with the interval of independent ones; None where none is."""
    known = [each for each in estimates if each is not None]
    if not known:
        return None
    value = sum(each.value for each in known)
    half = math.sqrt(sum((each.high - each.value) ** 2 for each in known))
    return Estimate(value=value, low=value - half, high=value + half)


def _of_question(
    row: Mapping[str, Any], measured: tuple[MeasuredOn, Mapping[str, Any]] | None, *, is_timed: bool
) -> QuestionSaving:
    exited = row["num_exited"]
    place, mean = measured or (None, {})
    return QuestionSaving(
        question_id=row["question_id"],
        num_exited=exited,
        num_thought=row["num_thinking"],
        spent_tokens=row["spent_tokens"],
        measured_on=place,
        num_measured=mean.get("num_thought", 0),
        saved_tokens=_times(exited, mean["tokens"], mean["tokens_var"] / mean["num_thought"]) if mean else None,
        saved_seconds=_times(exited, *_seconds(row, mean, is_timed=is_timed)) if mean else None,
    )


def _of_copied(row: Mapping[str, Any]) -> Estimate | None:
    if not row["num_copied"] or row["num_asked"] < MIN_ROWS:
        return None
    return _times(row["num_copied"], row["asked_busy"], row["asked_var"] / row["num_asked"])


def _seconds(row: Mapping[str, Any], mean: Mapping[str, Any], *, is_timed: bool) -> tuple[float, float]:
    """How much longer the engine is busy with a row that thinks, and the variance of that mean."""
    number = mean["num_thought"]
    if is_timed:
        return mean["seconds"], mean["seconds_var"] / number
    variance = mean["busy_var"] / number + (row["exit_var"] or 0.0) / row["num_exited"]
    return mean["busy"] - row["exit_busy"], variance


def _times(number: int, mean: float, variance: float) -> Estimate:
    half = Z * math.sqrt(variance)
    return Estimate(value=number * mean, low=number * (mean - half), high=number * (mean + half))
