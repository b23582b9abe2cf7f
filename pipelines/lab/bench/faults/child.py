"""The process of a command that may be killed: `python -m framegate.pipelines.lab.bench.faults.child SPEC`.

SPEC is a JSON text: `job` (a job file's values), `action` (run, deepen, spend or erase), `in_process` (without Ray),
`uris` (to be erased). `spend` is a run with a budget, which takes up at its end what it has deferred. Exits with 0
where the command ended and nothing is left to do, and as `framegate run` does where a signal stopped it.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any, Final

from framegate.pipelines import flow
from framegate.pipelines.certify.thinking_worth import read_worth
from framegate.pipelines.commit.output import Output
from framegate.pipelines.deepen import deepen
from framegate.pipelines.driver.spending import Spending
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.results.deepenable import DEFERRED_ROWS, Chosen, count_deferred, read_deepenable
from framegate.schemas.errors import FramegateError, RunStopped
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
        if spec["action"] == "spend" and summary.stop is None:
            return _think(job, spec, summary)
    except RunStopped as stopped:
        return _exit_code(stopped.stop)
    return _exit_code(summary.stop) if summary.stop is not None else int(not summary.is_complete)


def _run(job: Job, spec: dict[str, Any]) -> RunSummary:
    if spec["action"] in ("run", "spend"):
        return flow.run(job, engine_factory=ScriptedEngine, in_process=spec["in_process"])
    return deepen(
        job,
        partial(read_deepenable, job.config.output, chosen=Chosen()),
        threshold=DEEPENED_TO,
        engine_factory=ScriptedEngine,
        in_process=spec["in_process"],
    )


def _think(job: Job, spec: dict[str, Any], first: RunSummary) -> int:
    """As `framegate run` goes on. 1 where anything is deferred still: the next command has a budget of its own."""
    if not count_deferred(job.config.output, first.config_id):
        return 0
    summary = deepen(
        job,
        partial(read_deepenable, job.config.output, chosen=DEFERRED_ROWS),
        threshold="job",
        engine_factory=ScriptedEngine,
        in_process=spec["in_process"],
        spending=Spending(
            read_worth=partial(read_worth, job.config.output, job.config.gate.audit),
            num_tokens=first.counts.num_thinking_tokens,
        ),
    )
    if summary.stop is not None and summary.stop.signal_number is not None:
        return _exit_code(summary.stop)
    num_left = count_deferred(job.config.output, first.config_id)
    num_rows = first.counts.num_deferred + first.counts.num_thinking
    if first.counts.num_answers and num_left + summary.counts.num_deepened + first.counts.num_thinking < num_rows:
        raise FramegateError(f"of {num_rows} answers that were to think {num_left} are deferred: some are missing")
    return int(num_left > 0)


def _exit_code(stop: Stop) -> int:
    return 1 if stop.signal_number is None else 128 + stop.signal_number


if __name__ == "__main__":
    sys.exit(carry_out(json.loads(sys.argv[1])))
