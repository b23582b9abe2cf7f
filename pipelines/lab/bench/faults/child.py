"""The process of a command that may be killed: `python -m framegate.pipelines.lab.bench.faults.child SPEC`.

SPEC is a JSON text: `job` (a job file's values), `action` (run, deepen or erase), `in_process` (without Ray), `uris`
(to be erased). Exits with 0 where the command ended and nothing is left to do, and as `framegate run` does where a
signal stopped it.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any, Final

from framegate.pipelines import flow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.deepen import deepen
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.results.deepenable import Chosen, read_deepenable
from framegate.schemas.errors import RunStopped
from framegate.schemas.job import Job, parse_job
from framegate.schemas.run import RunSummary, Stop

DEEPENED_TO: Final = 0.9995  # above what the scripted engine is sure of


def carry_out(spec: dict[str, Any]) -> int:
    """Carry out the command; its exit code."""
    job = parse_job(spec["job"])
    if spec["action"] == "erase":
        erase(Output.open(job.config.output), spec["uris"])
        return 0
    try:
        summary = _run(job, spec)
    except RunStopped as stopped:
        return _exit_code(stopped.stop)
    return _exit_code(summary.stop) if summary.stop is not None else int(not summary.is_complete)


def _run(job: Job, spec: dict[str, Any]) -> RunSummary:
    if spec["action"] == "run":
        return flow.run(job, engine_factory=ScriptedEngine, in_process=spec["in_process"])
    return deepen(
        job,
        partial(read_deepenable, job.config.output, chosen=Chosen()),
        threshold=DEEPENED_TO,
        engine_factory=ScriptedEngine,
        in_process=spec["in_process"],
    )


def _exit_code(stop: Stop) -> int:
    return 1 if stop.signal_number is None else 128 + stop.signal_number


if __name__ == "__main__":
    sys.exit(carry_out(json.loads(sys.argv[1])))
