"""Outcomes as rows: one for each system, compared with the other systems and with its floor."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from framegate.pipelines.lab.bench.engines.bound import beside_bound
from framegate.pipelines.lab.bench.engines.floor import Floor, ModelSize, compute_floor
from framegate.pipelines.lab.bench.engines.machine import Machine
from framegate.pipelines.lab.bench.engines.task import Outcome
from framegate.pipelines.lab.bench.engines.work import EngineWork
from framegate.pipelines.reason.engines.times import EngineTimes

BASELINE = "two_call"
PARTS = ("vision", "prefill", "answer", "think")


def make_rows(
    outcomes: Mapping[str, Sequence[Outcome | str]], *, work: EngineWork, size: ModelSize, machine: Machine, dtype: str
) -> list[dict[str, Any]]:
    """Rows in the order of `outcomes`. Seconds are the median of a system's rounds; all else is from the middle one.

    A figure that a system does not tell, or that has nothing to be compared with, is None. `complaint` says why
    a system has no figures.
    """
    middle = {name: _middle(some) for name, some in outcomes.items()}
    reference = next((one for one in middle.values() if one is not None), None)
    baseline = _seconds(outcomes.get(BASELINE, ()))
    rows = []
    for name, some in outcomes.items():
        outcome, seconds = middle[name], _seconds(some)
        every = [one.seconds for one in some if isinstance(one, Outcome)]
        complaints = dict.fromkeys(one for one in some if isinstance(one, str))
        row: dict[str, Any] = {
            "system": name,
            "seconds": seconds,
            "num_questions": work.num_asked,
            "num_thinking": outcome and sum(one.thinks for one in outcome.written),
            "num_generated_tokens": outcome and sum(one.num_generated_tokens for one in outcome.written),
            "ratio_to_two_call": baseline / seconds if baseline and seconds else None,
            "peak_rss_mib": outcome and outcome.peak_rss_bytes / 2**20,
            "peak_device_mib": outcome and outcome.peak_device_bytes and outcome.peak_device_bytes / 2**20,
            "clips_per_second": work.num_videos / seconds if seconds else None,
            "num_same_tokens": outcome and reference and count_same(reference, outcome),
            "load_seconds": outcome and outcome.load_seconds,
            "min_seconds": min(every, default=None),
            "max_seconds": max(every, default=None),
            "num_repeats": len(every),
            "settings": outcome and outcome.settings,
            "versions": outcome and outcome.versions,
            "complaint": "; ".join(complaints) or None,
        }
        times = outcome.times if outcome else None
        rows.append(row | _shares(times) | _count_rows(times) | _beside_floor(times, size, machine, dtype))
    return [row | more for row, more in zip(rows, beside_bound(rows), strict=True)]


def count_same(reference: Outcome, outcome: Outcome) -> int:
    """How many questions have the tokens of the reference, up to the shorter of the two."""
    expected = {one.key: one.token_ids for one in reference.written}
    return sum(
        all(left == right for left, right in zip(expected[one.key], one.token_ids, strict=False))
        for one in outcome.written
    )


def _shares(times: EngineTimes | None) -> dict[str, float | None]:
    """Each part's share of the time that the engine accounts for."""
    seconds = {part: getattr(times, f"{part}_seconds") if times else 0.0 for part in PARTS}
    total = sum(seconds.values())
    return {f"{part}_share": seconds[part] / total if total else None for part in PARTS}


def _count_rows(times: EngineTimes | None) -> dict[str, float | None]:
    """How many rows a step has that write first answers, and how many that think."""
    if times is None or not times.num_steps:
        return {"answer_rows": None, "think_rows": None}
    return {
        "answer_rows": (times.num_step_rows - times.num_step_thinkers) / times.num_steps,
        "think_rows": times.num_step_thinkers / times.num_steps,
    }


def _beside_floor(times: EngineTimes | None, size: ModelSize, machine: Machine, dtype: str) -> dict[str, float | None]:
    floor: Floor | None = None
    step_seconds = over = None
    if times is not None and times.num_steps:
        floor = compute_floor(size, times, machine, dtype)
        step_seconds = (times.answer_seconds + times.think_seconds) / times.num_steps
        over = step_seconds / floor.step_seconds
    names = [f"floor_{name}" for name in Floor.__dataclass_fields__]
    values = asdict(floor).values() if floor else [None] * len(names)
    told = times is not None and times.num_steps > 0
    return {
        "step_seconds": step_seconds,
        "steps_over_floor": over,
        "num_steps": times.num_steps if times is not None and told else None,
        "prefill_seconds": times.prefill_seconds if times is not None and told else None,
        "vision_seconds": times.vision_seconds if times is not None and told else None,
        **dict(zip(names, values, strict=True)),
    }


def _seconds(some: Sequence[Outcome | str]) -> float | None:
    every = [one.seconds for one in some if isinstance(one, Outcome)]
    return statistics.median(every) if every else None


def _middle(some: Sequence[Outcome | str]) -> Outcome | None:
    good = sorted((one for one in some if isinstance(one, Outcome)), key=lambda one: one.seconds)
    return good[len(good) // 2] if good else None
