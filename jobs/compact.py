"""`framegate compact`: makes few files out of many small ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.target import TargetName, find_target
from framegate.schemas.errors import FramegateError

EXIT_BROKE_OFF = 1
_SHOWN = ("config_id", "num_seals", "num_merged", "num_files", "size_bytes")


def compact_command(
    target: TargetName,
    config_id: Annotated[
        str | None,
        typer.Option("--config-id", metavar="ID", help="Of this config_id alone.", show_default="all of them"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Merge the small sealed files of each partition into one, as far as one holds.

    For outputs of versions whose seals did not fill files up, and where manifests have changed their columns. It may
    run beside runs, seals and erasures. A reader that goes by a plain glob can meet the rows of one merged file twice,
    from when that appears until the files that it was made of are deleted.

    [bold]Exit codes[/bold]

      0  done, also where there was nothing to merge

      1  broke off: the same command, or the next seal, goes on

      2  could not start: nothing was changed

    [bold]Examples[/bold]

      framegate compact job.yaml

      framegate compact s3://index/cameras --config-id c0ffee0123456789
    """
    from framegate.pipelines.commit.seal import compact

    found = find_target(target)
    found.check()
    output = found.output
    config_ids = found.config_ids(config_id)
    rows: list[dict[str, Any]] = []
    try:
        for one in config_ids:
            merged = compact(output, one, file_bytes=found.config.file_bytes)
            rows.append({"config_id": one, **asdict(merged)})
    except FramegateError as error:
        say(f"error: {error}; no row is lost: give the same command again to go on", err=True)
        raise typer.Exit(EXIT_BROKE_OFF) from error
    write_json(json_file, "compact", rows)
    merged_rows = [row for row in rows if row["num_merged"]]
    if merged_rows:
        print_table(make_console(), _SHOWN, merged_rows, title=found.config.uri)
    else:
        say(f"no two small files of one partition are in {found.config.uri}")
