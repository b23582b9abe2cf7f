"""The pages hold: each command in them exists with its options, and each command stands in one of them."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from framegate.jobs.cli import app
from framegate.schemas.run import Phase
from tests.docs.pages import PAGES, ROOT, code_blocks, rows, section

CLI = typer.main.get_command(app)
NAMES = "|".join(CLI.commands)
TYPED = re.compile(rf"framegate ((?:{NAMES})\b.*)")


def typed(page: str) -> list[str]:
    """What stands behind `framegate` in code blocks, and in text between backquotes."""
    lines = "\n".join(code_blocks(page)).splitlines()
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page)
    found = [match[1] for match in map(TYPED.search, [*lines, *inline]) if match]
    return [re.split(r"\s#\s|\s{3,}|\s>>", text)[0].strip() for text in found]


COMMANDS = sorted({(page, text) for page, content in PAGES.items() for text in typed(content)})


def find_command(words: list[str]):
    command = CLI
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"framegate has no command {words[0]}"
        command = command.commands[words.pop(0)]
    return command


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_and_option_exists(page: str, line: str) -> None:
    words = shlex.split(line)
    command = find_command(words)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known


def test_the_pages_name_every_command() -> None:
    named = {text.split()[0] for _, text in COMMANDS}
    assert named == set(CLI.commands)
    benchmarks = {text.split()[1] for _, text in COMMANDS if text.startswith("bench ")}
    assert benchmarks == set(CLI.commands["bench"].commands)


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)\b(?=[`\n ]*(?:`|$|  ))", PAGES[page], re.MULTILINE)) <= targets


def test_the_phases_of_a_run_are_in_operate() -> None:
    table = section(PAGES["docs/operate.md"], "Progress and logs").split("A run goes through these phases")[1]
    assert [row[0] for row in rows(table)] == [phase.value for phase in Phase]


def test_exit_codes_are_those_of_the_commands() -> None:
    from framegate.jobs import audit, erase, log, run_end, seal
    from framegate.pipelines.driver.signals import HEEDED

    table = PAGES["docs/operate.md"].split("## Exit codes")[1].split("## ")[0]
    codes = {int(code) for code in re.findall(r"\b\d+\b", table.splitlines()[2])}
    assert codes == {
        0, audit.EXIT_FINDINGS, log.EXIT_REFUSED, erase.EXIT_BROKE_OFF, seal.EXIT_BROKE_OFF, run_end.EXIT_INCOMPLETE,
        run_end.EXIT_DEADLINE, *(run_end.EXIT_SIGNALLED + number for number in HEEDED),
    }  # fmt: skip
