"""`framegate bench faults`: kills or freezes a run at every named place and checks what it leaves."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.options import JsonFile, choose_names
from framegate.jobs.printing import make_console, print_line, print_table, say, write_json
from framegate.pipelines.failpoints import PLACES
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.lab.bench.faults.workbench import Verdict

SHOWN = (
    "action",
    "place",
    "number",
    "kind",
    "happened",
    "commands",
    "lost",
    "doubled",
    "changed",
    "findings",
    "seconds",
)


def faults(
    places: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these places.", show_default=f"all {len(PLACES)}")
    ] = None,
    numbers: Annotated[
        str, typer.Option(metavar="N,M", help="At the N-th and M-th time that a process comes by.")
    ] = "1,2,4,8,16,32,64",
    with_ray: Annotated[
        bool, typer.Option("--ray", help="Run on Ray: slower, and nothing is frozen, as Ray's workers are others.")
    ] = False,
    signals: Annotated[
        bool, typer.Option("--signals", help="Send SIGTERM, SIGINT and SIGHUP to the driver instead.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Kill -9 runs, deepenings, seals and erasures at every named place, give the command again, compare the rows.

    Beside a plain run there is one with a budget, which defers rows and takes them up over several nights.

    A small archive is made (three films, two files that are none) and answered by a scripted engine; all else is real.
    Each fault happens in a process of its own: at the place, the process is [bold]killed[/bold], and the command given
    again until it comes to its end; or it is [bold]frozen[/bold] (SIGSTOP), the same command is run to its end beside
    it, and the sleeper goes on. Before all that, the same run is started two and four times at once (twice on Ray).

    Then the output is audited from storage alone, and each row compared with those of a run that nobody disturbed, but
    for run_id, written_at and measured seconds: rows lost and rows doubled (or unlike); files of the tables that
    changed after the sleeper woke up; findings of the audit. The exit code is 1 where any of them is not 0.

    With --signals the driver of the run gets SIGTERM, SIGINT and SIGHUP when it, or a worker of it, comes to a place.
    Exit code and record have to say so, the books to add up, nothing to be left open, and one more run to do the rest.

    A number that a place does not come to is passed over. Without --ray the stages run one after the other in one
    process; with it a worker that died is started again by Ray, and the run goes on.

    [bold]Examples[/bold]

      framegate bench faults

      framegate bench faults --ray --numbers 1,3 --json faults.json

      framegate bench faults --signals --ray --numbers 1

      framegate bench faults --places seal.planned,seal.file --numbers 1,2,3
    """
    from framegate.pipelines.lab.bench.faults.signalled import list_signals, try_signals
    from framegate.pipelines.lab.bench.faults.workbench import (
        KINDS,
        Workbench,
        list_deepenings,
        list_faults,
        list_spendings,
        try_all,
    )

    chosen = choose_names("--places", places, PLACES)
    try:
        times = [int(number) for number in numbers.split(",")]
    except ValueError as error:
        raise ConfigError(f"--numbers must be numbers with commas between them, got '{numbers}'") from error
    console = make_console()
    rows: list[dict[str, Any]] = []
    if signals:
        listed, try_each, num_races = list_signals(chosen, numbers=times), try_signals, ()
    else:
        kinds = ("killed",) if with_ray else KINDS
        listed = [
            *list_faults(chosen, numbers=times, kinds=kinds),
            *list_deepenings(chosen, numbers=times, kinds=kinds),
            *list_spendings(chosen, numbers=times),
        ]
        try_each = try_all
        num_races = (2,) if with_ray else (2, 4)
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="framegate-faults-") as folder, Progress(*columns, console=console) as bars:
        bar = bars.add_task("a run that nobody disturbs", total=len(listed))
        bench = Workbench(Path(folder), in_process=not with_ray)
        races = (bench.race(number) for number in num_races)
        for verdict in chain(races, try_each(bench, listed)):
            fault = verdict.fault
            rows.append(_row(verdict))
            if fault in listed:
                bars.update(bar, completed=listed.index(fault) + 1)
            bars.update(bar, description=f"{fault.action} {fault.kind} {fault.place}:{fault.number}")
            if not verdict.is_good:
                print_line(console, str(rows[-1]))
    write_json(json_file, "bench faults", rows)
    print_table(console, SHOWN, rows, title=f"{bench.rows.total():,} rows of a run that nobody disturbed")
    num_bad = sum(not row["is_good"] for row in rows)
    num_happened = sum(row["happened"] for row in rows)
    say(f"{num_happened} faults at {len({row['place'] for row in rows})} places, {num_bad} with a complaint")
    if num_bad:
        raise typer.Exit(1)


def _row(verdict: Verdict) -> dict[str, Any]:
    values = asdict(verdict)
    counts = {name.removeprefix("num_"): value for name, value in values.items() if name != "fault"}
    return {**values["fault"], **counts, "is_good": verdict.is_good}
