"""Arguments that several commands take, with one wording each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.", show_default=False)]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="At most N videos that have work left.", show_default="all"),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="Also try again what failed, whatever the reason, however often, however lately."
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help='Also write {"command": ..., "rows": [...]} to FILE.', show_default=False
    ),
]
