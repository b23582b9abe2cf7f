"""`framegate bench certificate`: a certificate against other clips that all think, and deepening against a run."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json


def certificate(
    questions: Annotated[
        str, typer.Option(metavar="A,B", help="Ids of questions of the demo.")
    ] = "black_when,parcel_in_d",
    audited: Annotated[int, typer.Option(min=1, help="About so many rows are the audit sample.")] = 1450,
    clips: Annotated[int, typer.Option(min=1, help="Clips of the archive, and of the one that confirms it.")] = 3000,
    deepened: Annotated[int, typer.Option(min=1, help="Clips of the run that is deepened.")] = 300,
    epsilon: Annotated[float, typer.Option(min=0, max=1, help="What may be lost.")] = 0.01,
    delta: Annotated[float, typer.Option(min=0, max=1, help="The chance that more is.")] = 0.05,
    low: Annotated[float, typer.Option(min=0, max=1, help="The threshold that rows are deepened from.")] = 0.5,
    high: Annotated[float, typer.Option(min=0, max=1, help="The threshold that they are deepened to.")] = 0.97,
    seed: Annotated[int, typer.Option(min=0, help="Of the clips.")] = 40_000_000,
    json_file: JsonFile = None,
) -> None:
    """Certify a threshold on the loading dock and have other clips confirm it; deepen, and compare with a run.

    An archive of clips is answered at once, but for an audit sample that thinks; thresholds are certified from it, for
    that archive and for videos to come. Then all rows of as many other clips think: counted are those that would have
    gone at the threshold with another answer.

    Beside it, a run at a low threshold is deepened to a high one, and each row compared with that of a run at the high
    one, in all columns but times and ids of runs; in float32.

    The exit code is 1 where a certificate is not confirmed, or a row differs. About 50 minutes on 2 busy cores.

    [bold]Examples[/bold]

      framegate bench certificate

      framegate bench certificate --clips 300 --audited 400 --deepened 20 --epsilon 0.05
    """
    from framegate.pipelines.lab.bench.certificate.confirmation import confirm
    from framegate.pipelines.lab.bench.certificate.deepening import compare
    from framegate.pipelines.lab.bench.certificate.dock_job import choose_questions

    asked = choose_questions(questions.split(","))
    console = make_console()
    with tempfile.TemporaryDirectory(prefix="framegate-certificate-") as folder:
        compared = compare(Path(folder) / "deepening", asked, num_clips=deepened, seed=seed + 2, low=low, high=high)
        say(
            f"{compared.num_deepened:,} of {compared.num_rows:,} rows deepened from {low:g} to {high:g}:"
            f" {compared.num_lost} lost or doubled; rows unlike those of a run at {high:g}, by column:"
            f" {dict(compared.unlike) or 'none'}"
        )
        confirmed = confirm(
            Path(folder), asked, num_audited=audited, num_clips=clips, seed=seed, epsilon=epsilon, delta=delta
        )
    rows = [{**asdict(row), "lost": row.lost, "holds": row.holds} for row in confirmed]
    columns = (
        "scope",
        "num_audited",
        "threshold",
        "num_clips",
        "num_rows",
        "num_exits",
        "num_different",
        "lost",
        "holds",
    )
    print_table(
        console, columns, rows, title=f"Certified at epsilon {epsilon:.2%}, delta {delta:.2%}; confirmed by other clips"
    )
    write_json(json_file, "bench certificate", [*rows, asdict(compared)])
    if not (compared.holds and all(row.holds for row in confirmed)):
        raise typer.Exit(1)
