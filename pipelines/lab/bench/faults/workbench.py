"""Commands that are killed or frozen at every named place and then go on; their rows are compared with a clean run's.

The input is a small archive (films of several clips, and files that are not videos), answered by the scripted engine;
everything but the weights is real. A command that was killed by `pipelines.failpoints` is started again until it ends.
A command that was frozen wakes up after the same command has run to its end beside it. Then the output is audited from
storage alone, and its rows are compared.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.failpoints import FAIL_AT, FAIL_ONCE, FAIL_WITH, PLACES
from framegate.pipelines.lab.bench.faults.child import DEEPENED_TO
from framegate.pipelines.lab.bench.faults.earlier_nights import find_lost_nights, put_nights
from framegate.pipelines.lab.bench.faults.small_archive import QUESTIONS, make_archive, make_model

KINDS = ("killed", "frozen")
UNLIKE = (  # columns in which two runs may differ
    *("run_id", "written_at", "question_since", "decode_seconds", "engine_seconds"),
    *("prompt_seconds", "first_answer_seconds", "thinking_seconds", "deepened_at", "deepened_run_id"),
)
SEALED_TABLES = ("results", "failures", "clips")
SHARED_PLACES = (
    *("put.", "replace.", "delete.", "decode.", "attempt.", "reason."),
    *("driver.receipt", "driver.drained", "driver.sealed", "driver.recorded"),
)
"""How places begin that a run and a deepening come by."""
SPENT = {"threshold": DEEPENED_TO, "budget": {"thinking_tokens": 5}}
"""Of a run that defers: a thought takes one token here, and there are 12, so that it takes several nights."""
MAX_COMMANDS = 6  # after one that was killed; if it takes more, it does not end at all
TIMEOUT_SECONDS = 300
Ended = subprocess.CompletedProcess[str]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to a process, and where: at its `number`-th time at `place`.

    action   the command: run, deepen, spend (a run with a budget) or erase
    kind     killed, frozen until another has done its work, raced: so many at once, or the signal that its driver gets
    """

    place: str
    number: int
    action: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of one fault. `happened` is False where no process reached that place so often.

    num_changed   files of the tables that the frozen process changed after it woke up
    """

    fault: Fault
    happened: bool
    num_commands: int
    num_lost: int
    num_doubled: int
    num_changed: int
    num_findings: int
    complaint: str
    seconds: float

    @property
    def is_good(self) -> bool:
        return not (self.num_lost or self.num_doubled or self.num_changed or self.num_findings or self.complaint)


class Workbench:
    """A folder with an archive, and the rows that an undisturbed run makes of it."""

    def __init__(self, folder: Path, *, in_process: bool) -> None:
        self.folder = folder
        self._in_process = in_process
        self._archive = make_archive(folder / "videos")
        self._model = make_model(folder / "model")
        whole = self.begin("undisturbed")
        if (ended := wait(self.start("run", whole))).returncode != 0:
            raise RuntimeError(f"the run that nobody disturbs failed: {ended.stderr[-2000:]}")
        self.rows = read_rows(whole)
        self.deepened = self._deepen_all(whole)

    def begin(self, name: str, *, deepens: bool = False) -> Path:
        """An output that holds nothing but the records of some nights, or what is to be deepened."""
        if deepens:
            return Path(shutil.copytree(self.folder / "undisturbed", self.folder / name))
        put_nights(Output.at(str(self.folder / name)))
        return self.folder / name

    def try_fault(self, fault: Fault) -> Verdict:
        """Inject the fault into one command, and give the command again until it ends."""
        began = time.monotonic()
        output, expected = self.folder / f"{fault.action}-{fault.kind}-{fault.place}-{fault.number}", self.rows
        if fault.action == "deepen":
            self.begin(output.name, deepens=True)
            expected = self.deepened
        elif fault.action == "spend":
            self.begin(output.name)
            expected = self.deepened
        elif fault.action == "erase":
            shutil.copytree(self.folder / "undisturbed", output)
            expected = Counter({row: n for row, n in self.rows.items() if self._erased not in row})
        else:
            self.begin(output.name)
        once = self.folder / f"{output.name}.happened"
        environment = {FAIL_AT: f"{fault.place}:{fault.number}", FAIL_ONCE: str(once)}
        if fault.kind == "killed":
            ended, num_commands = self._kill(fault, output, environment)
            num_changed = 0
        else:
            ended, num_changed = self._freeze(fault, output, {**environment, FAIL_WITH: "STOP"}, once)
            num_commands = 2
        return self.judge(fault, ended, output, expected, began, once.exists(), num_commands, num_changed)

    def race(self, num_commands: int) -> Verdict:
        """Start the same run `num_commands` times at once."""
        began = time.monotonic()
        output = self.begin(f"raced-{num_commands}")
        fault = Fault(place="everywhere", number=num_commands, action="run", kind="raced")
        processes = [self.start("run", output) for _ in range(num_commands)]
        ended = max((wait(process) for process in processes), key=lambda one: abs(one.returncode))
        return self.judge(fault, ended, output, self.rows, began, True, num_commands, 0)

    def judge(
        self,
        fault: Fault,
        ended: Ended,
        output: Path,
        expected: Counter[str],
        began: float,
        happened: bool,
        num_commands: int,
        num_changed: int,
    ) -> Verdict:
        """The verdict on what a command left, after which its output goes."""
        report, found = audit(Output.at(str(output))), read_rows(output)
        lost_nights = find_lost_nights(Output.at(str(output)))
        shutil.rmtree(output)
        return Verdict(
            fault=fault,
            happened=happened,
            num_commands=num_commands,
            num_lost=(expected - found).total(),
            num_doubled=(found - expected).total(),
            num_changed=num_changed,
            num_findings=report.num_findings,
            complaint=f"ended with {ended.returncode}: {ended.stderr[-500:]}" if ended.returncode else lost_nights,
            seconds=time.monotonic() - began,
        )

    def _deepen_all(self, whole: Path) -> Counter[str]:
        """The rows of the undisturbed run after a deepening that nobody disturbs either."""
        output = self.folder / "deepened"
        shutil.copytree(whole, output)
        if (ended := wait(self.start("deepen", output))).returncode != 0:
            raise RuntimeError(f"the deepening that nobody disturbs failed: {ended.stderr[-2000:]}")
        return read_rows(output)

    def _kill(self, fault: Fault, output: Path, environment: dict[str, str]) -> tuple[Ended, int]:
        ended = wait(self.start(fault.action, output, environment))
        num_commands = 1
        while ended.returncode != 0 and num_commands <= MAX_COMMANDS:
            ended = wait(self.start(fault.action, output))
            num_commands += 1
        return ended, num_commands

    def _freeze(self, fault: Fault, output: Path, environment: dict[str, str], once: Path) -> tuple[Ended, int]:
        """How the frozen command ended, or the one beside it where that failed; and how many files changed."""
        sleeper = self.start(fault.action, output, environment)
        while sleeper.poll() is None and not once.exists():
            time.sleep(0.01)
        other = wait(self.start(fault.action, output))
        before = read_files(output)
        if sleeper.poll() is None:
            os.killpg(sleeper.pid, signal.SIGCONT)
        ended = wait(sleeper)
        after = read_files(output)
        return (other if other.returncode else ended), sum(after.get(name) != data for name, data in before.items())

    @property
    def _erased(self) -> str:
        return str(self._archive[0])

    def start(self, action: str, output: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """A command in a process group of its own."""
        spec = {
            "job": {
                "input": {"videos": str(self._archive[0].parent)},
                "clips": {"seconds": 2},
                "frames": {"fps": 2, "max_frames": 4},
                "questions": QUESTIONS,
                "model": {"name": str(self._model)},
                **({"gate": SPENT} if action == "spend" else {}),
                # Several seals, and several units of a video: more places to die at.
                "output": {"uri": str(output), "file_bytes": 4096},
                "ray": {"decode_workers": 2},
                "run": {"second": "beside"},
            },
            "action": action,
            "in_process": self._in_process,
            "uris": [self._erased],
        }
        return subprocess.Popen(
            # Not in a file: of commands that start at once, one would read what another is writing.
            [sys.executable, "-m", "framegate.pipelines.lab.bench.faults.child", json.dumps(spec)],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def wait(process: subprocess.Popen[str]) -> Ended:
    """How the command ended; one that takes TIMEOUT_SECONDS is killed with its group."""
    try:
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, "", stderr)


def list_faults(
    places: Sequence[str] = PLACES, *, numbers: Sequence[int] = (1,), kinds: Sequence[str] = KINDS
) -> list[Fault]:
    """A fault of each kind at each place with each number; the action is the command that reaches the place."""
    return [
        Fault(place=place, number=number, kind=kind, action=_action_at(place))
        for kind in kinds
        for place in places
        for number in numbers
    ]


def list_deepenings(
    places: Sequence[str] = PLACES, *, numbers: Sequence[int] = (1,), kinds: Sequence[str] = KINDS
) -> list[Fault]:
    """The same in a deepening, at places that it comes by beside its own."""
    return [
        Fault(place=place, number=number, kind=kind, action="deepen")
        for kind in kinds
        for place in places
        for number in numbers
        if place.startswith(SHARED_PLACES)
    ]


def list_spendings(places: Sequence[str] = PLACES, *, numbers: Sequence[int] = (1,)) -> list[Fault]:
    """Kills of a run with a budget, while it gives first answers and while it takes up deferred rows."""
    return [
        Fault(place=place, number=number, kind="killed", action="spend")
        for place in places
        for number in numbers
        if not place.startswith("erase")
    ]


def _action_at(place: str) -> str:
    if place.startswith("deepen"):
        return "deepen"
    return "erase" if place.startswith(("erase", "replace")) else "run"


def try_all(bench: Workbench, faults: Sequence[Fault]) -> Iterator[Verdict]:
    """The verdict on each fault. Once a place is not reached so often, greater numbers are skipped."""
    unreached: set[tuple[str, str, str]] = set()
    for fault in faults:
        key = (fault.action, fault.kind, fault.place)
        if key not in unreached:
            verdict = bench.try_fault(fault)
            if not verdict.happened:
                unreached.add(key)
            if verdict.happened or fault.number == 1 or not verdict.is_good:
                yield verdict


def read_rows(output: Path) -> Counter[str]:
    """Every row of the sealed tables as one text each, without columns in which runs may differ, with its number."""
    rows: Counter[str] = Counter()
    for kind in SEALED_TABLES:
        for path in sorted((output / kind).rglob("*.parquet")):
            table = pq.ParquetFile(path).read()
            kept: pa.Table = table.select([name for name in table.column_names if name not in UNLIKE])
            rows.update(f"{kind} {sorted(row.items())}" for row in kept.to_pylist())
    return rows


def read_files(output: Path) -> dict[str, bytes]:
    """The files of the sealed tables, by path."""
    return {str(path): path.read_bytes() for kind in SEALED_TABLES for path in (output / kind).rglob("*.parquet")}
