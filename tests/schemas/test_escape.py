"""What is printed of names and answers: every character that a terminal obeys or a reader cannot see is written out."""

from __future__ import annotations

import json

import pytest

from framegate.schemas.escape import escape, escape_json, escape_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ü日本 [1] 🚚.mp4", "ü日本 [1] 🚚.mp4"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\nerror: b\rc\td\0", r"a\x0aerror: b\x0dc\x09d\x00"),
        ("gpj.\u202e4pm", r"gpj.\u202e4pm"),
        ("a\u2028b\u2066c\ufeff", r"a\u2028b\u2066c\ufeff"),
        ("latin\udce9.mp4", r"latin\xe9.mp4"),
        ("half \ud83d", r"half \ud83d"),
        ("\x7f\x08", r"\x7f\x08"),
        ("a\u200bb\u2060\xad\u3164", r"a\u200bb\u2060\xad\u3164"),
        ("\U000e0041\ufe0f", r"\U000e0041\ufe0f"),
    ],
)
def test_unprintable_characters_are_written_out(text: str, shown: str) -> None:
    assert escape(text) == shown
    assert escape(shown) == shown


def test_line_breaks_stay_where_they_are_wanted() -> None:
    assert escape("a\n\tb\r\x1b", keep_lines=True) == "a\n\tb\\x0d\\x1b"


def test_json_means_the_same_and_is_printable() -> None:
    value = {"\x1b": ["\x9b2J\x7f", "a\u202eb\nc", "\udce9", "日本", "a\u200b\U000e0041"]}
    text = escape_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()


def test_a_name_keeps_all_but_the_bytes_that_are_none() -> None:
    assert escape_name("a\n\udcff\x1b") == "a\n\\xff\x1b"
