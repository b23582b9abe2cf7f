"""Composite events (`schemas.rules`) as SQL: joins and projections of `current`, one view for each event.

An event is true, unknown or false at each moment. Its view has the stretches in which it is true (`is_known`) and those
in which it may be: where an answer that it rests on could not be read, or is missing though the clip was asked others.
Where it is false there is no row. So an answer that is missing never makes an event false, nor `without` true.

Each event has two views. `<name>__pieces` has what it is put together from: one row for each clip that has the answer,
or for each piece of time. `<name>` has the stretches that these make. To put two events together, time is cut at all
starts and ends of their pieces: within each cut both have one state, and rest on certain answers. Others rest on the
pieces, so that each stretch names exactly the answers within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from framegate.pipelines.results.current import local_columns
from framegate.pipelines.results.events import SPANS, TOUCHING_SECONDS
from framegate.pipelines.results.view_sql import quoted, text_literal
from framegate.schemas.rules import EventRule, Place, Rules

COLUMNS: Final = (
    "place", "video_id", "video_uri", "camera", "start_seconds", "end_seconds", "started_at", "ended_at", "is_known",
    "min_confidence", "rests_on",
)  # fmt: skip
"""What every event has, and what others that rest on it read."""

MEANINGS: Final = {
    "place": "what it holds in: the video_id, the camera, or empty over all",
    "video_id": "null where it holds beyond one video",
    "camera": "null where it holds over all of them",
    "start_seconds": "where it begins, in seconds of the video; null beyond one video",
    "end_seconds": "where it ends",
    "started_at": "when that was",
    "ended_at": "when that was",
    "is_known": "false: it may be so, an answer is missing or could not be read",
    "min_confidence": "the least confidence among the answers that it rests on",
    "rests_on": "those answers, by their answer_key in current",
    "num_cameras": "on how many cameras at once",
}

_KNOWN: Final = "max(CASE WHEN is_known THEN 1 ELSE 0 END)"
_LEAST: Final = f"""CASE WHEN {_KNOWN} = 1 THEN min(CASE WHEN is_known THEN min_confidence END)
            ELSE min(min_confidence) END AS min_confidence"""
_ROWS: Final = f"""CASE WHEN {_KNOWN} = 1 THEN flatten(list(rests_on) FILTER (WHERE is_known))
            ELSE flatten(list(rests_on)) END AS rests_on"""


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """The columns of time by which events in one kind of place are put in order, and how far apart moments are."""

    place: Place

    @property
    def low(self) -> str:
        return "start_seconds" if self.place == "video" else "started_at"

    @property
    def high(self) -> str:
        return "end_seconds" if self.place == "video" else "ended_at"

    def later(self, moment: str, seconds: float) -> str:
        """SQL of a moment so many seconds later."""
        return f"{moment} + {seconds}" if self.place == "video" else f"seconds_after({moment}, {seconds})"


def pieces_of(name: str) -> str:
    """The view of the pieces of an event. No event has two underscores in its name."""
    return f"{name}__pieces"


def rule_views(rules: Rules, time_zone: str) -> Iterator[tuple[str, str]]:
    """Name and SELECT of each view, in an order in which they can be made. They read `current`."""
    for name in rules.order:
        rule, axis = rules.events[name], _Axis(place=rules.place(name))
        pieces, has_cameras = pieces_of(name), rule.at_least_cameras is not None
        if rule.question is not None:
            yield pieces, _of_answers(rule, rules, axis)
            stretches = f"WITH {_cut(pieces, (), axis)} {_merged('a_on', axis, 0.0)}"
        elif rule.followed_by is not None:
            yield pieces, _followed(rule, rules, axis)
            stretches = f"SELECT * FROM {pieces}"
        else:
            yield pieces, _on_cameras(rule, rules, axis) if has_cameras else _together(rule, rules, axis)
            more = ", CAST(max(num_cameras) AS BIGINT) AS num_cameras" if has_cameras else ""
            stretches = _merged(pieces, axis, 0.0, more=more)
        yield name, _finished(stretches, time_zone, has_cameras=has_cameras)


def _finished(sql: str, time_zone: str, *, has_cameras: bool) -> str:
    local = ", ".join(local_columns("started_at", "", time_zone))
    more = ", num_cameras" if has_cameras else ""
    return f"SELECT {', '.join(COLUMNS)}, {local}, cardinality(rests_on) AS num_rows{more} FROM ({sql}) AS found"


def _of_answers(rule: EventRule, rules: Rules, axis: _Axis) -> str:
    """True where a clip has the answer; unknown where it was asked other questions and this one has no answer."""
    gap = rule.max_gap_seconds if rule.max_gap_seconds is not None else rules.max_gap_seconds
    question = text_literal(rule.question or "")
    camera = "CAST(NULL AS VARCHAR)" if rules.camera is None else f"CAST({quoted(rules.camera)} AS VARCHAR)"
    kept = f"video_id, video_uri, {camera} AS camera, question_id, answer_number, confidence, answer_key"
    lifted = _lifted("said", "video", axis)
    return f"""
    WITH spans AS ({SPANS.format(kept=kept)}), clips AS (
        SELECT video_id, video_uri, max({camera}) AS camera, min(start_seconds) AS start_seconds,
            max(end_seconds) AS end_seconds, min(clip_started_at) AS started_at, max(clip_ended_at) AS ended_at,
            max(CASE WHEN question_id = {question} AND status = 'answered' AND answer IS NOT NULL THEN 1 ELSE 0 END)
                AS is_answered,
            max(CASE WHEN question_id = {question} THEN answer_key END) AS answer_key
        FROM current GROUP BY video_id, video_uri, clip_index
    ), said AS (
        SELECT video_id, video_uri, camera, start_seconds, end_seconds, started_at, ended_at, true AS is_known,
            confidence AS min_confidence, [answer_key] AS rests_on
        FROM spans WHERE question_id = {question} AND ({_matches(rule)})
        UNION ALL
        SELECT video_id, video_uri, camera, start_seconds, end_seconds, started_at, ended_at, false AS is_known,
            CAST(NULL AS DOUBLE) AS min_confidence,
            CASE WHEN answer_key IS NULL THEN CAST([] AS VARCHAR[]) ELSE [answer_key] END AS rests_on
        FROM clips WHERE is_answered = 0
    ), a AS ({lifted})
    {_merged("a", axis, gap) if gap else f"SELECT {', '.join(COLUMNS)} FROM a"}"""


def _matches(rule: EventRule) -> str:
    if rule.answer is not None:
        return f"answer IN ({', '.join(map(text_literal, rule.answer))})"
    number = "coalesce(answer_number, TRY_CAST(answer AS DOUBLE))"
    bounds = ((">=", rule.at_least), ("<=", rule.at_most))
    return " AND ".join(f"{number} {sign} {bound}" for sign, bound in bounds if bound is not None)


def _together(rule: EventRule, rules: Rules, axis: _Axis) -> str:
    """`while` and `without`: piece by piece."""
    other = rule.while_ or rule.without or ""
    if rule.while_ is not None:
        held = """
        SELECT a.place, a.video_id, a.video_uri, a.camera, a.start_seconds, a.end_seconds, a.started_at, a.ended_at,
            a.is_known AND b.is_known AS is_known, least(coalesce(a.min_confidence, b.min_confidence),
                coalesce(b.min_confidence, a.min_confidence)) AS min_confidence,
            list_concat(a.rests_on, b.rests_on) AS rests_on
        FROM a_on AS a JOIN b_on AS b ON a.piece = b.piece AND a.place = b.place"""
    else:
        held = """
        SELECT a.place, a.video_id, a.video_uri, a.camera, a.start_seconds, a.end_seconds, a.started_at, a.ended_at,
            a.is_known AND b.piece IS NULL AS is_known, a.min_confidence,
            CASE WHEN b.piece IS NULL THEN a.rests_on ELSE list_concat(a.rests_on, b.rests_on) END AS rests_on
        FROM a_on AS a LEFT JOIN b_on AS b ON a.piece = b.piece AND a.place = b.place
        WHERE b.piece IS NULL OR NOT b.is_known"""
    event = rule.event or ""
    return f"""
    WITH a AS ({_lifted(pieces_of(event), rules.place(event), axis)}),
    b AS ({_lifted(pieces_of(other), rules.place(other), axis)}),
    {_cut("a", ("b",), axis)}
    {held}"""


def _followed(rule: EventRule, rules: Rules, axis: _Axis) -> str:
    """Of each stretch of the first, the first stretch of the other that begins in time; else one that may have."""
    event, other = rule.event or "", rule.followed_by or ""
    low, high = axis.low, axis.high
    latest = axis.later(f"a.{high}", (rule.within_seconds or 0.0) + TOUCHING_SECONDS)
    return f"""
    WITH a_all AS ({_lifted(quoted(event), rules.place(event), axis)}),
    b_all AS ({_lifted(quoted(other), rules.place(other), axis)}),
    a AS ({_merged("a_all", axis, 0.0)}), b AS ({_merged("b_all", axis, 0.0)}), pairs AS (
        SELECT a.place, a.video_id, a.video_uri, a.camera, a.start_seconds,
            greatest(a.end_seconds, b.end_seconds) AS end_seconds, a.started_at,
            greatest(a.ended_at, b.ended_at) AS ended_at, a.is_known AND b.is_known AS is_known,
            least(coalesce(a.min_confidence, b.min_confidence), coalesce(b.min_confidence, a.min_confidence))
                AS min_confidence,
            list_concat(a.rests_on, b.rests_on) AS rests_on,
            row_number() OVER (
                PARTITION BY a.place, a.{low}, a.{high}, a.is_known ORDER BY CASE WHEN b.is_known THEN 0 ELSE 1 END,
                    b.{low}, b.{high}
            ) AS rank
        FROM a JOIN b ON a.place = b.place AND b.{low} <= {latest}
            AND (b.{low} > a.{low} OR NOT b.is_known AND b.{high} > a.{low})
    )
    SELECT {", ".join(COLUMNS)} FROM pairs WHERE rank = 1"""


def _on_cameras(rule: EventRule, rules: Rules, axis: _Axis) -> str:
    """At each moment, on how many cameras it is true, and on how many it may be."""
    event = rule.event or ""
    k = rule.at_least_cameras
    by_camera = """
        SELECT place, piece, seen_on, max(started_at) AS started_at, max(ended_at) AS ended_at,
            max(CASE WHEN is_known THEN 1 ELSE 0 END) AS known"""
    return f"""
    WITH a AS ({_lifted(pieces_of(event), rules.place(event), axis, keeps_camera=True)}),
    {_cut("a", (), axis, keeps_camera=True)}, by_camera AS (
        {by_camera}, {_LEAST}, {_ROWS} FROM a_on GROUP BY place, piece, seen_on
    ), counted AS (
        SELECT place, piece, max(started_at) AS started_at, max(ended_at) AS ended_at, sum(known) AS num_known,
            count(*) AS num_any, min(CASE WHEN known = 1 THEN min_confidence END) AS known_confidence,
            min(min_confidence) AS any_confidence, list(rests_on) FILTER (WHERE known = 1) AS known_rows,
            list(rests_on) AS any_rows
        FROM by_camera GROUP BY place, piece
    )
        SELECT place, {_NO_VIDEO}, started_at, ended_at, num_known >= {k} AS is_known,
            CASE WHEN num_known >= {k} THEN known_confidence ELSE any_confidence END AS min_confidence,
            flatten(CASE WHEN num_known >= {k} THEN known_rows ELSE any_rows END) AS rests_on,
            CASE WHEN num_known >= {k} THEN num_known ELSE num_any END AS num_cameras
        FROM counted WHERE num_any >= {k}"""


_NO_VIDEO: Final = """CAST(NULL AS VARCHAR) AS video_id, CAST(NULL AS VARCHAR) AS video_uri,
            CAST(NULL AS VARCHAR) AS camera, CAST(NULL AS DOUBLE) AS start_seconds,
            CAST(NULL AS DOUBLE) AS end_seconds"""


def _lifted(source: str, place: Place, axis: _Axis, *, keeps_camera: bool = False) -> str:
    """An event in a place that may be wider than its own. Beyond one video there is the wall clock alone."""
    if axis.place == "video":
        return f"""
        SELECT video_id AS place, video_id, video_uri, camera, start_seconds, end_seconds, started_at, ended_at,
            is_known, min_confidence, rests_on
        FROM {source}"""
    wide = "coalesce(camera, '')" if axis.place == "camera" else "''"
    camera = "camera" if axis.place == "camera" else "CAST(NULL AS VARCHAR)"
    seen = ", coalesce(camera, '') AS seen_on" if keeps_camera else ""
    nothing = _NO_VIDEO.replace("CAST(NULL AS VARCHAR) AS camera", f"{camera} AS camera")
    return f"""
        SELECT {wide} AS place, {nothing}, started_at, ended_at, is_known, min_confidence, rests_on{seen}
        FROM {source} WHERE started_at IS NOT NULL"""


def _cut(first: str, others: Iterable[str], axis: _Axis, *, keeps_camera: bool = False) -> str:
    """Common table expressions `points`, `pieces`, and for the first event and each other the pieces in which it is."""
    sources = [first, *others]
    moments = " UNION ALL ".join(
        f"SELECT place, {side} AS moment, {seconds} AS seconds, {at} AS at_time FROM {source}"
        for source in sources
        for side, seconds, at in (
            (axis.low, "start_seconds", "started_at"),
            (axis.high, "end_seconds", "ended_at"),
        )
    )
    following = "OVER (PARTITION BY place ORDER BY moment)"
    within = [
        _within(source, name, axis, keeps_camera) for source, name in zip(sources, ("a_on", "b_on"), strict=False)
    ]
    return f"""points AS (
        SELECT place, moment, max(seconds) AS seconds, max(at_time) AS at_time FROM ({moments}) AS ends
        GROUP BY place, moment
    ), pieces AS (
        SELECT place, moment AS low, lead(moment) {following} AS high, seconds AS start_seconds,
            lead(seconds) {following} AS end_seconds, at_time AS started_at, lead(at_time) {following} AS ended_at,
            row_number() {following} AS piece
        FROM points
    ), {", ".join(within)}"""


def _within(source: str, name: str, axis: _Axis, keeps_camera: bool) -> str:
    seen = ", s.seen_on" if keeps_camera else ""
    return f"""{name}_rows AS (
        SELECT p.place, p.piece, s.video_id, s.video_uri, s.camera, p.start_seconds, p.end_seconds, p.started_at,
            p.ended_at, s.is_known, s.min_confidence, s.rests_on{seen}
        FROM pieces AS p JOIN {source} AS s ON s.place = p.place AND s.{axis.low} <= p.low AND s.{axis.high} >= p.high
    ), {name} AS ({f"SELECT * FROM {name}_rows" if keeps_camera else _one_state(f"{name}_rows")})"""


def _one_state(rows: str) -> str:
    """One row a piece: true where any of its rows is."""
    return f"""
        SELECT place, piece, max(video_id) AS video_id, max(video_uri) AS video_uri, max(camera) AS camera,
            max(start_seconds) AS start_seconds, max(end_seconds) AS end_seconds, max(started_at) AS started_at,
            max(ended_at) AS ended_at, {_KNOWN} = 1 AS is_known, {_LEAST}, {_ROWS}
        FROM {rows} GROUP BY place, piece"""


def _merged(source: str, axis: _Axis, gap: float, *, more: str = "") -> str:
    """Stretches of one state in one place that touch, or true ones with at most `gap` seconds between, become one."""
    low, high = axis.low, axis.high
    series = "PARTITION BY place, is_known"
    order = f"ORDER BY {low}, {high}"
    last = f"max({high}) OVER ({series} {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    near = axis.later(last, TOUCHING_SECONDS)
    if gap:
        near = f"CASE WHEN is_known THEN {axis.later(last, gap + TOUCHING_SECONDS)} ELSE {near} END"
    return f"""
    SELECT place, max(video_id) AS video_id, max(video_uri) AS video_uri, max(camera) AS camera,
        min(start_seconds) AS start_seconds, max(end_seconds) AS end_seconds, min(started_at) AS started_at,
        max(ended_at) AS ended_at, is_known, min(min_confidence) AS min_confidence,
        list_sort(list_distinct(flatten(list(rests_on)))) AS rests_on{more}
    FROM (
        SELECT *, sum(begins) OVER ({series} {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS island
        FROM (SELECT *, CASE WHEN {low} <= {near} THEN 0 ELSE 1 END AS begins FROM {source}) AS marked
    ) AS numbered
    GROUP BY place, is_known, island"""
