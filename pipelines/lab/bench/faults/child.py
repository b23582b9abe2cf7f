"""The process of a command that may be killed: `python -m framegate.pipelines.lab.bench.faults.child SPEC`.

SPEC is a JSON text: `job` (a job file's values), `action` (run or erase), `in_process` (without Ray), `uris` (to be
erased). Exits with 0 where the command ended and nothing is left to do.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from framegate.pipelines import flow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.job import parse_job


def carry_out(spec: dict[str, Any]) -> bool:
    """Carry out the command; True where nothing is left to do."""
    job = parse_job(spec["job"])
    if spec["action"] == "erase":
        erase(Output.open(job.config.output), spec["uris"])
        return True
    return flow.run(job, engine_factory=ScriptedEngine, in_process=spec["in_process"]).is_complete


if __name__ == "__main__":
    sys.exit(0 if carry_out(json.loads(sys.argv[1])) else 1)
