"""The process of a command that may be killed: `python -m framegate.pipelines.lab.bench.faults.child SPEC`.

SPEC is a JSON text: `job` (a job file's values), `action` (run or erase), `in_process` (without Ray), `uris` (to be
erased). Exits with 0 where the command ended and nothing is left to do, and as `framegate run` does where a signal
stopped it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from framegate.pipelines import flow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.errors import RunStopped
from framegate.schemas.job import parse_job
from framegate.schemas.run import Stop


def carry_out(spec: dict[str, Any]) -> int:
    """Carry out the command; its exit code."""
    job = parse_job(spec["job"])
    if spec["action"] == "erase":
        erase(Output.open(job.config.output), spec["uris"])
        return 0
    try:
        summary = flow.run(job, engine_factory=ScriptedEngine, in_process=spec["in_process"])
    except RunStopped as stopped:
        return _exit_code(stopped.stop)
    return _exit_code(summary.stop) if summary.stop is not None else int(not summary.is_complete)


def _exit_code(stop: Stop) -> int:
    return 1 if stop.signal_number is None else 128 + stop.signal_number


if __name__ == "__main__":
    sys.exit(carry_out(json.loads(sys.argv[1])))
