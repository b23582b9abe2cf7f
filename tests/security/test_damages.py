"""Damages to an output: an audit names each, by its check and its exit code."""

# ruff: noqa: E501  one damage a line
from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.schemas.errors import StorageError
from tests.audit.conftest import Archive
from tests.security.damaging import (
    ATTEMPT,
    BEGUN,
    CALIBRATION,
    CONFIG,
    FAILURES,
    INDEX,
    LABELS,
    LAYOUT,
    PLANS,
    PLANS_OF_SEALS,
    QUESTIONS,
    RECEIPT,
    RESULTS,
    RUNS,
    SEALS,
    STEP,
    TOMBSTONE,
    UNITS,
    VIDEOS,
    Damage,
    double,
    edit,
    empty,
    findings,
    fold,
    link,
    one,
    prefix,
    put,
    remove,
    rename,
    rewrite,
    rewrite_unit,
    root,
    say_twice,
    set_column,
    swap,
)

LATER = "2999-01-01T00:00:00+00:00"


def flip_in_the_middle(archive: Archive) -> None:
    path = one(archive, RESULTS)
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)


def swap_footers(archive: Archive) -> None:
    first, second = one(archive, RESULTS), one(archive, FAILURES)
    one_data, other = first.read_bytes(), second.read_bytes()

    def split(data: bytes) -> tuple[bytes, bytes]:
        size = int.from_bytes(data[-8:-4], "little") + 8
        return data[:-size], data[-size:]

    first.write_bytes(split(one_data)[0] + split(other)[1])
    second.write_bytes(split(other)[0] + split(one_data)[1])


def older_version(archive: Archive) -> None:
    """The sealed file as it was before the last seal added to it."""
    records = SealLog(archive.output, archive.config_id).read_records()
    path = one(archive, RESULTS)
    path.write_bytes(path.read_bytes()[: records[0].files[-1].size_bytes])


def into_other_config(archive: Archive) -> None:
    folder = one(archive, UNITS).parent
    there = root(archive) / "journal" / f"config_id={'b' * 16}" / folder.name
    there.parent.mkdir()
    shutil.move(folder, there)


OTHER = "f" * 16


def case(id: str, damage: Damage, check: str, words: str, *, quick: bool = False) -> Any:
    return pytest.param(damage, check, words, quick, id=id)


