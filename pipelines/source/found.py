"""The videos that exist, as a table in FOUND: one row per video, collected without a Python object for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.source.input_columns import pack_inputs, pack_texts
from framegate.schemas.clip import Member, Refusal, Video, make_video_id
from framegate.schemas.escape import escape, escape_name, is_unicode
from framegate.schemas.retries import NOT_FOUND
from framegate.schemas.tables import FOUND
from framegate.schemas.video_row import video_of

ABSENT: Final = "absent"
"""The version of an object that a list or manifest names and storage does not have. Planning puts the version in its
place that the output saw last (`plan.absent`); a video that was never seen fails once, and is a new one once it is
there."""

UNREADABLE: Final = "unreadable"
"""The version of a folder, or of a named object, that storage did not let us look at. Planning puts the version in its
place that the output saw last; one that was never seen is a row of its own, which is tried again like any other."""

NOT_THERE: Final = Refusal(
    reason=NOT_FOUND,
    message="The input names it, storage does not have it, and it was never seen before; is the name right?",
)

NOT_UNICODE: Final = Refusal(
    reason="not_unicode",
    message="Its name is no Unicode text, and so cannot stand in a row as it is; rename the object.",
)


def unreadable(why: str) -> Refusal:
    """Why an object is UNREADABLE; `why` is an error's sentence."""
    return Refusal(reason="storage", message=escape(f"{why[:1].upper()}{why[1:]}."))


BATCH_ROWS = 65_536  # rows of Python values before they become columns: some 50 MB
_ORDER = "order"
_SCHEMA = FOUND.append(pa.field(_ORDER, pa.int64(), nullable=False))


class FoundRows:
    """Collects rows of FOUND in any order. `order` is the place of the name in the input that led to a row.

    text_columns   names of all side files' columns
    """

    def __init__(self, *, batch_rows: int = BATCH_ROWS) -> None:
        self._batch_rows = batch_rows
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[tuple[str, str, int, int]] = []
        self._extra: dict[int, tuple[Member | None, Mapping[str, str], Refusal | None, str]] = {}
        self.text_columns: set[str] = set()

    def add(
        self,
        order: int,
        uri: str,
        version: str,
        size_bytes: int,
        *,
        member: Member | None = None,
        texts: Mapping[str, str] | None = None,
        refusal: Refusal | None = None,
        access: str = "",
    ) -> None:
        """A name that is no Unicode is written out, and refused."""
        if not is_unicode(uri):
            uri, member, refusal = escape_name(uri), None, NOT_UNICODE
        if member is not None or refusal is not None or access:
            self._extra[len(self._rows)] = (member, texts or {}, refusal, access)
            self.text_columns.update(texts or ())
        self._rows.append((uri, version, size_bytes, order))
        if len(self._rows) == self._batch_rows:
            self._flush()

    def table(self, manifest: pa.Table | None = None) -> pa.Table:
        """All rows by URI, each URI once: the one whose name came first in the input. Row n of `manifest`, the columns
        beside its URIs, goes with order n. Nothing can be added afterwards."""
        self._flush()
        rows = pa.Table.from_batches(self._batches, _SCHEMA)
        self._batches.clear()
        rows = _once_each(rows)
        order = rows.column(_ORDER)
        found = rows.drop_columns([_ORDER])
        if manifest is not None:
            for name, column in zip(manifest.column_names, manifest.columns, strict=True):
                found = found.append_column(name, column.take(order))
        return found

    def _flush(self) -> None:
        if not self._rows:
            return
        uris, versions, sizes, orders = zip(*self._rows, strict=True)
        nothing = (None, {}, None, "")
        extra = [self._extra.get(n, nothing) for n in range(len(self._rows))] if self._extra else []
        members = [member for member, *_ in extra]
        num_rows = len(uris)
        columns = [
            pa.array(uris, pa.string()),
            pa.array(map(make_video_id, uris, versions), pa.string(), size=num_rows),
            pa.array(versions, pa.string()),
            pa.array(sizes, pa.int64()),
            pa.array([m and m.name for m in members] or pa.nulls(num_rows), pa.string()),
            pa.array([m and m.offset_bytes for m in members] or pa.nulls(num_rows), pa.int64()),
            pa.array(pack_texts([texts for _, texts, *_ in extra] or [{}] * num_rows), pa.binary()),
            pa.array([access or None for *_, access in extra] or pa.nulls(num_rows), pa.string()),
            pa.array(
                [refusal and asdict(refusal) for _, _, refusal, _ in extra] or [None] * num_rows,
                FOUND.field("refusal").type,
            ),
            pa.array(orders, pa.int64()),
        ]
        self._batches.append(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
        self._rows.clear()
        self._extra.clear()


def to_videos(found: pa.Table) -> Iterator[Video]:
    """Rows of FOUND as objects; `inputs` joins the packed values and the columns beside them."""
    for batch in found.to_batches(max_chunksize=BATCH_ROWS):
        rows = batch.select(FOUND.names).set_column(
            FOUND.get_field_index("inputs"), FOUND.field("inputs"), pack_inputs(pa.Table.from_batches([batch]))
        )
        for row in rows.to_pylist():
            yield replace(video_of(row), refusal=None if row["refusal"] is None else Refusal(**row["refusal"]))


def _once_each(rows: pa.Table) -> pa.Table:
    uris = rows.column("video_uri")
    if rows.num_rows < 2:
        return rows
    if _compare("less", uris).all():  # a listing is in order already
        return rows
    rows = rows.sort_by([("video_uri", "ascending"), (_ORDER, "ascending")])
    is_new = _compare("not_equal", rows.column("video_uri"))
    return rows if is_new.all() else rows.filter(pa.array(np.concatenate([[True], is_new])))


def _compare(function: str, column: pa.ChunkedArray) -> np.ndarray:
    """Each row but the last with the one after it."""
    return pc.call_function(function, [column.slice(0, len(column) - 1), column.slice(1)]).to_numpy()
