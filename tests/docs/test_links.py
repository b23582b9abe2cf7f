"""Links between pages lead somewhere, the files that they name exist, and lines are short enough to read anywhere."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, code_blocks, prose, section

LIFECYCLE = PAGES["docs/lifecycle.md"]
LINKS = [
    (page, target)
    for page, content in PAGES.items()
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", content)
    if "://" not in target
]
FILE = re.compile(r"`((?:schemas|pipelines|jobs|tests|infra|docs)/[\w/.]+\.(?:py|md))`")
MAX_SPINE = 20


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    there = (ROOT / page).parent / path if path else ROOT / page
    assert there.exists(), target
    if anchor:
        assert anchor in anchors(there.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    missing = [name for name in FILE.findall(PAGES[page]) if not (ROOT / name).exists()]
    assert not missing


def test_the_lifecycle_has_ten_steps_and_names_at_most_twenty_files() -> None:
    steps = section(LIFECYCLE, "Ten steps")
    assert re.findall(r"^(\d+)\. ", steps, re.MULTILINE) == [str(n) for n in range(1, 11)]
    assert 10 <= len(set(FILE.findall(steps))) <= MAX_SPINE


def test_the_map_is_the_tree() -> None:
    """Every room and no other: folders of pipelines, and what lies beside it."""
    [block] = [block for block in code_blocks(section(LIFECYCLE, "Map")) if "pipelines/" in block]
    lines = [line for line in block.splitlines() if re.match(r" {0,2}[a-z]", line)]
    named = {False: set(), True: set()}
    for line in lines:
        named[line.startswith("  ")].add(line.split()[0])
    for names, folder in ((named[False], ROOT), (named[True], ROOT / "pipelines")):
        for name in names:
            assert (folder / name).exists(), name
    rooms = {f"{path.name}/" for path in (ROOT / "pipelines").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert rooms <= named[True]


@pytest.mark.parametrize("page", PAGES)
def test_no_line_is_longer_than_150_characters(page: str) -> None:
    assert not [number for number, line in prose(PAGES[page]) if len(line) > 150]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_fill_in(page: str) -> None:
    assert not re.search("@@|TODO|TBD|XXX", PAGES[page])
