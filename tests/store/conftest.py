"""The kinds of storage that the store's tests run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from framegate.pipelines.store import Store
from tests.s3_faults import S3Faults


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place to write to, on each kind of storage."""
    if request.param == "local":
        return str(tmp_path / "root")
    return request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param])


@pytest.fixture
def faulty(s3_faults: S3Faults) -> Store:
    """A store that goes the faulty way, and hears of a silent server after a second."""
    config = {"read_timeout": 1, "connect_timeout": 1}
    return Store({"endpoint_url": s3_faults.endpoint, "config_kwargs": config}, patience_seconds=20)
