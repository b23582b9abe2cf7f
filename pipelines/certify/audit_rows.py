"""The audit sample of an output, read from its rows: what counts today, of one config_id.

Rows may have been audited at several rates, as an archive grows. A row is in the sample where its rank is below the
lowest of them, and its own rate is above 0: these are a uniform draw of all rows that the gate decided about since rows
are audited. Which rows those are depends on hashes and rates alone, not on any answer.

Rows that took over the answer of another clip are not among them: `pipelines.certify.copies` tells of these.

Where a row of the sample is deferred, its second answer is still to come. The sample then ends at the lowest rank of
such rows: what lies below it is a uniform draw at a lower rate.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.results.agreement import SECOND_VALUE, STRICT, Tolerance, differs_sql
from framegate.pipelines.results.kept_rows import list_columns, quote_name
from framegate.pipelines.results.views import Views, select
from framegate.schemas.audit_sample import AuditSample, AuditUnit, clip_key
from framegate.schemas.errors import ConfigError
from framegate.schemas.gate_reason import IS_GATED
from framegate.schemas.qa import Measure
from framegate.schemas.tables import INPUT_PREFIX

_COVERED: Final = "audit_rate > 0"
_DECIDED: Final = (
    f"{IS_GATED} AND copied_from IS NULL AND gate_reason IN"
    " ('confident', 'unsure', 'deferred', 'audit', 'asked', 'no_box', 'empty_box', 'fallback')"
)
_COUNTS: Final = """
    SELECT question_hash, any_value(question_id) AS question_id, any_value(answer_type) AS answer_type,
        {group} AS group_value,
        count(*) FILTER ({covered}) AS num_rows, count(*) FILTER (NOT coalesce({covered}, false)) AS num_uncovered,
        least(min(audit_rate) FILTER ({covered}), min(audit_rank) FILTER ({covered} AND gate_reason = 'deferred'))
            AS lowest_rate,
        count(*) FILTER ({covered} AND NOT thinking AND gate_reason = 'confident') AS num_exited,
        max(threshold) AS threshold
    FROM current WHERE {decided} AND {rate} GROUP BY question_hash, group_value
    ORDER BY question_id, question_hash, group_value"""
_SAMPLE: Final = """
    SELECT video_id, video_uri, clip_index, start_seconds, end_seconds, question_hash, question_id, question,
        question_options, answer_type, {group} AS group_value,
        {unit} AS unit_value, confidence_first, {differs} AS differs, audit_rank,
        confidence_min_probability, confidence_margin, confidence_entropy,
        num_answer_tokens, num_thinking_tokens, answer_first_value AS first_value, {second} AS second_value,
        answer, written_at
    FROM current WHERE {decided} AND {rate} AND {covered} AND audit_rank < {lowest}
    ORDER BY audit_rank, question_hash"""


@dataclass(frozen=True, kw_only=True)
class AuditRows:
    """`rows`: those of the sample, by ascending rank. `counts`: rows of the archive by question and group."""

    rows: pa.Table
    counts: Sequence[dict[str, Any]]
    sample: AuditSample
    tolerance: Tolerance

    @property
    def confidence(self) -> np.ndarray:
        """float64 (n,), NaN where there was none."""
        return self.rows.column("confidence_first").to_numpy().astype(np.float64)

    @property
    def sureness(self) -> dict[str, np.ndarray]:
        """Confidence, and each other measure that any row has: float64 (n,), from 0 to 1, NaN where there is none.

        A margin below 0 counts as 0, and an entropy H as exp(-H), which ranks rows as -H does.
        """
        told = {
            name: self.rows.column(f"confidence_{name}").to_numpy().astype(np.float64) for name in get_args(Measure)
        }
        told["margin"] = np.maximum(told["margin"], 0.0)
        told["entropy"] = np.exp(-told["entropy"])
        known = {name: values for name, values in told.items() if not np.isnan(values).all()}
        return {"confidence": self.confidence, **known}

    @property
    def differs(self) -> np.ndarray:
        """bool (n,)"""
        return self.rows.column("differs").to_numpy(zero_copy_only=False).astype(bool)

    @property
    def population(self) -> int:
        """Rows that the sample is drawn from."""
        return sum(row["num_rows"] for row in self.counts)

    @property
    def num_uncovered(self) -> int:
        """Rows that the gate decided about before rows were audited."""
        return sum(row["num_uncovered"] for row in self.counts)

    @property
    def has_groups(self) -> bool:
        """Whether rows were grouped, and any has a value."""
        return any(row["group_value"] is not None for row in self.counts)

    def of_questions(self, hashes: Collection[str]) -> AuditRows:
        """Those of some questions alone."""
        among = pc.field("question_hash").isin(list(hashes))
        counts = [row for row in self.counts if row["question_hash"] in hashes]
        return replace(self, rows=self.rows.filter(among), counts=counts)

    def count_by(self, name: str) -> dict[Any, int]:
        """Rows of the archive by `question_hash` or `group_value`, without those of which none is covered."""
        found: dict[Any, int] = {}
        for row in self.counts:
            found[row[name]] = found.get(row[name], 0) + row["num_rows"]
        return {value: number for value, number in found.items() if number}


def read_audit_rows(
    views: Views,
    *,
    unit: AuditUnit,
    salt: str,
    by: str | None = None,
    unit_column: str | None = None,
    min_rate: float = 0.0,
    tolerance: Tolerance = STRICT,
) -> AuditRows:
    """`by`: a column of the manifest that tells groups apart; `unit_column`: one that tells units apart, else videos
    are. Rows that were audited below `min_rate` are left out.

    Raises ConfigError where no row was audited, where rows were drawn by another unit or salt than the ones named, or
    `by` or `unit_column` is no column; StorageError.
    """
    found = find_audit_rows(
        views, unit=unit, salt=salt, by=by, unit_column=unit_column, min_rate=min_rate, tolerance=tolerance
    )
    if found is None:
        raise ConfigError(
            "no row of this config_id was audited, so that nothing can be said of what the gate loses; set gate.audit"
            " in the job, such as {rate: 0.01}, and run it"
        )
    check_ranks(found.rows, found.sample)
    return found


def find_audit_rows(
    views: Views,
    *,
    unit: AuditUnit = "row",
    salt: str = "",
    by: str | None = None,
    unit_column: str | None = None,
    min_rate: float = 0.0,
    tolerance: Tolerance = STRICT,
) -> AuditRows | None:
    """As `read_audit_rows`; None where no row was audited. Whether rows were drawn by that unit and salt is not looked
    at, which is enough for what describes and promises nothing."""
    group = "NULL" if by is None else _column(views, by)
    terms = {
        "group": group,
        "unit": "video_id" if unit_column is None else _column(views, unit_column),
        "decided": _DECIDED,
        "covered": _COVERED,
        "rate": "true" if not min_rate else f"coalesce(audit_rate >= {min_rate!r}, false)",
        "differs": differs_sql(tolerance),
        "second": SECOND_VALUE,
    }
    counts = select(views, _COUNTS.format(**terms)).to_pylist()
    lowest = min((row["lowest_rate"] for row in counts if row["lowest_rate"]), default=None)
    if lowest is None:
        return None
    rows = select(views, _SAMPLE.format(**terms, lowest=repr(lowest)))
    sample = AuditSample(rate=lowest, unit=unit, salt=salt)
    return AuditRows(rows=rows, counts=counts, sample=sample, tolerance=tolerance)


def _column(views: Views, by: str) -> str:
    known = [
        name.removeprefix(INPUT_PREFIX) for name in list_columns(views, "current") if name.startswith(INPUT_PREFIX)
    ]
    if by not in known:
        raise ConfigError(f"'{by}' is no column of the manifests of this output; it has {', '.join(known) or 'none'}")
    return f"{quote_name(INPUT_PREFIX + by)}::VARCHAR"


def check_ranks(rows: pa.Table, sample: AuditSample) -> None:
    """Ranks that are no hash of what the job says were drawn otherwise: the rows of a clip may depend on each other.

    `rows` have `video_id`, `clip_index`, `question_hash` and `audit_rank`. Raises ConfigError.
    """
    columns = (rows.column(name).to_pylist() for name in ("video_id", "clip_index", "question_hash", "audit_rank"))
    num_others = sum(
        sample.rank(clip_key(video_id, clip_index), question_hash) != rank
        for video_id, clip_index, question_hash, rank in zip(*columns, strict=True)
    )
    if num_others:
        raise ConfigError(
            f"{num_others:,} of {rows.num_rows:,} audited rows were drawn by another gate.audit.unit or salt than the"
            f" job's ({sample.unit}, '{sample.salt}'); name those that were in force"
        )
