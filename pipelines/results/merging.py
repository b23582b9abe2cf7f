"""Which files a reader leaves out while `framegate compact` works, so that it meets no row twice and misses none.

A merge writes the new file, records its seal, and then deletes the files whose rows are in the new one. The record is
created at one instant. A reader that has listed the files before it reads the records goes by them:

    new file listed   seal recorded   it leaves out
    yes               no              the new file: all that it is made of was there when the record was not
    yes               yes             the merged files that are there still
    no                yes             nothing: the listing is older than the new file
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from framegate.pipelines.commit.seal_log import SealLog, SealRecord


def left_out(log: SealLog, names: Collection[str], records: Sequence[SealRecord]) -> frozenset[str]:
    """Those of `names`, files of one config_id below the output, that a reader leaves out.

    `records` are all there were after `names` were listed. Raises StorageError.
    """
    listed = frozenset(names)
    merges = [record for record in records if record.merged]
    merged = {file.uri for record in merges if _is_listed(record, listed) for file in record.merged}
    recorded = {file.uri for record in records for file in (*record.files, *record.merged)}
    begun = {name for name in listed - recorded if _number(name) == len(records)}  # by the one seal without a record
    return listed & merged | (begun if begun and _is_merge(log, len(records)) else set())


def _is_listed(record: SealRecord, listed: frozenset[str]) -> bool:
    return any(file.uri in listed for file in record.files)


def _is_merge(log: SealLog, number: int) -> bool:
    """Whether a seal that had no record merges files. It may be recorded by now, and its plan be gone."""
    if (plan := log.read_plan(number)) is not None:
        return bool(plan.merges)
    record = log.read_folded(number)
    return record is not None and bool(record.merged)


def _number(name: str) -> int | None:
    """Of the seal that began the file; None where the name is none of ours."""
    stem = name.rpartition("/")[2].removesuffix(".parquet")
    return int(stem) if stem.isascii() and stem.isdigit() else None