DAMAGES = [
    # what no seal recorded, below the sealed tables
    case("hidden-file", put("results/config_id={config}/.evil.parquet"), "strays", "is hidden from listings", quick=True),
    case("hidden-folder", put("results/.cache/a.parquet"), "strays", "results/.cache/ is a hidden folder", quick=True),
    case("hidden-folder-deep", put("clips/config_id={config}/.x/y/z.parquet"), "strays", "a hidden folder", quick=True),
    case("hidden-lock-with-content", put("results/.framegate-lock", b"data"), "strays", "is hidden", quick=True),
    case("foreign-suffix", put("results/config_id={config}/_SUCCESS", b""), "strays", "no name that Framegate", quick=True),
    case("foreign-parquet", put("failures/config_id={config}/x.parquet"), "sealed_files", "is in no seal", quick=True),
    case("foreign-partition", double(RESULTS, "results/config_id={config}/camera=x/00000000.parquet"), "sealed_files", "is in no seal"),
    case("foreign-config", double(RESULTS, f"results/config_id={OTHER}/00000000.parquet"), "sealed_files", "is in no seal"),
    case("second-name", double(RESULTS, "00000005.parquet"), "sealed_files", "is in no seal"),
    case("empty-folder", fold("results/config_id={config}/camera=evil"), "strays", "is an empty folder", quick=True),
    case("empty-foreign-folder", fold("thumbnails/a"), "strays", "is an empty folder", quick=True),
    case("link-to-a-file", link("results/config_id={config}/00000009.parquet", FAILURES), "strays", "is a link to", quick=True),
    case("link-to-a-folder", link("clips/config_id={config}", "failures/config_id={config}"), "strays", "is a link", quick=True),
    case("dangling-link", lambda a: os.symlink("/nowhere", root(a) / "runs" / "x.json"), "strays", "is a link to /nowhere", quick=True),
    case("pipe", lambda a: os.mkfifo(root(a) / "results" / "pipe"), "strays", "is a pipe", quick=True),
    # sealed files
    case("sealed-missing", remove(RESULTS), "sealed_files", "is missing", quick=True),
    case("sealed-empty", empty(RESULTS), "sealed_files", "cannot be read", quick=True),
    case("sealed-older", older_version, "sealed_files", "cannot be read", quick=True),
    case("sealed-swapped", lambda a: swap_files(a, RESULTS, FAILURES), "schema", "", quick=True),
    case("sealed-row-group-changed", flip_in_the_middle, "sealed_files", ""),
    case("sealed-footers-swapped", swap_footers, "schema", "", quick=True),
    case("sealed-row-changed", rewrite(RESULTS, set_column("answer", "forged")), "sealed_files", "was sealed with"),
    case("sealed-byte-before", prefix(RESULTS, b"P"), "sealed_files", "", quick=True),
    case("seal-plan-byte-before", prefix(PLANS_OF_SEALS, b"P"), "sealed_files", ""),
    case("plan-byte-before", prefix(PLANS, b"P"), "planned", "cannot be read"),
    case("videos-byte-before", prefix(VIDEOS, b"P"), "records", ""),
    case("index-byte-before", prefix(INDEX, b"P"), "records", ""),
    # seals
    case("seal-far-out-of-order", put("seals/config_id={config}/99999999.json", b"{}"), "sealed_files", "the records of seals 2 to 99999998", quick=True),
    case("seal-plan-out-of-order", double(PLANS_OF_SEALS, "99999999.plan.parquet"), "sealed_files", "is out of order", quick=True),
    case("seal-record-copied", double(SEALS, "00000002.json"), "sealed_files", "holds the record of seal 0", quick=True),
    case("seal-records-swapped", swap(SEALS), "sealed_files", "holds the record of seal 1", quick=True),
    case("seal-record-missing", remove(SEALS), "sealed_files", "the record of seal 0", quick=True),
    case("seal-record-empty", empty(SEALS), "sealed_files", "is no record of a seal", quick=True),
    case("seal-record-wrong-types", edit(SEALS, lambda r: r.update(num_units="many")), "sealed_files", "num_units is 'many'", quick=True),
    case("seal-record-wrong-numbers", edit(SEALS, lambda r: r["runs"]["run-1"].update(num_answers=99)), "counts", "say of run run-1", quick=False),
    case("seal-record-leads-out", edit(SEALS, lambda r: r["files"][0].update(partition="../../../tmp")), "sealed_files", "is no sealed file", quick=True),
    case("seal-record-of-other-config", lambda a: copy_seals(a), "sealed_files", "is no sealed file of", quick=True),
    case("seal-plan-missing", remove(PLANS_OF_SEALS), "sealed_files", "the plan of seal 0", quick=True),
    case("seal-plan-empty", empty(PLANS_OF_SEALS), "sealed_files", "bring it back from a copy", quick=True),
    case("seal-plans-swapped", swap(PLANS_OF_SEALS), "sealed_files", "and its record has", quick=True),
    case("seal-plan-shortened", rewrite(PLANS_OF_SEALS, lambda t: t.slice(1)), "sealed_files", "and its record has", quick=True),
    case("seal-record-with-other-digits", double(SEALS, "0000000\u0662.json"), "strays", "no name that Framegate", quick=True),
    case("seal-record-with-nine-digits", double(SEALS, "000000002.json"), "strays", "no name that Framegate", quick=True),
    case("seal-plan-with-nine-digits", double(PLANS_OF_SEALS, "000000000.plan.parquet"), "strays", "no name that Framegate", quick=True),
    case("sealed-file-with-nine-digits", double(RESULTS, "000000000.parquet"), "sealed_files", "is in no seal"),
    case("seal-record-nested", put("seals/config_id={config}/00000001.json", b"[" * 100_000), "sealed_files", "is no record of a seal", quick=True),
    case("seal-record-key-twice", say_twice(SEALS, "num_units"), "sealed_files", "the key 'num_units' stands twice", quick=True),
    case("run-nested", put("runs/run-1.json", b"[" * 100_000), "counts", "is no run record", quick=True),
    case("tombstone-nested", put("tombstones/" + "0" * 32 + ".json", b"[" * 100_000), "erased", "is no record of ours", quick=True),
    case("question-nested", put("questions/" + "0" * 16 + "-unknown.json", b"[" * 100_000), "records", "is no record of its kind", quick=True),
    # layout and configurations
    case("layout-missing", remove(LAYOUT), "layout", "layout.json is missing", quick=True),
    case("layout-empty", empty(LAYOUT), "layout", "cannot be right", quick=True),
    case("layout-other-partitions", edit(LAYOUT, lambda d: d.update(partition_by=["site"])), "layout", "says partition_by ['site']", quick=True),
    case("layout-column-gone", edit(LAYOUT, lambda d: d["columns"].clear()), "layout", "has nothing as input_camera", quick=True),
    case("layout-columns-gone", edit(LAYOUT, lambda d: d.pop("columns") and None), "layout", "has nothing as input_camera", quick=True),
    case("layout-column-renamed", edit(LAYOUT, lambda d: d.update(columns={"Camera": "string"})), "layout", "has nothing as input_camera", quick=True),
    case("layout-other-type", edit(LAYOUT, lambda d: d["columns"].update(camera="int64")), "layout", "has int64 as input_camera, and failures", quick=True),
    case("layout-as-of-an-earlier-version", edit(LAYOUT, lambda d: {"partition_by": d["partition_by"]}), "layout", "has nothing as input_camera", quick=True),
    case("layout-no-time-zone", edit(LAYOUT, lambda d: d.update(time_zone="Mars/Olympus")), "layout", "cannot be right", quick=True),
    case("config-missing", remove(CONFIG), "planned", ".yaml is missing", quick=True),
    case("config-empty", empty(CONFIG), "records", "is empty", quick=True),
    case("config-changed", edit(CONFIG, lambda d: d.update(model="other")), "records", "was changed", quick=True),
    case("config-copied", double(CONFIG, f"{OTHER}.yaml"), "records", "was changed", quick=True),
    # runs and their plans
    case("run-missing", remove(RUNS), "planned", "runs/run-1.json is missing", quick=True),
    case("run-empty", empty(RUNS), "counts", "is no run record", quick=True),
    case("run-copied", double(RUNS, "run-9.json"), "records", "is the record of run run-1", quick=True),
    case("runs-swapped", swap(RUNS), "records", "is the record of run", quick=True),
    case("run-wrong-counts", edit(RUNS, lambda r: r["counts"].update(num_answers=1)), "counts", "num_answers 1 but", quick=True),
    case("run-wrong-types", edit(RUNS, lambda r: r["counts"].update(decode_seconds="long")), "records", "as 'long'", quick=True),
    case("run-of-unknown-state", edit(RUNS, lambda r: r.update(state="fine")), "records", "has the state 'fine'", quick=True),
    case("run-in-the-future", edit(RUNS, lambda r: r.update(started_at=LATER)), "records", "is yet to come", quick=True),
    case("run-list", put("runs/run-7.json", b"[]"), "counts", "where a mapping should be", quick=True),
    case("plan-missing", remove(PLANS), "planned", "plans/run-1.parquet is missing", quick=True),
    case("plan-empty", empty(PLANS), "planned", "cannot be read"),
    case("plan-copied", double(PLANS, "run-9.parquet"), "planned", "is of no run that is recorded", quick=True),
    case("plans-swapped", swap(PLANS), "planned", "is in no plan"),
    case("plan-of-other-config", rewrite(PLANS, set_column("config_id", OTHER)), "planned", "they were moved there"),
    # the journal
    case("unit-empty", empty(UNITS), "journal", "sets it aside", quick=True),
    case("unit-of-other-schema", rewrite_unit(lambda t: t.drop_columns(["video_id"])), "journal", "has nothing as video_id", quick=True),
    case("unit-more-columns", rewrite_unit(lambda t: t.append_column("x", pa.array([1] * t.num_rows))), "journal", "has a column x", quick=True),
    case("unit-no-parquet", put("journal/config_id={config}/" + "0" * 16 + "/0000000-0000001-abcdefabcdef.parquet"), "journal", "sets it aside", quick=True),
    case("unit-of-other-video", rewrite_unit(set_column("video_id", OTHER)), "journal", "another video", quick=True),
    case("units-swapped", swap(UNITS), "journal", "other clips", quick=True),
    case("unit-in-other-config", into_other_config, "planned", "they were moved there"),
    case("set-aside", put("quarantine/config_id={config}/" + "0" * 16 + "/journal-0000000-undecoded-1-20261130T010203Z-abcdefabcdef.arrow.zst"), "journal", "was set aside", quick=True),
    # labels, certificates, questions
    case("label-changed", edit(LABELS, lambda d: d.update(answer="no")), "records", "was changed"),
    case("label-empty", empty(LABELS), "records", "is empty", quick=True),
    case("labels-swapped", swap(LABELS), "records", "was changed"),
    case("label-of-no-row", lambda a: rename(a, LABELS, lambda name: "0000077" + name[7:]), "records", "is of no answer"),
    case("label-in-the-future", lambda a: rename(a, LABELS, lambda name: name[:25] + "29990101T000000Z" + name[41:]), "records", "is yet to come"),
    case("certificate-empty", empty(CALIBRATION), "records", "is empty", quick=True),
    case("certificate-copied", double(CALIBRATION, "20261130T010203000000Z-abcdef.json"), "records", "holds the calibration"),
    case("certificate-wrong-numbers", edit(CALIBRATION, lambda d: d["whole"].update(num_different=99)), "records", "cannot be right"),
    case("certificate-wrong-keys", edit(CALIBRATION, lambda d: d.pop("audit_rate") and None), "records", "is no record of its kind"),
    case("certificate-in-the-future", edit(CALIBRATION, lambda d: d.update(made_at=LATER)), "records", "is yet to come"),
    case("question-changed", edit(QUESTIONS, lambda d: d.update(text="else?")), "records", "was changed", quick=True),
    case("questions-swapped", swap(QUESTIONS), "records", "lies under another name", quick=True),
    # erasures
    case("tombstone-alone", put("tombstones/" + "0" * 32 + ".json", b'{"erasure_id": "none"}'), "erased", "is not recorded", quick=True),
    case("tombstone-of-other-videos", double(TOMBSTONE, "0" * 32 + ".json"), "erased", "is of other videos", quick=True),
    case("tombstone-missing", remove(TOMBSTONE), "erased", "so that the video comes back", quick=True),
    case("tombstone-empty", empty(TOMBSTONE), "erased", "is no record of ours", quick=True),
    case("erasure-missing", remove(BEGUN), "erased", ".begun.json is missing", quick=True),
    case("receipt-missing", remove(RECEIPT), "erased", "has begun and is not complete", quick=True),
    case("receipt-of-other-videos", edit(RECEIPT, lambda d: d.update(videos=["0" * 32])), "erased", "is of other videos", quick=True),
    case("receipt-in-the-future", edit(RECEIPT, lambda d: d.update(finished_at=LATER)), "erased", "is yet to come", quick=True),
    case("step-missing", remove(STEP), "erased", "lacks steps", quick=True),
    # the log of videos, indexes, leases, attempts
    case("videos-empty", empty(VIDEOS), "records", "is empty", quick=True),
    case("videos-foreign-state", rewrite(VIDEOS, set_column("state", "fine")), "records", "has the state 'fine'"),
    case("videos-with-nine-digits", double(VIDEOS, "000000001.parquet"), "strays", "no name that Framegate", quick=True),
    case("videos-out-of-order", double(VIDEOS, "99999999.parquet"), "records", "videos/ has an object 99999999", quick=True),
    case("videos-in-the-future", rewrite(VIDEOS, set_column("since", datetime(2999, 1, 1, tzinfo=UTC))), "records", "is yet to come"),
    case("index-copied", double(INDEX, "0" * 32 + ".parquet"), "records", "another shard"),
    case("lease-wrong-types", put("leases/{config}.json", b'{"members": 7}'), "records", "is no record of its kind", quick=True),
    case("attempt-of-other-run", edit(ATTEMPT, lambda d: d.update(run_id="run-8")), "records", "is of run run-8"),
]  # fmt: skip


