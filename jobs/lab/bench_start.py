"""`framegate bench start`: measures where the time of a run goes that has one small film to answer."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json


def start(
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Runs, one after the other; medians are told.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Run a job of one small film and one question, and say where the time goes from the start of its process.

    The film is one of the demo's, the model the one that comes with the package. Beyond the model means without loading
    it: what any run takes before it does its work. A machine that does something else meanwhile takes longer; processor
    time tells how busy the run alone would keep it.

    [bold]Examples[/bold]

      framegate bench start

      framegate bench start --repeats 5 --json start.json
    """
    from framegate.pipelines.lab.bench.start import STEPS, measure_start

    with tempfile.TemporaryDirectory(prefix="framegate-bench-start-") as folder:
        rounds = list(measure_start(Path(folder), repeats=repeats))
    rows: list[dict[str, Any]] = [
        {"step": name, "seconds": statistics.median(one.steps[name] for one in rounds), "what": what}
        for name, what in STEPS.items()
    ]
    rows.append({"step": "all", "seconds": statistics.median(one.seconds for one in rounds), "what": "the process"})
    cpu = statistics.median(one.cpu_seconds for one in rounds)
    rows.append({"step": "cpu", "seconds": cpu, "what": "processor time of all processes together"})
    beyond = statistics.median(one.beyond_model for one in rounds)
    rows.append({"step": "beyond_model", "seconds": beyond, "what": "the process without loading the model"})
    print_table(make_console(), ("step", "seconds", "what"), rows, title=f"medians of {len(rounds)} runs")
    write_json(json_file, "bench start", rows)
