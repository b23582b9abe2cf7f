"""The command says what it would change and changes nothing; told to, it does exactly that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as pads
import pytest
from typer.testing import Result

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store import Store
from framegate.schemas.errors import StorageError
from framegate.schemas.keys import uri_digest

Framegate = Callable[..., Result]
V1, V2, V6 = (f"s3://cameras/v{number}.mp4" for number in (1, 2, 6))


def content(output: str) -> dict[str, bytes]:
    """Every object; names with a dot are the store's own, on a local disk."""
    files = (path for path in Path(output).rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path): path.read_bytes() for path in files}


def videos(output: str, table: str) -> set[str]:
    return set(pads.dataset(f"{output}/{table}").to_table(["video_uri"]).column("video_uri").to_pylist())


def plans(output: str) -> set[str]:
    return videos(output, "plans")


def rows_of(path: Path) -> list[dict]:
    document = json.loads(path.read_text())
    assert document["command"] == "erase"
    return document["rows"]


def test_a_dry_run_says_what_would_go_and_changes_no_byte(framegate: Framegate, output: str, tmp_path: Path) -> None:
    before = content(output)
    result = framegate("erase", output, "--video", V1, "--video", V6, "--json", str(tmp_path / "dry.json"))
    assert result.exit_code == 0, result.output
    assert content(output) == before
    assert "dry run: nothing was changed; with --execute, 2 videos would be forgotten" in result.stdout
    first, second, *objects = rows_of(tmp_path / "dry.json")
    assert (first["video_uri"], first["results"], first["failures"], first["plans"]) == (V1, 4, 1, 2)
    assert (second["video_uri"], second["results"], second["journal"], second["attempts"]) == (V6, 0, 1, 1)
    told = {(row["action"], row["table"]): row["rows"] for row in objects}
    assert told[("replace", "results")] == 4
    assert told[("delete", "journal")] is None
    assert {row["object"] for row in objects} <= before.keys()


def test_executed_it_changes_what_the_dry_run_said(framegate: Framegate, output: str, tmp_path: Path) -> None:
    before = content(output)
    framegate("erase", output, "--video", V1, "--video", V6, "--json", str(tmp_path / "dry.json"))
    told = {row["object"] for row in rows_of(tmp_path / "dry.json") if "object" in row}
    result = framegate(
        "erase", output, "--video", V1, "--video", V6, "--execute", "--json", str(tmp_path / "done.json")
    )
    assert result.exit_code == 0, result.output
    after = content(output)
    assert {name for name, data in before.items() if after.get(name) != data} == told
    assert all("/tombstones/" in name or "/erasures/" in name for name in after.keys() - before.keys())
    [receipt] = rows_of(tmp_path / "done.json")
    assert set(receipt["videos"]) == {uri_digest(V1), uri_digest(V6)}
    assert receipt["rows"]["a" * 16] == {"results": 4, "failures": 1, "journal": 1}
    assert "2 videos forgotten" in result.stdout
    assert "not reached:" in result.stdout
    assert "videos themselves" in result.stdout
    assert not any(uri.encode() in data for uri in (V1, V6) for data in after.values())
    assert plans(output) == {f"s3://cameras/v{number}.mp4" for number in (2, 3, 4, 5, 7, 8)}


def test_a_prefix_means_what_the_output_holds_below_it(framegate: Framegate, output: str) -> None:
    assert framegate("erase", output, "--prefix", "s3://cameras/v", "--execute").exit_code == 0
    assert plans(output) == videos(output, "results") == videos(output, "failures") == set()
    result = framegate("erase", output, "--prefix", "s3://elsewhere/")
    assert (result.exit_code, result.stdout) == (0, "no video of the output is meant: nothing to erase\n")


