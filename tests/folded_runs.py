"""Nights whose records and plans are folded, and storage in which something happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import read_plan
from framegate.pipelines.commit.records import record_plan
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.store import ObjectInfo, Store
from tests.run_records import put_run

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONFIG_ID = "a" * 16
NAMES = ("video_id", "video_uri", "video_version", "question_hashes", "config_id")


def plan_row(number: int) -> dict[str, Any]:
    hashes = [f"{number:016x}", "b" * 16]
    return dict(zip(NAMES, (f"{number:016x}", f"cam/{number}.mp4", "1", hashes, CONFIG_ID), strict=True))


def put_night(output: Output, number: int, state: str = "complete", **fields: Any) -> str:
    run_id = f"night-{number}"
    facts = {"config_id": CONFIG_ID, "started_at": f"2026-11-{number + 1:02}T01:00:00+00:00", **fields}
    put_run(output, run_id, state=state, **facts)
    record_plan(output, run_id, pa.Table.from_pylist([plan_row(number), plan_row(number + 100)]))
    return run_id


def all_plans(output: Output) -> dict[str, list[dict[str, Any]]]:
    return {run_id: read_plan(output, run_id, NAMES).to_pylist() for run_id in read_runs(output)}


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@dataclass(frozen=True)
class Before(Store):
    """Calls `act` before the first change of an object whose name ends so."""

    ending: str = ""
    act: list[Callable[[], None]] = field(default_factory=list)

    def _act(self, uri: str) -> None:
        if uri.endswith(self.ending) and self.act:
            self.act.pop()()

    def replace(self, uri: str, data: bytes, *, if_match: str) -> ObjectInfo:
        self._act(uri)
        return super().replace(uri, data, if_match=if_match)

    def delete(self, uris: Any) -> None:
        for uri in uris:
            self._act(uri)
            super().delete([uri])
