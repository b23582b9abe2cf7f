"""`framegate status`: what an output holds, by config_id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.options import JsonFile
from jobs.rows import make_console, print_table, write_json
from jobs.views import open_views, select
from pipelines.store import Store, join
from schemas.errors import StorageError
from schemas.job import load_job

_ANSWERS = """
    SELECT config_id, any_value(model) AS model, any_value(strategy) AS strategy,
        count(DISTINCT video_id) AS num_videos, count(DISTINCT (video_id, clip_index)) AS num_clips,
        count(DISTINCT question_hash) AS num_questions, count(*) AS num_answers,
        count(*) FILTER (status = 'unparsed') AS num_unparsed, avg(thinking::int) AS think_rate,
        sum(num_answer_tokens)::bigint AS num_answer_tokens, sum(num_thinking_tokens)::bigint AS num_thinking_tokens
    FROM answers GROUP BY config_id"""
_FAILURES = """
    SELECT config_id, reason, count(*) AS num_rows, count(DISTINCT video_id) AS num_videos
    FROM failures GROUP BY ALL ORDER BY num_rows DESC, reason"""
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
_SHOWN = ("config_id", "model", "strategy", "num_videos", "num_clips", "num_questions", "num_answers", "think_rate")
_LAST_RUN = ("run_id", "started_at", "is_complete", "is_stopped", "num_videos_left", "elapsed_seconds")


def status(
    target: Annotated[str, typer.Argument(metavar="OUTPUT_URI|JOB.yaml", help="An output, or the job that writes it.")],
    json_file: JsonFile = None,
) -> None:
    """What an output holds: videos, clips, answers, failures by reason, units not sealed yet, the last run.

    One row per config_id, that is for each set of model, prompt, clips, frames and strategy that wrote there. Changes
    nothing, and may be asked while a job runs.

    [bold]Examples[/bold]

      framegate status job.yaml

      framegate status s3://index/cameras --json status.json
    """
    uri, storage_options = _find(target)
    rows = read_status(uri, storage_options)
    write_json(json_file, "status", rows)
    console = make_console()
    if not rows:
        typer.echo(f"{uri} holds nothing yet")
        return
    print_table(console, _SHOWN, rows, title=uri)
    tokens = ("config_id", "num_answer_tokens", "num_thinking_tokens", "num_unparsed", "num_units_not_sealed")
    print_table(console, tokens, rows)
    failures = [
        {"config_id": row["config_id"], "reason": reason, "rows": num}
        for row in rows
        for reason, num in row["failures_by_reason"].items()
    ]
    if failures:
        print_table(console, ("config_id", "reason", "rows"), failures, title="failures")
    runs = [{"config_id": row["config_id"], **row["last_run"]} for row in rows if row["last_run"]]
    if runs:
        print_table(console, ("config_id", *_LAST_RUN), runs, title="last run")


def read_status(uri: str, storage_options: Mapping[str, object]) -> list[dict[str, Any]]:
    """One row per config_id, by name. Raises ObjectNotFound, StorageError."""
    store = Store(storage_options)
    with open_views(uri, storage_options) as connection:
        answers = {row["config_id"]: row for row in select(connection, _ANSWERS).to_pylist()}
        failures = select(connection, _FAILURES).to_pylist()
    units = Counter(_config_id_of(info.uri) for info in store.list(join(uri, "journal")))
    runs = _read_runs(store, uri)
    configs = {info.uri.rpartition("/")[2].removesuffix(".yaml") for info in store.list(join(uri, "configs"))}
    ids = sorted(configs | set(answers) | set(units) | {row["config_id"] for row in failures})
    return [
        {
            **_NOTHING,
            **answers.get(id, {}),
            "config_id": id,
            "num_failures": sum(row["num_rows"] for row in failures if row["config_id"] == id),
            "failures_by_reason": {row["reason"]: row["num_rows"] for row in failures if row["config_id"] == id},
            "num_units_not_sealed": units[id],
            "num_runs": len(runs.get(id, ())),
            "last_run": {name: runs[id][-1].get(name) for name in _LAST_RUN} if id in runs else None,
        }
        for id in ids
    ]


def _find(target: str) -> tuple[str, Mapping[str, object]]:
    if target.endswith((".yaml", ".yml")):
        output = load_job(Path(target)).config.output
        return output.uri, output.storage_options
    return target, {}


def _config_id_of(uri: str) -> str:
    return uri.rpartition("config_id=")[2].partition("/")[0]


def _read_runs(store: Store, uri: str) -> dict[str, list[dict[str, Any]]]:
    """The records of each config_id, oldest first."""
    records = []
    for run_uri, data in store.read_many(info.uri for info in store.list(join(uri, "runs"))):
        try:
            records.append(json.loads(data))
        except ValueError as error:
            raise StorageError(f"{run_uri} is no run record ({error}); was it written by something else?") from error
    runs: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda record: str(record.get("started_at"))):
        runs.setdefault(str(record.get("config_id")), []).append(record)
    return runs
