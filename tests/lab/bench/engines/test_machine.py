"""A machine's rates: what it sustains, not what one lucky try came to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch

from framegate.pipelines.lab.bench.engines import machine

CPU = torch.device("cpu")


class Clock:
    """Stands still but for the seconds that each try takes, in turn."""

    def __init__(self, seconds: Iterator[float]) -> None:
        self._now, self._seconds, self.num_tries = 0.0, seconds, 0

    def perf_counter(self) -> float:
        return self._now

    def work(self) -> None:
        self._now += next(self._seconds)
        self.num_tries += 1


@pytest.mark.parametrize(
    ("seconds", "median", "num_tries"),
    [
        ([9e-3, 1e-3, *[4e-3] * 18], 4e-3, machine.MAX_TRIES),  # a cold one, a lucky one
        ([0.3, 0.1, 0.2], 0.2, machine.MIN_TRIES),  # slow, and yet one may be cold
        ([0.1] * 9, 0.1, 5),
    ],
)
def test_the_median_try_counts(
    seconds: list[float], median: float, num_tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(itertools.chain(seconds))
    monkeypatch.setattr(machine, "time", clock)
    assert machine._median_seconds(clock.work, CPU) == pytest.approx(median)
    assert clock.num_tries == num_tries


def test_of_the_kernels_the_fastest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "READ_BYTES", 2**20)
    monkeypatch.setattr(machine, "MATRIX_SIZES", (10, 20))
    seconds = iter([0.5, 0.25, 1e-3, 4e-3])
    monkeypatch.setattr(machine, "_median_seconds", lambda work, device: next(seconds))
    assert machine.read_rate(CPU) == 2**20 / 0.25
    assert machine.matrix_rate(torch.float32, CPU) == pytest.approx(2 * 20**3 / 4e-3)
