"""`framegate label`: which audited rows a person should look at, and what people say is right, read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framegate.jobs.formulas import unguard
from framegate.jobs.options import JobFile, JsonFile
from framegate.jobs.printing import csv_cell, dump_json, make_console, print_table, say, write_json
from framegate.jobs.promise import ClaimName, ConfigId, Delta, Epsilon, QuestionIds, request_of
from framegate.jobs.row_sinks import check_free, open_sink
from framegate.schemas.errors import ConfigError, InputError

if TYPE_CHECKING:
    from framegate.pipelines.certify.label_list import Wanted
    from framegate.pipelines.certify.request import Request
    from framegate.schemas.job import Job

FORMATS = (".csv", ".jsonl", ".html")
_SHOWN = ("question_id", "video_uri", "start_seconds", "first_value", "second_value", "confidence_first")


def label_command(
    job: JobFile,
    claim: ClaimName = "accuracy",
    questions: QuestionIds = None,
    spread: Annotated[
        bool,
        typer.Option(
            "--spread", help="In place of a claim's rows: those that tell most of how often answers are right."
        ),
    ] = False,
    most: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="At most so many rows.")] = 50,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write them: .csv, .jsonl, or a page with pictures, .html.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    read: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Labels to read back: .csv or .jsonl with a column label.", show_default=False
        ),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="--read: who says so.", show_default=False)] = None,
    config_id: ConfigId = None,
    epsilon: Epsilon = "1%",
    delta: Delta = "5%",
    json_file: JsonFile = None,
) -> None:
    """List the audited rows that a person should look at, most useful first, or read back what people say is right.

    For the claim accuracy these are rows whose two answers differ, as long as a label can still matter at --epsilon and
    --delta; for error the first rows of the audit, whatever their answers; for precision the first that an answer says
    yes to; for recall the first of yes/no questions. --spread lists those by which a report can best say how many
    answers are right. A page (.html) shows the frames and saves a file of labels. Fill in the column label of a .csv or
    .jsonl, or save the page's file, and give it to --read. Labels lie below labels/ of the output; the latest of a row
    counts; rows without one are left open. A file in which one label is wrong is not stored at all.

    [bold]Examples[/bold]

      framegate label job.yaml --out labels.html

      framegate label job.yaml --read labels.csv --by anna

      framegate label job.yaml --claim error --most 300 --out labels.csv

      framegate label job.yaml --claim precision --question person --most 200 --out labels.html

      framegate label job.yaml --spread --most 200 --out labels.html
    """
    from framegate.pipelines.certify.label_list import list_wanted
    from framegate.schemas.job import load_job

    if read is not None and (out is not None or by is None or not by.strip()):
        raise ConfigError("--read takes --by NAME, and no --out")
    if out is not None and out.suffix not in FORMATS:
        raise ConfigError(f"--out {out}: the name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    loaded = load_job(job)
    request = request_of(
        loaded,
        Path(job),
        claim="error" if spread else claim,
        questions=questions,
        config_id=config_id,
        epsilon=epsilon,
        delta=delta,
    )
    if read is not None:
        _take(loaded, request, read, str(by).strip(), json_file)
        return
    check_free(out, is_forced=force)
    wanted = list_wanted(loaded.config.output, request, most=most, is_spread=spread)
    say(f"{len(wanted.rows):,} rows to label; {wanted.num_labels:,} of {wanted.num_rows:,} audited rows have a label")
    write_json(json_file, "label", [_exported(row) for row in wanted.rows])
    if out is None:
        print_table(make_console(), _SHOWN, [{name: row[name] for name in _SHOWN} for row in wanted.rows])
        return
    with open_sink(out) as sink:
        sink.write(_encode(out.suffix, wanted, loaded.config.report.link))
    say(f"written to {out}")


def _take(job: Job, request: Request, path: Path, by: str, json_file: Path | None) -> None:
    from framegate.pipelines.certify.label_list import take_labels
    from framegate.schemas.clock import now

    num_new, num_empty = take_labels(job.config.output, request, read_rows(path), by=by, at=now())
    write_json(json_file, "label", [{"num_new": num_new, "num_empty": num_empty}])
    say(f"{num_new:,} labels stored; {num_empty:,} rows have none")


def read_rows(path: Path, *, option: str = "--read") -> list[Mapping[str, Any]]:
    """Rows of a .csv or .jsonl, which `option` names. Raises InputError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # with the line ends that cells have
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if path.suffix == ".jsonl":
        return list(_parse_lines(path, text))
    if path.suffix == ".csv":
        return list(_read_csv(text))
    raise InputError(f"{option} {path}: the name must end in .csv or .jsonl")


def _read_csv(text: str) -> Iterator[Mapping[str, Any]]:
    for row in csv.DictReader(io.StringIO(text, newline="")):
        yield {name: unguard(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


def _parse_lines(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):  # not at U+2028, which JSON may have in a text
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        if not isinstance(row, Mapping):
            raise InputError(f"{path}, line {number}: a row must be an object with the columns as they were exported")
        yield row


def _exported(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without the picture, and with the column that a person fills in."""
    return {**{name: value for name, value in row.items() if name != "thumbnail"}, "label": None}


def _encode(suffix: str, wanted: Wanted, link: str | None) -> bytes:
    if suffix == ".html":
        from framegate.pipelines.report.label_form import render_label_form

        return render_label_form(wanted.rows, config_id=wanted.config_id, link=link).encode()
    rows = [_exported(row) for row in wanted.rows]
    if suffix == ".jsonl":
        return "".join(dump_json(row) + "\n" for row in rows).encode()
    return _as_csv(rows)


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    names = list(rows[0]) if rows else ["video_id", "clip_index", "question_hash", "label"]
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows:
        values = ("; ".join(value) if isinstance(value, list) else value for value in (row[name] for name in names))
        writer.writerow([csv_cell(value) for value in values])
    return text.getvalue().encode()
