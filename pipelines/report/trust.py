"""Is it still right: drift against an earlier night, reliability, disagreement, and answers that could not be read.

Nobody labels a night, so that all of this is told from the answers themselves:

    disagreement  of the rows that thought, the share whose second answer is another one than the first
    reliability   of the rows that thought, by confidence of the first answer: how often the second one agrees
    drift         total variation distance between the shares of a question's answers in the two nights: half the sum of
                  the differences, 0 where they are the same and 1 where no answer occurs in both

Two samples of the same archive differ by chance, too: by `drift_by_chance` on average (from the normal distribution,
|p - q| has the mean sqrt(2/pi) x sqrt(p (1 - p) (1/n + 1/m))).

A question has drifted where the run's own record says so (`pipelines.drift`): an exact test against many nights, which
counts videos and not rows. Only where the run has not looked, or another night was asked to be compared with, it has
drifted where its distance is more than twice `drift_by_chance`, and more than MIN_DRIFT.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from framegate.pipelines.report.figures import ConfidenceBin, Estimate, QuestionTrust, ReliabilityBin, Trust
from framegate.pipelines.report.rows import EARLIER, NIGHT, NightRows
from framegate.schemas.drift import DriftRow, alarms_of

MIN_DRIFT: Final = 0.05
MIN_ROWS: Final = 30
"""Rows of a question in each of two nights, below which nothing is said of drift."""

MAX_VALUES: Final = 50
"""Different answers to one question; with more of them shares say little, such as those of free texts."""

_COUNTED_TYPES: Final = ("choice", "yes_no", "number")
NUM_CONFIDENCE_BINS: Final = 20
NUM_RELIABILITY_BINS: Final = 10
_Z: Final = 1.96

_QUESTIONS: Final = """
    SELECT question_id, question_hash, any_value(question) AS text, any_value(answer_type) AS answer_type,
        count(*) AS num_rows, avg(thinking::INT) AS think_rate,
        avg(coalesce(confidence_second, confidence_first)) AS mean_confidence,
        avg((status = 'unparsed')::INT) AS unparsed_share, avg((status = 'out_of_range')::INT) AS out_of_range_share,
        count(agrees) AS num_compared, 1 - avg(agrees::INT) AS disagreement
    FROM {table} GROUP BY question_id, question_hash ORDER BY question_id, question_hash"""
# The letter of a choice: an answer is the option's words in rows of today, and the letter in those of earlier versions.
_VALUES: Final = """
    SELECT question_hash, coalesce(answer_letter, answer) AS answer, count(*) AS num_rows FROM {table}
    WHERE answer_type IN ({types}) AND status = 'answered' GROUP BY ALL"""
_CONFIDENCE: Final = f"""
    SELECT least(floor(confidence_first * {NUM_CONFIDENCE_BINS}), {NUM_CONFIDENCE_BINS - 1})::INT AS bin,
        count(*) FILTER (NOT thinking) AS num_exited, count(*) FILTER (thinking) AS num_thought
    FROM {NIGHT} WHERE confidence_first BETWEEN 0 AND 1 GROUP BY 1"""
_RELIABILITY: Final = f"""
    SELECT least(floor(confidence_first * {NUM_RELIABILITY_BINS}), {NUM_RELIABILITY_BINS - 1})::INT AS bin,
        count(*) AS num_rows, avg(confidence_first) AS mean_confidence, avg(agrees::INT) AS agreement
    FROM {NIGHT} WHERE agrees IS NOT NULL AND confidence_first BETWEEN 0 AND 1 GROUP BY 1 ORDER BY 1"""
_WHOLE: Final = f"""
    SELECT max(threshold) AS threshold, count(agrees) AS num_compared, avg(agrees::INT) AS agreement,
        avg(confidence_first) FILTER (agrees IS NOT NULL) AS mean_confidence
    FROM {NIGHT}"""


def find_trust(rows: NightRows, drift: Iterable[DriftRow] | None = None) -> Trust:
    """`drift` is what the night's record has of it; None: it says nothing. Raises StorageError."""
    drifted = None if drift is None else {row.question_id for row in alarms_of(drift)}
    now, earlier = (rows.ask(_QUESTIONS.format(table=table)) for table in (NIGHT, EARLIER))
    before = {row["question_hash"]: row for row in earlier}
    values, values_before = (_values(rows, table) for table in (NIGHT, EARLIER))
    return Trust(
        is_compared=drift is not None,
        questions=tuple(
            _question(
                row,
                before.get(row["question_hash"], {}),
                values.get(row["question_hash"], Counter()),
                values_before.get(row["question_hash"], Counter()),
                drifted,
            )
            for row in now
        ),
        confidence=_confidence(rows),
        reliability=tuple(_reliability(row) for row in rows.ask(_RELIABILITY)),
        **rows.one(_WHOLE),
    )


