"""`drift` of a job: what it takes, and what it refuses in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from framegate.schemas.config import DriftConfig, RunConfig
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import parse_job

JOB: dict[str, Any] = {
    "input": {"videos": "videos/"},
    "questions": [{"id": "q", "text": "?"}],
    "model": {"name": "dock"},
    "output": {"uri": "index"},
}


def test_it_is_on_and_looks_by_camera_where_there_is_one() -> None:
    config = parse_job(JOB).config.drift
    assert (config.on_end, config.runs, config.by, config.delta, config.min_change) == (True, 10, None, 0.01, 0.05)
    assert parse_job({**JOB, "drift": {"by": []}}).config.drift.by == ()


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        ({"run": 5}, r"drift\.run is not a known key; did you mean drift\.runs\?"),
        ({"runs": 0}, "drift.runs"),
        ({"runs": 101}, "drift.runs"),
        ({"delta": 0}, "drift.delta"),
        ({"delta": 1}, "drift.delta"),
        ({"min_change": -0.1}, "drift.min_change"),
        ({"min_change": 1}, "drift.min_change"),
        ({"by": "camera"}, "drift.by"),
        ({"by": [""]}, "drift.by"),
        ({"by": ["camera", "dock", "camera"]}, "'camera' stands twice; name each column once"),
        ({"by": ["a", "b", "c", "d", "e"]}, "drift.by"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(drift: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_job({**JOB, "drift": drift})


def test_parts_are_frozen() -> None:
    with pytest.raises(ValidationError):
        DriftConfig().runs = 3  # type: ignore[misc]
    assert RunConfig.model_fields["drift"].default == DriftConfig()
