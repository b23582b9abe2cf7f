"""A run that has no time left to count its videos says so, in its log, its record and its last sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framegate.jobs.progress import describe_end
from framegate.jobs.run_end import EXIT_DEADLINE, EXIT_INCOMPLETE, end_of
from framegate.schemas.counts import Counts
from framegate.schemas.run import RunSummary, Stop

NOT_COUNTED = RunSummary(
    run_id="r",
    config_id="c",
    num_videos_planned=9,
    num_videos_answered=None,
    num_videos_failed=None,
    num_videos_skipped=None,
    num_videos_left=None,
    counts=Counts(num_answers=3),
    elapsed_seconds=5.0,
    phase_seconds={"working": 4.0},
)


@pytest.mark.parametrize(
    ("stop", "code", "word"),
    [
        (Stop(code="deadline", sentence="the deadline of 6 s is near"), EXIT_DEADLINE, "stopped"),
        (None, EXIT_INCOMPLETE, "incomplete"),
    ],
)
def test_a_run_whose_videos_were_not_counted_ends_with_a_sentence(stop: Stop | None, code: int, word: str) -> None:
    summary = replace(NOT_COUNTED, stop=stop)
    end = end_of(summary, max_unparsed_share=0.5, again="run it again")
    assert end.exit_code == code
    assert "None" not in end.sentence
    assert describe_end(summary) == f"{word} in 5 s; videos: not counted; working 4 s"


def test_what_was_counted_is_told() -> None:
    summary = replace(NOT_COUNTED, num_videos_answered=8, num_videos_left=1)
    assert "videos: 8 answered, 1 left;" in describe_end(summary)
