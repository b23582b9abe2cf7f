"""What an output holds, by config_id: rows, failures, units that wait for their seal, the last runs, what they left.

Answers are counted by the records of seals. Where these do not tell (`pipelines.results.recorded_answers`), the files
of that config_id are read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.liveness import state_of
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import read_plan
from framegate.pipelines.commit.runs import RUN, deepens, has_books, read_runs
from framegate.pipelines.plan.remaining import remaining_of_run
from framegate.pipelines.results.last_night import find_night
from framegate.pipelines.results.recorded_answers import count_recorded
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.results.views import Views, open_views, select
from framegate.schemas.clock import now
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import CredentialsError, FramegateError, ObjectNotFound, StorageError
from framegate.schemas.retries import wait_after

# Rows are first grouped by clip, which is one pass: the rows of a clip mostly stand side by side.
_ANSWERS = """
    WITH clips AS (
        SELECT config_id, video_id, clip_index, any_value(model) AS model, any_value(strategy) AS strategy,
            count(*) AS rows, count(*) FILTER (status = 'unparsed') AS unparsed, sum(thinking::int) AS thinking,
            count(*) FILTER (gate_reason = 'deferred') AS deferred,
            sum(num_answer_tokens) AS answer_tokens, sum(num_thinking_tokens) AS thinking_tokens
        FROM answers WHERE config_id IN ({ids}) GROUP BY ALL
    ), questions AS (
        SELECT config_id, count(DISTINCT question_hash) AS num_questions
        FROM answers WHERE config_id IN ({ids}) GROUP BY ALL
    )
    SELECT config_id, any_value(model) AS model, any_value(strategy) AS strategy,
        count(DISTINCT video_id) AS num_videos, count(*) AS num_clips, any_value(num_questions) AS num_questions,
        sum(rows)::bigint AS num_answers, sum(unparsed)::bigint AS num_unparsed,
        sum(thinking) / sum(rows) AS think_rate,
        sum(answer_tokens)::bigint AS num_answer_tokens, sum(thinking_tokens)::bigint AS num_thinking_tokens,
        sum(deferred)::bigint AS num_deferred
    FROM clips JOIN questions USING (config_id) GROUP BY config_id"""
_FAILURES = """
    SELECT config_id, reason, attempts, count(*) AS num_rows FROM failures GROUP BY ALL"""
_FAILURE_COUNTS = ("num_failures", "num_retried", "num_given_up")
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
    "num_deferred": 0,
}


def read_status(
    config: OutputConfig, *, max_attempts: int, num_runs: int, runs: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """One row per config_id, by name. Raises ObjectNotFound, StorageError.

    `max_attempts` decides which failures a later run retries; `num_runs` is how many runs each row lists. `runs` are
    the records, where they were read already.
    """
    known = read_runs(Output.open(config)) if runs is None else runs
    try:
        return _read(config, max_attempts, num_runs, known)
    except ObjectNotFound:
        raise
    except StorageError:  # an erasure may have replaced a file while it was read; damage shows up again
        return _read(config, max_attempts, num_runs, known)


def count_failures_of_run(config: OutputConfig, run_id: str) -> pa.Table:
    """Failures of a run that still stand: stage, reason, rows, and the message of one of them as an example."""
    with open_views(config.uri, config.storage_options, with_clips=False) as connection:
        return select(
            connection,
            f"SELECT stage, reason, count(*) AS rows, any_value(message) AS example FROM failures "
            f"WHERE run_id = '{run_id}' GROUP BY ALL ORDER BY rows DESC, reason",
        )


def _read(
    config: OutputConfig, max_attempts: int, num_runs: int, known: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    output = Output.open(config)
    with open_views(config.uri, config.storage_options, with_inputs=False, with_clips=False) as views:
        num_erased = sum(1 for _ in output.list("tombstones"))
        answers = _count_answers(views, is_erased=num_erased > 0)
        failures = _by_reason(select(views, _FAILURES).to_pylist(), max_attempts)
        units, videos = _count_units(info.uri for folder in ("journal", "deepened") for info in output.list(folder))
        attempts = Counter(_config_id_of(info.uri) for info in output.list("attempts"))
        runs = _runs_by_config(known)
        configs = {info.uri.rpartition("/")[2].removesuffix(".yaml") for info in output.list("configs")}
        left = {id: _num_left_of_last(output, runs[id]) for id in runs}
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
            "runs": [_run_row(record) for record in reversed(runs.get(id, [])[-num_runs:] if num_runs else [])],
        }
        for id in sorted(configs | set(answers) | set(failures) | set(units) | set(runs))
    ]


def _count_answers(views: Views, *, is_erased: bool) -> dict[str, dict[str, Any]]:
    """Figures of each config_id that has sealed answers."""
    table = views.tables["results"]
    answers = count_recorded(views.output, table.files, views.records, is_erased=is_erased)
    there = (id for id in table.partitions["config_id"].values() if id is not None)
    if unknown := [id for id in there if id not in answers]:
        rows = select(views, _ANSWERS.format(ids=", ".join(map(text_literal, unknown)))).to_pylist()
        answers |= {row.pop("config_id"): row for row in rows}
    return answers


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
            by_config[config_id].append({"reason": reason, **{name: counts[name] for name in _FAILURE_COUNTS}})
    return by_config


def _count_units(uris: Iterable[str]) -> tuple[Counter[str], dict[str, set[str]]]:
    """Units of the journal and their videos, by config_id, read from the names of the objects alone."""
    units: Counter[str] = Counter()
    videos: dict[str, set[str]] = defaultdict(set)
    for uri in uris:
        config_id = _config_id_of(uri)
        units[config_id] += 1
        videos[config_id].add(uri.rsplit("/", 2)[-2])
    return units, videos


def _config_id_of(uri: str) -> str:
    return uri.rpartition("config_id=")[2].partition("/")[0]


def _num_left_of_last(output: Output, runs: Sequence[Mapping[str, Any]]) -> int | None:
    """Of the last run that made a plan, or of all such shards of its array. One that was refused, or failed before it,
    says nothing of what is left."""
    asking = (run for run in runs if not deepens(run))
    night = find_night(run for run in asking if run.get("num_videos") is not None or has_books(run))
    if night is None:
        return None
    left = [_num_left(output, run) for run in night.runs]
    return None if None in left else sum(number or 0 for number in left)


def _num_left(output: Output, run: Mapping[str, Any]) -> int | None:
    """Videos that a run has left: as its record says, or, where it has none yet, those that miss something now.

    The latter needs the keys of all that is stored under its config_id, unsealed units included. None where they cannot
    be read: an object that is damaged is the audit's to tell, and the other figures are there all the same.
    """
    if has_books(run):
        return run.get("num_videos_left")
    try:
        planned = read_plan(output, run["run_id"], ["video_id", "video_uri", "question_hashes"])
    except CredentialsError:
        raise
    except StorageError:  # killed before it stored a plan, or the plan is damaged
        return run.get("num_videos")
    hashes = pc.call_function("list_flatten", [planned.column("question_hashes")]).unique().to_pylist()
    try:
        return remaining_of_run(output, run["config_id"], planned, hashes).num_left
    except CredentialsError:
        raise
    except FramegateError:
        return None


def _runs_by_config(known: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The record of each run that has come to know its config_id, the oldest first, in the state that it is in now."""
    at = now()
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in known.values():
        if config_id := record.get("config_id"):
            runs[config_id].append({**record, "state": state_of(record, at)})
    return runs


def _run_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one run; None where its record does not have one."""
    counts = record.get("counts") or {}
    seconds, num_clips = record.get("elapsed_seconds"), counts.get("num_clips")
    num_answers = counts.get("num_answers")
    parts = [record.get(f"num_videos_{name}") for name in ("answered", "failed")]
    return {
        "run_id": record["run_id"],
        "command": record.get("command", RUN),
        "shard": record.get("shard"),
        "started_at": record.get("started_at"),
        "state": record["state"],
        "num_videos": None if None in parts else sum(part or 0 for part in parts),
        "num_clips": num_clips,
        "num_answers": num_answers,
        "num_unparsed": counts.get("num_unparsed"),
        "elapsed_seconds": seconds,
        "clips_per_second": num_clips / seconds if num_clips is not None and seconds else None,
        "think_rate": counts["num_thinking"] / num_answers if num_answers else None,
        "num_answer_tokens": counts.get("num_answer_tokens"),
        "num_thinking_tokens": counts.get("num_thinking_tokens"),
        **{
            name: counts.get(name, 0) if counts else None
            for name in ("num_deferred", "num_deepened", "num_deepened_tokens")
        },
    }
