"""Whether thinking changed an answer: the first answer and the second one, compared by the question's type.

    choice, yes_no   the same option
    number           apart by at most `number_tolerance`, as a share of the larger one
    span             overlap over union of at least `span_overlap`
    text             the same words: letters and digits alone count, in either case

A second answer that cannot be read changes nothing: the first one is the answer then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far two answers may be apart and still be the same. Shares from 0 to 1."""

    number_tolerance: float = 1e-9
    span_overlap: float = 0.5


STRICT: Final = Tolerance()

SECOND_VALUE: Final = (
    "coalesce(answer_second_value,"
    " CASE WHEN thinking AND gate_reason <> 'audit' AND answer_second IS NOT NULL THEN answer END)"
)
"""SQL of the second answer of a row; rows of earlier versions have it as the final one alone."""


def same_sql(first: str, second: str, tolerance: Tolerance = STRICT) -> str:
    """SQL of whether two answers to one question, as texts that are not null, are the same."""
    return f"""{first} = {second} OR CASE answer_type
        WHEN 'number' THEN coalesce({_near(first, second, tolerance.number_tolerance)}, false)
        WHEN 'span' THEN coalesce({_overlap(first, second)} >= {tolerance.span_overlap!r}, false)
        WHEN 'text' THEN {_words(first)} = {_words(second)}
        ELSE lower(trim({first})) = lower(trim({second})) END"""


def agrees_sql(tolerance: Tolerance = STRICT) -> str:
    """SQL of whether both answers of a row are the same; null where one of them is not there."""
    first, second = "answer_first_value", SECOND_VALUE
    return f"CASE WHEN {first} IS NOT NULL AND {second} IS NOT NULL THEN {same_sql(first, second, tolerance)} END"


def differs_sql(tolerance: Tolerance = STRICT) -> str:
    """SQL of whether a row that thought has another answer than its first one. Never null."""
    return f"({SECOND_VALUE} IS NOT NULL AND NOT coalesce({agrees_sql(tolerance)}, false))"


def compare(rows: pa.Table, first: str, second: str, tolerance: Tolerance = STRICT) -> list[bool | None]:
    """Whether two columns of answers are the same, row by row; None where one of them is null. `rows` has
    `answer_type`, too."""
    [same] = compare_all(rows, [(first, second, tolerance)])
    return same


def compare_all(rows: pa.Table, pairs: Sequence[tuple[str, str, Tolerance]]) -> list[list[bool | None]]:
    """`compare` of several pairs of columns, in one statement."""
    names = dict.fromkeys(name for first, second, _ in pairs for name in (first, second))
    asked = rows.select(["answer_type", *names]).append_column("place", pa.array(range(rows.num_rows)))
    found = ", ".join(
        f"CASE WHEN {first} IS NOT NULL AND {second} IS NOT NULL THEN {same_sql(first, second, tolerance)} END"
        for first, second, tolerance in pairs
    )
    with duckdb.connect() as connection:
        connection.register("asked", asked)
        told = connection.execute(f"SELECT {found} FROM asked ORDER BY place").fetchall()
    return [[row[number] for row in told] for number in range(len(pairs))]


def _near(first: str, second: str, tolerance: float) -> str:
    one, other = (f"TRY_CAST({text} AS DOUBLE)" for text in (first, second))
    return f"abs({one} - {other}) <= {tolerance!r} * greatest(abs({one}), abs({other}))"


def _overlap(first: str, second: str) -> str:
    """Seconds that both spans have over seconds that one of them has; null where one is no span."""
    (a, b), (c, d) = (_ends(text) for text in (first, second))
    shared = f"greatest(0, least({b}, {d}) - greatest({a}, {c})) / nullif(greatest({b}, {d}) - least({a}, {c}), 0)"
    return f"CASE WHEN {a} + {b} + {c} + {d} IS NOT NULL THEN {shared} END"  # greatest and least pass over nulls


def _ends(text: str) -> tuple[str, str]:
    pattern = r"'\[([^,]+),\s*([^\]]+)\]'"
    start, end = (f"TRY_CAST(regexp_extract({text}, {pattern}, {n}) AS DOUBLE)" for n in (1, 2))
    return start, end


def _words(text: str) -> str:
    return rf"trim(regexp_replace(lower({text}), '[^\p{{L}}\p{{N}}]+', ' ', 'g'))"
