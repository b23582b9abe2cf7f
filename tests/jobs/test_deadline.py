"""A deadline is the moment that a person means, in the job's time zone, also where clocks are set back or forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.jobs.deadline import read_deadline
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import parse_job

NOW = datetime(2026, 11, 29, 22, 30, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def at(until: str | None = None, span: str | None = None, *, zone: str = "UTC", now: datetime = NOW) -> datetime:
    deadline = read_deadline(until, span, timezone=zone, now=now)
    assert deadline is not None
    assert deadline.at.tzinfo is UTC
    return deadline.at


def test_without_an_option_there_is_none() -> None:
    assert read_deadline(None, None, timezone="UTC", now=NOW) is None


@pytest.mark.parametrize(
    ("until", "zone", "expected"),
    [
        ("06:00", "UTC", "2026-11-30T06:00"),
        ("22:31", "UTC", "2026-11-29T22:31"),
        ("22:30", "UTC", "2026-11-30T22:30"),  # now: the next one is meant
        ("06:00", BERLIN, "2026-11-30T05:00"),
        ("23:45", BERLIN, "2026-11-29T22:45"),
        ("06:00", "America/New_York", "2026-11-30T11:00"),
        ("2026-12-01T06:00", BERLIN, "2026-12-01T05:00"),
        ("2026-12-01T06:00+05:30", BERLIN, "2026-12-01T00:30"),
    ],
)
def test_until_is_the_next_time_that_the_clock_there_shows_that(until: str, zone: str, expected: str) -> None:
    assert at(until, zone=zone) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # Set back at 03:00 in October: 02:30 comes twice, an hour apart.
        ("2026-10-24T23:00", "2026-10-25T00:30"),
        ("2026-10-25T00:45", "2026-10-25T01:30"),
        ("2026-10-25T01:45", "2026-10-26T01:30"),
        # Set forward at 02:00 in March: there is no 02:30, and the run has to be over at 03:30.
        ("2026-03-28T23:00", "2026-03-29T01:30"),
        ("2026-03-29T02:00", "2026-03-30T00:30"),
    ],
)
def test_changes_of_the_clock(now: str, expected: str) -> None:
    began = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert at("02:30", zone=BERLIN, now=began) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]),
    st.integers(0, 23),
    st.integers(0, 59),
)
def test_until_is_ahead_and_at_most_a_day_and_two_hours_away(now: datetime, zone: str, hour: int, minute: int) -> None:
    found = at(f"{hour:02d}:{minute:02d}", zone=zone, now=now)
    assert now < found <= now + timedelta(hours=26)
    local = found.astimezone(ZoneInfo(zone))
    is_shown = (local.hour, local.minute) == (hour, minute)
    assert (
        is_shown
        or local.utcoffset() != (local - timedelta(hours=2)).astimezone(ZoneInfo(zone)).utcoffset()
        or ((found - timedelta(hours=2)).astimezone(ZoneInfo(zone)).utcoffset() != local.utcoffset())
    )


@pytest.mark.parametrize(
    ("span", "seconds"),
    [("4h", 14_400), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("2d", 172_800), ("1d1h1m1s", 90_061)],
)
def test_for_counts_from_now(span: str, seconds: int) -> None:
    assert at(span=span) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("until", "span", "said"),
    [
        ("six", None, "--until six is no time; give a time of day such as 06:00"),
        ("24:00", None, "a time of day is 00:00 to 23:59"),
        ("6", None, "is no time"),
        ("2026-11-29T22:00", None, "--until 2026-11-29T22:00 is past: in UTC it is 2026-11-29 22:30 now"),
        (None, "4", "--for 4 is no length of time; give hours and minutes, such as 4h"),
        (None, "0h", "is no length of time"),
        (None, "", "is no length of time"),
        (None, "30m4h", "is no length of time"),
        (None, "1000d", "longer than 366 days"),
        (None, "9" * 30 + "d", "longer than 366 days"),
        ("06:00", "4h", "give one of them"),
    ],
)
def test_what_is_none_is_refused_in_one_sentence(until: str | None, span: str | None, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_deadline(until, span, timezone="UTC", now=NOW)
    assert said in str(refused.value)


def test_a_zone_that_nobody_knows_is_refused_with_its_key() -> None:
    job = {"input": {"videos": "v"}, "questions": [{"id": "q", "text": "What?"}], "model": {"name": "dock"}}
    with pytest.raises(ConfigError, match=r"run\.timezone: 'Berlin' is no time zone that this machine knows"):
        parse_job({**job, "output": {"uri": "out"}, "run": {"timezone": "Berlin"}})
