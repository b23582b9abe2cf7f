"""What needs a person: failures that stand, videos that are given up, what has drifted, and rows to look at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from framegate.pipelines.report.figures import Attention, FailureReason, GivenUp, RowToSee
from framegate.pipelines.report.links import link_to
from framegate.pipelines.report.night import Scope
from framegate.pipelines.report.rows import FAILED, NIGHT, NightRows
from framegate.pipelines.results.view_sql import text_literal
from framegate.schemas.drift import DriftRow, alarms_of
from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.retries import wait_after

MAX_GIVEN_UP: Final = 20
MAX_CAMERAS: Final = 3  # named for one reason
MAX_ROWS: Final = {"unparsed": 3, "out of range": 3, "changed its mind": 4, "least sure": 4}
"""How many rows of each kind are shown. A row that is of two kinds counts for the first of them."""

_FAILURES: Final = f"""
    SELECT reason, attempts, camera, count(*) AS num_rows, count(DISTINCT video_id) AS num_videos,
        count(*) FILTER (run_id IN ({{runs}})) AS num_tonight, arg_max(message, written_at) AS example
    FROM {FAILED} GROUP BY ALL"""
_GIVEN_UP: Final = f"""
    SELECT video_uri, arg_max(reason, written_at) AS reason, arg_max(message, written_at) AS message,
        max(attempts) AS attempts, max(written_at) AS failed_at, count(*) OVER () AS total
    FROM {FAILED} WHERE {{is_over}} GROUP BY video_uri
    ORDER BY failed_at DESC, video_uri LIMIT {{limit}}"""

_KINDS: Final = {
    "unparsed": ("status = 'unparsed'", "confidence_first DESC NULLS LAST"),
    "out of range": ("status = 'out_of_range'", "confidence_first DESC NULLS LAST"),
    "changed its mind": ("NOT agrees", "confidence_first DESC"),
    "least sure": (
        "status = 'answered' AND coalesce(confidence_second, confidence_first) IS NOT NULL",
        "coalesce(confidence_second, confidence_first)",
    ),
}
# Of each question its first rows, one of a video: more than are shown, since other questions may take those videos.
_ROWS: Final = f"""
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY question_hash ORDER BY {{order}}, video_id, clip_index) AS place
        FROM (
            SELECT * FROM {NIGHT} WHERE {{condition}}
            QUALIFY row_number() OVER (PARTITION BY question_hash, video_id ORDER BY {{order}}, clip_index) = 1
        )
    ) WHERE place <= {{limit}} ORDER BY {{order}}, question_id, place, video_id"""
_THUMBNAILS: Final = """
    SELECT video_id, clip_index, start_seconds, any_value(thumbnail) AS thumbnail FROM clips
    WHERE thumbnail IS NOT NULL AND video_id IN ({ids}) GROUP BY ALL"""
_JPEG: Final = b"\xff\xd8\xff"
_SECOND: Final = 1e-3  # two clips of one index that begin so near each other are the same


def find_attention(
    rows: NightRows, scope: Scope, drift: Iterable[DriftRow] | None, *, max_attempts: int, link: str | None
) -> Attention:
    """`drift` is what the night's record has of it, `max_attempts` is the job's, `link` its template for links. Raises
    StorageError."""
    runs = ", ".join(text_literal(run["run_id"]) for run in scope.night.runs)
    failed = rows.ask(_FAILURES.format(runs=runs))
    given_up = _given_up(rows, failed, max_attempts)
    has_clips = bool(rows.ask("SELECT clip_index FROM clips LIMIT 1"))
    chosen = [*_choose(rows)]
    thumbnails = _thumbnails(rows, [row for _, row in chosen]) if has_clips else {}
    return Attention(
        failures=tuple(_by_reason(failed, max_attempts)),
        given_up=tuple(GivenUp(**{field.name: row[field.name] for field in fields(GivenUp)}) for row in given_up),
        num_given_up=given_up[0]["total"] if given_up else 0,
        drift=alarms_of(drift),
        rows=tuple(_to_see(why, row, link, thumbnails) for why, row in chosen),
        has_thumbnails=has_clips,
    )


def _is_over(row: Mapping[str, Any], max_attempts: int) -> bool:
    return wait_after(row["reason"], row["attempts"]) is None or row["attempts"] >= max_attempts


def _by_reason(rows: Iterable[Mapping[str, Any]], max_attempts: int) -> Iterator[FailureReason]:
    """The most frequent reason first."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["reason"]].append(row)
    for reason, group in sorted(groups.items(), key=lambda item: (-sum(row["num_rows"] for row in item[1]), item[0])):
        cameras: Counter[str] = Counter()
        for row in group:
            cameras[row["camera"] or "no camera"] += row["num_rows"]
        yield FailureReason(
            reason=reason,
            meaning=REASON_MEANINGS.get(reason, ""),
            num_failures=sum(row["num_rows"] for row in group),
            num_given_up=sum(row["num_rows"] for row in group if _is_over(row, max_attempts)),
            num_tonight=sum(row["num_tonight"] for row in group),
            example=max(group, key=lambda row: row["num_rows"])["example"],
            cameras=_name_cameras(cameras),
        )


