"""`framegate query`: runs one SELECT or EXPLAIN over an output."""

from __future__ import annotations

import io
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

from rich.console import Console

from framegate.jobs import printing
from framegate.jobs.asking import Asked, Format
from framegate.jobs.options import takes_options
from framegate.jobs.row_screen import ScreenRows
from framegate.jobs.row_sinks import check_free, open_sink
from framegate.jobs.row_values import Batch, distinct
from framegate.jobs.row_writers import CsvWriter, JsonWriter, MarkdownWriter, ParquetWriter, RowWriter
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


@takes_options
def query(asked: Asked) -> None:
    """Ask SQL (DuckDB) of the output.

    Views: [bold]current[/bold], the answers that count today; [bold]answers[/bold], all of them; [bold]events[/bold],
    clips with the same answer as intervals; [bold]wide[/bold], one row per clip; [bold]questions[/bold],
    [bold]videos[/bold], [bold]clips[/bold], [bold]runs[/bold]; [bold]failures[/bold], what has no answer and why;
    [bold]failure_history[/bold], every attempt that ever failed. Macros: [bold]events(max_gap_seconds)[/bold] and
    [bold]answers_at(threshold)[/bold]. With --job they keep to the configuration under which the job ran last.
    Read-only: exactly one SELECT or EXPLAIN (PIVOT, UNPIVOT, SUMMARIZE, DESCRIBE and SHOW are such), and no file can be
    reached but those of --with. Without --output and --job, the output is $FRAMEGATE_OUTPUT, else ./demo/index.

    A table on a screen shows --rows rows, and long texts shortened. A file gets all. --out writes it whole or not at
    all, and replaces none without --force.

    [bold]Examples[/bold]

      framegate query "SELECT question_id, avg(thinking::int) AS think_rate FROM answers GROUP BY 1"

      framegate query -j job.yaml --out failures.csv "SELECT video_uri, reason, message FROM failures"

      framegate query --with sites=sites.csv "SELECT site, count(*) FROM current JOIN sites USING (camera) GROUP BY 1"

      framegate query --time-zone Europe/Berlin --timeout 30s "SUMMARIZE current"

      framegate query "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'answers'"
    """
    format, out = asked.chosen_format, asked.out_file
    check_free(out, is_forced=asked.force)
    is_screen = out is None and printing.is_terminal()
    if format is Format.parquet and is_screen:
        raise ConfigError("Parquet is nothing for a terminal; give --out FILE")
    bound = asked.bind()
    with ExitStack() as sinks:
        screen = ScreenRows(max_rows=(asked.rows or None) if is_screen else None)
        writers: list[RowWriter] = []
        if asked.json_file is not None:
            writers.append(JsonWriter(sinks.enter_context(open_sink(asked.json_file))))
        if format is Format.table:
            writers.append(screen)
        else:
            sink = sinks.enter_context(open_sink(out))
            writers.append(make_writer(format, sink, is_screen=is_screen, is_guarded=not asked.plain_csv))
        bound.stream(asked.sql, lambda reader: write_rows(reader, writers))
        if format is Format.table:
            _print(screen, asked, sinks)


def make_writer(format: Format, stream: IO[bytes], *, is_screen: bool, is_guarded: bool) -> RowWriter:
    """What writes rows in a format to a stream of bytes. `is_guarded`: of CSV, against formulas."""
    if format is Format.csv:
        return CsvWriter(stream, is_screen=is_screen, is_guarded=is_guarded)
    return {Format.json: JsonWriter, Format.markdown: MarkdownWriter, Format.parquet: ParquetWriter}[format](stream)


def write_rows(reader: pa.RecordBatchReader, writers: list[RowWriter]) -> None:
    """Gives all rows to each of the writers."""
    columns = distinct(reader.schema.names)
    for writer in writers:
        writer.begin(reader.schema, columns)
    for record_batch in reader:
        batch = Batch(record_batch, columns)
        for writer in writers:
            writer.add(batch)
    for writer in writers:
        writer.end()


def _print(screen: ScreenRows, asked: Asked, sinks: ExitStack) -> None:
    if asked.out_file is None:
        screen.print(printing.make_console(), is_whole=asked.full)
        return
    text = io.StringIO()
    screen.print(Console(file=text, width=printing.LOG_WIDTH), is_whole=asked.full)
    sinks.enter_context(open_sink(asked.out_file)).write(text.getvalue().encode())