def measure_drift(now: Counter[str | None], earlier: Counter[str | None]) -> tuple[float, float] | None:
    """The total variation distance of two counts of answers, and what it would be by chance on average.

    None where one of them has fewer than MIN_ROWS rows, or they have more than MAX_VALUES different answers.
    """
    size, before = now.total(), earlier.total()
    answers = {*now, *earlier}
    if min(size, before) < MIN_ROWS or len(answers) > MAX_VALUES:
        return None
    distance = sum(abs(now[answer] / size - earlier[answer] / before) for answer in answers) / 2
    shares = [(now[answer] + earlier[answer]) / (size + before) for answer in answers]
    spread = sum(math.sqrt(share * (1 - share)) for share in shares) * math.sqrt(1 / size + 1 / before)
    return distance, spread * math.sqrt(2 / math.pi) / 2


def wilson(share: float, number: int) -> Estimate:
    """A share of `number` rows with its 95 % interval, which stays within 0 and 1 where rows are few."""
    middle = (share + _Z**2 / (2 * number)) / (1 + _Z**2 / number)
    half = _Z * math.sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2)) / (1 + _Z**2 / number)
    return Estimate(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def _values(rows: NightRows, table: str) -> dict[str, Counter[str | None]]:
    types = ", ".join(f"'{name}'" for name in _COUNTED_TYPES)
    found: dict[str, Counter[str | None]] = defaultdict(Counter)
    for row in rows.ask(_VALUES.format(table=table, types=types)):
        found[row["question_hash"]][row["answer"]] = row["num_rows"]
    return found


def _question(
    row: Mapping[str, Any],
    before: Mapping[str, Any],
    now: Counter[str | None],
    earlier: Counter[str | None],
    drifted: Collection[str | None] | None,
) -> QuestionTrust:
    drift = measure_drift(now, earlier) if row["answer_type"] in _COUNTED_TYPES else None
    distance, by_chance = drift or (None, None)
    return QuestionTrust(
        **{name: value for name, value in row.items() if name != "question_hash"},
        earlier_rows=before.get("num_rows", 0),
        earlier_think_rate=before.get("think_rate"),
        earlier_confidence=before.get("mean_confidence"),
        earlier_unparsed_share=before.get("unparsed_share"),
        drift=distance,
        drift_by_chance=by_chance,
        has_drifted=row["question_id"] in drifted if drifted is not None else _is_more_than_chance(drift),
    )


def _is_more_than_chance(drift: tuple[float, float] | None) -> bool:
    return drift is not None and drift[0] > max(MIN_DRIFT, 2 * drift[1])


def _confidence(rows: NightRows) -> tuple[ConfidenceBin, ...]:
    """All bins, empty ones too; none where no row has a confidence."""
    found = {row["bin"]: row for row in rows.ask(_CONFIDENCE)}
    if not found:
        return ()
    nothing = {"num_exited": 0, "num_thought": 0}
    size = NUM_CONFIDENCE_BINS
    return tuple(
        ConfidenceBin(
            low=bin / size,
            high=(bin + 1) / size,
            num_exited=found.get(bin, nothing)["num_exited"],
            num_thought=found.get(bin, nothing)["num_thought"],
        )
        for bin in range(size)
    )


def _reliability(row: Mapping[str, Any]) -> ReliabilityBin:
    return ReliabilityBin(
        low=row["bin"] / NUM_RELIABILITY_BINS,
        high=(row["bin"] + 1) / NUM_RELIABILITY_BINS,
        num_rows=row["num_rows"],
        mean_confidence=row["mean_confidence"],
        agreement=wilson(row["agreement"], row["num_rows"]),
    )
