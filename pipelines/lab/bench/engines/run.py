"""Runs systems one after the other, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from framegate.pipelines.lab.bench.engines.lifeline import hold_lifeline
from framegate.pipelines.lab.bench.engines.systems import VLLM_SYSTEMS
from framegate.pipelines.lab.bench.engines.task import Outcome, Task
from framegate.schemas.errors import EngineError

MAX_SECONDS = 4 * 3600.0
ROOT = Path(__file__).parents[4]  # the checkout, where its virtual environments lie
WORKER = "framegate.pipelines.lab.bench.engines.worker"
OnRun = Callable[[str, int], None]
"""Called before a run with the system's name and the number of runs done."""


@dataclass(frozen=True, kw_only=True)
class Interpreters:
    """Which Python runs a system: `vllm` where it needs vLLM (None: there is no such Python), otherwise this one."""

    vllm: str | None

    def find(self, system: str) -> str:
        if system not in VLLM_SYSTEMS:
            return sys.executable
        if self.vllm is None:
            raise EngineError(f"{system} needs vLLM, which is not installed; make it with: make setup-vllm")
        return self.vllm


def find_vllm_python(given: Path | None) -> str | None:
    """`given`, else the virtual environment of the vLLM tests, else this interpreter; None where none has vLLM.

    Raises EngineError where the given one has none.
    """
    own = ROOT / ".venv-vllm" / "bin" / "python"
    for python in [given.absolute()] if given is not None else [own, Path(sys.executable)]:
        if python.is_file() and _has_vllm(python):
            return str(python)
    if given is not None:
        raise EngineError(f"--vllm-python: {given} is no Python that has vLLM; make one with: make setup-vllm")
    return None


def run_once(task: Task, interpreters: Interpreters) -> Outcome:
    """Runs a task in a process that ends with this one. Raises EngineError, with the last line that the process wrote,
    where it gave no result."""
    with tempfile.TemporaryDirectory(prefix="framegate-bench-engines-") as folder, hold_lifeline() as line:
        outcome, log = Path(folder) / "outcome.json", Path(folder) / "log"
        with log.open("wb") as lines:
            try:
                done = subprocess.run(
                    [interpreters.find(task.system), "-m", WORKER, str(outcome), str(line)],
                    input=task.to_json().encode(),
                    stdout=lines,
                    stderr=lines,
                    env=_environment(task, link_packages(Path(folder))),
                    pass_fds=[line],
                    process_group=0,
                    timeout=MAX_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise EngineError(f"{task.system} was ended after {MAX_SECONDS:.0f} s without a result") from error
        if done.returncode or not outcome.exists():
            text = log.read_text(errors="replace").strip().splitlines() or ["it wrote nothing"]
            raise EngineError(f"{task.system} ended with {done.returncode} and no result: {text[-1]}")
        return Outcome.load(outcome)


def run_in_turn(
    tasks: Sequence[Task], interpreters: Interpreters, *, num_repeats: int, on_run: OnRun
) -> dict[str, list[Outcome | str]]:
    """The outcome of each round by system, or the sentence that says why there is none.

    The systems take turns in each round, so that what slows the machine down for a while slows all of them alike.
    """
    outcomes: dict[str, list[Outcome | str]] = {task.system: [] for task in tasks}
    num_done = 0
    for _ in range(num_repeats):
        for task in tasks:
            on_run(task.system, num_done)
            try:
                outcomes[task.system].append(run_once(task, interpreters))
            except EngineError as error:
                outcomes[task.system].append(str(error))
            num_done += 1
    return outcomes


def _has_vllm(python: Path) -> bool:
    find = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    return subprocess.run([str(python), "-c", find], cwd="/", check=False).returncode == 0


def link_packages(folder: Path) -> Path:
    """Lay this program out below `folder`, as links: with that folder on PYTHONPATH any interpreter imports it, whether
    or not framegate is installed there."""
    package = folder / "packages" / "framegate"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("pipelines", "schemas"):
        spec = find_spec(f"framegate.{name}")
        assert spec is not None, f"this module is one of framegate's, and so is {name}"
        assert spec.submodule_search_locations is not None, f"{name} is a package"
        (source,) = spec.submodule_search_locations
        (package / name).symlink_to(source)
    return package.parent


def _environment(task: Task, packages: Path) -> dict[str, str]:
    paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": str(task.num_threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
