"""The views of an output as statements for other engines, which read nothing but its Parquet files.

They hold what `pipelines.results.view_makers` makes, told from rows alone: the newest wording of a question, its name,
and the newest configuration are those of the answers that were written last. A new name that no row has yet, and a
wording that a run came back to without asking anything, show there with the first row that is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb

from framegate.pipelines.results.clip_table import clips_sql
from framegate.pipelines.results.current import ANSWER_KEY, CONFIDENCE, local_columns
from framegate.pipelines.results.dialects import translate
from framegate.pipelines.results.events import events_sql, input_columns
from framegate.pipelines.results.questions import QUESTIONS_SQL
from framegate.pipelines.results.rule_sql import rule_views
from framegate.pipelines.results.thresholds import answers_at_sql
from framegate.pipelines.results.view_sql import STANDING, quoted
from framegate.pipelines.results.views import Views, open_views
from framegate.pipelines.results.wide import wide_sql
from framegate.schemas.rules import Rules
from framegate.schemas.tables import CLIPS, FAILURES, RESULTS, VIDEO_STATES, with_config_id

_TABLES: Final = {"answers": "results", "failure_history": "failures", "stored_clips": "clips"}
_LOG: Final = "video_log"

ASKED: Final = """
    WITH named AS (
        SELECT config_id, question_hash, max_by(question_id, written_at) AS question_id, max(written_at) AS last_written
        FROM answers GROUP BY config_id, question_hash
    ), ranked AS (
        SELECT *, row_number() OVER (
            PARTITION BY config_id, question_id ORDER BY last_written DESC, question_hash DESC
        ) AS rank, max(last_written) OVER (PARTITION BY config_id) AS config_written
        FROM named
    ), newest AS (SELECT max_by(config_id, last_written) AS config_id FROM named)
    SELECT r.config_id, r.question_hash, r.question_id
    FROM ranked AS r JOIN newest AS n ON n.config_id = r.config_id WHERE r.rank = 1"""
"""The wordings that count, with their names (`pipelines.results.wordings`)."""

VIDEOS: Final = """
    SELECT {columns}, v.size_bytes AS video_size_bytes, v.state = 'gone' AS is_gone,
        CASE WHEN v.state = 'gone' THEN v.since END AS gone_since, coalesce(a.num_rows, 0) AS num_answers,
        coalesce(f.num_rows, 0) AS num_failures
    FROM (
        SELECT *, row_number() OVER (PARTITION BY video_id ORDER BY file_name DESC) AS rank FROM video_log
    ) AS v
    LEFT JOIN (SELECT video_id, count(*) AS num_rows FROM answers GROUP BY video_id) AS a ON a.video_id = v.video_id
    LEFT JOIN (SELECT video_id, count(*) AS num_rows FROM failures GROUP BY video_id) AS f ON f.video_id = v.video_id
    WHERE v.rank = 1"""
"""Objects of the log have numbers in their names: the last row of a video says how it is."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What statements are made for.

    location        the output, as the engine names it
    inputs          columns of manifests, of answers
    video_inputs    those of them that the log of videos has
    question_types  of each question id, its answer_type: the columns of `wide`
    empty           views of tables that have no file yet, each with the columns and DuckDB's types that it would have
    """

    location: str
    inputs: Sequence[str] = ()
    video_inputs: Sequence[str] = ()
    question_types: Mapping[str, str] = field(default_factory=dict)
    empty: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    time_zone: str = "UTC"
    threshold: float = 0.97
    rules: Rules | None = None


def describe_output(
    output_uri: str, storage_options: Mapping[str, object], *, threshold: float, rules: Rules | None
) -> Exported:
    """An output as statements need it. Raises ObjectNotFound where there is none, ConfigError where rules do not fit,
    StorageError."""
    with open_views(output_uri, storage_options, rules=rules) as views:
        views.make("current")
        if rules is not None:
            for name in rules.events:
                views.make(name)
        inputs = input_columns(views.columns("current"))
        return Exported(
            location=output_uri,
            inputs=inputs,
            video_inputs=[name for name in views.making.known_videos.column_names if name in inputs],
            question_types=views.making.question_types,
            empty=_empty_tables(views),
            time_zone=views.making.records.time_zone,
            threshold=threshold,
            rules=rules,
        )


def _empty_tables(views: Views) -> dict[str, dict[str, str]]:
    empty: dict[str, dict[str, str]] = {}
    current = _types(views.connection.table("current"))
    inputs = {name: current[name] for name in input_columns([*current])}
    for view, table in _TABLES.items():
        if not views.tables[table].files:
            views.make(view)
            empty[view] = {**inputs, **_types(views.connection.table(view))}
    if not views.making.known_videos.num_rows:
        empty[_LOG] = {**_types(views.connection.from_arrow(VIDEO_STATES.empty_table())), "file_name": "VARCHAR"}
    return empty


def _types(relation: duckdb.DuckDBPyRelation) -> dict[str, str]:
    return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}


def export_views(exported: Exported, dialect: str) -> Iterator[tuple[str, str]]:
    """Name and CREATE VIEW statement of each view, in an order in which they can be made. Raises ConfigError."""
    for name, sql in _base(exported, dialect):
        if name in exported.empty and dialect != "trino":  # whose tables may be without files
            told = "There is no such file yet: this view stays empty until it is made anew, once there is one."
            yield name, f"-- {told}\n{_statement(name, _no_rows(exported.empty[name], dialect), dialect)}"
        else:
            yield name, _statement(name, sql, dialect)
    for name, sql in _views(exported):
        yield name, _statement(name, translate(sql, dialect), dialect)


def _statement(name: str, sql: str, dialect: str) -> str:
    create = {"duckdb": "CREATE OR REPLACE VIEW", "spark": "CREATE OR REPLACE TEMPORARY VIEW"}
    return f"{create.get(dialect, 'CREATE OR REPLACE VIEW')} {name} AS\n{sql.strip()};\n"


def _no_rows(types: Mapping[str, str], dialect: str) -> str:
    columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in types.items())
    return translate(f"SELECT {columns} WHERE FALSE", dialect)


def _base(exported: Exported, dialect: str) -> Iterator[tuple[str, str]]:
    """The tables as each engine reads files. Trino reads tables of a catalog that lie at these places."""
    for view, table in _TABLES.items():
        place = f"{exported.location}/{table}"
        source = {
            "duckdb": f"read_parquet('{place}/**/*.parquet', hive_partitioning = true, union_by_name = true)",
            "spark": f"parquet.`{place}`",
        }.get(dialect, f"framegate_{table}")
        yield view, f"SELECT * FROM {source}"
    place = f"{exported.location}/videos"
    yield (
        _LOG,
        {
            "duckdb": (
                "SELECT *, parse_filename(filename) AS file_name\n"
                f"FROM read_parquet('{place}/*.parquet', union_by_name = true, filename = true)"
            ),
            "spark": f"SELECT *, _metadata.file_name AS file_name FROM parquet.`{place}`",
        }.get(dialect, "SELECT *, regexp_extract(\"$path\", '[^/]+$') AS file_name FROM framegate_videos"),
    )


def _views(exported: Exported) -> Iterator[tuple[str, str]]:
    inputs = list(exported.inputs)
    failed = [f"f.{quoted(name)}" for name in (*with_config_id(FAILURES).names, *inputs)]
    yield "failures", STANDING.format(columns=", ".join(failed))
    states = [f"v.{quoted(name)}" for name in (*VIDEO_STATES.names, *exported.video_inputs)]
    yield "videos", VIDEOS.format(columns=", ".join(states))
    yield "asked", ASKED
    yield "current", _current(exported)
    yield "questions", QUESTIONS_SQL.format(names="asked")
    yield "clips", clips_sql([*with_config_id(CLIPS).names, *inputs], exported.time_zone, has_several=True)
    yield "events", events_sql("0", inputs, exported.time_zone)
    if exported.question_types:
        yield "wide", wide_sql(exported.question_types, inputs)
    yield "answers_at", answers_at_sql(str(exported.threshold))
    if exported.rules is not None:
        yield from rule_views(exported.rules, exported.time_zone)


def _current(exported: Exported) -> str:
    shown: list[str] = []
    for name in with_config_id(RESULTS).names:
        shown.append("q.question_id" if name == "question_id" else f"a.{quoted(name)}")
        if name == "clip_ended_at":
            shown += local_columns("a.clip_started_at", "clip_", exported.time_zone)
        elif name == "confidence_second":
            shown.append(f"{CONFIDENCE} AS confidence")
    are_kept = " OR ".join(f"v.{quoted(name)} IS NOT NULL" for name in exported.video_inputs)
    for name in exported.inputs:
        each, is_kept = quoted(name), name in exported.video_inputs
        shown.append(f"CASE WHEN {are_kept} THEN v.{each} ELSE a.{each} END AS {each}" if is_kept else f"a.{each}")
    key = ANSWER_KEY.replace("video_id", "a.video_id").replace("question_hash", "a.question_hash")
    shown.append(f"{key} AS answer_key")
    return f"""
    SELECT {", ".join(shown)}
    FROM answers AS a
    JOIN asked AS q ON q.config_id = a.config_id AND q.question_hash = a.question_hash
    LEFT JOIN videos AS v ON v.video_id = a.video_id
    WHERE coalesce(v.state, 'current') NOT IN ('superseded', 'gone')"""