@pytest.mark.parametrize(
    ("condition", "gone"),
    [
        ("video_uri LIKE '%v1.mp4'", {V1}),
        ("thinking AND clip_index = 1", {V1, V2}),
        ("reason = 'truncated'", {"s3://cameras/v5.mp4"}),
        ("attempts > 7", set()),
    ],
)
def test_a_condition_chooses_by_the_rows_of_either_table(
    framegate: Framegate, output: str, tmp_path: Path, condition: str, gone: set[str]
) -> None:
    result = framegate("erase", output, "--where", condition, "--json", str(tmp_path / "dry.json"))
    assert result.exit_code == 0, result.output
    assert {row["video_uri"] for row in rows_of(tmp_path / "dry.json") if "video_uri" in row} == gone


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "1",
        "video_uri",
        "nothing = 1",
        "true) UNION SELECT 's3://other' --",
        "true; DROP TABLE answers",
        "true LIMIT 1",
        "true, true",
        "count(*) > 0",
        "EXISTS (SELECT 1 FROM read_csv('/etc/passwd'))",
    ],
)
def test_what_is_no_condition_is_refused(framegate: Framegate, output: str, condition: str) -> None:
    before = content(output)
    result = framegate("erase", output, "--where", condition, "--execute")
    assert (result.exit_code, result.stderr.startswith("error: ")) == (2, True)
    assert content(output) == before


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--video", V1, "--prefix", "s3://"),
        ("--prefix", "a", "--where", "true"),
        ("--prefix", ""),
        ("--video", ""),
    ],
)
def test_it_must_be_clear_which_videos(framegate: Framegate, output: str, arguments: tuple[str, ...]) -> None:
    before = content(output)
    result = framegate("erase", output, *arguments, "--execute")
    assert (result.exit_code, "--" in result.stderr) == (2, True)
    assert content(output) == before


def test_a_video_that_is_not_indexed_yet_is_kept_out(framegate: Framegate, output: str, tmp_path: Path) -> None:
    local = tmp_path / "later.mp4"
    assert framegate("erase", output, "--video", f"file://{local}", "--execute").exit_code == 0
    [tombstone] = Output.at(output).list("tombstones")
    assert tombstone.uri.endswith(f"{uri_digest(str(local))}.json")


def test_an_erasure_that_broke_off_is_completed_by_the_same_command(
    framegate: Framegate, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the condition no longer finds the videos, as their answers are gone already."""
    condition = ("erase", output, "--where", "thinking AND video_uri LIKE '%v1.mp4'")
    replace, left = Store.replace, [1]

    def replace_once(self: Store, uri: str, data: bytes, *, if_match: str) -> object:
        if not left:
            raise StorageError("the line is cut")
        left.pop()
        return replace(self, uri, data, if_match=if_match)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "replace", replace_once)
        broken = framegate(*condition, "--execute")
    assert broken.exit_code == 1
    assert "the line is cut; the erasure broke off: give the same command again to complete it" in broken.stderr
    assert V1 in plans(output)
    assert V1 not in videos(output, "results")
    dry = framegate(*condition)
    assert "broke off; --execute completes it first" in dry.stdout
    done = framegate(*condition, "--execute", "--json", str(tmp_path / "done.json"))
    assert done.exit_code == 0, done.output
    assert V1 not in plans(output)
    [receipt] = rows_of(tmp_path / "done.json")
    assert receipt["rows"]["a" * 16] == {"results": 4, "failures": 1}


def test_a_missing_output_is_said_in_one_sentence(framegate: Framegate, tmp_path: Path) -> None:
    result = framegate("erase", str(tmp_path / "nowhere"), "--video", V1, "--execute")
    assert (result.exit_code, result.stderr.startswith("error: there is no output at ")) == (2, True)


def test_on_s3(framegate: Framegate, s3_root: str, fill_output: Callable) -> None:
    fill_output(s3_root)
    assert framegate("erase", s3_root, "--where", "thinking", "--execute").exit_code == 0
    status = framegate("query", "-o", s3_root, "--format", "csv", "SELECT count(*) AS n FROM answers")
    assert status.stdout.split() == ["n", "0"]
