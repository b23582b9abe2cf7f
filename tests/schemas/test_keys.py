"""Ids and keys as numbers: exact both ways, however Arrow holds them, and sorted as tuples are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.schemas.errors import FramegateError
from framegate.schemas.keys import Packing, id_number, id_numbers, id_text, positions_among

IDS = st.lists(st.one_of(st.none(), st.text("0123456789abcdef", min_size=16, max_size=16)), max_size=20)
NUMBERS = st.integers(0, 2**64 - 1)


@given(IDS, IDS, st.integers(0, 5))
def test_an_array_however_it_is_cut_and_encoded_gives_the_same_numbers(
    first: list[str | None], second: list[str | None], offset: int
) -> None:
    ids = [*first, *second]
    expected = [0 if id is None else int(id, 16) for id in ids]
    whole = pa.array(ids, pa.string())
    assert id_numbers(whole).tolist() == expected
    assert id_numbers(whole.slice(offset)).tolist() == expected[offset:]
    chunks = pa.chunked_array([pa.array(first, pa.string()), pa.array(second, pa.string())])
    assert id_numbers(chunks).tolist() == expected
    assert id_numbers(chunks.dictionary_encode()).tolist() == expected
    assert id_numbers(chunks).dtype == np.uint64


@given(st.integers(0, 2**64 - 1))
def test_an_id_comes_back(number: int) -> None:
    assert id_number(id_text(number)) == number


@pytest.mark.parametrize("wrong", ["short", "0123456789abcdeF", "0123456789abcdef0", "0123456789abcd f"])
def test_what_is_no_id_is_refused(wrong: str) -> None:
    with pytest.raises(FramegateError, match="hex digits"):
        id_numbers(pa.array(["0123456789abcdef", wrong]))


def clips_table(*clips: int | None) -> pa.Table:
    return pa.table({"clip_index": pa.array(clips, pa.int32())})


@given(st.lists(NUMBERS, unique=True), st.lists(NUMBERS), st.data())
def test_a_position_is_where_the_value_stands(among: list[int], others: list[int], data: st.DataObject) -> None:
    values = [*others, *(data.draw(st.lists(st.sampled_from(among), max_size=20)) if among else [])]
    positions = positions_among(np.array(values, np.uint64), np.array(among, np.uint64))
    assert positions.tolist() == [among.index(value) if value in among else -1 for value in values]


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
