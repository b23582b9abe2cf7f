"""Braces: what they stand for, and how many names are too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.source.braces import MAX_NAMES, expand_braces
from framegate.schemas.errors import InputError


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("a-{0..2}.tar", ["a-0.tar", "a-1.tar", "a-2.tar"]),
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{09..10}{9..10}", ["099", "0910", "109", "1010"]),
        ("{7..7}", ["7"]),
        ("{day,night}/{1..2}.tar", ["day/1.tar", "day/2.tar", "night/1.tar", "night/2.tar"]),
        ("a{,b}.mp4", ["a.mp4", "ab.mp4"]),
        ("a{b}.mp4", ["a{b}.mp4"]),
        ("a{.mp4", ["a{.mp4"]),
        ("{a..e}.tar", ["{a..e}.tar"]),
        ("{٠..٩}.tar", ["{٠..٩}.tar"]),
    ],
)
def test_braces_stand_for_names_in_order(name: str, names: list[str]) -> None:
    assert expand_braces(name) == names


@given(st.text())
def test_a_name_without_braces_stands_for_itself(name: str) -> None:
    name = name.replace("{", "(")
    assert expand_braces(name) == [name]


@given(st.integers(0, 9999), st.integers(0, 300), st.integers(5, 7))
def test_a_padded_range_names_every_number_once_at_one_width(first: int, num_more: int, width: int) -> None:
    names = expand_braces(f"s3://b/shard-{{{first:0{width}d}..{first + num_more:0{width}d}}}.tar")
    assert names == [f"s3://b/shard-{number:0{width}d}.tar" for number in range(first, first + num_more + 1)]


@pytest.mark.parametrize("name", [f"{{0..{MAX_NAMES}}}", "{0..999}{0..999}", "{0..999999999999999999}", "{a,b}" * 20])
def test_too_many_names_are_refused_before_they_are_made(name: str) -> None:
    with pytest.raises(InputError, match="more than 100,000 names"):
        expand_braces(name)
