"""An output whose rows wait to be completed, and copies of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.store import Store
from framegate.pipelines.store.parquet import parse_parquet
from framegate.schemas.counts import Counts
from framegate.schemas.unit import AnsweredUnit

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
NAMES = "abc"
Rows = dict[tuple[str, int, str], dict[str, Any]]


@dataclass(frozen=True)
class World:
    """An output with sealed rows: of each video two clips, two questions."""

    output: Output
    units: SimpleNamespace
    facts: RunFacts

    @property
    def deepening(self) -> RunFacts:
        return replace(self.facts, run_id="deepening")

    def answer(self, *names: str) -> None:
        for name in names:
            unit = self.units.make_unit(self.units.make_video(name), range(2), num_clips=2)
            commit_unit(self.output, unit, self.facts, written_at=NOON)

    def deepen(self, *names: str, **how: Any) -> None:
        for name in names:
            self.commit(self.units.make_deepened(self.units.make_video(name), range(2), num_clips=2, **how))

    def commit(self, unit: AnsweredUnit) -> None:
        commit_unit(self.output, unit, self.deepening, written_at=LATER)

    def seal(self, store: Store | None = None, *, file_bytes: int = 2**20) -> None:
        output = self.output if store is None else Output(store, self.output.layout)
        seal(output, self.facts.config_id, file_bytes=file_bytes)

    def rows(self, table: str = "results") -> Rows:
        found: Rows = {}
        for info in self.output.list(table):
            for row in parse_parquet(info.uri, Store().read(info.uri)).to_pylist():
                key = (row["video_uri"], row["clip_index"], row["question_hash"])
                assert key not in found, f"{key} stands twice"
                found[key] = row
        return found

    def findings(self) -> dict[str, list[str]]:
        checks = audit(self.output).checks
        return {check.name: check.findings for check in checks if check.num_findings and check.name != "planned"}

    def waiting(self) -> list[str]:
        return [info.uri for info in self.output.list("deepened")]

    def counts(self) -> dict[str, Counts]:
        sums: dict[str, Counts] = {}
        for record in SealLog(self.output, self.facts.config_id).read_records():
            for run_id, counts in record.runs.items():
                sums[run_id] = sums.get(run_id, Counts()).plus(counts)
        return sums


def make_worlds(memory_root: str, units: SimpleNamespace, facts: RunFacts) -> Callable[[object], World]:
    """Copies of an output with the rows of three videos, each in a file of its own."""
    filled = World(Output.at(f"{memory_root}/filled"), units, facts)
    for name in NAMES:
        filled.answer(name)
        filled.seal(file_bytes=4096)
    objects = dict(Store().read_many([info.uri for info in Store().list(filled.output.root)]))

    def make(name: object) -> World:
        world = World(Output.at(f"{memory_root}/{name}"), units, facts)
        for uri, data in objects.items():
            Store().put_once(uri.replace("/filled/", f"/{name}/"), data)
        return world

    return make
