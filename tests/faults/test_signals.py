"""At every named place the driver may get SIGTERM, SIGINT or SIGHUP: it ends in order, says so, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from framegate.pipelines.lab.bench.faults.signalled import list_signals, try_signal
from framegate.pipelines.lab.bench.faults.workbench import Fault, Workbench

# The other two take the same way through the run; where they would not is at its start, in its work and at its end.
SHORT = ("driver.planned", "commit.after", "seal.file")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("signals"), in_process=True)


@pytest.mark.parametrize(
    "fault",
    [*list_signals(kinds=("TERM",)), *list_signals(SHORT, kinds=("INT", "HUP"))],
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
