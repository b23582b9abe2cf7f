"""What came of the seals of one call, summed up from their records."""

from __future__ import annotations

from dataclasses import dataclass, fields

from framegate.pipelines.commit.seal_log import SealRecord


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """The sum of the seals that one call completed. Other sealers may have done a part of each, or all of it.

    num_files    that were begun, added to or brought up to date; one of two seals counts twice, as do its `size_bytes`
    num_merged   files whose rows are in others now
    """

    num_seals: int = 0
    num_units: int = 0
    num_files: int = 0
    num_merged: int = 0
    num_answers: int = 0
    num_failures: int = 0
    num_deepened: int = 0
    num_duplicates: int = 0
    num_erased: int = 0
    num_skipped: int = 0
    size_bytes: int = 0

    def plus(self, record: SealRecord) -> Sealed:
        added = () if record.merged else record.files
        more = {
            "num_seals": 1,
            "num_units": record.num_units,
            "num_files": len(record.files),
            "num_merged": len(record.merged),
            "num_answers": sum(file.num_new_rows for file in added if file.table == "results"),
            "num_failures": sum(file.num_new_rows for file in added if file.table == "failures"),
            "num_deepened": sum(counts.num_deepened for counts in record.runs.values()),
            "num_duplicates": record.num_duplicates,
            "num_erased": record.num_erased,
            "num_skipped": len(record.skipped),
            "size_bytes": sum(file.size_bytes for file in record.files),
        }
        return Sealed(**{field.name: getattr(self, field.name) + more[field.name] for field in fields(self)})
