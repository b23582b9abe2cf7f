"""The log of a training run as a CSV file: means over some steps in each line."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from framegate.pipelines.lab.dock.training.lessons import Role
from framegate.pipelines.lab.dock.training.loop import StepRecord

STEPS_PER_LINE = 20


class TrainingLog:
    """Appends a line to the file after every STEPS_PER_LINE steps and after the last; `on_line` is given it as text."""

    def __init__(self, path: Path, num_steps: int, *, on_line: Callable[[str], None]) -> None:
        self._path = path
        self._num_steps = num_steps
        self._on_line = on_line
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
        self._on_line(f"{'  '.join(parts)}  of {self._num_steps}")

    def _mean(self) -> dict[str, object]:
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
