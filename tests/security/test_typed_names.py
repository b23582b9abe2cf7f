"""What is typed, and what a file or a column is called, is repeated harmlessly and steers nothing."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from framegate.schemas.escape import as_file_name
from framegate.schemas.job import load_job
from tests.security.hostile_texts import CANARY, is_harmless, run


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("../../etc/cron", "_.._etc_cron", id="folders-above"),
        pytest.param("a\x1b[2J\u202eb\n", "a__2J_b_", id="control-characters"),
        pytest.param("/etc/passwd", "_etc_passwd", id="absolute"),
        pytest.param("...", "_", id="dots-alone"),
        pytest.param("x" * 400, "x" * 120, id="too-long"),
    ],
)
def test_a_file_is_named_plainly(text: str, name: str) -> None:
    assert as_file_name(text) == name


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["plan", "--no\x1b[2J\u202e"], id="option-that-is-none"),
        pytest.param(["query", "SELECT 1", "--rows", "\x1b[2J\u202e"], id="value-of-a-wrong-type"),
        pytest.param(["no\x1b[2J\u202e"], id="command-that-is-none"),
        pytest.param(["query", "SELECT 1", "x\x1b[2J\u202e"], id="argument-too-many"),
        pytest.param(["plan", "no\x1b[2J\u202e.yaml"], id="job-that-is-not-there"),
        pytest.param(["query", "SELEKT \x1b[2J\u202e", "-o", "nowhere"], id="sql-that-is-none"),
    ],
)
def test_what_is_typed_wrongly_is_repeated_harmlessly(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert is_harmless(result.output)
    assert "\\x1b[2J" in result.output or arguments[-1] in ("nowhere", "\x1b[2J\u202e")  # which are not repeated


def test_a_defect_shows_a_harmless_traceback_without_secrets() -> None:
    program = (
        "import sys\nfrom framegate.jobs import cli\nsys.argv = ['framegate', 'plan', 'job.yaml']\n"
        "import framegate.schemas.job as job\n"
        f"def broken(path): raise KeyError('\\x1b[2J https://h/a?sig={CANARY}')\n"
        "job.load_job = broken\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KeyError" in done.stderr
    shown = done.stderr.split("KeyError", 2)[-1]
    assert CANARY not in shown
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a\u2028output: {uri: stolen}\u2028#", id="separator-ends-a-comment"),
        pytest.param("a\noutput: {uri: stolen}\n#", id="newline-ends-a-comment"),
        pytest.param("a\x1b[2J\x85b", id="control-character-is-no-yaml"),
        pytest.param('"]\u2029output: {uri: stolen}', id="quote-ends-a-list"),
    ],
)
@pytest.mark.parametrize("place", ["name", "column"])
def test_a_first_job_is_the_one_that_was_asked_for_whatever_is_called_how(
    tmp_path: Path, name: str, place: str
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / (f"{name.replace('/', '_')}.mp4" if place == "name" else "a.mp4")).write_text("no video")
    if place == "column":
        with (folder / "m.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["uri", name], ["a.mp4", "x"]])
    job = tmp_path / "job.yaml"
    result = run("init", str(folder), "--out", str(job), "--output", str(tmp_path / "index"))
    assert result.exit_code == 0, result.output
    assert load_job(job).config.output.uri == str(tmp_path / "index")
    assert is_harmless(job.read_text())
    assert is_harmless(result.output)
