"""Records of runs against the rows: every row was planned, and every finished run's counts are in the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate
from typing import Any

import numpy as np

from framegate.pipelines.audit.intake import SUMMED, Intake
from framegate.pipelines.audit.keys import (
    CLIP,
    FAILURE,
    RESULT,
    TABLE_NAMES,
    doubled,
    key_text,
    unmatched_labels,
    unplanned,
)
from framegate.pipelines.audit.planned import name_plans, take_plans
from framegate.pipelines.audit.report import AuditReport
from framegate.pipelines.audit.seals import Seals
from framegate.pipelines.audit.unknown_objects import OutputNames
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import list_plans, plan_of
from framegate.pipelines.commit.run_history import read_folded
from framegate.pipelines.commit.runs import ENDED, has_books, read_runs
from framegate.pipelines.commit.seal_log import SealRecord
from framegate.schemas.counts import SEALED_COUNTS, Counts
from framegate.schemas.errors import CredentialsError, StorageError


def read_records(report: AuditReport, output: Output) -> dict[str, dict[str, Any]]:
    """The records of all runs, by run_id. A damaged one is a finding."""
    return read_runs(output, on_damaged=lambda error: report["counts"].find(str(error)))


def note_sealed_runs(intake: Intake, seals: Seals) -> None:
    """What a quick audit takes from the records of seals instead of the rows: which runs and config_ids have rows."""
    for config_id, records in seals.records.items():
        intake.configs.code(config_id)
        for run_id in _sum_runs(records):
            intake.runs.code(run_id)


def check_planned(
    report: AuditReport, output: Output, runs: Mapping[str, Mapping[str, Any]], intake: Intake, *, is_quick: bool
) -> None:
    """Every row's run began and planned it, every config_id is described, and no key is there twice. With `is_quick`:
    every run that has rows has a record and a plan, which is not read."""
    check = report["planned"]
    # A run is recorded before its plan is. Objects first and the history after them: what is folded moves that way.
    planned_alone = frozenset(plan_of(info.uri) for info in list_plans(output))
    recorded = {name.removesuffix(".begun") for name in _names(output, "runs", ".json")}
    if not recorded.issuperset(intake.runs.names):
        recorded |= _name_folded(report, output)
    plan_configs: dict[str, set[str]] = {}
    if not recorded.issuperset(planned_alone):
        recorded |= _name_folded(report, output)
    planned = (
        name_plans(report, output, intake) if is_quick else take_plans(report, output, intake, configs=plan_configs)
    )
    for run_id in sorted(_should_have_plan(runs) - planned - planned_alone - set(intake.runs.names)):
        if run_id not in name_plans(report, output, intake, folded=True):
            check.find(
                f"run {run_id!r} had videos to do, and plans/{run_id}.parquet is missing: bring it back from a copy"
            )
    for config_id in sorted(set(intake.configs.names) - _names(output, "configs", ".yaml")):
        check.find(f"configs/{config_id}.yaml is missing, so that nobody knows what its rows were asked with")
    known = []
    for code, run_id in enumerate(intake.runs.names):
        if run_id not in recorded:
            check.find(f"run {run_id!r} wrote rows, and runs/{run_id}.json is missing")
        if run_id in planned:
            known.append(code)
        else:
            check.find(f"run {run_id!r} wrote rows, and plans/{run_id}.parquet is missing or cannot be read")
    for run_id, config_id in sorted(intake.pairs):
        if run_id in plan_configs and config_id not in plan_configs[run_id]:
            check.find(
                f"rows of run {run_id!r} lie under config_id {config_id}, and it planned"
                f" {', '.join(sorted(plan_configs[run_id]))}: they were moved there; bring both back from a copy"
            )
    for run_id in sorted(planned_alone - recorded):
        check.find(f"plans/{run_id}.parquet is of no run that is recorded: move it elsewhere, or bring the record back")
    if is_quick:
        check.num_checked = len(intake.runs.names)
        return
    check.num_checked = sum(intake.num_rows.values())
    _check_keys(report, intake, np.array(known, np.int32))


def _should_have_plan(runs: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The runs that came to their end with something to do. One that broke off may have no plan yet."""
    return {run_id for run_id, run in runs.items() if run.get("num_videos") and run["state"] in ("complete", "stopped")}


def _check_keys(report: AuditReport, intake: Intake, known: np.ndarray) -> None:
    unique = {RESULT: report["unique_results"], FAILURE: report["unique_failures"], CLIP: report["unique_clips"]}
    are_all_read = not (report["sealed_files"].num_findings or report["schema"].num_findings)
    for table, check in unique.items():
        check.num_checked = intake.num_rows[table]
    for rows, plans in intake.spool.parts():
        for row, other in doubled(rows):
            config_id = intake.configs.names[row["config"]]
            files = sorted({intake.files.names[place] for place in (row["file"], other["file"])})
            unique[int(row["table"])].find(
                f"{key_text(row)} of config_id {config_id} stands twice, in {' and '.join(files)}"
            )
        for row in unmatched_labels(rows) if are_all_read else ():
            config_id = intake.configs.names[row["config"]]
            report["records"].find(
                f"a label of config_id {config_id} is of no answer: {key_text(row)}; move it elsewhere"
            )
        for row in unplanned(rows[np.isin(rows["run"], known)], plans, intake.spool):
            run_id = intake.runs.names[row["run"]]
            report["planned"].find(f"{key_text(row)} in {TABLE_NAMES[row['table']]} is in no plan of its run {run_id}")


