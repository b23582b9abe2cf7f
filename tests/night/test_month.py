"""Thirty nights of one archive on a real S3 server, as they really are: what changes by day, what goes wrong by night.

Every night is a process of its own that runs the real command, with the clock moved on by a day. Every morning the
books are checked: what is sealed is exactly what was due, nothing twice; the audit finds nothing; `status` tells what
became of the night.

A night takes some 20 s. FRAMEGATE_MONTH=1 has all thirty of them; else nights are left out that are like the one before
them, and their videos come with the next.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.failpoints import FAIL_AT, FAIL_WITH
from framegate.pipelines.store import Store, join
from framegate.schemas.clock import CLOCK_OFFSET
from tests import s3_faults as faults
from tests.night.month import CAMERAS, DAY_SECONDS, Month, first_day, wait
from tests.s3_faults import S3Faults

NUM_NIGHTS = 30
VIDEOS_A_DAY = 4


@dataclass(frozen=True, kw_only=True)
class Night:
    """What a night is meant to come to.

    change     what happens to the archive and the job on the day before
    exit_code  of the command
    state      that `status` tells in the morning
    ends_well  everything that was due is answered by the morning
    """

    change: Callable[[Month], None] = lambda month: None
    exit_code: int = 0
    state: str = "complete"
    ends_well: bool = True
    options: tuple[str, ...] = ()
    script: str = "yes"
    on_ray: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    fault: tuple[faults.Fault, str, str] | None = None
    said: str = ""


def overwrite(month: Month) -> None:
    month.add("north-01-0.mp4", "other", camera="north", day=1)


def expire_the_first_day(month: Month) -> None:
    for number in range(VIDEOS_A_DAY):
        month.delete(name(1, number))


def promise(month: Month) -> None:
    month.promise("north-never.mp4", camera="north", day=6)


def bring_a_late_one(month: Month) -> None:
    month.add("south-late.mp4", "long", camera="south", day=2)


def reword(id: str, text: str) -> Callable[[Month], None]:
    return lambda month: month.reword(id, text)


def delete_one_that_waits(month: Month) -> None:
    """Of a video that the night before may have left."""
    month.delete(name(12, 3))


def lower_the_threshold(month: Month) -> None:
    month.threshold = 0.9


SPECIAL: dict[int, Night] = {
    3: Night(change=overwrite),
    5: Night(change=expire_the_first_day),
    6: Night(change=promise),
    8: Night(change=bring_a_late_one),
    10: Night(change=reword("red", "Is it mostly red?")),
    12: Night(
        environment={FAIL_AT: "driver.receipt:2", FAIL_WITH: "TERM"},
        on_ray=True,
        exit_code=143,
        state="stopped",
        ends_well=False,
        said="SIGTERM",
    ),
    13: Night(change=delete_one_that_waits),
    14: Night(
        environment={FAIL_AT: "commit.after:2"},
        exit_code=-signal.SIGKILL,
        state="dead",
        ends_well=False,
    ),
    16: Night(
        fault=(faults.refused(403, "QuotaExceeded", "The bucket is full."), "PUT", "index/journal"),
        exit_code=1,
        state="failed",
        ends_well=False,
        said="no room",
    ),
    17: Night(
        fault=(faults.EXPIRED, "PUT", "index/journal"),
        exit_code=1,
        state="failed",
        ends_well=False,
        said="renew them",
    ),
    20: Night(script="nonsense", exit_code=1, said="unparsed"),
    22: Night(change=reword("moves", "Does anything move?")),
    24: Night(change=lower_the_threshold),
    26: Night(script="slow", options=("--for", "6s"), exit_code=3, state="stopped", ends_well=False, said="deadline"),
}
TWO_SCHEDULERS = 19
AFTER_A_BAD_ONE = {number + 1 for number, night in SPECIAL.items() if not night.ends_well or night.exit_code}
SHORT = sorted({1, 2, *SPECIAL, *AFTER_A_BAD_ONE, TWO_SCHEDULERS, NUM_NIGHTS})
NIGHTS = range(1, NUM_NIGHTS + 1) if "FRAMEGATE_MONTH" in os.environ else SHORT


def name(day: int, number: int) -> str:
    return f"{CAMERAS[number % 2]}-{day:02d}-{number}.mp4"


@pytest.fixture
def month(
    tmp_path: Path, s3_root: str, s3_faults: S3Faults, model_folder: Path, make_video: Callable[..., Path]
) -> Month:
    films = {
        name: make_video(tmp_path / f"{name}.mp4", seconds=seconds, shade=shade).read_bytes()
        for name, seconds, shade in (("plain", 2, 0), ("other", 2, 90), ("long", 4, 40))
    }
    return Month(
        root=s3_root,
        folder=tmp_path,
        endpoint=s3_faults.endpoint,
        films=films,
        model=model_folder,
        first_day=first_day(),
    )


def test_a_month_of_nights_keeps_its_books(month: Month, s3_faults: S3Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    for before, number in pairwise([0, *NIGHTS]):
        night = SPECIAL.get(number, Night())
        for day, video in product(range(before + 1, number + 1), range(VIDEOS_A_DAY)):
            film = "long" if video == 0 else "plain"
            month.add(name(day, video), film, camera=CAMERAS[video % 2], day=day)
        night.change(month)
        run_night(month, number, night, s3_faults)
        monkeypatch.setenv(CLOCK_OFFSET, str(number * DAY_SECONDS + DAY_SECONDS // 4))
        check_books(month, number, night)
        check_status(month, number, night)
    check_files(month)


def run_night(month: Month, number: int, night: Night, s3_faults: S3Faults) -> None:
    if number == TWO_SCHEDULERS:
        run_two(month, number)
        return
    if night.fault is not None:
        fault, method, target = night.fault
        # The first requests pass: the run is at work when it happens.
        s3_faults.script(lambda request, serve: serve(), method=method, target=target, times=2)
        s3_faults.script(fault, method=method, target=target, times=float("inf"))
    process = month.start(
        number,
        *night.options,
        script=night.script,
        on_ray=night.on_ray,
        environment=dict(night.environment),
    )
    code, printed = wait(process)
    s3_faults.clear()
    assert code == night.exit_code, f"night {number} ended with {code}: {printed[-3000:]}"
    assert night.said in printed
    assert "Traceback" not in printed


def run_two(month: Month, number: int) -> None:
    """The second scheduler comes while the first one's run is at work, and is refused; the first one ends well."""
    first = month.start(number, environment={FAIL_AT: "reason.after:1", FAIL_WITH: "STOP"})
    wait_until_frozen(first.pid)
    refused = month.start(number)
    code, printed = wait(refused)
    os.killpg(first.pid, signal.SIGCONT)
    first_code, first_printed = wait(first)
    assert code == 4, printed[-3000:]
    assert str(first.pid) in printed
    assert first_code == 0, first_printed[-3000:]


