"""The command brings an output of an earlier version up to date, which other commands refuse until then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from framegate.pipelines.commit.fixed import FILE_FORMAT, fix, read_fixed
from framegate.pipelines.commit.output import Output
from tests.old_outputs import put_config_id_into_files

Framegate = Callable[..., Result]
CONFIG_ID = "a" * 16
JOB = (
    "input: {videos: videos/}\nmodel: {name: dock}\noutput: {uri: index}\n"
    "questions: [{id: q, text: Is anyone there, type: yes_no}]\n"
)


@pytest.fixture
def old(output: str) -> str:
    put_config_id_into_files(Output.at(output))
    return output


def columns(root: str) -> set[str]:
    return {name for path in Path(root).glob("*/config_id=*/*.parquet") for name in pq.read_schema(path).names}


def test_an_old_output_is_migrated_once(framegate: Framegate, old: str, tmp_path: Path) -> None:
    fixed = read_fixed(Output.at(old))
    assert fixed is not None
    assert fixed.file_format != FILE_FORMAT
    before = framegate("query", "-o", old, "--format", "csv", "SELECT * EXCLUDE (config_id) FROM answers ORDER BY ALL")
    assert "config_id" in columns(old)
    result = framegate("migrate", old, "--json", str(tmp_path / "migrated.json"))
    assert result.exit_code == 0, result.output
    [row] = json.loads((tmp_path / "migrated.json").read_text())["rows"]
    assert (row["config_id"], row["num_files"], row["num_outdated"], row["num_answers"]) == (CONFIG_ID, 2, 0, 0)
    assert "config_id" not in columns(old)
    fixed = read_fixed(Output.at(old))
    assert fixed is not None
    assert fixed.file_format == FILE_FORMAT
    after = framegate("query", "-o", old, "--format", "csv", "SELECT * EXCLUDE (config_id) FROM answers ORDER BY ALL")
    assert after.stdout == before.stdout
    again = framegate("migrate", old)
    assert (again.exit_code, again.stdout) == (0, f"all sealed files in {old} are up to date\n")
    assert framegate("audit", old).exit_code == 0


@pytest.mark.parametrize("command", ["plan", "run", "seal"])
def test_other_commands_refuse_it_in_one_sentence_and_change_nothing(
    framegate: Framegate, old: str, tmp_path: Path, command: str
) -> None:
    (tmp_path / "videos").mkdir()
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    before = {path: path.read_bytes() for path in Path(old).rglob("*") if path.is_file()}
    result = framegate(command, str(job))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert f"run 'framegate migrate {old}' once" in result.stderr
    after = {path: path.read_bytes() for path in Path(old).rglob("*") if path.is_file()}
    told = {path for path in after if command == "run" and path.parent.name == "runs"}  # that a run was refused
    assert {path: data for path, data in after.items() if path not in told - {*before}} == before


def test_what_only_reads_goes_on(framegate: Framegate, old: str) -> None:
    for command in (("status", old), ("audit", old), ("query", "-o", old, "SELECT count(*) FROM failures")):
        assert framegate(*command).exit_code == 0, command


def test_a_column_that_came_later_is_brought_to_older_files(framegate: Framegate, output: str) -> None:
    fix(Output.at(output), [], {"camera": pa.string()})
    assert "input_camera" not in columns(output)
    assert framegate("migrate", output).exit_code == 0
    assert {"input_camera"} <= columns(output)


def test_a_config_id_that_is_not_there_is_refused(framegate: Framegate, output: str) -> None:
    result = framegate("migrate", output, "--config-id", "b" * 16)
    assert (result.exit_code, CONFIG_ID in result.stderr) == (2, True)
