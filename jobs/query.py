"""`framegate query`: runs one SELECT or EXPLAIN over an output."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_csv, print_json, print_table, say, write_json
from framegate.jobs.target import find_output


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT or EXPLAIN.", show_default=False)],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="URI", help="The output to read: a folder or s3://...", show_default=False
        ),
    ] = None,
    job: Annotated[
        Path | None,
        typer.Option("--job", "-j", metavar="JOB.yaml", help="Read the output of this job.", show_default=False),
    ] = None,
    config_id: Annotated[
        str | None,
        typer.Option(
            "--config-id",
            metavar="ID",
            help="Keep to one configuration; [bold]all[/bold]: to none, with --job, too.",
            show_default=False,
        ),
    ] = None,
    rules_file: Annotated[
        Path | None,
        typer.Option(
            "--rules", metavar="RULES.yaml", help="Composite events: each is a view, too.", show_default=False
        ),
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print the rows.")] = Format.table,
    json_file: JsonFile = None,
) -> None:
    """Ask SQL (DuckDB) of the output.

    Views: [bold]current[/bold], the answers that count today; [bold]answers[/bold], all of them; [bold]events[/bold],
    clips with the same answer as intervals; [bold]wide[/bold], one row per clip; [bold]questions[/bold],
    [bold]videos[/bold], [bold]clips[/bold], [bold]runs[/bold]; [bold]failures[/bold], what has no answer and why;
    [bold]failure_history[/bold], every attempt that ever failed. Macros: [bold]events(max_gap_seconds)[/bold] and
    [bold]answers_at(threshold)[/bold]. With --job they keep to the configuration under which the job ran last.
    Read-only: exactly one SELECT or EXPLAIN, and no other file can be reached. Without --output and --job, the output
    is $FRAMEGATE_OUTPUT, else ./demo/index.

    [bold]Examples[/bold]

      framegate query "SELECT question_id, avg(thinking::int) AS think_rate FROM answers GROUP BY 1"

      framegate query -o s3://index/cameras --format csv "SELECT video_uri, reason, message FROM failures"

      framegate query -j job.yaml "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'answers'"
    """
    from framegate.pipelines.results.view_makers import VIEW_NAMES
    from framegate.pipelines.results.views import query as query_output
    from framegate.schemas.rules import load_rules

    found = find_output(output, job)
    rules = None if rules_file is None else load_rules(rules_file, taken=VIEW_NAMES)
    kept_to = job.name if job is not None and config_id is None else None
    wanted = None if config_id == "all" else config_id
    table = query_output(found.uri, found.storage_options, sql, config_id=wanted, job=kept_to, rules=rules)
    table = table.rename_columns(_distinct(table.column_names))
    rows = table.to_pylist()
    write_json(json_file, "query", rows)
    if format is Format.json:
        print_json("query", rows)
    elif format is Format.csv:
        print_csv(table.column_names, rows)
    elif table.column_names == ["explain_key", "explain_value"]:
        for row in rows:
            say(row["explain_value"], keep_lines=True)
    else:
        print_table(make_console(), table.column_names, rows)


def _distinct(names: list[str]) -> list[str]:
    """Make column names unique, since rows are mappings: a, a -> a, a_1."""
    distinct: list[str] = []
    for name in names:
        candidate, number = name, 0
        while candidate in distinct:
            number += 1
            candidate = f"{name}_{number}"
        distinct.append(candidate)
    return distinct
