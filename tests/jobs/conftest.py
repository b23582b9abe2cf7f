"""The commands as a person types them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from framegate.jobs.cli import app


@pytest.fixture
def framegate() -> Callable[..., Result]:
    """`framegate("query", "SELECT 1")` as if typed; wide enough that no table cell is folded."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"}, catch_exceptions=False)

    return invoke
