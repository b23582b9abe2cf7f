"""An audit beside seals, runs and erasures: what moves under its eyes is no finding."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.audit.report import AuditReport
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.store import ObjectInfo, Store

Archive = Any


def wrong(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.findings for check in report.checks if check.num_findings}


@dataclass(frozen=True)
class WatchedStore(Store):
    """Does something before the n-th listing or reading."""

    steps: list[int] = field(default_factory=lambda: [0])
    act: Callable[[int], None] = lambda _: None

    def _step(self) -> None:
        self.steps[0] += 1
        self.act(self.steps[0])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._step()
        yield from super().list(prefix)

    def read_present(self, objects: Iterable[str | ObjectInfo]) -> Iterator[tuple[str, bytes | None]]:
        self._step()
        yield from super().read_present(objects)

    def open_read(self, uri: str) -> Any:
        self._step()
        return super().open_read(uri)


Act = Callable[[Archive], object]
ACTS: dict[str, tuple[Act, int]] = {
    "a seal": (lambda archive: seal(archive.output, archive.config_id), 1),
    "a run that ends": (lambda archive: archive.run("run-4", "ef"), 2),
    "an erasure": (lambda archive: erase(archive.output, ["a.mp4", "d.mp4"]), 2),
}
"""What is done, and at every which step of an audit."""


@pytest.mark.parametrize("name", ACTS)
def test_what_happens_at_any_moment_is_no_finding(make_archive: Callable, tmp_path: Path, name: str) -> None:
    whole = make_archive(str(tmp_path / "whole"))
    watched = WatchedStore()
    audit(Output(watched, whole.output.layout))
    assert watched.steps[0] > 20
    act, every = ACTS[name]
    for at in range(1, watched.steps[0] + 1, every):
        archive = whole.copied(str(tmp_path / str(at)))
        store = WatchedStore(act=lambda step, at=at, archive=archive: act(archive) if step == at else None)
        assert wrong(audit(Output(store, archive.output.layout))) == {}, at
        assert store.steps[0] >= at


class Killed(BaseException):
    """Stands for the end of the process."""


@dataclass(frozen=True)
class MortalStore(Store):
    """A store whose process dies after so many writes and deletes."""

    lives: list[int] = field(default_factory=lambda: [0])

    def _age(self) -> None:
        if self.lives[0] == 0:
            raise Killed
        self.lives[0] -= 1

    def put_once(self, uri: str, data: bytes) -> Any:
        self._age()
        return super().put_once(uri, data)

    def replace(self, uri: str, data: bytes, *, if_match: str) -> ObjectInfo:
        self._age()
        return super().replace(uri, data, if_match=if_match)

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            self._age()
            super().delete([uri])


def test_a_seal_that_broke_off_anywhere_is_worth_knowing_and_no_finding(make_archive: Callable, tmp_path: Path) -> None:
    told = set()
    whole = make_archive(str(tmp_path / "whole"))
    for lives in range(6):
        archive = whole.copied(str(tmp_path / str(lives)))
        with suppress(Killed):
            seal(Output(MortalStore(lives=[lives]), archive.output.layout), archive.config_id)
        report = audit(archive.output)
        assert wrong(report) == {}, lives
        told |= {note.partition(" of ")[0] for note in report["sealed_files"].notes}
        seal(archive.output, archive.config_id)
        assert audit(archive.output)["sealed_files"].notes == []
    assert told == {"seal 2"}


def test_audits_beside_a_sealer_that_does_not_rest(make_archive: Callable, tmp_path: Path) -> None:
    archive = make_archive(str(tmp_path))
    reports: list[AuditReport] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            reports.append(audit(archive.output))

    looker = threading.Thread(target=look)
    looker.start()
    for number in range(12):
        archive.run(f"run-{10 + number}", chr(ord("e") + number))
    done.set()
    looker.join()
    assert len(reports) > 1
    assert [wrong(report) for report in reports if not report.is_clean] == []
