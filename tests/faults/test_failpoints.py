"""At every named place a run, a deepening, a seal or an erasure may die or freeze: no row is lost or doubled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from framegate.pipelines.failpoints import FAIL_AT, FAIL_WITH, FAILPOINTS, check_failpoint
from framegate.pipelines.lab.bench.faults.workbench import (
    KINDS,
    Fault,
    Workbench,
    list_deepenings,
    list_faults,
    list_spendings,
)
from framegate.schemas.errors import ConfigError

# Late ones for the places that everything comes by: the first times are those of the start of a run.
LATER = [
    *list_faults(("put.before", "put.after"), numbers=(8, 20, 30), kinds=KINDS),
    *list_faults(("delete.before", "delete.after"), numbers=(4, 10), kinds=KINDS),
    *list_faults(("seal.planned", "seal.file", "seal.recorded", "seal.deleted"), numbers=(2,), kinds=KINDS),
    *list_faults(("deepen.committed", "deepen.file", "deepen.deleted"), numbers=(3,), kinds=("killed",)),
]
# Places at which a frozen process that wakes up again may write what others have written meanwhile: with all that kill,
# these are tried each time. All of them: FRAMEGATE_FAULTS=1 pytest tests/faults, or framegate bench faults.
WAKES_UP = ("put.before", "delete.before", "attempt.after", "reason.after", "commit.before", "seal.reserved",
            "seal.file", "seal.recorded", "deepen.committing", "deepen.file", "erase.noted",
            "erase.replaced")  # fmt: skip
# Where a deepening dies in what it shares with a run.
BY_THE_WAY = ("replace.after", "attempt.after", "reason.after", "driver.drained")
# Where a run with a budget dies: with first answers alone, while it takes up what it deferred, and in between.
WHILE_SPENDING = ("driver.sealed", "driver.recorded", "deepen.planned", "deepen.committed", "deepen.file")
EVERY = os.environ.get("FRAMEGATE_FAULTS") == "1"
TRIED = [
    *(fault for fault in [*list_faults(), *LATER] if EVERY or fault.kind == "killed" or fault.place in WAKES_UP),
    *(list_deepenings(numbers=(1, 2, 5)) if EVERY else list_deepenings(BY_THE_WAY, kinds=("killed",))),
    *(list_spendings(numbers=(1, 2)) if EVERY else list_spendings(WHILE_SPENDING)),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("faults"), in_process=True)


@pytest.mark.parametrize("fault", TRIED, ids=lambda fault: f"{fault.action}-{fault.kind}-{fault.place}-{fault.number}")
def test_whatever_happens_the_rows_are_those_of_an_undisturbed_run(bench: Workbench, fault: Fault) -> None:
    verdict = bench.try_fault(fault)
    assert verdict.happened, "nothing comes by this place any more"
    assert verdict.is_good, verdict


def test_the_same_run_three_times_at_once_is_one_run(bench: Workbench) -> None:
    verdict = bench.race(3)
    assert verdict.is_good, verdict


def test_an_undisturbed_run_has_all_rows(bench: Workbench) -> None:
    assert Counter(row.split()[0] for row in bench.rows.elements()) == {"results": 6 * 2, "failures": 2, "clips": 6}


def test_an_undisturbed_deepening_completes_rows_and_has_no_other(bench: Workbench) -> None:
    assert len([*bench.deepened.elements()]) == len([*bench.rows.elements()])
    assert sum("('thinking', True)" in row for row in bench.deepened.elements()) == 6 * 2
    assert not any("('thinking', True)" in row for row in bench.rows.elements())


def test_without_the_variable_nothing_happens() -> None:
    names = "framegate.pipelines.failpoints"
    script = f"from {names} import reach; [reach(name) for name in {list(FAILPOINTS)}]; print('alive')"
    environment = {name: value for name, value in os.environ.items() if name != FAIL_AT}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_it_happens_once_where_a_file_says_so(tmp_path: Path) -> None:
    script = "from framegate.pipelines.failpoints import reach; reach('put.after'); reach('put.after'); print('alive')"
    environment = {**os.environ, FAIL_AT: "put.after:2", "FRAMEGATE_FAIL_ONCE": str(tmp_path / "happened")}
    codes = [subprocess.run([sys.executable, "-c", script], env=environment).returncode for _ in range(2)]
    assert codes == [-9, 0]


@pytest.mark.parametrize(
    ("name", "value"), [(FAIL_AT, "put.afterwards"), (FAIL_AT, "put.after:x"), (FAIL_WITH, "USR1")]
)
def test_a_typo_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAIL_AT, "put.after")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="must be"):
        check_failpoint()
