"""Boxes are found while tokens come, whatever the tokens' borders are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.reason.asking.box import Box, BoxFinder, is_fallback

CONTENTS = st.recursive(
    st.text(st.characters(exclude_characters="{}\\", exclude_categories=("Cs",)), max_size=8),
    lambda inner: st.builds("{}{{{}}}{}".format, inner, inner, inner),
    max_leaves=4,
)
PROSE = st.text(st.characters(exclude_characters="{}\\", exclude_categories=("Cs",)), max_size=12)


def feed_all(finder: BoxFinder, pieces: list[bytes]) -> list[tuple[int, Box]]:
    """The boxes, each with the index of the token that closed it."""
    return [(index, box) for index, piece in enumerate(pieces) if (box := finder.feed(piece)) is not None]


def cut(data: st.DataObject, text: bytes) -> list[bytes]:
    """The bytes in random pieces; borders fall anywhere, inside characters too."""
    borders = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=8)))
    return [text[start:end] for start, end in zip([0, *borders], [*borders, len(text)], strict=True)]


@given(before=PROSE, content=CONTENTS, after=PROSE, data=st.data())
def test_a_box_is_found_whole_however_the_text_is_cut_into_tokens(before, content, after, data):
    opening = f"{before}\\boxed{{".encode()
    text = opening + content.encode() + b"}" + after.encode()
    pieces = cut(data, text)
    finder = BoxFinder()
    [(token, box)] = feed_all(finder, pieces)
    assert box == Box(content, len(opening), len(opening) + len(content.encode()))
    ends = [sum(map(len, pieces[: index + 1])) for index in range(len(pieces))]
    assert ends[token] > box.end, "the token that writes the closing brace closes the box"
    assert token == 0 or ends[token - 1] <= box.end, "and no later one"
    assert finder.text() == text.decode()


@given(content=CONTENTS, data=st.data())
def test_the_answer_tokens_are_those_that_wrote_a_byte_of_the_content(content, data):
    text = f"so \\boxed{{{content}}} it is".encode()
    pieces = cut(data, text)
    finder = BoxFinder()
    [(_, box)] = feed_all(finder, pieces)
    expected, start = [], 0
    for index, piece in enumerate(pieces):
        if piece and max(start, box.start) < min(start + len(piece), box.end):
            expected.append(index)
        start += len(piece)
    assert list(finder.tokens_overlapping(box.start, box.end)) == expected


@pytest.mark.parametrize(
    ("pieces", "content", "answer_tokens"),
    [
        ([b"\\boxed", b"{", b"B", b"}"], "B", [2]),
        ([b"\\", b"box", b"ed", b"{[", b"1", b", ", b"2", b"]}"], "[1, 2]", [3, 4, 5, 6, 7]),
        ([b"\\boxed{B}"], "B", [0]),
        ([b"\\boxed{", b"\xe2", b"\x82\xac", b"}"], "€", [1, 2]),
        ([b"\\boxed{", b"\\frac{1", b"}{2", b"}", b"}"], "\\frac{1}{2}", [1, 2, 3]),
        ([b"{x} ", b"\\boxed{", b"", b"yes", b"}"], "yes", [3]),
        ([b"\\boxed{", b"}"], "", []),
    ],
)
def test_worked_examples(pieces, content, answer_tokens):
    finder = BoxFinder()
    [(_, box)] = feed_all(finder, pieces)
    assert box.content == content
    assert list(finder.tokens_overlapping(box.start, box.end)) == answer_tokens


def test_the_second_box_is_found_after_the_first():
    finder = BoxFinder()
    boxes = feed_all(finder, [b"\\boxed{A}", b" then ", b"\\boxed{", b"B", b"}"])
    assert [(token, box.content) for token, box in boxes] == [(0, "A"), (4, "B")]


def test_after_a_restart_an_open_box_is_forgotten_and_a_forced_one_is_found():
    finder = BoxFinder()
    assert feed_all(finder, [b"\\boxed{", b"and so on"]) == []
    finder.restart()
    [(_, box)] = feed_all(finder, [b"</think>\\boxed{", b"C", b"}"])
    assert box.content == "C"


def test_an_opening_that_is_half_written_at_a_restart_still_counts():
    finder = BoxFinder()
    finder.feed(b"so \\box")
    finder.restart()
    [(_, box)] = feed_all(finder, [b"ed{C}"])
    assert box.content == "C"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let's analyze the problem step by step.", True),
        ("Let’s analyze the problem step by step.", True),
        ("\n let's analyse this", True),
        ("Lets see", False),
        ("We say: Let's analyze", False),
        ("", False),
    ],
)
def test_the_fallback_sentence_is_known_with_either_apostrophe(text, expected):
    assert is_fallback(text) is expected
