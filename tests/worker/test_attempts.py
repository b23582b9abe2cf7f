"""Markers of what was begun: whose they are, when they count as deaths, and what is no marker."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.worker import attempts as attempts_module
from framegate.pipelines.worker.attempts import NO_DEATHS, Attempts, Deaths, Work, read_deaths
from framegate.schemas.errors import StorageError


@pytest.fixture
def attempts(tmp_path: Path, facts: RunFacts) -> Attempts:
    return Attempts(output=Output.at(str(tmp_path)), config_id=facts.config_id, run_id=facts.run_id)


def markers(attempts: Attempts) -> list[str]:
    return [info.uri for info in attempts.output.list("attempts")]


def test_markers_of_another_run_count_once_they_are_old(attempts: Attempts) -> None:
    other = replace(attempts, run_id="killed")
    for scope in ("decode", "decode", "unit"):
        other.begin(Work("video", scope))
    now = datetime.now(UTC)

    def deaths(later: timedelta) -> dict[Work, Deaths]:
        return read_deaths(attempts.output, attempts.config_id, now=now + later)

    assert deaths(timedelta(minutes=50)) == {}
    old = deaths(attempts_module.STALE_AFTER + timedelta(minutes=1))
    assert old == {Work("video", "decode"): Deaths(alone=2), Work("video", "unit"): Deaths(alone=1)}
    assert attempts.begin(Work("video", "decode")).deaths == NO_DEATHS
    assert replace(attempts, deaths=old, run_id="next").begin(Work("video", "decode")).deaths == Deaths(alone=2)


def test_a_run_forgets_its_own_markers_alone(attempts: Attempts) -> None:
    replace(attempts, run_id="other").begin(Work("video", "decode"))
    attempts.begin(Work("video", "decode"))
    attempts.forget()
    assert [uri.rpartition("/")[2] for uri in markers(attempts)] == ["other-0001"]


def test_a_foreign_object_among_the_markers_is_named(attempts: Attempts) -> None:
    attempts.output.store.put_once(
        attempts.output.layout.attempt(attempts.config_id, "v", "decode", "x", 1), b"no json"
    )
    with pytest.raises(StorageError, match="x-0001 is no note of an attempt"):
        read_deaths(attempts.output, attempts.config_id, now=datetime.now(UTC))
