"""The view `current`: the answers that count today, each once.

    one configuration           the job's, or the one that asked last
    one wording a question      the newest one of each question id (`pipelines.results.wordings`)
    one version a video         the newest one; nothing of videos that are gone, or that an erasure is about
    columns of manifests        as they are now, by the log of videos

What counts is found out before the view is made, and stands in it as constants. So DuckDB leaves out files and row
groups of what does not count, and a query of `current` costs what one of `answers` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.fixed import UTC_ZONE, read_fixed
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.commit.tombstones import erased_among, read_tombstones
from framegate.pipelines.commit.video_log import CURRENT, GONE, SUPERSEDED
from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.view_sql import quoted, text_literal
from framegate.pipelines.results.wordings import (
    Asked,
    Current,
    newest_config,
    newest_of,
    recorded_wordings,
)
from framegate.schemas.tables import INPUT_PREFIX

CONFIDENCE: Final = "CASE WHEN thinking THEN coalesce(confidence_second, confidence_first) ELSE confidence_first END"
ANSWER_KEY: Final = "concat(video_id, '/', CAST(clip_index AS VARCHAR), '/', question_hash)"
DERIVED: Final[Mapping[str, str]] = {
    "confidence": "of the answer: of the second one where the model thought and it has one, else of the first",
    "answer_key": "video_id/clip_index/question_hash: tells a row of one config_id from all others",
    "clip_local_date": "date on which the clip began, in the output's time zone; null: not known",
    "clip_local_hour": "hour of the day in which it began there, 0 to 23",
}
"""Columns that `current` has and results have not, with their meanings."""

_AWAY: Final = "away_videos"
_INPUTS: Final = "video_inputs"


class Records:
    """What an output's records tell, read when it is asked for, once."""

    def __init__(self, output: Output) -> None:
        self._output = output

    @cached_property
    def runs(self) -> Sequence[Mapping[str, Any]]:
        """The oldest first; a damaged record is the audit's to tell. Raises StorageError."""
        return [*read_runs(self._output, on_damaged=lambda error: None).values()]

    @cached_property
    def time_zone(self) -> str:
        """Of local dates and hours."""
        fixed = read_fixed(self._output)
        return UTC_ZONE if fixed is None else fixed.time_zone


def find_current(opened: Opened, records: Records) -> Current:
    """What `current` shows. Reads rows only where records do not tell. The view `answers` is there."""
    known = opened.records if opened.config_id is None else {opened.config_id}
    config_id = opened.config_id or newest_config(records.runs, known) or _written_last(opened)
    if config_id is None:
        return Current(config_id=None, asked=Asked(names={}))
    asked = recorded_wordings(records.runs, config_id, opened.records.get(config_id, ()))
    return Current(config_id=config_id, asked=_written_wordings(opened, config_id) if asked is None else asked)


def create_current(opened: Opened, current: Current, known_videos: pa.Table, records: Records) -> None:
    """Makes the view. `answers` is there. Raises StorageError."""
    away = _find_away(opened, known_videos)
    if away:
        opened.connection.register(_AWAY, pa.table({"video_id": pa.array(sorted(away), pa.string())}))
    columns = opened.columns("answers")
    inputs = [name for name in known_videos.column_names if name.startswith(INPUT_PREFIX) and name in columns]
    if inputs:
        opened.connection.register(_INPUTS, known_videos.select(["video_id", *inputs]).replace_schema_metadata(None))
    sql = current_sql(columns, current, time_zone=records.time_zone, has_away=bool(away), inputs=inputs)
    opened.connection.execute(f"CREATE TEMP VIEW current AS {sql}")


def current_sql(
    columns: Iterable[str], current: Current, *, time_zone: str, has_away: bool, inputs: Sequence[str] = ()
) -> str:
    """A SELECT of `answers` with these columns. `inputs`: those of manifests that the log of videos has."""
    shown = ", ".join(_shown(columns, current.asked, time_zone, inputs))
    hashes = ", ".join(map(text_literal, current.asked.names))
    config = "NULL" if current.config_id is None else text_literal(current.config_id)
    rule = f"config_id = {config} AND " + (f"question_hash IN ({hashes})" if hashes else "false")
    gone = f" ANTI JOIN {_AWAY} USING (video_id)" if has_away else ""
    return f"SELECT {shown} FROM answers{gone}{_joined_inputs(inputs)} WHERE {rule}"


