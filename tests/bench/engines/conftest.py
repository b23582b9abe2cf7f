"""One tiny checkpoint of each family for all tests of the engines' benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.bench.engines.checkpoint import make_checkpoint
from pipelines.bench.engines.shapes import FAMILY_NAMES


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return {family: make_checkpoint(folder / family, family, 1_000_000, seed=1).folder for family in FAMILY_NAMES}
