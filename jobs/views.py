"""`framegate views`: the views of an output as statements for other SQL engines."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.printing import say
from framegate.jobs.target import find_output


class Dialect(StrEnum):
    duckdb = "duckdb"
    spark = "spark"
    trino = "trino"


def views(
    dialect: Annotated[Dialect, typer.Option("--dialect", "-d", help="Whose words.")] = Dialect.duckdb,
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
    rules_file: Annotated[
        Path | None,
        typer.Option(
            "--rules", metavar="RULES.yaml", help="Composite events: each is a view, too.", show_default=False
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, help="The one that answers_at is a view of.")
    ] = 0.97,
) -> None:
    """Print the views of an output as CREATE VIEW statements.

    They read the Parquet files of the output and nothing else, and have its questions and columns of manifests. Needs
    the package sqlglot: pip install 'framegate\\[sql]'.

    [bold]Examples[/bold]

      framegate views -o s3://index/cameras --dialect trino

      framegate views -j job.yaml --rules rules.yaml --dialect spark
    """
    from framegate.pipelines.results.exported import describe_output, export_views
    from framegate.pipelines.results.view_makers import VIEW_NAMES
    from framegate.schemas.rules import load_rules

    found = find_output(output, job)
    rules = None if rules_file is None else load_rules(rules_file, taken=VIEW_NAMES)
    exported = describe_output(found.uri, found.storage_options, threshold=threshold, rules=rules)
    for _, statement in export_views(exported, dialect.value):
        say(statement, keep_lines=True)
