"""`framegate eval dock`: measures the gate on held-out dock clips."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json

if TYPE_CHECKING:
    from framegate.pipelines.lab.dock.scoring import Scored

BOUNDED: Final = "bounded_thinking"

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Measure a model on held-out data.")


@app.callback()
def evaluate() -> None:
    """Measure a model on held-out data."""


@app.command()
def dock(
    clips: Annotated[int, typer.Option(min=1, help="How many held-out clips; each gets two questions.")] = 1000,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A checkpoint of the dock's world.", show_default="the one in the package"),
    ] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Of the gate.")] = 0.97,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the clips.", show_default="held out")] = None,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(min=2, help="Also the strategy bounded_thinking, in chunks of so many tokens.", metavar="C"),
    ] = None,
    carry_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Of a chunk's end, for the next one.", metavar="M", show_default="half of a chunk"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Answer held-out dock clips with every strategy: how often right, how often thought about, at what cost.

    The clips are drawn from a seed that training never used, encoded to H.264 and decoded by the real decoder; each is
    asked one perception and one multi-step question in wording that training never showed.
    ece is the expected calibration error of the first answer's confidence. About 3 minutes on 2 cores.

    [bold]Examples[/bold]

      framegate eval dock

      framegate eval dock --clips 100 --json table.json

      framegate eval dock --chunk-tokens 48
    """
    if carry_tokens is not None and chunk_tokens is None:
        raise typer.BadParameter("needs --chunk-tokens", param_hint="--carry-tokens")
    from framegate.pipelines.lab.dock.evaluation import EVALUATION_SEED, STRATEGIES, dock_settings, evaluate, make_clips
    from framegate.schemas.config import RunConfig

    def config(strategy: str) -> RunConfig:
        chunks = {"chunk_tokens": chunk_tokens, "carry_tokens": carry_tokens or (chunk_tokens or 0) // 2}
        more = chunks if strategy == BOUNDED else {}
        settings = dock_settings(strategy=strategy, threshold=threshold, model=model, more=more)
        return RunConfig.model_validate({**settings, "input": {"videos": "-"}, "questions": [], "output": {"uri": "-"}})

    if chunk_tokens is not None and carry_tokens is not None and carry_tokens >= chunk_tokens:
        raise typer.BadParameter(f"must be below --chunk-tokens {chunk_tokens}", param_hint="--carry-tokens")
    strategies = STRATEGIES if chunk_tokens is None else (*STRATEGIES, BOUNDED)

    console = make_console()
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    scored: list[Scored] = []
    with tempfile.TemporaryDirectory(prefix="framegate-dock-") as folder, Progress(*columns, console=console) as bars:
        made = make_clips(
            Path(folder),
            num_clips=clips,
            seed=EVALUATION_SEED if seed is None else seed,
            config=config("gated"),
        )
        held_out = list(bars.track(made, total=clips, description="clips drawn, encoded, decoded"))
        for strategy in strategies:
            bar = bars.add_task(strategy, total=sum(len(clip.asked) for clip in held_out))
            scored += evaluate(
                held_out,
                strategy=strategy,
                config=config(strategy),
                on_answer=lambda count, bar=bar: bars.update(bar, completed=count),
            )
    write_json(json_file, "eval dock", print_scores(console, scored))


def print_scores(console: Console, scored: Iterable[Scored]) -> list[dict[str, Any]]:
    """Print the table of strategies, then multi-step questions by number of swaps. Returns the rows of the first."""
    from framegate.pipelines.lab.dock.scoring import score_by_swaps, score_table

    scored = list(scored)
    rows = [score.as_row() for score in score_table(scored)]
    print_table(console, tuple(rows[0]), rows, title="answers by strategy and kind of question")
    by_swaps = [
        {"strategy": score.strategy, "swaps": f"{low}-{high}", **score.as_row()}
        for (low, high), score in score_by_swaps(scored)
    ]
    names = ("strategy", "swaps", "num_questions", "accuracy", "first_accuracy", "think_rate", "mean_generated_tokens")
    if by_swaps:
        print_table(console, names, by_swaps, title="multi-step questions by number of swaps")
    return rows
