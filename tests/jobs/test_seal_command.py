"""The command seals what the journal holds, into the folders and sizes that the job or the output says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import fix_partitioning
from framegate.pipelines.store import Store
from framegate.schemas.errors import StorageError

Framegate = Callable[..., Result]
CONFIG_ID = "a" * 16
JOB = (
    "input: {{videos: videos/}}\nmodel: {{name: ./model}}\noutput: {{uri: index, partition_by: [{by}]}}\n"
    "questions: [{{id: q, text: Is anyone there, type: yes_no}}]\n"
)


@pytest.fixture
def unsealed(output: str) -> str:
    """The output with one unit in the journal and no table yet, nor a word on how those are partitioned."""
    unsealed = Output.at(output)
    folders = ("results", "failures", "seals")
    uris = (info.uri for kind in folders for info in unsealed.list(kind))
    Store().delete([unsealed.layout.partitioning, *uris])
    return output


def test_the_journal_becomes_a_table_and_goes(framegate: Framegate, unsealed: str, tmp_path: Path) -> None:
    result = framegate("seal", unsealed, "--json", str(tmp_path / "sealed.json"))
    assert result.exit_code == 0, result.output
    [row] = json.loads((tmp_path / "sealed.json").read_text())["rows"]
    assert (row["config_id"], row["num_units"], row["num_answers"], row["num_failures"]) == (CONFIG_ID, 1, 1, 0)
    assert CONFIG_ID in result.stdout
    assert list(Output.at(unsealed).list("journal")) == []
    [table] = Output.at(unsealed).list("results")
    assert table.uri.endswith(f"config_id={CONFIG_ID}/00000000.parquet")
    again = framegate("seal", unsealed)
    assert (again.exit_code, again.stdout) == (0, f"nothing waits to be sealed in {unsealed}\n")


def test_an_object_that_belongs_to_no_config_id_is_none(framegate: Framegate, unsealed: str, tmp_path: Path) -> None:
    Path(unsealed, "seals").mkdir(exist_ok=True)
    Path(unsealed, "seals", "notes.txt").write_text("not ours")
    assert framegate("seal", unsealed, "--json", str(tmp_path / "sealed.json")).exit_code == 0
    assert [row["config_id"] for row in json.loads((tmp_path / "sealed.json").read_text())["rows"]] == [CONFIG_ID]


def test_folders_are_those_of_the_output(framegate: Framegate, unsealed: str) -> None:
    fix_partitioning(Output.at(unsealed), ("written_at.year",))
    assert framegate("seal", unsealed).exit_code == 0
    assert "written_at_year=2026" in str([info.uri for info in Output.at(unsealed).list("results")])


def test_folders_are_those_of_the_job(framegate: Framegate, unsealed: str, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(by="written_at.month"))
    assert framegate("seal", str(job)).exit_code == 0
    assert "written_at_month=1" in str([info.uri for info in Output.at(unsealed).list("results")])


def test_other_folders_than_there_are_is_refused(framegate: Framegate, unsealed: str, tmp_path: Path) -> None:
    fix_partitioning(Output.at(unsealed), ("camera",))
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(by="dock"))
    result = framegate("seal", str(job))
    assert result.exit_code == 2
    assert "partitioned by ['camera']" in " ".join(result.stderr.split())


def test_a_config_id_that_is_not_there_is_refused(framegate: Framegate, output: str) -> None:
    result = framegate("seal", output, "--config-id", "b" * 16)
    assert (result.exit_code, CONFIG_ID in result.stderr) == (2, True)
    assert framegate("seal", output, "--config-id", CONFIG_ID).exit_code == 0


def test_a_missing_output_is_said_in_one_sentence(framegate: Framegate, tmp_path: Path) -> None:
    result = framegate("seal", str(tmp_path / "nowhere"))
    assert (result.exit_code, result.stderr.startswith("error: there is no output at ")) == (2, True)


def test_storage_that_fails_on_the_way_is_no_wrong_usage(
    framegate: Framegate, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise StorageError("cannot write there")

    monkeypatch.setattr("framegate.pipelines.commit.seal.seal", fail)
    result = framegate("seal", output)
    assert (result.exit_code, "cannot write there; everything committed is kept" in result.stderr) == (1, True)
