"""How many answers an output has, as the records of its seals say, where they say it truly; no file is opened.

They do where the sealed files are the ones that were recorded, and no erasure took rows out of them. A seal that is
under way, an erasure, a file or a record that was lost, and records of older versions are left to whoever reads the
files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealRecord, files_of
from framegate.pipelines.erase.records import read_erasure_receipts, unfinished_erasures
from framegate.pipelines.results.sealed_files import config_id_of
from framegate.pipelines.store import ObjectInfo
from framegate.schemas.counts import Counts
from framegate.schemas.errors import CredentialsError, StorageError


def count_recorded(
    output: Output,
    listed: Mapping[str, ObjectInfo],
    records: Mapping[str, Sequence[SealRecord]],
    *,
    is_erased: bool,
) -> dict[str, dict[str, Any]]:
    """Figures of each config_id of which the records tell. `listed` are the objects of results, by their names below
    the output, and `records` those of each config_id (`SealedTables`); `is_erased`: there are tombstones, and there
    were when the objects were listed. Raises StorageError."""
    by_config: dict[str, dict[str, int]] = {}
    for name, info in listed.items():
        by_config.setdefault(config_id_of(name), {})[name] = info.size_bytes
    touched = _erased_configs(output) if is_erased else frozenset()
    config_ids = sorted(by_config.keys() - touched) if touched is not None else []
    found = {config_id: _count(records.get(config_id, ()), by_config[config_id]) for config_id in config_ids}
    return {config_id: figures for config_id, figures in found.items() if figures is not None}


def _erased_configs(output: Output) -> frozenset[str] | None:
    """The config_ids that an erasure removed answers from; None where one is under way, or a receipt is damaged."""
    try:
        if unfinished_erasures(output):
            return None
        receipts = read_erasure_receipts(output)
    except CredentialsError:
        raise
    except StorageError:  # the audit's to tell
        return None
    return frozenset(id for receipt in receipts for id, rows in receipt.rows.items() if rows.get("results"))


def _count(records: Sequence[SealRecord], sizes: Mapping[str, int]) -> dict[str, Any] | None:
    files = [file for file in files_of(records).values() if file.table == "results"]
    is_as_recorded = {file.uri: file.size_bytes for file in files} == sizes
    return _figures(records, sum(file.num_rows for file in files)) if is_as_recorded else None


def _figures(records: Sequence[SealRecord], num_rows: int) -> dict[str, Any] | None:
    """None where the records do not add up to so many rows, or are of older versions."""
    answers = [record.answers for record in records if record.answers is not None]
    counts = Counts()
    for record in records:
        for of_run in record.runs.values():
            counts = counts.plus(of_run)
    if len(answers) < len(records) or counts.num_unparsed is None or counts.num_answers != num_rows:
        return None
    return {
        "model": next((each.model for each in answers if each.model is not None), None),
        "strategy": next((each.strategy for each in answers if each.strategy is not None), None),
        "num_videos": sum(each.num_new_videos for each in answers),
        "num_clips": sum(each.num_new_clips for each in answers),
        "num_questions": len({hash for each in answers for hash in each.question_hashes}),
        "num_answers": counts.num_answers,
        "num_unparsed": counts.num_unparsed,
        "think_rate": counts.num_thinking / counts.num_answers if counts.num_answers else None,
        "num_answer_tokens": counts.num_answer_tokens,
        "num_thinking_tokens": counts.num_thinking_tokens,
        "num_deferred": counts.num_deferred,
    }
