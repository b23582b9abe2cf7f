"""Keys as numbers: they sort as tuples do, come back as they were, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.schemas.errors import FramegateError
from framegate.schemas.packing import Packing, places_of

IDS = st.integers(0, 2**64 - 1)


def clips_table(*clips: int | None) -> pa.Table:
    return pa.table({"clip_index": pa.array(clips, pa.int32())})


@given(st.lists(IDS, unique=True), st.lists(IDS), st.data())
def test_a_place_is_where_the_value_stands(among: list[int], others: list[int], data: st.DataObject) -> None:
    values = [*others, *(data.draw(st.lists(st.sampled_from(among), max_size=20)) if among else [])]
    places = places_of(np.array(values, np.uint64), np.array(among, np.uint64))
    assert places.tolist() == [among.index(value) if value in among else -1 for value in values]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 2**31 - 1)), min_size=1))
def test_keys_sort_as_tuples_do_and_come_back(rows: list[tuple[int, int, int]]) -> None:
    packing = Packing.make(np.arange(10, dtype=np.uint64), np.arange(3, dtype=np.uint64), [clips_table(2**31 - 1)])
    keys = packing.keys(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
    assert [rows[n] for n in np.argsort(keys, kind="stable")] == sorted(rows)
    pairs, questions, clips = packing.unpack(keys)
    found = zip((pairs // 3).tolist(), questions.tolist(), clips.tolist(), strict=True)
    assert list(found) == rows


def test_what_does_not_fit_64_bits_is_refused() -> None:
    videos, questions = np.arange(2**21, dtype=np.uint64), np.arange(2**10, dtype=np.uint64)
    assert Packing.make(videos, questions, [clips_table(2**30 - 1, None), clips_table()]).num_clips == 2**30
    with pytest.raises(FramegateError, match=r"2,097,152 videos, 1,024 questions .* cannot be planned together"):
        Packing.make(videos, questions, [clips_table(2**31 - 1)])
    with pytest.raises(FramegateError, match="clips from -1 to 0"):
        Packing.make(videos, questions, [clips_table(-1)])
