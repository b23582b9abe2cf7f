"""A deepened unit as rows of the journal: what completes rows of results, and what failed.

These objects lie in a folder of their own, and a seal of another kind takes them (`pipelines.commit.completion`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from framegate.schemas.deepening import ANSWER_FIRST_TOKENS, Wanted

DEEPENED_KIND: Final = "deepened"
"""The `row_kind` of a row that completes one of results."""


def deepened_rows(
    rows: Iterable[Mapping[str, Any]], wanted: Wanted, question_ids: Mapping[str, str], *, written_at: datetime
) -> Iterator[dict[str, Any]]:
    """From the rows of an answered unit (`pipelines.commit.unit_rows`) those of a deepened one.

    A clip has its row already. Where frames are missing, each row that was wanted has failed: it stays as it is, and
    nothing is said of the video as a whole, whose questions are all answered.
    """
    for row in rows:
        if row["row_kind"] == "answer":
            yield {
                **row,
                "row_kind": DEEPENED_KIND,
                ANSWER_FIRST_TOKENS.name: None,
                "deepened_at": written_at,
                "deepened_run_id": row["run_id"],
            }
        elif row["row_kind"] == "failure" and row.get("question_hash") is not None:
            yield dict(row)
        elif row["row_kind"] == "failure":
            yield from _failed_rows(row, wanted, question_ids)


def _failed_rows(row: Mapping[str, Any], wanted: Wanted, question_ids: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    bytes_read = row.get("bytes_read")
    for (clip_index, question_hash), given in sorted(wanted.items(), key=lambda item: item[0]):
        yield {
            **row,
            "clip_index": clip_index,
            "clip_is_last": False,
            "question_id": question_ids[question_hash],
            "question_hash": question_hash,
            "attempts": given.attempt,
            "bytes_read": bytes_read,
        }
        bytes_read = None
