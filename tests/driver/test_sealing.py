"""A run seals while it works: in a process of its own, never two at once, and nothing of it ends the run."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framegate.pipelines.commit.journal import Receipt, commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.driver import sealing
from framegate.pipelines.driver.sealing import SealingBeside, sealing_beside
from framegate.schemas.config import OutputConfig, SealConfig

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PATIENCE_SECONDS = 120.0  # a process starts in one second, and on a busy machine in many


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.fixture
def config(tmp_path: Path) -> OutputConfig:
    return OutputConfig(uri=str(tmp_path / "index"))


@pytest.fixture
def commit(config: OutputConfig, units: SimpleNamespace, facts: RunFacts) -> Callable[[str], Receipt]:
    def commit(name: str) -> Receipt:
        unit = units.make_unit(units.make_video(name), range(2), num_clips=2)
        return commit_unit(Output.open(config), unit, facts, written_at=NOON)

    return commit


def records(config: OutputConfig, facts: RunFacts) -> list[Any]:
    return SealLog(Output.open(config), facts.config_id).read_records()


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    said: list[str] = []

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler, logger = Heard(), logging.getLogger("framegate")
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def test_what_is_committed_is_sealed_each_so_many_units_while_the_run_works(
    config: OutputConfig, commit: Callable[[str], Receipt], facts: RunFacts
) -> None:
    def work() -> Generator[Receipt]:
        for number in range(9):
            yield commit(str(number))
            if number in (3, 7):  # the fourth and the eighth unit were heard; the run goes on when they are sealed
                wait_for(lambda number=number: len(records(config, facts)) >= (number + 1) // 4)

    with sealing_beside(config, facts.config_id, SealConfig(every=4)) as beside:
        receipts = beside.hear(work())
        assert sum(receipt.num_answers for receipt in receipts) == 9 * 4
    assert beside.num_seals == 2
    assert sum(record.runs["run-1"].num_answers for record in records(config, facts)) >= 8 * 4
    seal(Output.open(config), facts.config_id)
    found = records(config, facts)
    assert sum(record.runs["run-1"].num_answers for record in found) == 9 * 4
    assert len({file.uri for record in found for file in record.files}) == 1


def test_what_is_committed_is_sealed_each_so_often(
    config: OutputConfig, commit: Callable[[str], Receipt], facts: RunFacts
) -> None:
    with sealing_beside(config, facts.config_id, SealConfig(every="1s")):
        commit("a")
        wait_for(lambda: len(records(config, facts)) == 1)
        commit("b")
        wait_for(lambda: len(records(config, facts)) == 2)


def test_an_error_is_a_line_and_the_next_one_is_sealed(
    config: OutputConfig, commit: Callable[[str], Receipt], facts: RunFacts, warnings: list[str]
) -> None:
    receipt = commit("a")
    stray = Path(Output.open(config).layout.folder("seals", facts.config_id), "00000005.json")  # out of order
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"{}")

    def work() -> Generator[Receipt]:
        yield receipt
        wait_for(lambda: bool(warnings))
        stray.unlink()
        yield receipt
        wait_for(lambda: len(records(config, facts)) == 1)

    with sealing_beside(config, facts.config_id, SealConfig(every=1)) as beside:
        assert len(list(beside.hear(work()))) == 2
    [line] = warnings
    assert line.startswith("the run goes on, and what it committed was not sealed yet: ")
    assert "out of order" in line
    assert "\n" not in line


def test_one_that_does_not_end_is_killed_when_the_run_ends(
    config: OutputConfig, commit: Callable[[str], Receipt], facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "ENDING_SECONDS", 0.2)
    monkeypatch.setenv("FRAMEGATE_FAIL_AT", "seal.planned")
    monkeypatch.setenv("FRAMEGATE_FAIL_WITH", "STOP")
    receipt = commit("a")
    plan = Path(Output.open(config).layout.seal_plan(facts.config_id, 0))

    def work() -> Generator[Receipt]:
        yield receipt
        wait_for(plan.exists)

    with sealing_beside(config, facts.config_id, SealConfig(every=1)) as beside:
        list(beside.hear(work()))
        pid = beside._child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert records(config, facts) == []
    monkeypatch.delenv("FRAMEGATE_FAIL_AT")
    assert seal(Output.open(config), facts.config_id).num_answers == 4


def test_a_child_ends_with_its_parent(config: OutputConfig, commit: Callable[[str], Receipt], facts: RunFacts) -> None:
    """The parent is killed while its child is frozen; woken up, the child finds that it is alone and ends."""
    commit("a")
    script = f"""
import json, sys, time
from framegate.pipelines.driver.sealing import SealingBeside
from framegate.schemas.config import OutputConfig, SealConfig
beside = SealingBeside(OutputConfig(uri={config.uri!r}), {facts.config_id!r}, SealConfig(every="1s"))
beside.start()
while beside._child is None:
    time.sleep(0.01)
print(beside._child.pid, flush=True)
time.sleep(600)
"""
    environment = {**os.environ, "FRAMEGATE_FAIL_AT": "seal.planned", "FRAMEGATE_FAIL_WITH": "STOP"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        plan = Path(Output.open(config).layout.seal_plan(facts.config_id, 0))
        wait_for(plan.exists)
        wait_for(lambda: Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        parent.kill()
        parent.wait()
    os.kill(child, signal.SIGCONT)

    def is_gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_for(is_gone)


def test_never_and_nothing_to_hear_start_no_process(config: OutputConfig, facts: RunFacts) -> None:
    with sealing_beside(config, facts.config_id, SealConfig(every="never")) as beside:
        assert list(beside.hear(receipt for receipt in ())) == []
    assert isinstance(beside, SealingBeside)
    assert beside.num_seals == 0
    assert not Path(config.uri).exists()


def test_its_order_is_plain_json(config: OutputConfig, facts: RunFacts) -> None:
    beside = SealingBeside(config, facts.config_id, SealConfig())
    assert OutputConfig.model_validate(json.loads(json.dumps(beside._order))["output"]) == config
