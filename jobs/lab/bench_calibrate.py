"""`framegate bench calibrate`: our certificates and other rules, on archives whose truth is known."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import TableRow, make_console, print_line, print_table, write_json

if TYPE_CHECKING:
    from framegate.pipelines.lab.bench.calibrate.measure import RuleFigures

DELTA = 0.05
EPSILONS = (0.01, 0.02)
HEADINGS = ("rule", "promise", "broken", "of", "95 % interval", "exits", "of best", "audited", "calls", "labels")


def calibrate(
    repetitions: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Samples that are drawn of each archive, for each rule.")
    ] = 2000,
    bargain_repetitions: Annotated[
        int, typer.Option(min=0, max=100_000, help="Of BARGAIN, which takes longer; 0 leaves it out.")
    ] = 50,
    num_rows: Annotated[
        int, typer.Option("--archive", min=1000, max=10_000_000, help="Rows of each archive that is made.")
    ] = 20_000,
    num_sampled: Annotated[
        int, typer.Option("--sampled", min=10, max=1_000_000, help="Of them, rows that are audited.")
    ] = 1500,
    num_labels: Annotated[
        int, typer.Option("--labels", min=100, max=1_000_000, help="Of these, rows that are labelled for claim 3.")
    ] = 1000,
    without_million: Annotated[
        bool, typer.Option("--without-million", help="Leave out archives of a million rows, of which 1 % is audited.")
    ] = False,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="OUTPUT", help="An output whose rows with both answers are an archive, too.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of archives and samples.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Draw samples of archives whose truth is known: how often promises break, and how many rows exit.

    A promise is broken where all of the archive loses more than the sample's certificate said, which may happen in 5 %
    of repetitions. exits is the share of rows that exit, without the audited ones; of best is what part that is of what
    full knowledge of the archive would let exit. Claim 1: of all rows at most epsilon differ. Claim 2: accuracy is at
    most epsilon below thinking always. Claim 3: of all answers at
    most so many are wrong as when thinking always, and epsilon more.

    Others: BARGAIN is the package of its authors (pip install bargain==0.1.3; left out where it is not installed). SUPG
    and LOTUS are re-implemented from their papers. They promise something else, and are held to that: of the rows that
    exit, at most epsilon differ. The naive sweep takes the lowest threshold whose sample is within epsilon.

    [bold]Examples[/bold]

      framegate bench calibrate --json calibrate.json

      framegate bench calibrate --rows ./dock-output --repetitions 200
    """
    from framegate.pipelines.lab.bench.calibrate.bargain import INSTALL, is_installed
    from framegate.pipelines.lab.bench.calibrate.goals import judge
    from framegate.pipelines.lab.bench.calibrate.measure import Setting
    from framegate.pipelines.lab.bench.calibrate.recorded import read_world
    from framegate.pipelines.lab.bench.calibrate.run import measure_all, measure_million

    console = make_console()
    recorded = None if rows is None else read_world(rows)
    if bargain_repetitions and not is_installed():
        print_line(console, f"BARGAIN is not installed, and its lines are left out: {INSTALL}")
    setting = Setting(
        epsilon=EPSILONS[0], delta=DELTA, num_sampled=num_sampled, num_labels=min(num_labels, num_sampled),
        repetitions=repetitions, bargain_repetitions=bargain_repetitions, seed=seed,
    )  # fmt: skip
    figures: list[RuleFigures] = []
    for found in measure_all(setting, EPSILONS, num_rows=num_rows, recorded=recorded):
        print_table(console, HEADINGS, [_line(row) for row in found], title=_title(found[0]))
        figures += found
    if not without_million:
        found = measure_million(setting, EPSILONS)
        print_table(console, ("archive", "epsilon", *HEADINGS), [_named(row) for row in found], title="A million rows")
        figures += found
    goals = [asdict(goal) for goal in judge(figures, DELTA)]
    print_table(console, ("goal", "holds", "of", "worst"), goals, title="Goals")
    write_json(json_file, "bench calibrate", [asdict(row) for row in figures], header={"goals": goals})


def _title(row: RuleFigures) -> str:
    return f"{row.world}, {row.num_rows:,} rows, epsilon {row.epsilon:.0%}: at best {row.best_exit_share:.1%} exit"


def _named(row: RuleFigures) -> TableRow:
    return {"archive": row.world, "epsilon": f"{row.epsilon:.0%}", **_line(row)}


def _line(row: RuleFigures) -> TableRow:
    return {
        "rule": row.rule,
        "promise": row.promise,
        "broken": row.broken,
        "of": row.repetitions,
        "95 % interval": f"{row.broken_low:.1%} to {row.broken_high:.1%}",
        "exits": f"{row.exit_share:.1%}",
        "of best": None if row.of_best is None else f"{row.of_best:.1%}",
        "audited": round(row.num_sampled),
        "calls": None if row.num_calls is None else round(row.num_calls),
        "labels": round(row.num_labels, 1),
    }
