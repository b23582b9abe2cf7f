"""Answers that are to be thought about later are said where a report says how complete a night is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framegate.pipelines.report.figures import Camera, Coverage
from framegate.pipelines.report.verdict import judge_coverage

NORTH = Camera(camera="north", num_complete=4, num_partial=0, num_failed=0, num_missing=0, num_clips=9, clip_hours=0.5)
COVERAGE = Coverage(by="camera", cameras=(NORTH,), num_more=0)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, ""),
        (1, " 1 answer is a first one, to be thought about when there is a budget for it."),
        (1234, " 1,234 answers are first ones, to be thought about when there is a budget for it."),
    ],
)
def test_deferred_answers_are_said_and_a_night_is_complete_with_them(number: int, said: str) -> None:
    verdict = judge_coverage(replace(COVERAGE, num_deferred=number))
    assert (verdict.level, verdict.sentence) == ("well", f"Yes: all 4 videos are complete.{said}")
