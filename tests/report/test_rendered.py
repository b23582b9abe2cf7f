"""A real browser shows the page: no error, no request, nothing that reaches beyond a screen or a telephone."""

from __future__ import annotations

from pathlib import Path

import pytest

from framegate.pipelines.report.figures import Report
from framegate.pipelines.report.page import render_page
from tests.browser import Browser, look
from tests.report.nights import HOSTILE
from tests.report.test_page import hostile_everywhere

COLOURS = {
    "paper": "getComputedStyle(document.querySelector('section')).backgroundColor",
    "ink": "getComputedStyle(document.body).color",
    "bar": "getComputedStyle(document.querySelector('svg rect.s1')).fill",
}
LONG = "x" * 400 + " " + HOSTILE


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(report), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1280, 768, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_quiet(page: Path, browser: Browser, width: int, scheme: str, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    seen = look(page, browser, width=width, scheme=scheme, picture=picture)  # type: ignore[arg-type]
    assert (seen.width, seen.errors, seen.requests, seen.too_wide) == (width, [], [], [])
    for text in ("Did it end in time?", "What needs me?", "Reliability", HOSTILE):
        assert text in seen.text
    assert picture.stat().st_size > 20_000


def test_names_without_end_and_scripts_in_all_places_change_nothing(
    report: Report, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(hostile_everywhere(report, LONG)), encoding="utf-8")
    seen = look(path, browser, width=390)
    assert (seen.width, seen.errors, seen.requests) == (390, [], [])
    assert not [each for each in seen.too_wide if not each.startswith("text")]  # letters of a chart may be cut off


def test_light_and_dark_are_other_colours(page: Path, browser: Browser) -> None:
    light, dark = (look(page, browser, width=1280, scheme=name, values=COLOURS).values for name in ("light", "dark"))
    assert light["paper"] == "rgb(255, 255, 255)"
    for name in COLOURS:
        assert light[name] != dark[name], name


def test_paper_is_white_however_the_screen_is(page: Path, browser: Browser, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    seen = look(page, browser, width=794, scheme="dark", is_printed=True, values=COLOURS, picture=picture)  # A4
    assert (seen.values["paper"], seen.values["ink"]) == ("rgb(255, 255, 255)", "rgb(0, 0, 0)")
    assert (seen.width, seen.too_wide) == (794, [])


def test_letters_have_a_width(page: Path, browser: Browser) -> None:
    """Where a browser finds no letters, nothing is ever too wide."""
    widest = "Math.max(...[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().width))"
    values = look(page, browser, width=1280, values={"widest": widest}).values
    assert values["widest"] > 60


def test_what_is_wrong_with_a_page_is_seen(browser: Browser, tmp_path: Path) -> None:
    """The same look finds a script's error, a request, and what is too wide."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><div style='width:600px'>wide</div>"
        "<img src='http://127.0.0.1:9/picture.png'><script>missing()</script>"
    )
    seen = look(path, browser, width=390)
    assert seen.width >= 600
    assert seen.too_wide == ["DIV wide"]
    assert seen.requests == ["http://127.0.0.1:9/picture.png"]
    assert seen.errors
