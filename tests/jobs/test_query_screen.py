"""Rows of a query on a screen: what fits, and what is said of the rest."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from framegate.jobs import printing
from framegate.jobs.row_screen import ScreenRows
from tests.jobs.queried import Framegate, asked


@pytest.mark.parametrize(("option", "shown"), [((), 1000), (("--rows", "3"), 3), (("--rows", "0"), 2500)])
def test_a_screen_shows_some_rows_and_says_how_many_it_leaves_out(
    framegate: Framegate, output: str, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...], shown: int
) -> None:
    sql = "SELECT 'row ' || range AS n FROM range(2500)"
    whole = asked(framegate, output, sql, *option)  # into a pipe
    assert whole.count("row ") == 2500
    monkeypatch.setattr(printing, "is_terminal", lambda: True)
    text = asked(framegate, output, sql, *option)
    assert text.count("│ row ") == shown
    assert (f"{2500 - shown:,} more of 2,500 rows are left out" in text) == (shown < 2500)
    assert asked(framegate, output, sql, *option, "-f", "csv").count("row ") == 2500


def screen(rows: list[dict], width: int, *, is_whole: bool = False) -> str:
    out = io.StringIO()
    shown = ScreenRows(columns=list(rows[0]), rows=rows, num_rows=len(rows))
    shown.print(Console(file=out, width=width), is_whole=is_whole)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 140])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    rows = [
        {f"column_{n}": value for n, value in enumerate(["word " * 80, 1.23456789, "x" * 200, None, "眠" * 90] * of)}
        for of in (1, 1)
    ] + [{f"column_{n}": "text" for n in range(5)}]
    assert max(map(len, screen(rows, width).splitlines())) <= width
    wide = [{f"column_{n}": n for n in range(48)}]
    assert max(map(len, screen(wide, width).splitlines())) <= width


def test_too_many_columns_for_a_table_are_lines_of_their_own() -> None:
    text = screen([{f"column_{n}": f"value {n}" for n in range(48)}, {f"column_{n}": None for n in range(48)}], 80)
    assert "row 1 ---" in text
    assert "row 2 ---" in text
    assert "column_47  value 47" in text
    assert "column_0   -" in text


def test_a_long_text_is_shortened_and_says_by_how_much() -> None:
    rows = [{"id": 1, "text": "a" * 300 + "b" * 1234}]
    assert "(1,234 more characters;" in " ".join(screen(rows, 140).replace("│", " ").split())
    assert screen(rows, 140, is_whole=True).count("b") == 1234
    blocks = [{f"column_{n}": "a" * 2000 + "b" * 77 for n in range(20)}]
    assert "77 more characters" in " ".join(screen(blocks, 80).split())


def test_bytes_and_embeddings_are_told_in_short() -> None:
    text = screen([{"thumbnail": b"\xff\xd8\xff" + b"x" * 5809, "blob": b"abc", "embedding": [0.5] * 1024}], 140)
    assert "JPEG, 5,812 bytes" in text
    assert "3 bytes" in text
    assert "1,008 more" in " ".join(text.split())
