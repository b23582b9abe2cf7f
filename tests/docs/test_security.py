"""SECURITY.md: short, and each promise names tests that are there."""

from __future__ import annotations

import re

from tests.docs.pages import PAGES, ROOT, anchors, rows, section

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
MAX_WORDS = 1000  # two pages
TEST_FILE = re.compile(r"tests/[\w/*]+\.py")


def test_every_promise_names_tests_and_each_of_them_is_there() -> None:
    promises = rows(section(PAGE, "Promises"))
    assert len(promises) >= 8
    for against, _, tests in promises:
        assert TEST_FILE.findall(tests), against
    missing = [name for name in TEST_FILE.findall(PAGE) if not [*ROOT.glob(name)]]
    assert not missing


def test_every_file_of_attacks_is_named() -> None:
    named = {path for name in TEST_FILE.findall(PAGE) for path in ROOT.glob(name)}
    assert not {*(ROOT / "tests" / "security").glob("test_*.py")} - named


def test_the_page_is_short_and_its_links_lead_somewhere() -> None:
    assert len(PAGE.split()) <= MAX_WORDS
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        assert (ROOT / path).is_file(), target
        assert not anchor or anchor in anchors((ROOT / path).read_text(encoding="utf-8")), target
    assert not [line for line in PAGE.splitlines() if len(line) > 150 and not line.startswith("|")]


def test_the_readme_leads_to_it() -> None:
    assert "[SECURITY.md](SECURITY.md)" in PAGES["README.md"]
