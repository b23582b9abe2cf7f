"""`framegate status`: what an output holds, by config_id, and what its last runs did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framegate.jobs.options import JsonFile, parse_share, parse_span
from framegate.jobs.printing import make_console, print_line, print_table, say, write_json
from framegate.jobs.target import Target, TargetName, find_target
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.results.health import Limits

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
    "deepened": "num_deepened",
    "unparsed": "num_unparsed",
    "seconds": "elapsed_seconds",
    "clips/s": "clips_per_second",
    "think rate": "think_rate",
}


_HEAD = (
    "last_run", "run_id", "config_id", "state", "estimated_end", "shards", "odd_shards", "drift_run_id", "drift",
    "cost", "cost_of_all_runs", "currency",
)  # fmt: skip
EXIT_NOT_OK = 1
_Limit = str | None


def status(
    target: TargetName,
    runs: Annotated[int, typer.Option("--runs", min=0, metavar="N", help="Show the last N runs of each.")] = 5,
    check: Annotated[
        bool, typer.Option("--check", help="For monitors: say in one line whether the last run is well, by exit code.")
    ] = False,
    max_age: Annotated[
        _Limit,
        typer.Option(metavar="TIME", help="--check: a run ended well since: 26h.", show_default=False),
    ] = None,
    max_failed: Annotated[
        _Limit, typer.Option(metavar="SHARE", help="--check: of the last run's videos: 1%.", show_default=False)
    ] = None,
    max_unparsed: Annotated[
        _Limit, typer.Option(metavar="SHARE", help="--check: of the last run's answers.", show_default=False)
    ] = None,
    max_left: Annotated[
        _Limit, typer.Option(metavar="SHARE", help="--check: of the last run's videos.", show_default=False)
    ] = None,
    max_drift: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="--check: alarms of drift of the last run.", show_default=False),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """What the last run did or is at, what is left, and what an output holds.

    First the last run in one line: how it ended or what it is at, since when, how far, and when it will be done; of an
    array (run --shard) all shards in one line, and one for each that failed, died, was stopped or has no run. Then
    what is left, unparsed and failed, and one row per config_id, that is for each set of model, prompt, clips, frames
    and strategy that wrote there. Videos left are those of the last run that made a plan, as it ended; of one that was
    killed or is at work, those that miss something. A failure is retried by a later run unless its reason is for ever,
    or it has failed failures.max_attempts times (of the job, where one is given). Alarms of drift are those of the last
    run that looked for any. Changes nothing, and may be asked while a job runs.

    --check reads the records of runs alone. With a job file it is about the runs of that file.

    [bold]Exit codes with --check[/bold]

      0  the last run is at work, is complete, or was stopped by a signal, its deadline or --limit; limits hold

      1  not so: it failed, is dead, was stopped as too much failed, or a limit is passed; one line for each reason

      2  it could not be told: no such output, storage does not answer

    [bold]Examples[/bold]

      framegate status job.yaml

      framegate status s3://index/cameras --runs 20 --json status.json

      framegate status job.yaml --check --max-age 26h --max-failed 1%
    """
    from framegate.pipelines.commit.runs import read_runs
    from framegate.pipelines.results.health import Limits
    from framegate.pipelines.results.status import read_status
    from framegate.schemas.config import FailuresConfig
    from framegate.schemas.job import load_job

    given: dict[str, object] = {
        "--max-age": max_age,
        "--max-failed": max_failed,
        "--max-unparsed": max_unparsed,
        "--max-left": max_left,
        "--max-drift": max_drift,
    }
    if not check and (names := [name for name, value in given.items() if value is not None]):
        raise ConfigError(f"{names[0]} is a limit of --check: give --check too")
    limits = Limits(
        max_age_seconds=parse_span("--max-age", max_age),
        max_failed=parse_share("--max-failed", max_failed),
        max_unparsed=parse_share("--max-unparsed", max_unparsed),
        max_left=parse_share("--max-left", max_left),
        max_drift=max_drift,
    )
    found = find_target(target)
    if check:
        found.check()
        raise typer.Exit(_check(_of_job(read_runs(found.output), found, target), limits, json_file))
    failures = load_job(Path(target)).config.failures if found.is_job else FailuresConfig()
    known = read_runs(found.output)
    rows = read_status(found.config, max_attempts=failures.max_attempts, num_runs=runs, runs=known)
    header = _head(_of_job(known, found, target))
    write_json(json_file, "status", rows, header=header)
    if rows or known:
        _print(make_console(), header, rows, found.config.uri)
    else:
        say(f"{found.config.uri} holds nothing yet")


def _of_job(runs: Mapping[str, Mapping[str, Any]], found: Target, target: str) -> list[Mapping[str, Any]]:
    """The runs of a job file, where one is the target and any run is known to be of it; else all."""
    name = Path(target).name
    return [run for run in runs.values() if found.is_job and run.get("job") == name] or list(runs.values())


def _check(runs: Sequence[Mapping[str, Any]], limits: Limits, json_file: Path | None) -> int:
    from framegate.pipelines.results.health import find_faults
    from framegate.schemas.clock import now

    header = _head(runs)
    faults = find_faults(runs, limits, now())
    for fault in faults:
        say(f"not ok: {fault}")
    if not faults:
        say(f"ok: {header['last_run']}")
    rows = [{"fault": fault} for fault in faults]
    write_json(json_file, "status --check", rows, header={**header, "is_ok": not faults})
    return EXIT_NOT_OK if faults else 0


def _head(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last run, or all shards of its array: as a sentence, and its state and end as fields. All null where there is
    none."""
    from framegate.pipelines.commit.liveness import state_of
    from framegate.pipelines.results.last_night import describe_night, estimate_night_end, find_night, name_shards
    from framegate.schemas.clock import now

    night, at = find_night(runs), now()
    if night is None:
        return dict.fromkeys(_HEAD)
    shards = {run["shard"]: state_of(run, at) for run in night.runs if night.is_array}
    return {
        "last_run": describe_night(night, at),
        "run_id": night.last["run_id"],
        "config_id": night.last.get("config_id"),
        "state": state_of(night.last, at),
        "estimated_end": estimate_night_end(night),
        "shards": {**shards, **dict.fromkeys(night.missing)} if night.is_array else None,
        "odd_shards": name_shards(night, at),
        **_drifted(runs, night.last.get("config_id")),
        **_spent(runs, night.runs),
    }


