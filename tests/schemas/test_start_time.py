"""When a video began: which source counts, and what is no time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from framegate.schemas.clip import VideoFacts
from framegate.schemas.config import InputConfig
from framegate.schemas.start_time import WallClock

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FACTS = VideoFacts(
    duration_seconds=10.0, container="iso_bmff", codec="h264", fps=25.0, height=120, width=160, created_at=NOON
)


@pytest.mark.parametrize(
    ("sources", "inputs", "expected"),
    [
        ((), {"taken": NOON}, None),
        (("taken",), {"taken": NOON}, NOON),
        (("taken",), {"taken": None}, None),
        (("taken",), {}, None),
        (("taken",), {"taken": datetime(2026, 11, 21, 13, tzinfo=timezone(timedelta(hours=1)))}, NOON),
        (("taken",), {"taken": datetime(2026, 11, 21, 13)}, NOON),
        (("taken",), {"taken": "2026-11-21T13:00"}, NOON),
        (("taken",), {"taken": " 2026-11-21t12:00:00z "}, NOON),
        (("taken",), {"taken": "at noon"}, None),
        (("taken",), {"taken": 20261121}, None),
        (("file",), {"file": datetime(2020, 1, 1, tzinfo=UTC)}, NOON),
        (("taken", "file"), {"taken": None}, NOON),
        (("taken", "file"), {"taken": datetime(2020, 1, 1, tzinfo=UTC)}, datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_first_source_that_knows_a_time_counts(
    sources: tuple[str, ...], inputs: dict[str, Any], expected: datetime | None
) -> None:
    assert WallClock(sources, "Europe/Berlin").start_of(inputs, FACTS) == expected


def test_an_hour_that_is_there_twice_is_the_earlier_one() -> None:
    twice = {"taken": datetime(2026, 10, 25, 2, 30)}
    found = WallClock(("taken",), "Europe/Berlin").start_of(twice, None)
    assert found == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_a_file_from_the_future_has_no_time() -> None:
    clock = WallClock(("file",))
    assert clock.start_of({}, FACTS, before=NOON) == NOON
    assert clock.start_of({}, FACTS, before=NOON - timedelta(seconds=1)) is None
    assert clock.start_of({}, None) is None


@pytest.mark.parametrize(
    ("said", "starts", "columns"),
    [
        (None, (), ()),
        ("taken", ("taken",), ("taken",)),
        ("file", ("file",), ()),
        (["taken", "file"], ("taken", "file"), ("taken",)),
    ],
)
def test_a_job_names_one_source_or_several(said: Any, starts: tuple[str, ...], columns: tuple[str, ...]) -> None:
    config = InputConfig(videos="a", started_at=said)
    assert (config.starts, config.start_columns) == (starts, columns)


@pytest.mark.parametrize("said", ["", [], 7, {"column": "taken"}])
def test_what_is_no_source_is_refused(said: Any) -> None:
    with pytest.raises(ValidationError):
        InputConfig(videos="a", started_at=said)
