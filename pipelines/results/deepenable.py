"""The rows that `framegate deepen` may take up: those of one config_id that were not thought about, as they are sealed.

What chooses among them is a threshold, a condition in SQL, and names of questions; each that is given narrows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import duckdb
import pyarrow as pa

from framegate.pipelines.results.statements import check_statement, has_words
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.results.views import query
from framegate.schemas.config import OutputConfig
from framegate.schemas.deepening import DEEPENABLE, Thresholds
from framegate.schemas.errors import ConfigError, QueryError
from framegate.schemas.tables import RESULTS

_WENT: Final = (
    "(gate_reason = 'deferred' OR gate_reason = 'confident' AND (confidence_first IS NULL OR confidence_first < {}))"
)
"""What a threshold chooses: rows that were let go and would stay with it, and those that are to think in any case."""

_ROWS: Final = """
    WITH chosen AS (
        SELECT * FROM answers WHERE NOT thinking AND deepened_at IS NULL AND {conditions}
    ), failed AS (
        SELECT video_id, clip_index, question_hash, max(attempts) AS num_failures,
            arg_max(reason, written_at) AS reason, max(written_at) AS failed_at
        FROM failure_history WHERE question_hash IS NOT NULL GROUP BY ALL
    )
    SELECT video_id, video_uri, clip_index, question_id, question_hash, question, answer_type, question_options,
        answer_first, confidence_first, gate_reason, answer_first_tokens, audit_rank,
        coalesce(num_failures, 0)::INTEGER AS num_failures,
        CASE WHEN failed_at > written_at THEN reason END AS failed_reason,
        CASE WHEN failed_at > written_at THEN failed_at END AS failed_at
    FROM chosen LEFT JOIN failed USING (video_id, clip_index, question_hash)
    ORDER BY video_id, clip_index, question_hash"""

_AUDITED: Final = """
    SELECT {columns} FROM answers
    WHERE gate_reason = 'audit' AND confidence_first < {threshold} AND {conditions}
    ORDER BY video_id, clip_index, question_hash"""

_TOKENS: Final = """
    SELECT question_hash, avg(num_thinking_tokens)::DOUBLE AS tokens FROM answers
    WHERE thinking AND copied_from IS NULL GROUP BY question_hash"""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """
    where       a condition over the columns of the view `answers`; None: all
    questions   ids of questions; none: all
    """

    where: str | None = None
    questions: tuple[str, ...] = ()

    def conditions(self, thresholds: Thresholds | None) -> str:
        """As SQL, with rows that were let go below their threshold; None: whatever their confidence."""
        parts = []
        if thresholds is not None:
            parts.append(_WENT.format(_threshold_sql(thresholds)))
        if self.where is not None:
            parts.append(f"(\n{self.where}\n)")
        if self.questions:
            parts.append(f"question_id IN ({', '.join(map(text_literal, self.questions))})")
        return " AND ".join(parts) or "true"


DEFERRED_ROWS: Final = Chosen(where="gate_reason = 'deferred'")
"""Those that a run has let go and that are to think, whatever the threshold is by now."""


def check_chosen(chosen: Chosen) -> None:
    """Raises QueryError where the condition is more, or less, than one condition."""
    if chosen.where is None:
        return
    if not has_words(chosen.where):
        raise QueryError("--where is empty: give a condition in SQL, such as \"answer = 'yes'\"")
    try:
        check_statement(f"SELECT 1 FROM answers WHERE (\n{chosen.where}\n)")
    except QueryError as error:
        raise QueryError(f"--where {chosen.where!r} is no condition in SQL: {error}") from error
    if not _is_one_expression(chosen.where):
        raise QueryError(
            f"--where {chosen.where!r} closes a bracket that it did not open: give one condition, such as"
            " \"camera = 'north' AND confidence_first < 0.99\""
        )


def read_deepenable(config: OutputConfig, config_id: str, thresholds: Thresholds | None, *, chosen: Chosen) -> pa.Table:
    """The rows that are chosen, in DEEPENABLE, by video. `thresholds` and `chosen`, each that is given narrows. Nothing
    is changed.

    Raises ConfigError where no row is of a question that is named, or nothing is sealed under the config_id,
    QueryError, StorageError.
    """
    check_chosen(chosen)
    ask = partial(query, config.uri, config.storage_options, config_id=config_id)
    if chosen.questions:
        _check_questions(ask("SELECT DISTINCT question_id FROM answers ORDER BY 1"), chosen.questions)
    return ask(_ROWS.format(conditions=chosen.conditions(thresholds))).cast(DEEPENABLE)


def read_audited(config: OutputConfig, config_id: str, thresholds: Thresholds, *, chosen: Chosen) -> pa.Table:
    """The rows, in RESULTS, that thought for the audit sample alone, and would think with these thresholds. Raises what
    `read_deepenable` does."""
    columns = ", ".join(RESULTS.names)
    sql = _AUDITED.format(columns=columns, threshold=_threshold_sql(thresholds), conditions=chosen.conditions(None))
    return query(config.uri, config.storage_options, sql, config_id=config_id).cast(RESULTS)


def read_mean_tokens(config: OutputConfig, config_id: str) -> dict[str, float]:
    """By question_hash how many tokens the thoughts of its answers took on average, where there were any."""
    rows = query(config.uri, config.storage_options, _TOKENS, config_id=config_id).to_pylist()
    return {row["question_hash"]: row["tokens"] for row in rows}


def count_deferred(config: OutputConfig, config_id: str) -> int:
    """Sealed answers that are still to think. Raises StorageError."""
    sql = f"SELECT count(*) AS number FROM answers WHERE {DEFERRED_ROWS.where}"
    return query(config.uri, config.storage_options, sql, config_id=config_id).column("number")[0].as_py()


def _check_questions(known: pa.Table, wanted: tuple[str, ...]) -> None:
    there = known.column("question_id").to_pylist()
    if missing := [name for name in wanted if name not in there]:
        raise ConfigError(
            f"--question {missing[0]}: no answer here is of a question with that id; there are {', '.join(there)}"
        )


def _threshold_sql(thresholds: Thresholds) -> str:
    default = repr(float(thresholds.default))
    others = "".join(
        f" WHEN {text_literal(hash)} THEN {float(value)!r}" for hash, value in thresholds.of_question.items()
    )
    return f"(CASE question_hash{others} ELSE {default} END)" if others else default


def _is_one_expression(text: str) -> bool:
    """Whether each bracket that is closed was opened in the text, outside of literals and comments."""
    encoded, depth = text.encode(), 0
    for offset, kind in duckdb.tokenize(text):
        if kind.name == "operator":
            depth += {b"(": 1, b")": -1}.get(encoded[offset : offset + 1], 0)
        if depth < 0:
            return False
    return depth == 0
