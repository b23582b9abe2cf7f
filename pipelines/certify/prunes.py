"""What pruning changes: how many answers are others than without it, and up to which level that is few enough.

Rows of the audit sample were answered without pruning as well, at the job's level, and at those that it names. They are
a uniform draw of the rows that were answered while that was so, so that the share of all of them that differs at a
level is bounded exactly (Clopper and Pearson, or the hypergeometric, as in `pipelines.calibrate.share`). Levels are
tested from less pruning to more, and the first that fails ends it (`pipelines.calibrate.fixed_sequence`). Where whole
clips were drawn a clip counts as one, and as one that differs where any of its rows does.

A row that failed at a level, or without pruning, counts as one that differs. Rows that took over the answer of another
clip were not pruned, and are left out. Of a row that was deepened what it answered before is compared, as it stands
among its answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.pipelines.calibrate.fixed_sequence import num_within
from framegate.pipelines.calibrate.share import rows_needed, upper_bound
from framegate.pipelines.results.agreement import Tolerance, same_sql
from framegate.pipelines.results.views import Views, select
from framegate.schemas.audit_sample import AuditUnit
from framegate.schemas.certified_pruning import PruneCertificate, PruneLevel
from framegate.schemas.errors import InputError
from framegate.schemas.pruned import FAILED

_PRUNED: Final = "(coalesce(num_video_tokens_full, 0) > 0 OR prune_levels IS NOT NULL) AND copied_from IS NULL"
_COVERED: Final = "coalesce(prune_levels IS NOT NULL AND audit_rate > 0 AND audit_rate >= {min_rate!r}, false)"
_UNCOVERED: Final = f"SELECT count(*) AS num_uncovered FROM current WHERE {_PRUNED} AND NOT {_COVERED}"
_COUNTS: Final = f"""
    WITH covered AS (
        SELECT question_hash, question_id, video_id, clip_index, audit_rate, unnest(prune_levels) AS level
        FROM current WHERE {_PRUNED} AND {_COVERED})
    SELECT level, question_hash, any_value(question_id) AS question_id, {{size}} AS population,
        min(audit_rate) AS lowest_rate
    FROM covered GROUP BY GROUPING SETS ((level), (level, question_hash)) ORDER BY question_id, question_hash, level"""
_SAMPLE: Final = f"""
    WITH told AS (
        SELECT question_hash, video_id, clip_index, answer_type, audit_rank, answer_whole, prune_answers[1] AS whole,
            unnest(prune_answers) AS one
        FROM current WHERE {_PRUNED} AND {_COVERED} AND audit_rank IS NOT NULL)
    SELECT question_hash, video_id, clip_index, audit_rank, one.level AS level,
        whole.num_video_tokens AS whole_video, one.num_video_tokens AS video,
        whole.num_prompt_tokens AS whole_prompt, one.num_prompt_tokens AS prompt,
        CASE WHEN one.status = '{FAILED}' OR whole.status = '{FAILED}' THEN true
            WHEN one.answer IS NULL OR answer_whole IS NULL THEN one.answer IS NOT NULL OR answer_whole IS NOT NULL
            ELSE NOT coalesce({{same}}, false) END AS differs
    FROM told"""


@dataclass(frozen=True, kw_only=True)
class PruneFindings:
    """`certificates`: of all rows, then of each question. `num_uncovered`: rows with pruning that were answered while
    none was answered without it, or that no gate decided about; of these nothing is said."""

    certificates: tuple[PruneCertificate, ...]
    num_uncovered: int


def find_prunes(
    views: Views, *, unit: AuditUnit, epsilon: float, delta: float, tolerance: Tolerance, min_rate: float = 0.0
) -> PruneFindings | None:
    """None where the job does not prune. Rows that were audited below `min_rate` are left out. StorageError."""
    [uncovered] = select(views, _UNCOVERED.format(min_rate=min_rate)).to_pylist()
    size = "count(DISTINCT (video_id, clip_index))" if unit == "clip" else "count(*)"
    counts = select(views, _COUNTS.format(size=size, min_rate=min_rate)).to_pylist()
    if not counts and not uncovered["num_uncovered"]:
        return None
    same = same_sql("one.answer", "answer_whole", tolerance)
    rows = select(views, _SAMPLE.format(same=same, min_rate=min_rate)).to_pylist()
    counts = [row for row in counts if row["level"] > 0]
    lowest = {row["level"]: row["lowest_rate"] for row in counts if row["question_hash"] is None}
    sample = [row for row in rows if row["audit_rank"] < lowest.get(row["level"], 0.0)]
    hashes = list(dict.fromkeys(row["question_hash"] for row in counts if row["question_hash"] is not None))

    def certify(question_hash: str | None, num_together: int) -> PruneCertificate:
        mine = [row for row in sample if question_hash in (None, row["question_hash"])]
        return _certify(
            [row for row in counts if row["question_hash"] == question_hash],
            mine,
            unit=unit,
            epsilon=epsilon,
            delta=delta / num_together,
            num_together=num_together,
        )

    certificates = [certify(None, 1), *(certify(each, len(hashes)) for each in hashes)] if counts else []
    return PruneFindings(certificates=tuple(certificates), num_uncovered=uncovered["num_uncovered"])


def _certify(
    counts: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    *,
    unit: AuditUnit,
    epsilon: float,
    delta: float,
    num_together: int,
) -> PruneCertificate:
    by_level = sorted(counts, key=lambda row: row["level"])
    levels = [_of_level(row, [one for one in rows if one["level"] == row["level"]], unit, delta) for row in by_level]
    num_passing = num_within([one.bound for one in levels], epsilon)
    question_hash = by_level[0]["question_hash"]
    return PruneCertificate(
        question_id=None if question_hash is None else by_level[0]["question_id"],
        question_hash=question_hash,
        epsilon=epsilon,
        delta=delta,
        level=levels[num_passing - 1].level if num_passing else None,
        levels=tuple(levels),
        unit=unit,
        num_missing=_num_missing(levels[0], epsilon, delta),
        num_together=num_together,
    )


def _of_level(
    counted: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], unit: AuditUnit, delta: float
) -> PruneLevel:
    differs = [row["differs"] for row in rows]
    if unit == "clip":
        clips: dict[tuple[str, int], bool] = {}
        for row in rows:
            clip = (row["video_id"], row["clip_index"])
            clips[clip] = clips.get(clip, False) or row["differs"]
        differs = [*clips.values()]
    return PruneLevel(
        level=counted["level"],
        num_rows=len(differs),
        population=counted["population"],
        num_different=sum(differs),
        bound=upper_bound(sum(differs), len(differs), delta, population=counted["population"]),
        video_share=_share(rows, "video"),
        prompt_share=_share(rows, "prompt"),
    )


def _share(rows: Iterable[Mapping[str, Any]], name: str) -> float:
    """Of sums, by those without pruning; 1 where there are none."""
    answered = [row for row in rows if row[name] and row[f"whole_{name}"]]
    whole = sum(row[f"whole_{name}"] for row in answered)
    return sum(row[name] for row in answered) / whole if whole else 1.0


def _num_missing(first: PruneLevel, epsilon: float, delta: float) -> int:
    """Rows until the first level could pass with what differs so far; 0 where no number would do."""
    try:
        needed = rows_needed(first.num_different, epsilon, delta, population=first.population)
    except InputError:
        return 0
    return max(0, needed - first.num_rows)
