"""The README holds: its commands exist, its job is a job, its map is the tree."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from framegate.jobs.cli import app
from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.job import parse_job, parse_questions

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMES = "plan|run|status|query|demo|train|eval|probe|bench|audit|erase|seal"
COMMANDS = sorted(set(re.findall(rf"framegate ((?:{NAMES})\b[^\n`#]*)", README)))


def find_command(words):
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"framegate has no command {words[0]}"
        command = command.commands[words.pop(0)]
    return command


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line):
    words = shlex.split(line) if line.count('"') % 2 == 0 else line.split()
    command = find_command(words)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known


def test_the_readme_names_every_command():
    assert {line.split()[0] for line in COMMANDS} == set(typer.main.get_command(app).commands)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^ +make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_the_example_job_and_its_questions_are_accepted():
    blocks = re.findall(r"((?:^    .*\n)+)", README, re.MULTILINE)
    (job,) = [yaml.safe_load(block) for block in blocks if block.startswith("    input:")]
    (questions,) = [yaml.safe_load(block) for block in blocks if block.startswith("    - {id:")]
    parse_questions(questions)
    parse_job({**job, "questions": questions})


def test_the_map_is_the_tree():
    section = README.split("## Map")[1].split("## ")[0]
    for line in filter(str.strip, section.splitlines()):
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        folder = ROOT if indent == 4 else ROOT / "pipelines"
        assert (folder / name).exists(), name


def test_every_reason_code_is_in_the_table():
    table = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", README, re.MULTILINE))
    assert table == REASON_MEANINGS


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README
