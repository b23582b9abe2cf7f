"""The commit stage: answered units in, one receipt per unit out. Knows nothing of Ray beside the shape of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipelines.commit.journal import commit_unit
from pipelines.commit.rows import RunFacts
from pipelines.store import Store


class CommitStage:
    """A callable over rows of ANSWERED; gives back rows of receipts, and raises what storage raises."""

    def __init__(self, *, root: str, storage_options: Mapping[str, Any], facts: RunFacts) -> None:
        self._store = Store(storage_options)
        self._root = root
        self._facts = facts

    def __call__(self, batch: pa.Table) -> pa.Table:
        receipts = [
            commit_unit(self._store, self._root, unit, self._facts, written_at=datetime.now(UTC))
            for unit in batch.to_pylist()
        ]
        return pa.Table.from_pylist([asdict(receipt) for receipt in receipts])
