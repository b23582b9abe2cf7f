"""Two nights, once for all tests that only read them, and a browser where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.report.figures import Report
from framegate.schemas.config import CostConfig, OutputConfig, RayConfig
from tests.browser import Browser, find_browser
from tests.report.nights import write_nights

PRICED = Request(cost=CostConfig(gpu_hour=2.0), ray=RayConfig())


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Output:
    return write_nights(tmp_path_factory.mktemp("nights") / "index")


@pytest.fixture(scope="session")
def report(nights: Output) -> Report:
    return build_report(OutputConfig(uri=nights.root), PRICED)


@pytest.fixture(scope="session")
def browser() -> Browser:
    found = find_browser()
    if found is None:
        pytest.skip("no Chromium is on the PATH, and `python -m tests.install_browser` could not unpack one")
    return found


@pytest.fixture
def index(tmp_path: Path) -> Output:
    """The two nights, to be changed."""
    return write_nights(tmp_path / "index")
