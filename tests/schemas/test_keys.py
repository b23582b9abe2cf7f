"""Ids as numbers: exact both ways, whatever way Arrow holds them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.schemas.errors import FramegateError
from framegate.schemas.keys import id_number, id_numbers, id_text

IDS = st.lists(st.one_of(st.none(), st.text("0123456789abcdef", min_size=16, max_size=16)), max_size=20)


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
