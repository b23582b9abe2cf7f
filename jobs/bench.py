"""`framegate bench ...`: what the program takes, measured here and now, and whether it survives what is done to it."""

from __future__ import annotations

import typer

from jobs.bench_decode import decode
from jobs.bench_engines import engines
from jobs.bench_faults import faults
from jobs.bench_pipeline import pipeline
from jobs.bench_plan import plan
from jobs.bench_seal import seal

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Measure parts of the program.")
for command in (decode, engines, pipeline, plan, seal, faults):
    app.command()(command)


@app.callback()
def bench() -> None:
    """Measure parts of the program, and kill or freeze it at every place."""
