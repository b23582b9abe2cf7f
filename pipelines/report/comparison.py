"""The night's figures beside those of an earlier night."""

from __future__ import annotations

from typing import Any, Final

from framegate.pipelines.report.figures import Change, Comparison
from framegate.pipelines.report.night import Scope
from framegate.pipelines.report.rows import EARLIER, NIGHT, NightRows
from framegate.pipelines.results.last_night import Night, sum_books
from framegate.pipelines.results.last_run import began_at

_FIGURES: Final = """
    SELECT count(*) AS answers, count(DISTINCT (video_id, clip_index)) AS clips, avg(thinking::INT) AS think_rate,
        avg((status = 'unparsed')::INT) AS unparsed, avg((status = 'out_of_range')::INT) AS out_of_range,
        1 - avg(agrees::INT) AS disagreement, avg(coalesce(confidence_second, confidence_first)) AS confidence,
        avg(num_answer_tokens + num_thinking_tokens) AS tokens, avg(engine_seconds) AS engine_seconds
    FROM {table}"""


def find_comparison(rows: NightRows, scope: Scope, *, is_asked: bool) -> Comparison | None:
    """None where there is no earlier night. Raises StorageError."""
    if scope.earlier is None:
        return None
    now, earlier = (rows.one(_FIGURES.format(table=table)) for table in (NIGHT, EARLIER))
    books, before = sum_books(scope.answered.runs), sum_books(scope.earlier.runs)
    changes = (
        Change(name="elapsed", unit="seconds", now=books["elapsed_seconds"], earlier=before["elapsed_seconds"]),
        Change(name="clips", unit="number", now=now["clips"], earlier=earlier["clips"]),
        Change(name="clips per second", unit="number", now=_rate(now, books), earlier=_rate(earlier, before)),
        Change(name="answers", unit="number", now=now["answers"], earlier=earlier["answers"]),
        Change(name="think rate", unit="share", now=now["think_rate"], earlier=earlier["think_rate"]),
        Change(name="tokens written per answer", unit="number", now=now["tokens"], earlier=earlier["tokens"]),
        Change(
            name="engine time per answer",
            unit="seconds",
            now=now["engine_seconds"],
            earlier=earlier["engine_seconds"],
        ),
        Change(name="mean confidence", unit="number", now=now["confidence"], earlier=earlier["confidence"]),
        Change(name="changed by thinking", unit="share", now=now["disagreement"], earlier=earlier["disagreement"]),
        Change(name="unparsed", unit="share", now=now["unparsed"], earlier=earlier["unparsed"]),
        Change(name="out of range", unit="share", now=now["out_of_range"], earlier=earlier["out_of_range"]),
        Change(
            name="videos failed",
            unit="number",
            now=books["num_videos_failed"],
            earlier=before["num_videos_failed"],
        ),
    )
    return Comparison(run_ids=scope.earlier_ids, started_at=_began(scope.earlier), changes=changes, is_asked=is_asked)


def _rate(figures: dict[str, Any], books: dict[str, Any]) -> float | None:
    seconds = books["elapsed_seconds"]
    return figures["clips"] / seconds if seconds and figures["clips"] else None


def _began(night: Night) -> Any:
    return min((time for time in map(began_at, night.runs) if time), default=None)
