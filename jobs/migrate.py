"""`framegate migrate`: brings the sealed files of an output up to date."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from framegate.jobs.log import logged_each_minute
from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.target import TargetName, find_target
from framegate.schemas.errors import FramegateError

EXIT_BROKE_OFF = 1
_SHOWN = ("config_id", "num_seals", "num_files", "size_bytes", "num_outdated")


def migrate_command(
    target: TargetName,
    config_id: Annotated[
        str | None,
        typer.Option("--config-id", metavar="ID", help="Of this config_id alone.", show_default="all of them"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Bring sealed files up to date: all columns of the output in each, and config_id in the path alone.

    For outputs of earlier versions, which wrote config_id into their files, and where a manifest got a column: older
    files lack it, which readers must be told. Each file is replaced as a whole, so that a reader meets each row once at
    any moment. It may run beside seals and erasures, but not beside a run of an earlier version.

    [bold]Exit codes[/bold]

      0  done, also where all files are up to date

      1  broke off, or files are left that this version cannot bring up to date: the same command goes on

      2  could not start: nothing was changed

    [bold]Examples[/bold]

      framegate migrate job.yaml

      framegate migrate s3://index/cameras
    """
    from framegate.pipelines.commit.migrate import count_outdated, note_migrated
    from framegate.pipelines.commit.seal import migrate

    found = find_target(target)
    found.check()
    output = found.output
    config_ids = found.config_ids(config_id)
    rows: list[dict[str, Any]] = []
    try:
        for one in config_ids:
            with logged_each_minute(f"migrating {one}"):
                migrated = migrate(output, one, file_bytes=found.config.file_bytes)
            rows.append({"config_id": one, **asdict(migrated), "num_outdated": count_outdated(output, one)})
        note_migrated(output)
    except FramegateError as error:
        say(f"error: {error}; no row is lost: give the same command again to go on", err=True)
        raise typer.Exit(EXIT_BROKE_OFF) from error
    write_json(json_file, "migrate", rows)
    shown = [row for row in rows if row["num_files"] or row["num_outdated"]]
    if shown:
        print_table(make_console(), _SHOWN, shown, title=found.config.uri)
    else:
        say(f"all sealed files in {found.config.uri} are up to date")
    if num_left := sum(row["num_outdated"] for row in rows):
        say(
            f"error: {num_left} files stay as they are: they have columns of a still earlier version, or values that"
            " do not fit the type that the output has for their column",
            err=True,
        )
        raise typer.Exit(EXIT_BROKE_OFF)