def _drifted(runs: Iterable[Mapping[str, Any]], config_id: str | None) -> dict[str, Any]:
    """The alarms of the last run under this config_id that looked for drift; null where none did."""
    from framegate.pipelines.results.drift_table import last_compared
    from framegate.schemas.drift import alarms_of, rows_of

    run = last_compared([run for run in runs if run.get("config_id") == config_id])
    if run is None:
        return dict.fromkeys(("drift_run_id", "drift"))
    return {"drift_run_id": run["run_id"], "drift": [asdict(row) for row in alarms_of(rows_of(run))]}


def _say_drifted(header: Mapping[str, Any]) -> list[str]:
    """Lines about its alarms, and which run they are of where that is not the last one."""
    from framegate.schemas.drift import rows_of, say_drift

    lines = say_drift(rows_of(header))
    if lines and header["drift_run_id"] != header["run_id"]:
        lines[0] += f" of run {header['drift_run_id']}"
    return lines


def _spent(runs: Iterable[Mapping[str, Any]], last: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the last night and all nights have cost, in the currency of the last run that had a price; null without."""
    from framegate.pipelines.results.run_table import cost_of

    priced = [run for run in runs if cost_of(run) is not None]
    if not priced:
        return dict.fromkeys(("cost", "cost_of_all_runs", "currency"))
    currency = priced[-1]["currency"]
    ours = [run for run in last if run.get("currency") == currency]
    return {
        "cost": sum(cost_of(run) or 0.0 for run in ours) if ours else None,
        "cost_of_all_runs": sum(cost_of(run) or 0.0 for run in priced if run["currency"] == currency),
        "currency": currency,
    }


def _summarise(row: Mapping[str, Any]) -> list[str]:
    """What is left, unparsed, failed and unsealed of one config_id, one line each."""
    left = "an unknown number of" if row["num_videos_left"] is None else f"{row['num_videos_left']:,}"
    share = f" ({row['num_unparsed'] / row['num_answers']:.1%})" if row["num_answers"] else ""
    reasons = [
        f"{failure['reason']} {failure['num_failures']:,}"
        + (f" ({failure['num_retried']:,} to be retried)" if failure["num_retried"] else "")
        for failure in row["failures"]
    ]
    return [
        f"left: {left} videos; waiting for a seal: {row['num_units_not_sealed']:,} units",
        f"answers: {row['num_answers']:,}, of them unparsed: {row['num_unparsed']:,}{share}"
        + (f", deferred: {row['num_deferred']:,}" if row["num_deferred"] else ""),
        f"failures that stand: {row['num_failures']:,}" + (f": {', '.join(reasons)}" if reasons else ""),
    ]


def _print(console: Console, header: Mapping[str, Any], rows: list[dict[str, Any]], uri: str) -> None:
    lines = [str(header["last_run"]), *header["odd_shards"]] if header["last_run"] else []
    if header["cost_of_all_runs"] is not None:
        last = "-" if header["cost"] is None else f"{header['cost']:,.2f}"
        lines.append(f"cost: {last} {header['currency']}; of all runs: {header['cost_of_all_runs']:,.2f}")
    lines += [line for row in rows if row["config_id"] == header["config_id"] for line in _summarise(row)]
    lines += _say_drifted(header)
    for line in lines:
        print_line(console, line)
    if not rows:
        return
    print_table(console, _TABLES[0], rows, title=uri)
    for columns in _TABLES[1:]:
        print_table(console, columns, rows)
    failures = [{"config_id": row["config_id"], **failure} for row in rows for failure in row["failures"]]
    if failures:
        print_table(console, _FAILED, failures, title="failures that stand")
    has_shards = any(run["shard"] for row in rows for run in row["runs"])
    runs = [_shown_run(run, has_shards) for row in rows for run in row["runs"]]
    if runs:
        print_table(console, tuple(runs[0]), runs, title="last runs")
    if rows[0]["num_videos_erased"]:
        say(f"{rows[0]['num_videos_erased']:,} videos were erased")


def _shown_run(run: Mapping[str, Any], has_shards: bool) -> dict[str, Any]:
    """A run as one line of the table: its start to the minute, answer and thinking tokens as one sum."""
    tokens = [run["num_answer_tokens"], run["num_thinking_tokens"]]
    return {
        "started": str(run["started_at"] or "-")[:16].replace("T", " "),
        **({"shard": run["shard"]} if has_shards else {}),
        **{short: run[name] for short, name in _SHOWN_RUN.items()},
        "tokens": None if None in tokens else sum(tokens),
    }
