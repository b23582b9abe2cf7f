"""`framegate bench ...`: measurements of the program on this machine, and tests of what it survives."""

from __future__ import annotations

import typer

from framegate.jobs.lab.bench_budget import budget
from framegate.jobs.lab.bench_calibrate import calibrate
from framegate.jobs.lab.bench_certificate import certificate
from framegate.jobs.lab.bench_clips import clips
from framegate.jobs.lab.bench_decode import decode
from framegate.jobs.lab.bench_drift import drift
from framegate.jobs.lab.bench_driver import driver
from framegate.jobs.lab.bench_engines import engines
from framegate.jobs.lab.bench_faults import faults
from framegate.jobs.lab.bench_overlap import overlap
from framegate.jobs.lab.bench_pipeline import pipeline
from framegate.jobs.lab.bench_plan import plan
from framegate.jobs.lab.bench_prune import prune
from framegate.jobs.lab.bench_pruned_dock import pruned_dock
from framegate.jobs.lab.bench_query import query
from framegate.jobs.lab.bench_seal import seal
from framegate.jobs.lab.bench_start import start
from framegate.jobs.lab.bench_still import still
from framegate.jobs.lab.bench_strategies import strategies

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Measure parts of the program.")
for command in (
    decode,
    engines,
    strategies,
    pipeline,
    driver,
    plan,
    query,
    drift,
    seal,
    clips,
    overlap,
    prune,
    pruned_dock,
    start,
    still,
    calibrate,
    certificate,
    budget,
    faults,
):
    app.command()(command)


@app.callback()
def bench() -> None:
    """Measure parts of the program, and kill or freeze it at every place."""
