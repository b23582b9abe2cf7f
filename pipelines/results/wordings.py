"""Which wordings of questions count: those that `current` shows, told from the records of runs, or from rows.

A wording is a question_hash. Its name is the question_id under which it was asked last, so that a question that is
renamed keeps its answers. Of the wordings that have one name the newest counts: the one that was asked last.

Each run's record has its question bank, and each seal's record the questions that were answered. Together they tell
without a row being read, and they know of a new name as soon as a run has had it. Where they do not tell, in outputs of
earlier versions, the rows do: the wording that was written last was asked last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from framegate.pipelines.commit.runs import deepens
from framegate.pipelines.commit.seal_log import SealRecord

Runs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """
    names    question_hash to the name that it has, of the wordings that count, in order of names
    renamed  those of them that had another name before: rows have it still
    """

    names: Mapping[str, str]
    renamed: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Current:
    """The config_id that `current` shows, and its wordings that count. No config_id: the output has no answers."""

    config_id: str | None
    asked: Asked


def newest_config(runs: Runs, known: Iterable[str]) -> str | None:
    """Of `known`, the one of the run that began last; None where no run is of one of them. `runs`: the oldest first."""
    among = {*known}
    of_runs = [run["config_id"] for run in runs if run.get("config_id") in among and _asked(run)]
    return of_runs[-1] if of_runs else None


def config_of_job(runs: Runs, job: str, known: Iterable[str]) -> str | None:
    """Of `known`, the one under which a job file of this name ran last; None where it never did."""
    return newest_config([run for run in runs if run.get("job") == job], known)


def recorded_wordings(runs: Runs, config_id: str, records: Sequence[SealRecord]) -> Asked | None:
    """The wordings of a config_id that count, of those with sealed answers; None where records do not tell of all."""
    if not records or any(record.answers is None and not record.merged for record in records):
        return None
    answered = {hash for record in records if record.answers for hash in record.answers.question_hashes}
    banks = [run["questions"] for run in runs if run.get("config_id") == config_id and _asked(run)]
    order = [(hash, id) for bank in banks for id, hash in bank.items() if hash in answered]
    return None if answered - {hash for hash, _ in order} else newest_of(order)


def newest_of(order: Iterable[tuple[str, str]]) -> Asked:
    """`order`: pairs of a question_hash and the name that it had, the one that was asked last at the end."""
    names: dict[str, str] = {}
    had: dict[str, set[str]] = {}
    for hash, name in order:
        names.pop(hash, None)
        names[hash] = name
        had.setdefault(hash, set()).add(name)
    newest = {name: hash for hash, name in names.items()}
    return Asked(
        names={hash: name for name, hash in sorted(newest.items())},
        renamed=frozenset(hash for hash in newest.values() if len(had[hash]) > 1),
    )


def _asked(run: Mapping[str, Any]) -> bool:
    """Whether the run went as far as to ask; one that was refused did not, and a deepening asks nothing new."""
    return bool(run.get("questions")) and run.get("stop_code") != "refused" and not deepens(run)
