"""`framegate train dock`: trains the checkpoint that comes with the package, from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.printing import say
from framegate.schemas.errors import ConfigError

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Train a model of our own.")


@app.callback()
def train() -> None:
    """Train a model of our own."""


@app.command()
def dock(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Checkpoint, log and state go here.")] = Path(
        "dock-model"
    ),
    steps: Annotated[
        int | None, typer.Option(min=1, help="Length of the run; the schedules stretch with it.", show_default="recipe")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and data.")] = 1,
) -> None:
    """Train the dock model on the CPU: clips of a loading dock, drawn as they are needed.

    Takes about half an hour on 2 cores. Stop it at any time: the same command goes on from the last save in
    DIR/state.pt. Writes DIR/checkpoint (a normal Hugging Face checkpoint) and DIR/training.csv, a line per 20 steps.

    [bold]Examples[/bold]

      framegate train dock --out dock-model

      framegate eval dock --model dock-model/checkpoint
    """
    from framegate.pipelines.lab.dock.training.checkpoint import build_model, save_checkpoint
    from framegate.pipelines.lab.dock.training.corpus import dock_tokenizer
    from framegate.pipelines.lab.dock.training.log import TrainingLog
    from framegate.pipelines.lab.dock.training.loop import Recipe, train

    recipe = Recipe(seed=seed) if steps is None else Recipe(seed=seed, num_steps=steps)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = dock_tokenizer()
    model = build_model(tokenizer, seed=seed)
    size = sum(parameter.numel() for parameter in model.parameters())
    say(f"{size / 1e6:.1f} M parameters, {recipe.num_steps:,} steps, state in {out / 'state.pt'}")
    log = TrainingLog(out / "training.csv", recipe.num_steps, on_line=say)
    try:
        train(model, tokenizer, recipe, state_file=out / "state.pt", on_step=log.add)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except KeyboardInterrupt:
        say(f"stopped; run the same command again to go on from {out / 'state.pt'}")
        raise typer.Exit(130) from None
    save_checkpoint(model, tokenizer, out / "checkpoint")
    say(f"checkpoint: {out / 'checkpoint'}")
