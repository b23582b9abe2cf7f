"""A query as a person types it, and what it says."""

from __future__ import annotations

from collections.abc import Callable

from typer.testing import Result

Framegate = Callable[..., Result]


def asked(framegate: Framegate, output: str, sql: str, *options: str) -> str:
    result = framegate("query", sql, "-o", output, *options)
    assert result.exit_code == 0, result.output
    return result.stdout
