"""What comes of a budget: how many rows are answered as they would be had all thought."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from framegate.pipelines.lab.bench.budget.archive import Archive
from framegate.pipelines.lab.bench.budget.ways import WAYS


@dataclass(frozen=True, kw_only=True)
class BudgetFigures:
    """Means over repetitions, each with the rows in another order and another audit sample.

    budget_share   of the engine time in which all rows think at once
    answered       share of rows with an answer
    thought        share of rows that thought
    as_thought     share of rows with the answer that they have where all think; a row without an answer is none of them
    """

    way: str
    budget_share: float
    answered: float
    thought: float
    as_thought: float


def measure(
    archive: Archive, threshold: float, shares: Sequence[float], *, repetitions: int, seed: int
) -> Iterator[BudgetFigures]:
    """For each share and each way."""
    for share in shares:
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
        for repetition in range(repetitions):
            shuffled = archive.shuffled(np.random.default_rng((seed, repetition)))
            for name, way in WAYS.items():
                rng = np.random.default_rng((seed, repetition, 1))
                is_answered, thought = way(shuffled, threshold, share * archive.all_seconds, rng)
                is_same = is_answered & (thought | ~shuffled.differs)
                found[name].append((is_answered.mean(), thought.mean(), is_same.mean()))
        for name, each in found.items():
            answered, thought_share, as_thought = np.mean(each, axis=0).tolist()
            yield BudgetFigures(
                way=name, budget_share=share, answered=answered, thought=thought_share, as_thought=as_thought
            )