def _name_cameras(cameras: Counter[str]) -> str:
    named = [f"{name} {number:,}" for name, number in cameras.most_common(MAX_CAMERAS)]
    more = len(cameras) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _given_up(rows: NightRows, failed: Iterable[Mapping[str, Any]], max_attempts: int) -> list[dict[str, Any]]:
    over = sorted({(row["reason"], row["attempts"]) for row in failed if _is_over(row, max_attempts)})
    if not over:
        return []
    is_over = " OR ".join(f"reason = {text_literal(reason)} AND attempts = {attempts}" for reason, attempts in over)
    return rows.ask(_GIVEN_UP.format(is_over=is_over, limit=MAX_GIVEN_UP))


def _choose(rows: NightRows) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with what they are shown for, each once."""
    seen: set[tuple[Any, ...]] = set()
    for why, (condition, order) in _KINDS.items():
        limit = sum(MAX_ROWS.values())
        found = rows.ask(_ROWS.format(condition=condition, order=order, limit=limit))
        chosen = _spread([row for row in found if _key(row) not in seen], MAX_ROWS[why])
        seen |= {_key(row) for row in chosen}
        yield from ((why, row) for row in chosen)


def _spread(found: Iterable[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many rows: of one question after the other, and each of another video as far as there are some. So
    neither a bad question nor a bad video fills the list. A question's rows come in the order in which they are."""
    waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        waiting[row["question_hash"]].append(row)
    chosen: list[dict[str, Any]] = []
    while waiting and len(chosen) < most:
        for question, queue in [*waiting.items()]:
            videos = {row["video_id"] for row in chosen}
            row = next((row for row in queue if row["video_id"] not in videos), queue[0])
            chosen.append(row)
            queue.remove(row)
            if not queue:
                del waiting[question]
    return chosen[:most]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["video_id"], row["clip_index"], row["question_hash"]


def _thumbnails(rows: NightRows, chosen: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    """Pictures of clips by video and index: one index may be another stretch under another way of cutting."""
    ids = ", ".join(sorted({text_literal(row["video_id"]) for row in chosen}))
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows.ask(_THUMBNAILS.format(ids=ids)) if ids else ():
        found[row["video_id"], row["clip_index"]].append(row)
    return found


def _to_see(
    why: Any, row: Mapping[str, Any], link: str | None, thumbnails: Mapping[tuple[str, int], list[Mapping[str, Any]]]
) -> RowToSee:
    start = row["start_seconds"]
    pictures = [
        each["thumbnail"]
        for each in thumbnails.get((row["video_id"], row["clip_index"]), ())
        if abs(each["start_seconds"] - start) <= _SECOND and each["thumbnail"].startswith(_JPEG)
    ]
    shown = {field.name: row[field.name] for field in fields(RowToSee) if field.name in row}
    shown["answer_first"] = row["answer_first_value"] or row["answer_first"]
    picture = pictures[0] if pictures else None
    return RowToSee(why=why, **shown, link=link_to(row["video_uri"], start, link), thumbnail=picture)