def _joined_inputs(inputs: Sequence[str]) -> str:
    """DuckDB leaves the join out where no input is asked for, as its keys are unique."""
    if not inputs:
        return ""
    values = ", ".join(f"any_value({quoted(name)}) AS {quoted(name)}" for name in inputs)
    are_kept = " OR ".join(f"any_value({quoted(name)}) IS NOT NULL" for name in inputs)
    return (
        f" LEFT JOIN (SELECT video_id, {values}, {are_kept} AS are_kept FROM {_INPUTS} GROUP BY video_id) AS v"
        " ON v.video_id = answers.video_id"
    )


def local_columns(started_at: str, prefix: str, time_zone: str) -> list[str]:
    """Date and hour of a time, in a time zone."""
    local = f"timezone({text_literal(time_zone)}, {started_at})"
    return [
        f"CAST({local} AS DATE) AS {prefix}local_date",
        f"CAST(extract('hour' FROM {local}) AS INTEGER) AS {prefix}local_hour",
    ]


def _shown(columns: Iterable[str], asked: Asked, time_zone: str, inputs: Sequence[str]) -> Iterable[str]:
    for name in columns:
        if name in inputs:  # a log of before inputs were kept has none: then the row's own
            own = f"answers.{quoted(name)}"
            yield f"CASE WHEN v.are_kept THEN v.{quoted(name)} ELSE {own} END AS {quoted(name)}"
        elif name == "question_id":
            yield _question_id(asked)
        else:
            yield f"answers.{quoted(name)}"
        if name == "clip_ended_at":
            yield from local_columns("clip_started_at", "clip_", time_zone)
        elif name == "confidence_second":
            yield f"{CONFIDENCE} AS confidence"
    yield f"{ANSWER_KEY.replace('video_id', 'answers.video_id')} AS answer_key"


def _question_id(asked: Asked) -> str:
    """The name of today. Where no name has changed it is the column itself, which spares row groups."""
    if not asked.renamed:
        return "question_id"
    cases = " ".join(
        f"WHEN {text_literal(hash)} THEN {text_literal(asked.names[hash])}" for hash in sorted(asked.renamed)
    )
    return f"CASE question_hash {cases} ELSE question_id END AS question_id"


def _written_last(opened: Opened) -> str | None:
    """The config_id whose answers were written last; None where there are no answers."""
    found = opened.connection.execute("SELECT max_by(config_id, written_at) FROM answers").fetchone()
    return None if found is None else found[0]


def _written_wordings(opened: Opened, config_id: str) -> Asked:
    sql = f"""
        SELECT question_hash, question_id FROM answers WHERE config_id = {text_literal(config_id)}
        GROUP BY ALL ORDER BY max(written_at), question_hash, question_id"""
    return newest_of(opened.connection.execute(sql).fetchall())


def _find_away(opened: Opened, known_videos: pa.Table) -> set[str]:
    """The video_ids that do not count: older versions, videos that are gone, and those that an erasure is about."""
    uris, ids, states = (known_videos.column(name).to_pylist() for name in ("video_uri", "video_id", "state"))
    away = {id for id, state in zip(ids, states, strict=True) if state in (SUPERSEDED, GONE)}
    erased = erased_among(uris, read_tombstones(opened.output))
    away |= {id for id, uri in zip(ids, uris, strict=True) if uri in erased}
    by_uri: dict[str, set[str]] = {}
    for id, uri, state in zip(ids, uris, states, strict=True):
        if state == CURRENT and id not in away:
            by_uri.setdefault(uri, set()).add(id)
    twice = {uri for uri, of_uri in by_uri.items() if len(of_uri) > 1}
    return away | (_older(opened, twice) if twice or not ids else set())


def _older(opened: Opened, uris: Iterable[str]) -> set[str]:
    """Versions of which another one was answered later: of these videos, or of all where none is named. Only outputs
    of earlier versions, which have no log of videos, need it."""
    named = ", ".join(map(text_literal, sorted(uris)))
    sql = f"""
        SELECT video_id FROM answers {f"WHERE video_uri IN ({named})" if named else ""} GROUP BY video_uri, video_id
        QUALIFY row_number() OVER (PARTITION BY video_uri ORDER BY max(written_at) DESC, video_id) > 1"""
    return {video_id for (video_id,) in opened.connection.execute(sql).fetchall()}
