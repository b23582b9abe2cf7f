"""Runs whose driver gets a signal at every named place: the run ends in order, says so, and the next one does the rest.

What has to be right after the signal, whatever the place: exit code and record tell the same, the videos of the record
add up, no attempt stands, nobody has written a traceback, and an audit finds nothing. After one more run the rows are
those of a run that nobody disturbed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.failpoints import DRIVER_SIGNALS, FAIL_AT, FAIL_ONCE, FAIL_WITH, PLACES
from framegate.pipelines.lab.bench.faults.earlier_nights import CONFIG_ID
from framegate.pipelines.lab.bench.faults.workbench import Ended, Fault, Verdict, Workbench, wait

NOT_OF_A_RUN: Final = ("erase", "replace")  # nor of a deepening
NOISE: Final = ("Traceback", "infinite", "Exception ignored")
MAX_STOP_SECONDS: Final = 25.0  # run.grace_seconds, by default


def list_signals(
    places: Sequence[str] = PLACES, *, numbers: Sequence[int] = (1,), kinds: Sequence[str] = ()
) -> list[Fault]:
    """A fault for each signal at each place of a run, or of a deepening."""
    return [
        Fault(place=place, number=number, kind=kind, action="deepen" if place.startswith("deepen") else "run")
        for kind in kinds or DRIVER_SIGNALS
        for place in places
        for number in numbers
        if not place.startswith(NOT_OF_A_RUN)
    ]


def try_signals(bench: Workbench, faults: Sequence[Fault]) -> Iterator[Verdict]:
    """The verdict on each. Once a place is not reached so often, greater numbers are skipped."""
    unreached: set[tuple[str, str]] = set()
    for fault in faults:
        key = (fault.kind, fault.place)
        if key not in unreached:
            verdict = try_signal(bench, fault)
            if not verdict.happened:
                unreached.add(key)
            if verdict.happened or fault.number == 1 or not verdict.is_good:
                yield verdict


def try_signal(bench: Workbench, fault: Fault) -> Verdict:
    """Runs with the signal, looks at what it left, and runs again."""
    began = time.monotonic()
    output = bench.begin(f"{fault.kind}-{fault.place}-{fault.number}", deepens=fault.action == "deepen")
    once = bench.folder / f"{output.name}.happened"
    faulty = {FAIL_AT: f"{fault.place}:{fault.number}", FAIL_WITH: fault.kind, FAIL_ONCE: str(once)}
    ended = wait(bench.start(fault.action, output, faulty))
    happened = once.exists()
    seconds = time.time() - once.stat().st_mtime if happened else 0.0
    complaints = [*_of_the_end(fault, ended, output, happened=happened, seconds=seconds), *_of_the_books(output)]
    again = wait(bench.start(fault.action, output))
    if again.returncode:
        complaints.append(f"the next run ended with {again.returncode}: {again.stderr[-300:]}")
    quiet = Ended(ended.args, int(bool(complaints)), "", "; ".join(complaints))
    expected = bench.deepened if fault.action == "deepen" else bench.rows
    return bench.judge(fault, quiet, output, expected, began, happened, 2, 0)


def _of_the_end(fault: Fault, ended: Ended, output: Path, *, happened: bool, seconds: float) -> Iterator[str]:
    """What is wrong with how the run ended. A signal that comes when its record is made finds the run over."""
    code = 128 + DRIVER_SIGNALS[fault.kind]
    if ended.returncode not in ((0, code) if happened else (0,)):
        yield f"exit code {ended.returncode} where {code} is right: {ended.stderr[-300:]}"
    for record in _records(output)[-1:]:
        state = "stopped" if ended.returncode else "complete"
        reason = f"signal {signal.Signals(DRIVER_SIGNALS[fault.kind]).name}" if ended.returncode else None
        if (record["state"], record["stop_reason"]) != (state, reason):
            yield f"exit code {ended.returncode}, and the record says {record['state']}, {record['stop_reason']}"
    for noise in NOISE:
        if noise in ended.stderr:
            yield f"{noise} on standard error: {ended.stderr[-300:]}"
    if seconds > MAX_STOP_SECONDS:
        yield f"it took {seconds:.0f} s"


def _of_the_books(output: Path) -> Iterator[str]:
    planned = [record for record in _records(output) if record["num_videos_planned"] is not None]
    for record in planned:
        videos = [record[f"num_videos_{name}"] for name in ("answered", "failed", "skipped", "left")]
        if None in videos or sum(videos) != record["num_videos_planned"]:
            yield f"{videos} videos of {record['num_videos_planned']}"
        if not record["is_sealed"]:
            yield "something is not sealed"
    if attempts := [path for path in (output / "attempts").rglob("*") if path.is_file()]:
        yield f"{len(attempts)} attempts stand"
    if not (report := audit(Output.at(str(output)))).is_clean:
        yield f"{report.num_findings} findings after the signal"


def _records(output: Path) -> list[dict[str, Any]]:
    """The records of the runs that were begun here, the oldest first."""
    return [run for run in read_runs(Output.at(str(output))).values() if run["config_id"] != CONFIG_ID]
