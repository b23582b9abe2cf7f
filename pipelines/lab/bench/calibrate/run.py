"""The whole benchmark: every archive at every epsilon, a recorded one among them, and archives of a million rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from framegate.pipelines.lab.bench.calibrate.goals import MILLION
from framegate.pipelines.lab.bench.calibrate.measure import RuleFigures, Setting, measure_world
from framegate.pipelines.lab.bench.calibrate.worlds import WORLDS, World, make_world
from framegate.schemas.errors import InputError

SAMPLED_OF_MILLION: Final = 10_000


def measure_all(
    setting: Setting, epsilons: Sequence[float], *, num_rows: int, recorded: World | None
) -> Iterator[list[RuleFigures]]:
    """The rules of one archive at one epsilon each; `setting.epsilon` is not read.

    Raises InputError where an archive has no more rows than are to be sampled.
    """
    smallest = num_rows if recorded is None else min(num_rows, recorded.num_rows)
    if setting.num_sampled >= smallest:
        raise InputError(f"{setting.num_sampled} rows are to be sampled of an archive of {smallest}; sample fewer")
    for epsilon in epsilons:
        for name in WORLDS:
            yield list(measure_world(make_world(name, num_rows, setting.seed), replace(setting, epsilon=epsilon)))
        if recorded is not None:
            yield list(measure_world(recorded, replace(setting, epsilon=epsilon)))


def measure_million(setting: Setting, epsilons: Sequence[float]) -> list[RuleFigures]:
    """Claim 1 on archives of a million rows, of which SAMPLED_OF_MILLION are sampled."""
    settings = [replace(setting, epsilon=epsilon, num_sampled=SAMPLED_OF_MILLION) for epsilon in epsilons]
    return [
        row
        for name in WORLDS
        for world in [make_world(name, MILLION, setting.seed)]
        for one in settings
        for row in measure_world(world, one, only_claim_1=True)
    ]