def check_counts(report: AuditReport, runs: Mapping[str, Mapping[str, Any]], seals: Seals, *, is_quick: bool) -> None:
    """The files hold what the records of seals say of each run, and the records of finished runs say the same. With
    `is_quick` the rows of files are known, and not of which run they are.

    A write of a run may still have been in flight when the run's record was made, and be sealed later. So the record
    must equal the sum over the first k seals, for some k.
    """
    check = report["counts"]
    for config_id, records in sorted(seals.records.items()):
        if config_id in seals.ahead:
            check.note(
                f"a seal of config_id {config_id} is at work, or broke off: its rows are counted when it is done"
            )
        if config_id in seals.unsure | seals.ahead:
            continue
        check.num_checked += len(records)
        told = _sum_runs(records)
        if is_quick:
            if sentence := _difference_in_rows(config_id, told.values(), seals):
                check.find(f"the seals of config_id {config_id} say {sentence}")
            continue
        here = {run_id for id, run_id in seals.found if id == config_id}
        for run_id in sorted({*told, *here}):
            key = (config_id, run_id)
            if sentence := _difference(told.get(run_id, Counts()), seals.found[key], seals.removed[key]):
                check.find(f"the seals of config_id {config_id} say of run {run_id} {sentence}")
    for run_id, run in sorted(runs.items()):
        if not has_books(run):
            continue
        check.num_checked += 1
        config_id = str(run.get("config_id"))
        if config_id in seals.unsure:
            check.note(f"the runs of config_id {config_id} cannot be summed up while sealed_files has findings there")
            continue
        of_seals = (record.runs.get(run_id, Counts()) for record in seals.records.get(config_id, ()))
        sums = accumulate(of_seals, Counts.plus, initial=Counts())
        totals = [{name: getattr(one, name) for name in SEALED_COUNTS} for one in sums]
        said = _said(run)
        differences = [
            {name: held for name, held in total.items() if held != said[name] and None not in (held, said[name])}
            for total in totals
        ]
        if all(differences):
            wrong = "; ".join(
                f"{name} {said[name]:,} but seals hold {held:,}" for name, held in differences[-1].items()
            )
            check.find(f"runs/{run_id}.json says {wrong or 'what its seals held at no time'}")


def _said(run: Mapping[str, Any]) -> dict[str, int | None]:
    """The counts of a run's record. One of an older version does not tell the unparsed ones: None."""
    told = run.get("counts") or {}
    unknown = {"num_unparsed": None if told else 0}
    return {name: told.get(name, unknown.get(name, 0)) for name in SEALED_COUNTS}


def note_unfinished(report: AuditReport, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Notes how many runs have no record of their end."""
    unfinished = sorted(run_id for run_id, run in runs.items() if run["state"] not in ENDED)
    if unfinished:
        report["counts"].note(f"{len(unfinished):,} runs were killed or are at work, such as {unfinished[-1]}")


def _sum_runs(records: Iterable[SealRecord]) -> dict[str, Counts]:
    """What seals hold of each run."""
    runs: dict[str, Counts] = {}
    for record in records:
        for run_id, counts in record.runs.items():
            runs[run_id] = runs.get(run_id, Counts()).plus(counts)
    return runs


def _difference_in_rows(config_id: str, told: Iterable[Counts], seals: Seals) -> str:
    sealed = reduce(Counts.plus, told, Counts())
    rows = {table: seals.num_rows[config_id, table] for table in ("results", "failures")}
    removed: Counter[str] = Counter()
    for (id, _), numbers in seals.removed.items():
        removed.update(numbers if id == config_id else {})
    found = replace(
        sealed,
        num_answers=rows["results"],
        num_failures=rows["failures"],
        num_deepened=sealed.num_deepened - removed["deepened"],
    )
    return _difference(sealed, found, removed)


def _difference(sealed: Counts, found: Counts, removed: Mapping[str, int]) -> str:
    """What the records of seals say against what their files hold.

    Of what erasures removed, answers, failures and deepened rows alone are known: where they removed any, tokens may be
    missing.
    """
    told = [name for name in SUMMED if getattr(sealed, name) is not None]  # an older version does not tell them all
    missing = {name: getattr(sealed, name) - getattr(found, name) for name in told}
    missing["num_answers"] -= removed.get("answers", 0)
    missing["num_failures"] -= removed.get("failures", 0)
    missing["num_deepened"] -= removed.get("deepened", 0)
    if removed and min(missing.values()) >= 0:
        missing = {name: missing[name] for name in ("num_answers", "num_failures", "num_deepened")}
    return "; ".join(
        f"{name} {getattr(sealed, name):,} but {getattr(sealed, name) - number:,} are accounted for"
        for name, number in missing.items()
        if number
    )


def _name_folded(report: AuditReport, output: Output) -> set[str]:
    try:
        return set(read_folded(output))
    except CredentialsError:
        raise
    except StorageError as error:
        report["counts"].find(str(error))
        return set()


def _names(output: Output, folder: str, ending: str) -> set[str]:
    """The names in a folder that have an ending, without it."""
    prefix, output_names = f"{folder}/", OutputNames.of(output)
    names: Sequence[str] = [output_names.name(info.uri).removeprefix(prefix) for info in output.list(folder)]
    return {name.removesuffix(ending) for name in names if name.endswith(ending)}
