"""`framegate status`: what an output holds, by config_id, and what its last runs did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from rich.console import Console

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json
from framegate.jobs.status_runs import run_row, runs_by_config, shown_run
from framegate.jobs.target import Target, TargetName, find_target
from framegate.pipelines.plan.remaining import remaining_of_run
from framegate.pipelines.results.views import open_views, select
from framegate.schemas.config import FailuresConfig
from framegate.schemas.errors import ObjectNotFound, StorageError
from framegate.schemas.job import load_job
from framegate.schemas.retries import wait_after

# Clips are told apart before they are counted: one pass over rows that mostly stand side by side.
_ANSWERS = """
    WITH clips AS (
        SELECT config_id, video_id, clip_index, any_value(model) AS model, any_value(strategy) AS strategy,
            count(*) AS rows, count(*) FILTER (status = 'unparsed') AS unparsed, sum(thinking::int) AS thinking,
            sum(num_answer_tokens) AS answer_tokens, sum(num_thinking_tokens) AS thinking_tokens
        FROM answers GROUP BY ALL
    ), questions AS (SELECT config_id, count(DISTINCT question_hash) AS num_questions FROM answers GROUP BY ALL)
    SELECT config_id, any_value(model) AS model, any_value(strategy) AS strategy,
        count(DISTINCT video_id) AS num_videos, count(*) AS num_clips, any_value(num_questions) AS num_questions,
        sum(rows)::bigint AS num_answers, sum(unparsed)::bigint AS num_unparsed,
        sum(thinking) / sum(rows) AS think_rate,
        sum(answer_tokens)::bigint AS num_answer_tokens, sum(thinking_tokens)::bigint AS num_thinking_tokens
    FROM clips JOIN questions USING (config_id) GROUP BY config_id"""
_FAILURES = """
    SELECT config_id, reason, attempts, count(*) AS num_rows FROM failures GROUP BY ALL"""
_NOTHING: Mapping[str, Any] = {
    "model": None,
    "strategy": None,
    "num_videos": 0,
    "num_clips": 0,
    "num_questions": 0,
    "num_answers": 0,
    "num_unparsed": 0,
    "think_rate": None,
    "num_answer_tokens": 0,
    "num_thinking_tokens": 0,
}
_TABLES = (
    ("config_id", "model", "strategy", "num_videos", "num_videos_left", "num_clips", "num_questions", "num_answers"),
    ("config_id", "num_unparsed", "think_rate", "num_answer_tokens", "num_thinking_tokens"),
    ("config_id", "num_units_not_sealed", "num_videos_not_sealed", "num_open_attempts", "num_runs"),
)
_FAILED = ("config_id", "reason", "num_failures", "num_retried", "num_given_up")


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
    found = find_target(target)
    failures = load_job(Path(target)).config.failures if found.is_job else FailuresConfig()
    rows = read_status(found, max_attempts=failures.max_attempts, num_runs=runs)
    write_json(json_file, "status", rows)
    if rows:
        _print(make_console(), rows, found.config.uri)
    else:
        typer.echo(f"{found.config.uri} holds nothing yet")


def read_status(target: Target, *, max_attempts: int, num_runs: int) -> list[dict[str, Any]]:
    """One row per config_id, by name. Raises ObjectNotFound, StorageError."""
    try:
        return _read(target, max_attempts, num_runs)
    except ObjectNotFound:
        raise
    except StorageError:  # an erasure may have replaced a file while it was read; what is damaged is met again
        return _read(target, max_attempts, num_runs)


def _read(target: Target, max_attempts: int, num_runs: int) -> list[dict[str, Any]]:
    output = target.output
    with open_views(target.config.uri, target.config.storage_options, with_inputs=False) as connection:
        answers = {row["config_id"]: row for row in select(connection, _ANSWERS).to_pylist()}
        failures = _by_reason(select(connection, _FAILURES).to_pylist(), max_attempts)
        units, videos = _count_units(info.uri for info in output.list("journal"))
        attempts = Counter(_config_id_of(info.uri) for info in output.list("attempts"))
        runs = runs_by_config(target.output)
        configs = {info.uri.rpartition("/")[2].removesuffix(".yaml") for info in output.list("configs")}
        left = {id: _num_left(target, runs[id][-1]) for id in runs}
    num_erased = sum(1 for _ in output.list("tombstones"))
    return [
        {
            **_NOTHING,
            **answers.get(id, {}),
            "config_id": id,
            "num_videos_left": left.get(id),
            "num_failures": sum(row["num_failures"] for row in failures[id]),
            "failures": failures[id],
            "num_units_not_sealed": units[id],
            "num_videos_not_sealed": len(videos[id]),
            "num_open_attempts": attempts[id],
            "num_videos_erased": num_erased,
            "num_runs": len(runs.get(id, ())),
            "runs": [run_row(record) for record in reversed(runs.get(id, [])[-num_runs:] if num_runs else [])],
        }
        for id in sorted(configs | set(answers) | set(failures) | set(units) | set(runs))
    ]


def _by_reason(rows: Iterable[Mapping[str, Any]], max_attempts: int) -> dict[str, list[dict[str, Any]]]:
    """For each config_id the failures that stand, the most frequent reason first."""
    found: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        wait: timedelta | None = wait_after(row["reason"], row["attempts"])
        is_retried = wait is not None and row["attempts"] < max_attempts
        counts = found[row["config_id"]][row["reason"]]
        counts["num_failures"] += row["num_rows"]
        counts["num_retried" if is_retried else "num_given_up"] += row["num_rows"]
    by_config: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for config_id, reasons in found.items():
        for reason, counts in sorted(reasons.items(), key=lambda item: (-item[1]["num_failures"], item[0])):
            by_config[config_id].append({"reason": reason, **{name: counts[name] for name in _FAILED[2:]}})
    return by_config


def _count_units(uris: Iterable[str]) -> tuple[Counter[str], dict[str, set[str]]]:
    """Units and videos in the journal, by config_id, as their names tell."""
    units: Counter[str] = Counter()
    videos: dict[str, set[str]] = defaultdict(set)
    for uri in uris:
        config_id = _config_id_of(uri)
        units[config_id] += 1
        videos[config_id].add(uri.rsplit("/", 2)[-2])
    return units, videos


def _config_id_of(uri: str) -> str:
    return uri.rpartition("config_id=")[2].partition("/")[0]


def _num_left(target: Target, run: Mapping[str, Any]) -> int | None:
    if run["is_ended"]:
        return run.get("num_videos_left")
    output = target.output
    try:
        with output.store.open_read(output.layout.plan(run["run_id"])) as source:
            planned = pq.read_table(source, columns=["video_id", "video_uri", "question_hashes"])
    except (ObjectNotFound, pa.ArrowException, OSError):  # it was killed before it had one, or the plan is damaged
        return run.get("num_videos")
    hashes = pc.call_function("list_flatten", [planned.column("question_hashes")]).unique().to_pylist()
    return remaining_of_run(output, run["config_id"], planned, hashes).num_left


def _print(console: Console, rows: list[dict[str, Any]], uri: str) -> None:
    print_table(console, _TABLES[0], rows, title=uri)
    for columns in _TABLES[1:]:
        print_table(console, columns, rows)
    failures = [{"config_id": row["config_id"], **failure} for row in rows for failure in row["failures"]]
    if failures:
        print_table(console, _FAILED, failures, title="failures that stand")
    runs = [shown_run(run) for row in rows for run in row["runs"]]
    if runs:
        print_table(console, tuple(runs[0]), runs, title="last runs")
    if rows[0]["num_videos_erased"]:
        typer.echo(f"{rows[0]['num_videos_erased']:,} videos were erased")
