"""The clock: the machine's, unless a later night is rehearsed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from framegate.schemas.clock import CLOCK_OFFSET, find_zone, now
from framegate.schemas.errors import ConfigError


def test_it_is_the_machines_clock_until_it_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert abs(now() - datetime.now(UTC)) < timedelta(minutes=1)
    monkeypatch.setenv(CLOCK_OFFSET, "86400")
    assert abs(now() - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)


@pytest.mark.parametrize("offset", ["tomorrow", "1e999", ""])
def test_what_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch, offset: str) -> None:
    monkeypatch.setenv(CLOCK_OFFSET, offset)
    with pytest.raises(ConfigError, match="must be a number of seconds"):
        now()


def test_a_zone_is_found_by_its_name_and_utc_without_any_database(monkeypatch: pytest.MonkeyPatch) -> None:
    assert datetime(2026, 7, 1, tzinfo=find_zone("Europe/Berlin")).utcoffset() == timedelta(hours=2)
    assert find_zone("UTC") is UTC


@pytest.mark.parametrize("name", ["Europe/Berlim", "", "../../etc/passwd", "/etc/passwd", "Mars/Olympus"])
def test_what_is_no_zone_is_refused_with_its_value(name: str) -> None:
    with pytest.raises(ConfigError, match="is no time zone that this machine knows"):
        find_zone(name)
