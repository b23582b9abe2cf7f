"""`framegate seal`: turns committed units into tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from framegate.jobs.log import logged_each_minute
from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.target import TargetName, find_target
from framegate.schemas.errors import ConfigError, FramegateError

EXIT_BROKE_OFF = 1
_COUNTED = ("seals", "units", "files", "answers", "failures", "deepened", "duplicates", "erased")


def seal_command(
    target: TargetName,
    config_id: Annotated[
        str | None,
        typer.Option("--config-id", metavar="ID", help="Of this config_id alone.", show_default="all of them"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Seal what the journal holds: committed units become sorted Parquet files in results and failures, and what a
    deepening has committed completes its rows.

    A run does this at its end. Alone, it is for what a killed run left, or for the answers of one that is still at
    work. Several may run at once, beside runs too: no row is lost or doubled. With a job file, files come to its
    output.file_bytes; with an output's URI to 128 MiB. Folders stay those of the first rows.

    [bold]Exit codes[/bold]

      0  done, also where there was nothing to seal

      1  broke off: seal again to go on

      2  could not start: nothing was changed

    [bold]Examples[/bold]

      framegate seal job.yaml

      framegate seal s3://index/cameras --config-id c0ffee0123456789
    """
    from framegate.pipelines.commit.migrate import check_is_migrated
    from framegate.pipelines.commit.partition import read_partitioning
    from framegate.pipelines.commit.seal import seal

    found = find_target(target)
    found.check()
    output = found.output
    check_is_migrated(output)
    config_ids = found.config_ids(config_id)
    partition_by = found.config.partition_by if found.is_job else read_partitioning(output) or ()
    rows: list[dict[str, Any]] = []
    try:
        for one in config_ids:
            with logged_each_minute(f"sealing {one}"):
                sealed = seal(output, one, file_bytes=found.config.file_bytes, partition_by=partition_by)
            rows.append({"config_id": one, **asdict(sealed)})
    except ConfigError:
        raise  # the job asks for other folders than there are
    except FramegateError as error:
        say(f"error: {error}; everything committed is kept: seal again to go on", err=True)
        raise typer.Exit(EXIT_BROKE_OFF) from error
    write_json(json_file, "seal", rows)
    sealed_rows = [row for row in rows if row["num_seals"]]
    if sealed_rows:
        shown = [
            {
                "config_id": row["config_id"],
                **{name: row[f"num_{name}"] for name in _COUNTED},
                "bytes": row["size_bytes"],
            }
            for row in sealed_rows
        ]
        print_table(make_console(), tuple(shown[0]), shown, title=found.config.uri)
    else:
        say(f"nothing waits to be sealed in {found.config.uri}")
