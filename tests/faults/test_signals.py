"""At every named place the driver may get SIGTERM, SIGINT or SIGHUP: it ends in order, says so, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from framegate.pipelines.lab.bench.faults.signalled import list_signals, try_signal
from framegate.pipelines.lab.bench.faults.workbench import Fault, Workbench

# `framegate bench faults --signals` is all of it, each of the three at each place. Here is one place of each kind; the
# other two take the same way, and could differ at the start of a run, in its work and at its end.
TERMINATED = (
    "put.before", "delete.after", "decode.before", "attempt.after", "reason.before", "reason.after", "commit.after",
    "driver.planned", "driver.receipt", "driver.sealed", "seal.planned", "seal.deleted",
)  # fmt: skip
SHORT = ("driver.planned", "commit.after", "seal.file")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("signals"), in_process=True)


@pytest.mark.parametrize(
    "fault",
    [*list_signals(TERMINATED, kinds=("TERM",)), *list_signals(SHORT, kinds=("INT", "HUP"))],
    ids=lambda fault: f"{fault.kind}-{fault.place}",
)
def test_a_signal_ends_a_run_in_order_wherever_it_comes(bench: Workbench, fault: Fault) -> None:
    verdict = try_signal(bench, fault)
    assert verdict.happened, "nothing comes by this place any more"
    assert verdict.is_good, verdict


def test_on_ray_that_the_run_starts_itself(tmp_path: Path) -> None:
    """In the driver before Ray starts, in a worker while the model is asked, and in the driver's seal."""
    bench = Workbench(tmp_path, in_process=False)
    for place, kind in (("driver.planned", "TERM"), ("reason.before", "TERM"), ("seal.planned", "HUP")):
        verdict = try_signal(bench, Fault(place=place, number=1, action="run", kind=kind))
        assert verdict.happened
        assert verdict.is_good, verdict
