"""A report from an output as it is now: every figure of it, asked of the views and of the records of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from framegate.pipelines.commit.fixed import UTC_ZONE, read_fixed
from framegate.pipelines.commit.liveness import state_of
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import ENDED, read_runs
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.report.attention import find_attention
from framegate.pipelines.report.comparison import find_comparison
from framegate.pipelines.report.coverage import find_coverage
from framegate.pipelines.report.ended import find_ended
from framegate.pipelines.report.figures import Report
from framegate.pipelines.report.money import find_cost
from framegate.pipelines.report.night import Scope, find_scope
from framegate.pipelines.report.rows import NightRows, read_rows
from framegate.pipelines.report.saving import find_saving
from framegate.pipelines.report.timeline import find_timeline
from framegate.pipelines.report.trust import find_trust
from framegate.pipelines.report.truth import Truth, find_truth
from framegate.pipelines.report.verdict import judge_attention, judge_cost, judge_coverage, judge_end, judge_trust
from framegate.pipelines.results.drift_table import last_compared
from framegate.pipelines.results.views import open_views
from framegate.schemas.clock import now
from framegate.schemas.config import CostConfig, FailuresConfig, OutputConfig, RayConfig
from framegate.schemas.drift import DriftRow, rows_of
from framegate.schemas.errors import ObjectNotFound, VersionChanged

MAX_TRIES: Final = 3  # where a seal or an erasure replaces a file that is read


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a report is to be about.

    job        the job file's name, whose runs it is about where any is recorded; None: all runs of the output
    run_id     a run of the night; None: the last night
    compare    a run of an earlier night; None: the night before
    by         the column of the manifest that tells cameras apart; None: `camera` where it is there, else folders
    link       how a video is opened at a second (`report.link`)
    time_zone  IANA; None: the output's own
    cost, ray  what the job says of the price; None: no figure in money
    """

    job: str | None = None
    run_id: str | None = None
    compare: str | None = None
    by: str | None = None
    link: str | None = None
    time_zone: str | None = None
    cost: CostConfig | None = None
    ray: RayConfig | None = None
    max_attempts: int = FailuresConfig().max_attempts


def build_report(config: OutputConfig, request: Request) -> Report:
    """Reads the output, and again where a file changed meanwhile, MAX_TRIES times. Changes nothing.

    Raises ConfigError where the request names a run or a column that is not there, ObjectNotFound where there is no
    output, StorageError.
    """
    for _ in range(MAX_TRIES - 1):
        try:
            return _build(config, request)
        except (VersionChanged, ObjectNotFound):
            continue
    return _build(config, request)


def _build(config: OutputConfig, request: Request) -> Report:
    output = Output.open(config)
    num_erased = len(read_tombstones(output))  # before any row is read
    with open_views(config.uri, config.storage_options) as views:
        scope = find_scope(_of_job(read_runs(output), request.job), run_id=request.run_id, compare=request.compare)
        rows = read_rows(views, scope, by=request.by)
        truth = find_truth(output, config, scope.config_id)
        return _find_all(rows, truth, scope, request, config.uri, num_erased, request.time_zone or _zone_of(output))


def _find_all(
    rows: NightRows, truth: Truth, scope: Scope, request: Request, output_uri: str, num_erased: int, time_zone: str
) -> Report:
    at, zone = now(), ZoneInfo(time_zone)
    ended, saving = find_ended(rows, scope, at), find_saving(rows)
    cost = find_cost(rows, scope, ended, saving, request.cost, request.ray)
    drift = _find_drift(scope) if request.compare is None else None
    coverage, trust = find_coverage(rows, scope), find_trust(rows, drift)
    attention = find_attention(rows, scope, drift, max_attempts=request.max_attempts, link=request.link)
    return Report(
        output_uri=output_uri,
        job=scope.night.last.get("job"),
        config_id=scope.config_id,
        made_at=at,
        time_zone=time_zone,
        num_erased=num_erased,
        note=_note(scope, at),
        verdicts=(
            judge_end(ended, zone),
            judge_cost(cost, saving),
            judge_coverage(coverage),
            judge_trust(trust, truth),
            judge_attention(attention),
        ),
        ended=ended,
        cost=cost,
        saving=saving,
        coverage=coverage,
        trust=trust,
        truth=truth,
        attention=attention,
        timeline=find_timeline(rows),
        comparison=find_comparison(rows, scope, is_asked=request.compare is not None),
    )


def _find_drift(scope: Scope) -> tuple[DriftRow, ...] | None:
    """What the night's runs found of drift, as their last one that looked has it; None where none did."""
    run = last_compared(scope.answered.runs)
    return None if run is None else rows_of(run)


def _of_job(runs: Mapping[str, Mapping[str, Any]], job: str | None) -> Iterable[Mapping[str, Any]]:
    """The runs of a job file where any is known to be of it; else all."""
    return [run for run in runs.values() if job is not None and run.get("job") == job] or runs.values()


def _zone_of(output: Output) -> str:
    fixed = read_fixed(output)
    return UTC_ZONE if fixed is None else fixed.time_zone


def _note(scope: Scope, at: datetime) -> str | None:
    said = []
    if scope.answered is not scope.night:
        last, before = scope.night.last["run_id"], scope.answered.last["run_id"]
        said.append(
            f"Run {last} wrote no answer. The figures of answers below are those of run {before}, the last that did."
        )
    if any(state_of(run, at) not in ENDED or run.get("is_sealed") is False for run in scope.night.runs):
        said.append(
            "What of this night is not sealed yet is not in the figures of answers: framegate seal brings it in."
        )
    return " ".join(said) or None
