"""A threshold of confidence for each implementation, chosen so that the same share of questions thinks in all of them.

Every implementation rounds bfloat16 in its own way, so confidences differ. With one threshold for all, 5 to 10 of 32
questions thought, depending on the system: that would not be the same work.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from framegate.pipelines.lab.bench.engines.run import Interpreters, OnRun, run_once
from framegate.pipelines.lab.bench.engines.systems import FIRST_ANSWERS, FirstAnswers
from framegate.pipelines.lab.bench.engines.task import Task
from framegate.schemas.errors import EngineError


def measure_confidences(
    systems: Sequence[str], task: Task, interpreters: Interpreters, *, on_run: OnRun
) -> dict[str, list[float] | str]:
    """Of the first answers to the work of `task`, for each of `systems` that has a threshold; where they could not be
    measured, the sentence that says why. One run for each implementation."""
    found: dict[FirstAnswers, list[float] | str] = {}
    for run in dict.fromkeys(FIRST_ANSWERS[system] for system in systems if system in FIRST_ANSWERS):
        on_run(f"confidences of {run.system}", len(found))
        direct = replace(task, system=run.system, strategy=run.strategy, threshold=0.0)
        try:
            written = run_once(direct, interpreters).written
        except EngineError as error:
            found[run] = f"no threshold was found: {error}"
        else:
            confidences = [one.confidence for one in written if one.confidence is not None]
            found[run] = confidences or f"no threshold was found: {run.system} told no confidence"
    return {system: found[FIRST_ANSWERS[system]] for system in systems if system in FIRST_ANSWERS}


def choose_threshold(confidences: Sequence[float], think_rate: float) -> float:
    """Half way between two of the measured ones, so that the share that is below comes nearest to `think_rate`."""
    ordered = sorted(confidences)
    num_thinking = round(think_rate * len(ordered))
    if num_thinking == 0:
        return 0.0
    if num_thinking == len(ordered):
        return 1.0
    return statistics.fmean(ordered[num_thinking - 1 : num_thinking + 1])
