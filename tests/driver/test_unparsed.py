"""A model that does not answer in the asked form ends the run with a sentence that shows what it wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from framegate.pipelines.commit.journal import Receipt, commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.driver.sealing_pace import (
    DEFAULT_SECONDS_PER_UNIT,
    ENDING_PER_START,
    FIXED_SECONDS,
    SAFETY,
    SealingPace,
)
from framegate.pipelines.driver.unparsed import UnparsedWatch
from framegate.schemas.config import FailuresConfig


def receipt(num_answers: int, num_unparsed: int, *samples: str) -> Receipt:
    return Receipt(
        video_id="0" * 16, created=True, undecoded=False, failure_reason=None, num_answers=num_answers,
        num_unparsed=num_unparsed, unparsed_samples=samples,
    )  # fmt: skip


def feed(watch: UnparsedWatch, *units: tuple[int, int]) -> str | None:
    sentence = None
    for num_answers, num_unparsed in units:
        sentence = watch.feed(receipt(num_answers, num_unparsed))
    return sentence


def watch(share: float = 0.5, rows: int = 20) -> UnparsedWatch:
    return UnparsedWatch(FailuresConfig(stop_unparsed_share=share, stop_unparsed_rows=rows))


def test_more_than_the_share_of_the_last_rows_ends_the_run() -> None:
    assert feed(watch(), *[(2, 1)] * 100) is None
    assert feed(watch(), (10, 10)) is None
    sentence = feed(watch(), (10, 10), (1, 1))
    assert sentence is not None
    assert sentence.startswith(
        "11 of the last 11 answers could not be read, which is more than failures.stop_unparsed_share 0.5 of"
        " failures.stop_unparsed_rows 20;"
    )


def test_what_lies_beyond_the_last_rows_is_forgotten() -> None:
    assert feed(watch(), (10, 10), *[(10, 0)] * 2, (10, 10)) is None
    assert feed(watch(), *[(10, 0)] * 50, (10, 10), (10, 1)) is not None


def test_a_unit_that_is_larger_than_the_window_counts_whole() -> None:
    assert feed(watch(), (100, 50)) is None
    assert feed(watch(), (100, 51)) is not None


def test_failures_and_empty_units_are_no_answers() -> None:
    assert feed(watch(), *[(0, 0)] * 1000) is None


def test_the_sentence_shows_the_last_three_that_the_model_wrote() -> None:
    looking = watch(rows=4)
    for number in range(5):
        sentence = looking.feed(receipt(1, 1, f'"answer {number}" to q (number)'))
    assert sentence is not None
    wrote = '"answer 2" to q (number); "answer 3" to q (number); "answer 4" to q (number)'
    assert sentence.endswith(f"the model wrote: {wrote}")


def test_a_receipt_carries_three_short_lines_at_most(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    unit = units.make_unit(units.make_video(), range(3), num_clips=3, num_unparsed=2)
    told = commit_unit(output, unit, facts, written_at=datetime(2026, 11, 21, tzinfo=UTC))
    assert told.num_unparsed == 6
    assert told.unparsed_samples == tuple(f'"it may well be" to q{n} (yes_no)' for n in (0, 1, 0))
    unit = units.make_unit(units.make_video("b"), range(3), num_clips=3)
    assert commit_unit(output, unit, facts, written_at=datetime(2026, 11, 21, tzinfo=UTC)).unparsed_samples == ()


def test_what_is_kept_free_before_a_deadline_follows_from_the_slowest_of_the_last_seals() -> None:
    pace = SealingPace()
    pace.num_units = 1000
    assert pace.reserve_seconds() == FIXED_SECONDS + SAFETY * 1000 * DEFAULT_SECONDS_PER_UNIT
    pace.learn_from([{"seal_seconds_per_unit": value} for value in (9.0, 0.1, None, 0.2, 0.1, 0.1, 0.1)])
    assert pace.reserve_seconds() == pytest.approx(FIXED_SECONDS + SAFETY * 1000 * 0.2)
    pace.learn(10, 100.0)  # too few units to tell
    assert (pace.measured, pace.reserve_seconds()) == (None, pytest.approx(FIXED_SECONDS + SAFETY * 1000 * 0.2))
    pace.learn(100, 50.0)
    assert pace.measured == 0.5
    assert pace.reserve_seconds() == pytest.approx(FIXED_SECONDS + SAFETY * 1000 * 0.5)


def test_a_machine_that_is_slow_to_start_ray_keeps_more_time_free_for_the_end() -> None:
    pace = SealingPace()
    pace.start_seconds = 4.0
    assert pace.reserve_seconds() == FIXED_SECONDS, "a quiet machine"
    pace.start_seconds = 16.0
    assert pace.reserve_seconds() == ENDING_PER_START * 16.0