def swap_files(archive: Archive, first: str, second: str) -> None:
    a, b = one(archive, first), one(archive, second)
    data = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(data)


def copy_seals(archive: Archive) -> None:
    shutil.copytree(one(archive, "seals/config_id={config}"), root(archive) / "seals" / f"config_id={OTHER}")


def test_there_are_enough_of_them() -> None:
    assert len(DAMAGES) >= 47


@pytest.mark.parametrize(("damage", "check", "words", "quick"), DAMAGES)
def test_a_damage_is_named(archive: Archive, damage: Damage, check: str, words: str, quick: bool) -> None:
    damage(archive)
    found = findings(archive)
    assert any(words in sentence for sentence in found.get(check, ())), found
    if quick:
        assert findings(archive, quick=True)


def name_twice(archive: Archive) -> None:
    path = one(archive, SEALS)
    os.link(path, root(archive).parent / "kept.json")


HARMLESS = [
    pytest.param(prefix(SEALS, b" \n"), id="seal-padded"),
    pytest.param(prefix(RUNS, b" \n"), id="run-padded"),
    pytest.param(prefix(RUNS, b"\xef\xbb\xbf"), id="run-with-byte-order-mark"),
    pytest.param(prefix(LAYOUT, b"\xef\xbb\xbf"), id="layout-with-byte-order-mark"),
    pytest.param(edit(RUNS, lambda r: r.update(of_a_later_version=1)), id="run-unknown-key"),
    pytest.param(name_twice, id="hard-link"),
]


@pytest.mark.parametrize("change", HARMLESS)
def test_what_changes_nothing_of_what_is_told_is_no_finding(archive: Archive, change: Damage) -> None:
    change(archive)
    assert findings(archive) == {}


def test_a_finding_is_an_exit_code(archive: Archive) -> None:
    put("results/.evil.parquet")(archive)
    result = CliRunner().invoke(app, ["audit", archive.output.root], catch_exceptions=False)
    assert result.exit_code == 1
    assert "strays: results/.evil.parquet (1 bytes) is hidden from listings" in result.stdout


def test_a_foreign_number_ends_seal_and_readers_with_a_sentence(archive: Archive) -> None:
    """Ten walks of a hundred million steps are what it was before."""
    put("seals/config_id={config}/99999999.json", b"{}")(archive)
    with pytest.raises(StorageError, match=r"out of order: .* object of seal 99999999, and no record of seal 2"):
        seal(archive.output, archive.config_id)
    with pytest.raises(StorageError, match="out of order"):
        SealLog(archive.output, archive.config_id).read_records()
    for command in (["status"], ["query", "SELECT count(*) FROM answers", "-o"]):
        result = CliRunner().invoke(app, [*command, archive.output.root])
        assert result.exit_code in (0, 2), result.output
