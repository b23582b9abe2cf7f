"""What taking over answers loses: how many of the answers that were taken over differ from what the clip itself says.

Of the rows with `copied_from` those of the audit sample were asked all the same. They are a uniform draw of these rows,
so that the share of all of them that differs is bounded exactly (Clopper and Pearson, or the hypergeometric, as in
`pipelines.calibrate.share`). Where whole clips were drawn a clip counts as one, and as one that differs where any of
its rows does: the share of rows that differ is not larger, where all clips have as many.

Left out are rows that were deepened: their answer is a later one than what was asked of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.pipelines.calibrate.share import upper_bound
from framegate.pipelines.certify.audit_rows import check_ranks
from framegate.pipelines.results.agreement import Tolerance, same_sql
from framegate.pipelines.results.views import Views, select
from framegate.schemas.audit_sample import AuditSample, AuditUnit

_COPIED: Final = "copied_from IS NOT NULL AND deepened_at IS NULL"
_COUNTS: Final = f"""
    SELECT question_hash, any_value(question_id) AS question_id, {{size}} FILTER ({{covered}}) AS population,
        count(*) FILTER (NOT coalesce({{covered}}, false)) AS num_uncovered,
        min(audit_rate) FILTER ({{covered}}) AS lowest_rate
    FROM current WHERE {_COPIED} GROUP BY GROUPING SETS ((), (question_hash))"""
_SAMPLE: Final = f"""
    SELECT question_hash, video_id, clip_index, audit_rank,
        CASE WHEN answer IS NULL OR answer_asked IS NULL THEN answer IS NOT NULL OR answer_asked IS NOT NULL
            ELSE NOT coalesce({{same}}, false) END AS differs
    FROM current WHERE {_COPIED} AND {{covered}} AND audit_rank < {{lowest}}"""


@dataclass(frozen=True, kw_only=True)
class CopyBound:
    """One claim. Counts are of rows, or of clips where these were drawn.

    question_id     None: of all questions
    population      that took over answers since rows are audited; `num_audited` of them were asked all the same
    num_different   of these, whose own answer is another one
    bound           the share of the population that differs is at most this, with probability 1 - delta / num_together
    """

    question_id: str | None
    population: int
    num_audited: int
    num_different: int
    bound: float
    num_together: int = 1


@dataclass(frozen=True, kw_only=True)
class CopyFindings:
    """`whole` of all questions; `questions`, one for each, which hold together. `num_uncovered`: rows that took over
    answers before rows were audited, of which nothing is said."""

    unit: AuditUnit
    epsilon: float
    delta: float
    num_uncovered: int
    whole: CopyBound
    questions: tuple[CopyBound, ...]

    @property
    def is_within(self) -> bool:
        """Whether it holds that at most epsilon of what was taken over differs."""
        return self.whole.bound <= self.epsilon


def find_copies(
    views: Views,
    *,
    unit: AuditUnit,
    salt: str,
    epsilon: float,
    delta: float,
    tolerance: Tolerance,
    min_rate: float = 0.0,
) -> CopyFindings | None:
    """None where no row took over an answer. Rows that were audited below `min_rate` are left out.

    Raises ConfigError where rows were drawn by another unit or salt than the ones named, StorageError.
    """
    covered = f"audit_rate > 0 AND audit_rate >= {min_rate!r}"
    size = "count(DISTINCT (video_id, clip_index))" if unit == "clip" else "count(*)"
    counts = select(views, _COUNTS.format(size=size, covered=covered)).to_pylist()
    (total,) = [row for row in counts if row["question_hash"] is None]
    if not total["population"] and not total["num_uncovered"]:
        return None
    lowest = total["lowest_rate"] or 0.0
    same = same_sql("answer", "answer_asked", tolerance)
    sample = select(views, _SAMPLE.format(same=same, covered=covered, lowest=repr(lowest)))
    check_ranks(sample, AuditSample(rate=lowest, unit=unit, salt=salt))
    rows = sample.to_pylist()
    by_question = sorted(
        (row for row in counts if row["question_hash"] is not None and row["population"]),
        key=lambda row: (row["question_id"], row["question_hash"]),
    )
    return CopyFindings(
        unit=unit,
        epsilon=epsilon,
        delta=delta,
        num_uncovered=total["num_uncovered"],
        whole=_bound(None, total["population"], rows, unit, delta, 1),
        questions=tuple(
            _bound(
                row["question_id"],
                row["population"],
                [each for each in rows if each["question_hash"] == row["question_hash"]],
                unit,
                delta,
                len(by_question),
            )
            for row in by_question
        ),
    )


def _bound(
    question_id: str | None,
    population: int,
    rows: Sequence[dict[str, Any]],
    unit: AuditUnit,
    delta: float,
    num_together: int,
) -> CopyBound:
    differs = [row["differs"] for row in rows]
    if unit == "clip":
        clips: dict[tuple[str, int], bool] = {}
        for row in rows:
            clip = (row["video_id"], row["clip_index"])
            clips[clip] = clips.get(clip, False) or row["differs"]
        differs = [*clips.values()]
    return CopyBound(
        question_id=question_id,
        population=population,
        num_audited=len(differs),
        num_different=sum(differs),
        bound=upper_bound(sum(differs), len(differs), delta / num_together, population=population),
        num_together=num_together,
    )