def wait_until_frozen(pid: int) -> None:
    give_up_at = time.monotonic() + 120
    while "T (stopped)" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < give_up_at, "the first run was never at work"
        time.sleep(0.05)


def check_books(month: Month, number: int, night: Night) -> None:
    found = sealed_keys(month)
    doubled = [key for key, rows in found.items() if rows > 1]
    assert not doubled, f"night {number}: rows that are there twice: {doubled[:3]}"
    keys = {(video_id, text) for video_id, text, _ in found}
    may_be = month.answered | month.due
    assert keys <= may_be, f"night {number} answered what was not due: {list(keys - may_be)[:3]}"
    must_be = may_be if night.ends_well else month.answered
    assert must_be <= keys, f"night {number} lost {len(must_be - keys)} keys: {list(must_be - keys)[:3]}"
    month.answered |= keys
    report = audit(Output.at(month.output))
    assert report.num_findings == 0, f"night {number}: {report}"
    if night.ends_well and number != TWO_SCHEDULERS:
        assert month.summary(number)["num_videos_gone"] == len(month.gone - month.open_and_gone), f"night {number}"
        month.failed |= month.open_and_gone
        month.open_and_gone.clear()
    if night.ends_well:
        assert not [*Output.at(month.output).list("journal")], f"night {number} left units unsealed"


def sealed_keys(month: Month) -> Counter[tuple[str, str, int]]:
    """(video_id, question, clip) of each sealed answer, as a plain reader of the files finds them."""
    store, found = Store(), Counter[tuple[str, str, int]]()
    for info in store.list(join(month.output, "results")):
        with store.open_read(info.uri) as file:
            rows = pq.ParquetFile(file).read(columns=["video_id", "question", "clip_index"]).to_pylist()
        found.update((row["video_id"], row["question"], row["clip_index"]) for row in rows)
    return found


def check_status(month: Month, number: int, night: Night) -> None:
    shown = month.folder / "status.json"
    done = CliRunner().invoke(app, ["status", str(month.folder / "job.yaml"), "--json", str(shown)])
    assert done.exit_code == 0, done.output
    rows: list[dict[str, Any]] = json.loads(shown.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 1, "one config_id all month"
    last = rows[0]["runs"][1 if number == TWO_SCHEDULERS else 0]  # the one that was refused began last
    assert last["state"] == night.state, f"night {number}: {last}"
    assert rows[0]["num_answers"] == sealed_keys(month).total()
    if night.ends_well:
        assert rows[0]["num_videos_left"] == 0
        assert rows[0]["num_units_not_sealed"] == 0


def check_files(month: Month) -> None:
    """One file for each camera and day, in each table; whatever the number of nights."""
    for table in ("results", "failures"):
        folders = Counter(info.uri.rpartition("/")[0] for info in Store().list(join(month.output, table)))
        assert max(folders.values()) == 1, f"{table} has several small files in one partition: {folders.most_common(2)}"
        assert len(folders) <= NUM_NIGHTS * len(CAMERAS)
