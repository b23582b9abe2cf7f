"""The command line as a whole: which commands there are, that each helps with examples, and how all of them fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from framegate.jobs.cli import app

ROOT = Path(__file__).resolve().parents[2]
Framegate = Callable[..., Result]
COMMANDS = [
    ["demo"], ["plan"], ["probe"], ["run"], ["deepen"], ["status"], ["query"], ["audit"], ["train", "dock"],
    ["eval", "dock"], ["bench", "decode"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_helps_with_examples(framegate: Framegate, command: list[str]) -> None:
    result = framegate(*command, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert f"framegate {' '.join(command)}" in result.stdout


@pytest.mark.parametrize(
    "command",
    [["plan"], ["probe"], ["run"], ["deepen"], ["status"], ["query"], ["audit"], ["eval", "dock"], ["bench", "decode"]],
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


HEAVY = (
    "av", "decord", "duckdb", "fsspec", "jinja2", "numpy", "pandas", "pyarrow", "ray", "s3fs", "torch",
    "transformers", "vllm",
)  # fmt: skip
HELP = """
import json, sys
from typer.testing import CliRunner
from framegate.jobs.cli import app
for command in json.loads(sys.argv[1]):
    assert CliRunner().invoke(app, [*command, "--help"], catch_exceptions=False).exit_code == 0, command
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def every_command(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from every_command(command, (*path, name))


def test_help_of_every_command_loads_nothing_heavy() -> None:
    """`--help` answers at once because of what it does not load. A second is what pyarrow and pandas take alone."""
    commands = [list(path) for path in every_command(typer.main.get_command(app))]
    assert ["run"] in commands
    assert ["bench", "plan"] in commands
    done = subprocess.run(
        [sys.executable, "-c", HELP, json.dumps(commands)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) & set(HEAVY) == set()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("status",), "config_id"),
        (("query", "SELECT count(*) AS n FROM answers", "--format", "csv", "--output"), "n"),
        (("audit",), "nothing is wrong"),
    ],
    ids=["status", "query", "audit"],
)
def test_a_command_writes_nothing_but_what_it_says(arguments: tuple[str, ...], told: str, output: str) -> None:
    """Until the process has ended: a package may have something to say then."""
    code = "import sys; from framegate.jobs.cli import main; sys.argv[0] = 'framegate'; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments, output], capture_output=True, text=True, check=True)
    assert told in done.stdout
    assert done.stderr == ""


def test_the_version_is_that_of_the_package(framegate: Framegate) -> None:
    assert framegate("--version").stdout == f"framegate {version('framegate')}\n"


def test_an_unknown_option_is_refused(framegate: Framegate) -> None:
    assert framegate("run", "job.yaml", "--fast").exit_code == 2
