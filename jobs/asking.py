"""Options of `query` and `sql`, and what they come to: what is asked of which output, and on what terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from framegate.jobs.options import parse_span
from framegate.jobs.target import find_output
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from framegate.pipelines.results.terms import QueryTerms
    from framegate.schemas.config import OutputConfig
    from framegate.schemas.rules import Rules

MAX_ROWS = 1000
_Result = TypeVar("_Result")


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"
    markdown = "markdown"


BY_ENDING = {
    ".csv": Format.csv, ".json": Format.json, ".parquet": Format.parquet, ".md": Format.markdown,
    ".markdown": Format.markdown, ".txt": Format.table,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What `query` and `sql` have in common: an output, and how it is asked."""

    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="URI", help="The output to read: a folder or s3://...", show_default=False
        ),
    ] = None
    job: Annotated[
        Path | None,
        typer.Option(
            "--job",
            "-j",
            metavar="JOB.yaml",
            help="Read the output of this job, and of it what the job's configuration answered.",
            show_default=False,
        ),
    ] = None
    config_id: Annotated[
        str | None,
        typer.Option(
            "--config-id",
            metavar="ID",
            help="Keep to one configuration; [bold]all[/bold]: to none, with --job, too.",
            show_default=False,
        ),
    ] = None
    rules_file: Annotated[
        Path | None,
        typer.Option(
            "--rules", metavar="RULES.yaml", help="Composite events: each is a view, too.", show_default=False
        ),
    ] = None
    with_files: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME=FILE",
            help="A table more, read from a file: .csv, .tsv, .parquet, .json, .jsonl. May be given again.",
            show_default=False,
        ),
    ] = None
    time_zone: Annotated[
        str,
        typer.Option("--time-zone", metavar="ZONE", help="Of times: Europe/Berlin, UTC, or output for the output's."),
    ] = "output"
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="End the query after so long: 30s, 5m.", show_default=False),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="SIZE", help="What the query may use: 512MB, 4GB.", show_default="80 % of what is there"
        ),
    ] = None
    rows: Annotated[
        int, typer.Option("--rows", min=0, metavar="N", help="Of a table on a screen, at most so many; 0: all.")
    ] = MAX_ROWS
    full: Annotated[bool, typer.Option("--full", help="Do not shorten long texts in tables.")] = False
    plain_csv: Annotated[
        bool,
        typer.Option(
            "--plain-csv", help="CSV: texts as they are, also those that a spreadsheet would take for formulas."
        ),
    ] = False

    def bind(self) -> Bound:
        """The output and the terms that the options come to. Raises ConfigError."""
        from framegate.pipelines.results.named_files import parse_named_files
        from framegate.pipelines.results.terms import QueryTerms, check_time_zone, parse_memory
        from framegate.pipelines.results.view_makers import VIEW_NAMES
        from framegate.schemas.rules import load_rules

        rules = None if self.rules_file is None else load_rules(self.rules_file, taken=VIEW_NAMES)
        taken = (*VIEW_NAMES, *(() if rules is None else rules.events))
        terms = QueryTerms(
            time_zone=check_time_zone(self.time_zone),
            max_seconds=parse_span("--timeout", self.timeout),
            memory_bytes=parse_memory(self.memory),
            files=parse_named_files(self.with_files or (), taken),
        )
        return Bound(
            output=find_output(self.output, self.job),
            terms=terms,
            config_id=None if self.config_id == "all" else self.config_id,
            job=None if self.job is None or self.config_id is not None else self.job.name,
            rules=rules,
        )


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An output that can be asked. `job`: the name of the job file whose configuration counts; None: all do."""

    output: OutputConfig
    terms: QueryTerms
    config_id: str | None = None
    job: str | None = None
    rules: Rules | None = None

    def stream(self, sql: str, consume: Callable[[pa.RecordBatchReader], _Result]) -> _Result:
        """What `consume` makes of the rows of a statement. Raises FramegateError."""
        from framegate.pipelines.results.views import stream

        return stream(
            self.output.uri,
            self.output.storage_options,
            sql,
            consume,
            config_id=self.config_id,
            job=self.job,
            rules=self.rules,
            terms=self.terms,
        )


@dataclass(frozen=True, kw_only=True)
class Asked(Asking):
    """`Asking`, with a statement, and how its rows are given."""

    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT or EXPLAIN.", show_default=False)]

    format: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="How to give the rows.", show_default="by the ending of --out, else table"),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the rows to a file; -: standard output.", show_default=False),
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out, where there is one.")] = False
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help='Also write {"command": ..., "rows": [...]} to FILE.', show_default=False
        ),
    ] = None

    @property
    def out_file(self) -> Path | None:
        return None if self.out is None or str(self.out) == "-" else self.out

    @property
    def chosen_format(self) -> Format:
        """Raises ConfigError where nothing says it."""
        if self.format is not None or self.out_file is None:
            return self.format or Format.table
        ending = self.out_file.suffix.lower()
        if ending not in BY_ENDING:
            raise ConfigError(f"--out {self.out_file}: give --format, or an ending such as .csv, .parquet or .json")
        return BY_ENDING[ending]
