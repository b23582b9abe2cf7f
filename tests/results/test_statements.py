"""Where a statement ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.results.statements import has_words, split_statements


@pytest.mark.parametrize(
    ("text", "statements", "rest"),
    [
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT 1;", ["SELECT 1"], ""),
        ("SELECT 1; SELECT 2", ["SELECT 1"], " SELECT 2"),
        ("SELECT ';'; SELECT 'ä;ö';", ["SELECT ';'", "SELECT 'ä;ö'"], ""),
        ('SELECT 1 AS "a;b";', ['SELECT 1 AS "a;b"'], ""),
        ("SELECT 'it''s;';", ["SELECT 'it''s;'"], ""),
        ("SELECT $$a;b$$; x", ["SELECT $$a;b$$"], " x"),
        ("SELECT $t$a;$$b$t$;", ["SELECT $t$a;$$b$t$"], ""),
        ("SELECT 1 -- one; two\n;", ["SELECT 1 -- one; two"], ""),
        ("SELECT /* ; */ 1;", ["SELECT /* ; */ 1"], ""),
        ("SELECT 'open; ", [], "SELECT 'open; "),
        ("SELECT /* open; ", [], "SELECT /* open; "),
        ("SELECT $$ open; ", [], "SELECT $$ open; "),
        (";;; \n", [], " \n"),
        ("-- nothing\n;", [], ""),
        ("SELECT E'\\';' ; SELECT 1;", ["SELECT E'\\';'", "SELECT 1"], ""),
    ],
)
def test_a_semicolon_ends_a_statement_where_it_is_one(text: str, statements: list[str], rest: str) -> None:
    assert split_statements(text) == (statements, rest)


@given(st.lists(st.text(max_size=20).filter(lambda text: "\x00" not in text), min_size=1, max_size=4))
def test_any_text_in_a_literal_comes_through(texts: list[str]) -> None:
    statements = ["SELECT '" + text.encode("utf-8", "ignore").decode().replace("'", "''") + "'" for text in texts]
    assert split_statements("".join(f"{one};" for one in statements)) == (statements, "")


@given(st.text(alphabet="ab;'\"$-/*\n ä", max_size=30))
def test_nothing_is_lost_and_nothing_breaks(text: str) -> None:
    statements, rest = split_statements(text)
    assert all(one in text for one in statements)
    assert text.endswith(rest)


def test_comments_are_no_words() -> None:
    assert not has_words(" -- a\n /* b */ ; ")
    assert has_words("-- a\nx")
