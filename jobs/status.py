"""`framegate status`: what an output holds, by config_id, and what its last runs did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json
from framegate.jobs.target import TargetName, find_target

_TABLES = (
    ("config_id", "model", "strategy", "num_videos", "num_videos_left", "num_clips", "num_questions", "num_answers"),
    ("config_id", "num_unparsed", "think_rate", "num_answer_tokens", "num_thinking_tokens"),
    ("config_id", "num_units_not_sealed", "num_videos_not_sealed", "num_open_attempts", "num_runs"),
)
_FAILED = ("config_id", "reason", "num_failures", "num_retried", "num_given_up")
_SHOWN_RUN = {
    "run": "run_id",
    "state": "state",
    "videos": "num_videos",
    "clips": "num_clips",
    "answers": "num_answers",
    "unparsed": "num_unparsed",
    "seconds": "elapsed_seconds",
    "clips/s": "clips_per_second",
    "think rate": "think_rate",
}


def status(
    target: TargetName,
    runs: Annotated[int, typer.Option("--runs", min=0, metavar="N", help="Show the last N runs of each.")] = 5,
    json_file: JsonFile = None,
) -> None:
    """What an output holds: videos, clips, answers, failures that stand, units not sealed yet, the last runs.

    One row per config_id, that is for each set of model, prompt, clips, frames and strategy that wrote there. Videos
    left are those of the last run, as it ended; of one that was killed or is at work, those that miss something.
    A failure is retried by a later run unless its reason is for ever, or it has failed failures.max_attempts times (of
    the job, where one is given). Changes nothing, and may be asked while a job runs.

    [bold]Examples[/bold]

      framegate status job.yaml

      framegate status s3://index/cameras --runs 20 --json status.json
    """
    from framegate.pipelines.results.status import read_status
    from framegate.schemas.config import FailuresConfig
    from framegate.schemas.job import load_job

    found = find_target(target)
    failures = load_job(Path(target)).config.failures if found.is_job else FailuresConfig()
    rows = read_status(found.config, max_attempts=failures.max_attempts, num_runs=runs)
    write_json(json_file, "status", rows)
    if rows:
        _print(make_console(), rows, found.config.uri)
    else:
        typer.echo(f"{found.config.uri} holds nothing yet")


def _print(console: Console, rows: list[dict[str, Any]], uri: str) -> None:
    print_table(console, _TABLES[0], rows, title=uri)
    for columns in _TABLES[1:]:
        print_table(console, columns, rows)
    failures = [{"config_id": row["config_id"], **failure} for row in rows for failure in row["failures"]]
    if failures:
        print_table(console, _FAILED, failures, title="failures that stand")
    runs = [_shown_run(run) for row in rows for run in row["runs"]]
    if runs:
        print_table(console, tuple(runs[0]), runs, title="last runs")
    if rows[0]["num_videos_erased"]:
        typer.echo(f"{rows[0]['num_videos_erased']:,} videos were erased")


def _shown_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as one line of the table: its start to the minute, answer and thinking tokens as one sum."""
    tokens = [run["num_answer_tokens"], run["num_thinking_tokens"]]
    return {
        "started": str(run["started_at"] or "-")[:16].replace("T", " "),
        **{short: run[name] for short, name in _SHOWN_RUN.items()},
        "tokens": None if None in tokens else sum(tokens),
    }
