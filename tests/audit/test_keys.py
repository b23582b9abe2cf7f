"""Keys are compared exactly, in parts, whatever the ids and however many rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.audit import keys as audit_keys
from framegate.pipelines.audit.keys import (
    FAILURE,
    KEY_ROW,
    RESULT,
    UNSEALED,
    KeySpool,
    Names,
    doubled,
    key_text,
    row_keys,
    unplanned,
)
from framegate.schemas.errors import FramegateError
from framegate.schemas.keys import id_text

IDS = st.sampled_from([id_text(number) for number in (0, 1, 2**63, 2**64 - 1, 0x1234)])
ROWS = st.lists(
    st.tuples(
        st.sampled_from([RESULT, FAILURE, UNSEALED]), IDS, st.sampled_from([None, 0, 1]), st.none() | IDS,
        st.integers(1, 2), st.sampled_from(["run-1", "run-2"]),
    ),
    max_size=30,
)  # fmt: skip
PLANS = st.dictionaries(st.sampled_from(["run-1", "run-2"]), st.dictionaries(IDS, st.lists(IDS, unique=True)))


@contextmanager
def spool() -> Iterator[KeySpool]:
    with TemporaryDirectory() as folder:
        yield KeySpool(Path(folder))


def add(keys: KeySpool, runs: Names, row: tuple) -> None:
    table, video, clip, question, attempts, run = row
    columns = {
        "video_id": pa.array([video], pa.string()),
        "clip_index": pa.array([clip], pa.int32()),
        "question_hash": pa.array([question], pa.string()).dictionary_encode(),
        "attempts": pa.array([attempts], pa.int32()),
        "run_id": pa.array([run], pa.string()),
    }
    found = pa.table(columns)
    codes = runs.codes(found.column("run_id"))
    keys.add_rows(row_keys(found, table=table, config=0, file=0, run=codes))


@given(rows=ROWS, plans=PLANS)
def test_doubled_and_unplanned_are_those_that_sets_would_find(rows: list[tuple], plans: dict[str, Any]) -> None:
    runs = Names()
    with spool() as keys:
        for row in rows:
            add(keys, runs, row)
        for run, videos in plans.items():
            hashes = pa.chunked_array([pa.array(list(videos.values()), pa.list_(pa.string()))])
            keys.add_plan(runs.code(run), pa.chunked_array([pa.array(list(videos), pa.string())]), hashes)
        num_doubled, lost = 0, []
        for part, planned in keys.parts():
            num_doubled += sum(1 for _ in doubled(part))
            lost += [
                (int(row["table"]), key_text(row), runs.names[row["run"]]) for row in unplanned(part, planned, keys)
            ]
    sealed = Counter((k, v, c, q, a if k == FAILURE else 0) for k, v, c, q, a, _ in rows if k != UNSEALED)
    assert num_doubled == sum(count - 1 for count in sealed.values())
    expected = [
        (table, text(table, video, clip, question, attempts), run)
        for table, video, clip, question, attempts, run in rows
        if video not in plans.get(run, {}) or (question is not None and question not in plans[run][video])
    ]
    assert sorted(lost) == sorted(expected)


def text(table: int, video: str, clip: int | None, question: str | None, attempts: int) -> str:
    where = "no clip" if clip is None else f"clip {clip}"
    asked = "all questions" if question is None else f"question {question}"
    return f"video {video}, {where}, {asked}" + (f", attempt {attempts}" if table != RESULT else "")


@pytest.mark.parametrize("at_once", [300, 500])  # 500 leaves none in memory at the end
def test_rows_go_to_disk_and_come_back_in_parts(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(audit_keys, "_BUFFERED", 1000)
    numbers = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64, endpoint=False)
    rows = np.zeros(len(numbers), KEY_ROW)
    rows["video"] = numbers
    with spool() as keys:
        for first in range(0, len(rows), at_once):
            keys.add_rows(rows[first : first + at_once])
        parts = [part for part, _ in keys.parts()]
    assert len(parts) == audit_keys.NUM_PARTS
    assert max(len(part) for part in parts) < 2 * len(rows) / audit_keys.NUM_PARTS
    assert np.array_equal(np.sort(np.concatenate(parts)["video"]), np.sort(numbers))


def test_what_is_no_id_is_said() -> None:
    with spool() as keys, pytest.raises(FramegateError, match="not 16 hex digits"):
        add(keys, Names(), (RESULT, "v1", 0, None, 1, "run-1"))
