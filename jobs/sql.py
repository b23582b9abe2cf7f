"""`framegate sql`: statements one after the other, at a prompt or from standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from framegate.jobs.asking import Asking, Format
from framegate.jobs.options import takes_options
from framegate.jobs.sql_session import STREAMED, Quit, Session, read_statements
from framegate.schemas.errors import ConfigError, FramegateError


@dataclass(frozen=True, kw_only=True)
class SqlAsking(Asking):
    """`Asking`, and how the rows of each statement are given."""

    format: Annotated[Format, typer.Option("--format", "-f", help="How to give the rows; not parquet.")] = Format.table


@takes_options
def sql(asking: SqlAsking) -> None:
    """Ask an output one SQL statement after the other.

    On a terminal there is a prompt, with a history and with names that Tab completes. A statement may have several
    lines, and ends with a semicolon; Ctrl-C ends one that runs; .help says more. Elsewhere statements come from
    standard input, and the first one that fails ends it with exit code 2.

    What can be asked is what [bold]framegate query[/bold] can be asked. Each statement sees the output as it is then.

    [bold]Examples[/bold]

      framegate sql -j job.yaml

      framegate sql -o s3://index/cameras --with labels=labels.csv

      framegate sql -o demo/index --format csv < monday.sql
    """
    if asking.format.value not in STREAMED:
        raise ConfigError(
            f"--format {asking.format}: give {', '.join(STREAMED)}; framegate query writes a Parquet file"
        )
    bound = asking.bind()
    session = Session(
        bound=bound,
        format=asking.format,
        max_rows=asking.rows,
        is_whole=asking.full,
        is_guarded=not asking.plain_csv,
    )
    if sys.stdin.isatty() and sys.stdout.isatty():
        from framegate.jobs.sql_prompt import run_prompt
        from framegate.pipelines.results.catalog import read_catalog

        session.says_time = True
        output = bound.output
        run_prompt(session, lambda: read_catalog(output.uri, output.storage_options, bound.terms, bound.rules))
    else:
        run_filter(session)


def run_filter(session: Session) -> None:
    """Statements of standard input, each as soon as it is whole. Raises FramegateError with the number of the first one
    that fails."""
    number = 1
    try:
        for statement in read_statements(sys.stdin):
            session.run(statement)
            sys.stdout.flush()
            number += 1
    except Quit:
        return
    except UnicodeError as error:
        raise ConfigError(f"statement {number}: standard input is no UTF-8 there") from error
    except FramegateError as error:
        raise type(error)(f"statement {number}: {error}") from error
