"""Jobs whose engine is sure of some answers, and what deepening them takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import duckdb

from framegate.pipelines import deepen, flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.plan.deepening import Deepening
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.pipelines.results.deepenable import Chosen, read_deepenable
from framegate.schemas.job import Job
from framegate.schemas.run import RunSummary

CONFIDENCES = {("red", 0): 0.98, ("red", 2): 0.985, ("red", 4): 0.999, ("count", 0): 0.999, ("count", 2): 0.975}
OTHERS = 0.95
THOUGHT: list[Written] = [("<think>", -0.1), ("let me see", -0.2), ("</think>", -0.1)]
UNLIKE = (
    *("run_id", "written_at", "question_since", "decode_seconds", "engine_seconds", "prompt_seconds"),
    *("first_answer_seconds", "thinking_seconds", "deepened_at", "deepened_run_id", "bytes_read"),
)


def box(content: str, confidence: float) -> list[Written]:
    return [("\\boxed{", -0.01), (content, math.log(confidence)), ("}", -0.01)]


def write(ask: Ask) -> Sequence[Written]:
    """Sure or not by question and clip; thinking changes every second answer."""
    second = int(ask.clip.start_seconds)
    contents = ("yes", "no") if ask.question.type == "yes_no" else ("3", "4")
    first = box(contents[0], CONFIDENCES.get((ask.question.id, second), OTHERS))
    return [*first, *THOUGHT, *box(contents[1 if second else 0], 0.9)]


def engine() -> ScriptedEngine:
    return ScriptedEngine(write)


def ill() -> ScriptedEngine:
    """An engine on which one question fails."""

    def script(ask: Ask) -> Sequence[Written]:
        if ask.question.id == "count":
            raise ValueError("ill")
        return write(ask)

    return ScriptedEngine(script)


def run(job: Job, **options: Any) -> RunSummary:
    return flow.run(job, **{"engine_factory": engine, "in_process": True, **options})


def select(job: Job, **chosen: Any) -> deepen.SelectRows:
    return partial(read_deepenable, job.config.output, chosen=Chosen(**chosen))


def go_on(
    job: Job, threshold: deepen.NewThreshold = 0.99, *, chosen: dict[str, Any] | None = None, **how: Any
) -> RunSummary:
    options = {"engine_factory": engine, "in_process": True, "threshold": threshold, **how}
    return deepen.deepen(job, select(job, **(chosen or {})), **options)


def plan(job: Job, threshold: deepen.NewThreshold = 0.99, **chosen: Any) -> Deepening:
    return deepen.plan(job, select(job, **chosen), threshold=threshold)


def rows(job: Job, *, of: str = "results") -> list[dict[str, Any]]:
    sql = f"FROM read_parquet('{job.config.output.uri}/{of}/**/*.parquet', union_by_name = true)"
    found = duckdb.sql(sql).to_arrow_table().to_pylist()
    kept = [{name: value for name, value in row.items() if name not in UNLIKE} for row in found]
    return sorted(kept, key=str)


def dies(*_: Any) -> Any:
    raise RuntimeError("killed")


def findings(job: Job) -> dict[str, list[str]]:
    return {check.name: check.findings for check in audit(Output.at(job.config.output.uri)).checks if check.findings}
