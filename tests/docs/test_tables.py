"""Tables of the pages that are made from the code are as the code is now."""

from __future__ import annotations

import pytest

from framegate.schemas.tables import RESULTS
from tests.docs.pages import PAGES, section
from tests.docs.tables import MARKED, TABLES, rewrite


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_of_the_code(page: str) -> None:
    assert PAGES[page] == rewrite(PAGES[page]), "run: .venv/bin/python -m tests.docs.tables"


def test_every_table_stands_on_one_page() -> None:
    assert sorted(match[1] for page in PAGES.values() for match in MARKED.finditer(page)) == sorted(TABLES)


def test_the_sample_rows_of_the_readme_have_columns_of_results() -> None:
    sample = section(PAGES["README.md"], "What comes out")
    head = next(line for line in sample.splitlines() if line.startswith("|"))
    assert {name.strip() for name in head.strip("|").split("|")} <= set(RESULTS.names)
