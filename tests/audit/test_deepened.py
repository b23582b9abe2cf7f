"""Deepened rows in the books: what is right is clean, and what is changed is found."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.records import PLAN, record_plan
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from framegate.schemas.counts import SEALED_COUNTS
from tests.audit.conftest import NOON, Archive
from tests.run_records import put_run

DEEPENING = "run-4"


class Deepened:
    """The archive, of which a deepening completed video a; `seals` off: what it committed waits."""

    def __init__(self, archive: Archive, units: SimpleNamespace, facts: RunFacts, *, seals: bool = True) -> None:
        self.archive, self.output, self.config_id = archive, archive.output, archive.config_id
        video = units.make_video("a")
        row = {"video_id": video.video_id, "video_uri": video.uri, "video_version": video.version}
        asked = {"question_hashes": [one.hash for one in units.QUESTIONS], "config_id": self.config_id}
        put_run(self.output, DEEPENING, config_id=self.config_id, num_videos=1, command="deepen")
        record_plan(self.output, DEEPENING, pa.Table.from_pylist([{**row, **asked}]))
        unit = units.make_deepened(video, range(3), num_clips=3)
        commit_unit(self.output, unit, replace(facts, run_id=DEEPENING, config_id=self.config_id), written_at=NOON)
        if not seals:
            return
        seal(self.output, self.config_id)
        records = SealLog(self.output, self.config_id).read_records()
        mine = [asdict(record.runs[DEEPENING]) for record in records if DEEPENING in record.runs]
        counts = {name: sum(one[name] for one in mine) for name in SEALED_COUNTS}
        assert (counts["num_deepened"], counts["num_deepened_tokens"], counts["num_answers"]) == (6, 42, 0)
        shared = {"config_id": self.config_id, "command": "deepen"}
        put_run(self.output, DEEPENING, state="complete", counts=counts, **shared)

    def findings(self, *, is_quick: bool = False) -> dict[str, list[str]]:
        checks = audit(self.output, is_quick=is_quick).checks
        return {check.name: check.findings for check in checks if check.findings}

    def change(self, uri: str, change: Callable[[dict[str, Any]], object]) -> None:
        path = Path(uri)
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))


@pytest.fixture
def deepened(
    tmp_path: Path, make_archive: Callable[..., Archive], units: SimpleNamespace, facts: RunFacts
) -> Callable[..., Deepened]:
    return lambda **how: Deepened(make_archive(str(tmp_path / "index")), units, facts, **how)


@pytest.mark.parametrize("is_quick", [False, True])
def test_what_is_right_is_clean(deepened: Callable[..., Deepened], is_quick: bool) -> None:
    assert deepened().findings(is_quick=is_quick) == {}


@pytest.mark.parametrize("name", ["num_deepened", "num_deepened_tokens"])
def test_a_record_of_the_run_that_says_otherwise_is_found(deepened: Callable[..., Deepened], name: str) -> None:
    one = deepened()
    one.change(one.output.layout.run(DEEPENING), lambda run: run["counts"].update({name: 5}))
    [sentence] = one.findings()["counts"]
    assert f"runs/{DEEPENING}.json says {name} 5" in sentence


def test_a_record_of_a_seal_that_says_otherwise_is_found(deepened: Callable[..., Deepened]) -> None:
    one = deepened()
    path = Path(one.output.layout.seal_history(one.config_id))  # four seals are folded
    history = json.loads(gzip.decompress(path.read_bytes()))
    history["records"][-1]["runs"]["run-1"]["num_thinking"] -= 1
    path.write_bytes(gzip.compress(json.dumps(history).encode()))
    assert any("say of run run-1 num_thinking" in sentence for sentence in one.findings()["counts"])


def test_rows_that_a_deepening_did_not_plan_are_found(deepened: Callable[..., Deepened]) -> None:
    one = deepened()
    path = Path(one.output.layout.plan(DEEPENING))
    path.unlink()
    record_plan(one.output, DEEPENING, PLAN.empty_table())
    found = one.findings()["planned"]
    assert len(found) == 6
    assert all(f"in results, where it was deepened, is in no plan of its run {DEEPENING}" in each for each in found)


def test_a_deepening_without_a_record_is_found(deepened: Callable[..., Deepened]) -> None:
    one = deepened()
    Path(one.output.layout.run(DEEPENING)).unlink()
    assert any(f"runs/{DEEPENING}.json is missing" in sentence for sentence in one.findings()["planned"])


def test_an_object_that_waits_is_looked_at(deepened: Callable[..., Deepened]) -> None:
    one = deepened(seals=False)
    assert one.findings() == {}
    assert any("units wait" in note for note in audit(one.output)["journal"].notes)
    [path] = Path(one.output.root, "deepened").rglob("*.arrow.zst")
    path.write_bytes(path.read_bytes()[:-10])
    [sentence] = one.findings()["journal"]
    assert "no whole unit of the journal" in sentence
    path.rename(path.with_name("notes.txt"))
    [sentence] = one.findings()["journal"]
    assert "is no name of a unit" in sentence


@pytest.mark.parametrize("is_quick", [False, True])
@pytest.mark.parametrize("seals", [False, True])
def test_the_books_balance_after_an_erasure(deepened: Callable[..., Deepened], seals: bool, is_quick: bool) -> None:
    one = deepened(seals=seals)
    receipt = erase(one.output, ["a.mp4"])
    assert one.findings(is_quick=is_quick) == {}
    assert receipt.rows[one.config_id]["results"] == 6
    assert receipt.rows[one.config_id].get("deepened", 0) == (0 if seals else 6)
