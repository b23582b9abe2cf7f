"""`framegate bench budget`: what a budget of engine time buys, by the way in which it is spent."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json

SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def budget(
    rows: Annotated[str, typer.Option(metavar="OUTPUT", help="An output whose rows all thought.", show_default=False)],
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the gate.")] = 0.97,
    repetitions: Annotated[int, typer.Option(min=1, max=10_000, help="Orders of the rows, and audit samples.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of orders and samples.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Spend a part of the engine time that thinking always takes, in four ways, on rows that all thought.

    at once: rows in order; what the gate holds back thinks at once. at a pace: only rows so unsure think that it
    lasts for a first answer to each. by confidence, by change: first answers to all, then rows think, the least sure
    first, or those whose answer thinking is expected to change most per token; such a row is read a second time, and
    its first answer written a second time, which is paid for. by change also pays for an audit sample of 5 %.

    as thought is the share of rows that have the answer which they would have had all thought; a row that is not
    reached has none. What decoding a clip twice takes is not in it: that is the time of other processors.

    [bold]Examples[/bold]

      framegate bench budget --rows ./dock-output --threshold 0.97
    """
    from framegate.pipelines.lab.bench.budget.archive import read_archive
    from framegate.pipelines.lab.bench.budget.measure import measure

    archive = read_archive(rows)
    figures = [*measure(archive, threshold, SHARES, repetitions=repetitions, seed=seed)]
    first = float(archive.first_seconds.sum()) / archive.all_seconds
    table = [
        {
            "budget": f"{row.budget_share:.0%}",
            "way": row.way,
            "answered": f"{row.answered:.1%}",
            "thought": f"{row.thought:.1%}",
            "as thought": f"{row.as_thought:.1%}",
        }
        for row in figures
    ]
    title = (
        f"{archive.num_rows:,} rows, of which thinking changes {archive.differs.mean():.1%}; first answers: {first:.0%}"
    )
    print_table(make_console(), ("budget", "way", "answered", "thought", "as thought"), table, title=title)
    write_json(json_file, "bench budget", [asdict(row) for row in figures])
