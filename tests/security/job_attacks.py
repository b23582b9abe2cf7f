"""A job to attack with, YAML that grows without end, and how a refusal is looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from framegate.schemas.errors import ConfigError

CANARY = "k4n4ry-5ec2e7"
JOB: dict[str, Any] = {
    "input": {"videos": "films"},
    "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
    "model": {"name": "dock"},
    "output": {"uri": "index"},
}
PLAIN = yaml.safe_dump(JOB)
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)
)
MERGED_LAUGHS = "a0: &a0 {k: v}\n" + "\n".join(
    f"a{n}: &a{n} {{k{n}: [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]}}" for n in range(1, 25)
)


def refused(act: Callable[[], object], said: str | tuple[str, ...]) -> str:
    """The sentence, which comes at once and on one line."""
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        act()
    sentence = str(caught.value)
    assert time.monotonic() - began < 10
    assert any(part in sentence for part in ((said,) if isinstance(said, str) else said)), sentence
    assert len(sentence) < 1_500
    assert sentence.isprintable()
    return sentence


def run_command(*arguments: str) -> Any:
    from framegate.jobs.cli import app

    return CliRunner().invoke(app, list(arguments))
