"""An audit finds nothing in an output that is whole, whatever happened to it, and says what is worth knowing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.audit.report import CHECKS, MAX_SENTENCES, AuditReport
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.tombstones import set_tombstones
from framegate.pipelines.erase.erase import erase
from framegate.schemas.errors import ObjectNotFound
from framegate.schemas.keys import uri_digest

Archive = Any
Damage = Callable[[Archive], None]


def wrong(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.findings for check in report.checks if check.num_findings}


def look(archive: Archive, *, is_quick: bool = False) -> dict[str, list[str]]:
    return wrong(audit(archive.output, is_quick=is_quick))


@pytest.fixture
def archive(make_archive: Callable[[str], Archive], tmp_path: Path) -> Archive:
    return make_archive(str(tmp_path / "index"))


@pytest.mark.parametrize("kind", ["local", "memory", "s3"])
@pytest.mark.parametrize("is_quick", [False, True])
def test_a_whole_output_has_no_findings(
    make_archive: Callable, request: pytest.FixtureRequest, tmp_path: Path, kind: str, is_quick: bool
) -> None:
    archive = make_archive(str(tmp_path) if kind == "local" else request.getfixturevalue(f"{kind}_root"))
    report = audit(archive.output, is_quick=is_quick)
    assert wrong(report) == {}
    assert [check.name for check in report.checks] == list(CHECKS)
    figures = {check.name: check.num_checked for check in report.checks}
    assert (figures["unique_results"], figures["unique_failures"]) == ((0, 0) if is_quick else (15, 4))
    assert (figures["counts"], figures["sealed_files"], figures["journal"]) == (4, 2, 2)
    assert figures["planned"] == (3 if is_quick else 15 + 4 + 6)
    assert "2 units wait" in report["journal"].notes[0]
    assert report["counts"].notes == ["1 runs were killed or are at work, such as run-3"]


def test_a_relative_root_and_an_uri_are_the_same(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(archive.output.root).parent)
    for root in ("index", "./index/", f"file://{archive.output.root}"):
        report = audit(Output.at(root))
        assert wrong(report) == {}
        assert report["unique_results"].num_checked == 15


def test_an_output_with_partitions_and_columns_of_a_manifest(make_archive: Callable, tmp_path: Path) -> None:
    archive = make_archive(str(tmp_path), inputs={"camera": "north"}, partition_by=("camera",))
    assert len(list(Path(tmp_path, "results").rglob("camera=north/*.parquet"))) == 1
    assert look(archive) == {}


def test_nothing_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFound, match="there is no output at"):
        audit(Output.at(str(tmp_path / "nowhere")))


def test_an_upload_that_was_left_open_is_found(make_archive: Callable, s3_root: str) -> None:
    archive = make_archive(s3_root)
    fs, path = archive.output.store.filesystem(s3_root)
    bucket, _, prefix = path.partition("/")
    name = f"results/config_id={archive.config_id}/00000009.parquet"
    fs.call_s3("create_multipart_upload", Bucket=bucket, Key=f"{prefix}/{name}")
    (sentence,) = look(archive).pop("uploads")
    assert sentence.startswith(f"an upload of {name} is open since ")


def test_a_row_that_erasing_missed_is_found_in_journal_and_plans_as_well(archive: Archive) -> None:
    set_tombstones(archive.output, [uri_digest("d.mp4")], "some-erasure")
    found = look(archive)["erased"]
    assert [sentence.partition("/")[0] for sentence in found] == ["journal", "journal", "plans", "tombstones"]


@pytest.mark.parametrize("uri", ["a.mp4", "b.mp4", "broken.mp4", "c.mp4", "d.mp4", "never-seen.mp4"])
@pytest.mark.parametrize("is_quick", [False, True])
def test_an_erasure_leaves_nothing_to_find(archive: Archive, uri: str, is_quick: bool) -> None:
    erase(archive.output, [uri])
    assert look(archive, is_quick=is_quick) == {}
    seal(archive.output, archive.config_id)
    erase(archive.output, ["b.mp4", "c.mp4"])
    assert look(archive, is_quick=is_quick) == {}


def test_what_two_runs_did_at_once_is_one_run_short_and_no_finding(archive: Archive) -> None:
    archive.run("run-4", "ab")
    report = audit(archive.output)
    assert wrong(report) == {}
    assert report["unique_results"].num_checked == 15 + 6  # those of run-3, which the same seal took, alone are new
    record = json.loads(Path(archive.output.layout.run("run-4")).read_text())
    record["counts"]["num_answers"] += 1
    Path(archive.output.layout.run("run-4")).write_text(json.dumps(record))
    assert set(look(archive)) == {"counts"}


def test_records_of_an_older_version_that_do_not_tell_unparsed_answers_are_no_finding(archive: Archive) -> None:
    (seal_path,) = Path(archive.output.root, "seals").rglob("00000000.json")
    run_path = Path(archive.output.layout.run("run-1"))
    for path in (seal_path, run_path):
        record = json.loads(path.read_text())
        assert (record["counts"] if path == run_path else record["runs"]["run-1"]).pop("num_unparsed") == 0
        path.write_text(json.dumps(record))
        assert look(archive) == {}
    record["counts"]["num_answers"] += 1
    run_path.write_text(json.dumps(record))
    assert set(look(archive)) == {"counts"}


def test_a_unit_that_came_after_its_run_was_recorded_is_no_finding(archive: Archive) -> None:
    archive.commit_late("run-1", "a")
    assert look(archive) == {}
    seal(archive.output, archive.config_id)
    report = audit(archive.output)
    assert wrong(report) == {}
    assert report["unique_results"].num_checked == 15 + 6 + 3


def test_findings_are_counted_and_some_of_them_told(archive: Archive) -> None:
    for number in range(MAX_SENTENCES + 5):
        Path(archive.output.root, f"odd-{number}").touch()
    report = audit(archive.output)
    assert (report["strays"].num_findings, len(report["strays"].findings)) == (MAX_SENTENCES + 5, MAX_SENTENCES)
    assert (report.num_findings, report.is_clean) == (MAX_SENTENCES + 5, False)


def test_what_a_killed_writer_hid_is_said_after_a_day(archive: Archive) -> None:
    path = Path(archive.output.root, "journal", f".unit.parquet.{'a' * 32}")
    path.write_bytes(b"half")
    assert audit(archive.output)["strays"].notes == []
    long_ago = time.time() - 25 * 3600
    os.utime(path, (long_ago, long_ago))
    report = audit(archive.output)
    assert wrong(report) == {}
    assert report["strays"].notes[0].startswith("1 hidden temporary files (4 bytes), older than a day")
