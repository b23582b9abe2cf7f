"""Runs as `framegate status` shows them, from what each said when it began and when it ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import read_begun, read_runs

_SHOWN_RUN = {
    "run": "run_id",
    "state": "state",
    "videos": "num_videos",
    "clips": "num_clips",
    "answers": "num_answers",
    "seconds": "elapsed_seconds",
    "clips/s": "clips_per_second",
    "think rate": "think_rate",
}


def runs_by_config(output: Output) -> dict[str, list[dict[str, Any]]]:
    """What each run of a config_id said at its end, or at least when it began; the oldest first."""
    ended = read_runs(output)
    begun = read_begun(output)
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run_id in {*begun, *ended}:
        record = {**begun.get(run_id, {}), **ended.get(run_id, {}), "run_id": run_id, "is_ended": run_id in ended}
        runs[str(record.get("config_id"))].append(record)
    for records in runs.values():
        records.sort(key=lambda record: (str(record.get("started_at")), record["run_id"]))
    return runs


def run_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """One run of `runs_by_config` in figures; null is what it did not live to say."""
    counts = record.get("counts") or {}
    seconds, num_clips = record.get("elapsed_seconds"), counts.get("num_clips")
    num_answers = counts.get("num_answers")
    parts = [record.get(f"num_videos_{name}") for name in ("answered", "failed")]
    return {
        "run_id": record["run_id"],
        "started_at": record.get("started_at"),
        "state": _state(record),
        "num_videos": None if None in parts else sum(part or 0 for part in parts),
        "num_clips": num_clips,
        "num_answers": num_answers,
        "elapsed_seconds": seconds,
        "clips_per_second": num_clips / seconds if num_clips is not None and seconds else None,
        "think_rate": counts["num_thinking"] / num_answers if num_answers else None,
        "num_answer_tokens": counts.get("num_answer_tokens"),
        "num_thinking_tokens": counts.get("num_thinking_tokens"),
    }


def _state(record: Mapping[str, Any]) -> str:
    if not record["is_ended"]:
        return "killed or running"
    if record.get("is_stopped"):
        return "stopped"
    return "finished" if record.get("is_complete", True) else "incomplete"


def shown_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `run_row` as one line of a terminal: time to the minute, both kinds of tokens as one."""
    tokens = [run["num_answer_tokens"], run["num_thinking_tokens"]]
    return {
        "started": str(run["started_at"] or "-")[:16].replace("T", " "),
        **{short: run[name] for short, name in _SHOWN_RUN.items()},
        "tokens": None if None in tokens else sum(tokens),
    }
