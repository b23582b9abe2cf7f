"""The picture is well-formed, no text leaves it, and names are text; the front is what no other job beats."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.compare.figures import Comparison, DifferenceFigures, JobFigures, QuestionFigures
from framegate.pipelines.compare.front import mark_front
from framegate.pipelines.compare.page import render_comparison
from framegate.pipelines.compare.picture import WIDTH, draw_comparison, text_width

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert('x')</script>&\"\x1b[31m\u202e"


def job(name: str = "job", accuracy: float = 0.5, seconds: float | None = 1.0) -> JobFigures:
    return JobFigures(
        job=name, strategy="gated", config_id="a" * 16, num_rows=100, num_right=round(100 * accuracy),
        accuracy=accuracy, low=max(0.0, accuracy - 0.1), high=min(1.0, accuracy + 0.1), num_unparsed=0, num_deferred=0,
        num_failed=0, think_share=0.5, prompt_tokens=100.0, video_tokens=80.0, written_tokens=20.0, seconds=seconds,
        cost=None, currency=None, num_missing=0,
    )  # fmt: skip


def comparison(*jobs: JobFigures) -> Comparison:
    pairs = [
        DifferenceFigures(
            job=one.job, difference=0.1, low=0.0, high=0.2, num_more=1, num_fewer=0, p_rows=1, p_videos=1, p_holm=1
        )
        for one in jobs[1:]
    ]
    return Comparison(
        jobs=mark_front(jobs, "seconds"), differences=tuple(pairs),
        questions=(QuestionFigures(question_id=EVIL, num_rows=1, accuracies=tuple(0.5 for _ in jobs)),),
        num_labels=1, num_rows=1, num_left_out=0, num_unknown=0, num_videos=1, axis="seconds",
    )  # fmt: skip


JOBS = st.lists(
    st.builds(job, st.text(max_size=60), st.floats(0, 1), st.none() | st.floats(0, 1e6)), min_size=2, max_size=9
)


@settings(deadline=None)
@given(JOBS)
def test_no_text_is_clipped_and_no_two_marks_lie_on_each_other(jobs: list[JobFigures]) -> None:
    root = ElementTree.fromstring(str(draw_comparison(comparison(*jobs))))
    height = float(root.attrib["height"])
    lines: dict[float, list[tuple[float, float]]] = {}
    for text in root.iter(f"{SVG}text"):
        x, y, kind = float(text.attrib["x"]), float(text.attrib["y"]), text.attrib.get("class", "")
        width = text_width(text.text or "")
        left = x - width if "end" in kind else x - width / 2 if re.search("middle|on-text", kind) else x
        assert left >= 0
        assert left + width <= WIDTH
        assert 12 <= y <= height - 3
        if kind != "on-text":
            lines.setdefault(y, []).append((left, left + width))
    for spans in lines.values():
        for (_, end), (begin, _) in itertools.pairwise(sorted(spans)):
            assert end <= begin
    marks = [(float(one.attrib["cx"]), float(one.attrib["cy"])) for one in root.iter(f"{SVG}circle")]
    assert len(marks) == len(jobs) + sum(one.seconds is not None for one in jobs)
    assert all(math.dist(one, other) >= 17 for one, other in itertools.combinations(marks, 2))


def test_names_are_text_in_the_picture_and_in_the_page() -> None:
    found = comparison(job(EVIL), job("b", 0.7, 2.0))
    svg, page = str(draw_comparison(found)), render_comparison(found)
    ElementTree.fromstring(page.removeprefix("<!doctype html>\n"))
    for text in (svg, page):
        assert "<script" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "&lt;script&gt;" in text
        assert "http" not in text.replace('http-equiv="', "").replace("http://www.w3.org/2000/svg", "")


def test_the_front_by_hand() -> None:
    """Two is beaten by one; four is as right as three and slower; five's seconds are not known."""
    jobs = [job("1", 0.6, 1.0), job("2", 0.5, 2.0), job("3", 0.9, 3.0), job("4", 0.9, 4.0), job("5", 1.0, None)]
    assert [one.is_on_front for one in mark_front(jobs, "seconds")] == [True, False, True, False, False]
    equal = mark_front([job("1", 0.6, 1.0), job("2", 0.6, 1.0)], "seconds")
    assert [one.is_on_front for one in equal] == [True, True], "neither beats the other"


@pytest.mark.parametrize("jobs", [(job("a", 0.0, 0.0), job("b", 0.0, 0.0)), (job("a", 1.0, 1e-9), job("b", 1.0, 1e9))])
def test_extremes_are_drawn(jobs: tuple[JobFigures, JobFigures]) -> None:
    svg = str(draw_comparison(comparison(*jobs)))
    assert "nan" not in svg
    assert "inf" not in svg
