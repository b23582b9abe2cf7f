"""The command line as a whole: which commands there are, that each helps with examples, and how all of them fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Framegate = Callable[..., Result]
COMMANDS = [
    ["demo"], ["plan"], ["probe"], ["run"], ["status"], ["query"], ["audit"], ["train", "dock"], ["eval", "dock"],
    ["bench", "decode"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_helps_with_examples(framegate: Framegate, command: list[str]) -> None:
    result = framegate(*command, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert f"framegate {' '.join(command)}" in result.stdout


@pytest.mark.parametrize(
    "command",
    [["plan"], ["probe"], ["run"], ["status"], ["query"], ["audit"], ["eval", "dock"], ["bench", "decode"]],
    ids=" ".join,
)
def test_commands_that_measure_write_json(framegate: Framegate, command: list[str]) -> None:
    assert "--json" in framegate(*command, "--help").stdout


def test_the_first_help_names_every_command(framegate: Framegate) -> None:
    shown = framegate("--help").stdout
    assert all(command[0] in shown for command in COMMANDS)


def test_help_fills_its_lines(framegate: Framegate) -> None:
    lines = [line.strip() for line in framegate("plan", "--help").stdout.splitlines()]
    assert any(line.startswith("Clips and tokens are estimated") and line.endswith("model path.") for line in lines)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, framegate.jobs.cli; sys.exit(str({'torch', 'ray', 'av', 'transformers'} & set(sys.modules) or ''))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_an_unknown_option_is_refused(framegate: Framegate) -> None:
    assert framegate("run", "job.yaml", "--fast").exit_code == 2
