"""`framegate bench seal`: measures what it costs to turn a journal into files of the right size."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json
from framegate.schemas.errors import StorageError

HEADINGS = {
    "num_objects": "objects",
    "num_rows": "rows",
    "make_seconds": "make s",
    "seal_seconds": "seal s",
    "objects_per_second": "objects/s",
    "rows_per_second": "rows/s",
    "peak_rss_mib": "peak MiB",
    "bytes_in": "bytes in",
    "bytes_out": "bytes out",
    "num_files": "files",
}


def seal(
    objects: Annotated[int, typer.Option(min=1, max=100_000_000, help="In the journal, of 10 rows each.")] = 10_000,
    file_bytes: Annotated[int, typer.Option(min=4096, help="As output.file_bytes in a job file.")] = 128 * 2**20,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the journal is made.", show_default="the system's temporary folder"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Seal a journal that is made for it: how long it takes, and how much memory.

    A new process seals all of it. make s is what making the journal took, which is no part of seal s; peak MiB is the
    most memory that the process ever had, Python and its libraries (some 150) included. Ten units are one video.

    Everything lies in a new folder in DIR, which is deleted in the end. A million objects take 16 GB of disk and 1.1
    million inodes.

    [bold]Examples[/bold]

      framegate bench seal --json seal.json

      framegate bench seal --objects 1000000 --folder /data/scratch
    """
    from framegate.pipelines.lab.bench.seal import measure_seal

    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="framegate-bench-seal-", dir=folder) as scratch:
            row = asdict(measure_seal(Path(scratch), num_objects=objects, file_bytes=file_bytes))
    except OSError as error:
        raise StorageError(f"cannot make a journal in {folder or tempfile.gettempdir()}: {error}") from error
    print_table(make_console(), tuple(HEADINGS.values()), [{head: row[name] for name, head in HEADINGS.items()}])
    write_json(json_file, "bench seal", [row])
