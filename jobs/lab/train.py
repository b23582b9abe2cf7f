"""`framegate train dock`: makes the checkpoint that comes with the package, from nothing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.lab.dock.training.loop import StepRecord

STEPS_PER_LINE = 20

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
    from framegate.pipelines.lab.dock.training.loop import Recipe, train

    recipe = Recipe(seed=seed) if steps is None else Recipe(seed=seed, num_steps=steps)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = dock_tokenizer()
    model = build_model(tokenizer, seed=seed)
    size = sum(parameter.numel() for parameter in model.parameters())
    typer.echo(f"{size / 1e6:.1f} M parameters, {recipe.num_steps:,} steps, state in {out / 'state.pt'}")
    log = _Log(out / "training.csv", recipe.num_steps)
    try:
        train(model, tokenizer, recipe, state_file=out / "state.pt", on_step=log.add)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except KeyboardInterrupt:
        typer.echo(f"stopped; run the same command again to go on from {out / 'state.pt'}")
        raise typer.Exit(130) from None
    save_checkpoint(model, tokenizer, out / "checkpoint")
    typer.echo(f"checkpoint: {out / 'checkpoint'}")


class _Log:
    """Means over STEPS_PER_LINE steps, printed and appended to a CSV file."""

    def __init__(self, path: Path, num_steps: int) -> None:
        self._path = path
        self._num_steps = num_steps
        self._open: list[StepRecord] = []

    def add(self, record: StepRecord) -> None:
        self._open.append(record)
        if (record.step + 1) % STEPS_PER_LINE and record.step + 1 < self._num_steps:
            return
        row = self._mean()
        self._open = []
        is_new = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row.keys())
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        parts = (f"{name} {value}" for name, value in row.items() if not name.endswith("_loss"))
        typer.echo(f"{'  '.join(parts)}  of {self._num_steps}")

    def _mean(self) -> dict[str, object]:
        from framegate.pipelines.lab.dock.training.lessons import Role

        def mean(values: list[float]) -> float:
            return round(sum(values) / len(values), 4) if values else float("nan")

        rows = self._open
        result: dict[str, object] = {
            "step": rows[-1].step + 1,
            "max_crates": rows[-1].max_crates,
            "loss": mean([row.loss for row in rows]),
            "seconds_per_step": mean([row.seconds for row in rows]),
        }
        for role in (Role.FIRST_PERCEPTION, Role.FIRST_MULTI_STEP, Role.THOUGHT, Role.SECOND):
            name = role.name.lower()
            result[name] = mean([row.accuracy[role] for row in rows if role in row.accuracy])
            result[f"{name}_loss"] = mean([row.loss_by_role[role] for row in rows if role in row.loss_by_role])
        return result
