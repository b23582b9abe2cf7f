"""Damages to an output: an audit names each, by its check and its exit code, and signatures find what is forged."""

# ruff: noqa: E501  one damage a line
from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.calibrations import put_calibration
from framegate.pipelines.commit.first_asked import note_first_asked
from framegate.pipelines.commit.labels import put_labels
from framegate.pipelines.commit.lease import Member, enter
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_format import encode_unit, parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.commit.video_log import add_to_video_log, read_video_log
from framegate.pipelines.commit.video_rows import make_rows
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.certificate import Calibration, Certificate
from framegate.schemas.clock import now
from framegate.schemas.errors import StorageError
from framegate.schemas.keys import index_digest
from framegate.schemas.label import Label
from tests.audit.conftest import Archive

Damage = Callable[[Archive], Any]
LATER = "2999-01-01T00:00:00+00:00"


def root(archive: Archive) -> Path:
    return Path(archive.output.root)


def one(archive: Archive, pattern: str, number: int = 0) -> Path:
    """A file below the output; `{config}` stands for its config_id."""
    return sorted(root(archive).glob(pattern.format(config=archive.config_id)))[number]


def put(name: str, data: bytes = b"x") -> Damage:
    def damage(archive: Archive) -> None:
        path = root(archive) / name.format(config=archive.config_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return damage


def remove(pattern: str, number: int = 0) -> Damage:
    return lambda archive: one(archive, pattern, number).unlink()


def empty(pattern: str, number: int = 0) -> Damage:
    return lambda archive: one(archive, pattern, number).write_bytes(b"")


def double(pattern: str, name: str) -> Damage:
    """Copies a file to another name in its folder, or with a slash below the output."""

    def damage(archive: Archive) -> None:
        path = one(archive, pattern)
        there = root(archive) / name.format(config=archive.config_id) if "/" in name else path.with_name(name)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there)

    return damage


def swap(pattern: str) -> Damage:
    def damage(archive: Archive) -> None:
        first, second = one(archive, pattern, 0), one(archive, pattern, 1)
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)

    return damage


def edit(pattern: str, change: Callable[[Any], Any], number: int = 0) -> Damage:
    """Changes what a JSON or YAML file says."""

    def damage(archive: Archive) -> None:
        path = one(archive, pattern, number)
        told = yaml.safe_load(path.read_text())
        changed = change(told)
        path.write_text(json.dumps(told if changed is None else changed))

    return damage


def prefix(pattern: str, data: bytes) -> Damage:
    """Puts bytes before those of a file."""

    def damage(archive: Archive) -> None:
        path = one(archive, pattern)
        path.write_bytes(data + path.read_bytes())

    return damage


def say_twice(pattern: str, key: str) -> Damage:
    """A key of a JSON file stands there a second time, in front, with another value."""

    def damage(archive: Archive) -> None:
        path = one(archive, pattern)
        text = path.read_text()
        assert f'"{key}"' in text
        path.write_text(text.replace(f'"{key}"', f'"{key}": 7, "{key}"', 1))

    return damage


def rewrite(pattern: str, change: Callable[[pa.Table], pa.Table], number: int = 0) -> Damage:
    def damage(archive: Archive) -> None:
        path = one(archive, pattern, number)
        pq.write_table(change(pq.ParquetFile(path).read()), path)

    return damage


def rewrite_unit(change: Callable[[pa.Table], pa.Table]) -> Damage:
    def damage(archive: Archive) -> None:
        path = one(archive, UNITS)
        path.write_bytes(encode_unit(change(parse_unit("x", path.read_bytes()))))

    return damage


def link(name: str, pattern: str) -> Damage:
    def damage(archive: Archive) -> None:
        path = root(archive) / name.format(config=archive.config_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.symlink(one(archive, pattern), path)

    return damage


def fold(name: str) -> Damage:
    return lambda archive: (root(archive) / name.format(config=archive.config_id)).mkdir(parents=True)


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


def set_column(name: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        field = table.schema.field(name)
        return table.set_column(place, field, pa.array([value] * table.num_rows, field.type))

    return change


RESULTS, FAILURES = "results/config_id={config}/**/*.parquet", "failures/config_id={config}/**/*.parquet"
UNITS, SEALS, PLANS_OF_SEALS = (
    "journal/**/*.zst",
    "seals/config_id={config}/0*.json",
    "seals/config_id={config}/*.plan.parquet",
)
RUNS, PLANS, CONFIG, LAYOUT = "runs/run-*.json", "plans/run-*.parquet", "configs/{config}.yaml", "layout.json"
CALIBRATION, LABELS, QUESTIONS = "calibrations/*/*.json", "labels/*/*/*.json", "questions/*.json"
TOMBSTONE, BEGUN, RECEIPT = "tombstones/*.json", "erasures/*.begun.json", "erasures/*[0-9a-f].json"
STEP, VIDEOS, INDEX, LEASE, ATTEMPT = (
    "erasures/*/0*.json",
    "videos/*.parquet",
    "indexes/*.parquet",
    "leases/*.json",
    "attempts/*/*/*/*",
)
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


def rename(archive: Archive, pattern: str, change: Callable[[str], str]) -> None:
    path = one(archive, pattern)
    path.rename(path.with_name(change(path.name)))


@pytest.fixture(scope="module")
def whole(units: SimpleNamespace, facts: RunFacts, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An output that has an object of each kind."""
    archive = Archive(str(tmp_path_factory.mktemp("whole") / "index"), units, facts, {"camera": "north"}, ())
    output, config_id, questions = archive.output, archive.config_id, units.QUESTIONS
    video = units.make_video("a", {"camera": "north"})
    for clip in range(2):
        label = Label(
            video_id=video.video_id, clip_index=clip, question_hash=questions[0].hash, answer=f"yes {clip}",
            labelled_by="ann", labelled_at=datetime(2026, 11, 22, tzinfo=UTC),
        )  # fmt: skip
        put_labels(output, config_id, [label])
    whole = Certificate(
        claim="agreement", question_id=None, question_hash=None, epsilon=0.01, delta=0.05, threshold=0.9, num_rows=20,
        population=200, num_exits=10, num_different=1, bound=0.01, num_missing=0,
    )  # fmt: skip
    put_calibration(
        output,
        Calibration(
            calibration_id="20261122T000000000000Z-abcdef", config_id=config_id, made_at="2026-11-22T00:00:00+00:00",
            audit_rate=0.1, audit_unit="row", audit_salt="s", num_uncovered=0, number_tolerance=0.0, span_overlap=0.5,
            whole=whole, questions=(),
        ),
    )  # fmt: skip
    output.store.delete([info.uri for info in output.list("configs")])
    note_first_asked(output, questions, datetime(2026, 11, 20, tzinfo=UTC))
    output.store.put_once(output.layout.config(config_id), yaml.safe_dump(archive.document).encode())
    rows = {"video_id": [video.video_id], "video_uri": [video.uri], "video_version": ["1"], "state": "current"}
    moment = {"since": datetime(2026, 11, 20, tzinfo=UTC), "source": "list"}
    add_to_video_log(
        output,
        make_rows({**{k: pa.array(v) if isinstance(v, list) else v for k, v in rows.items()}, **moment}, 1),
        read_video_log(output),
    )
    assert enter(output, config_id, Member(run_id="run-3"), now=now()) is None
    about = {
        b"framegate_shard": json.dumps({"uri": "s.tar", "version": "1", "refusal": None, "num_ignored": {}}).encode()
    }
    index = pa.table({"name": ["m.mp4"]}).replace_schema_metadata(about)
    name = f"{output.root}/indexes/{index_digest('s.tar', '1', 2)}.parquet"
    output.store.put_once(name, encode_parquet(index))
    attempt = output.layout.attempt(config_id, video.video_id, "decode", "run-3", 1)
    output.store.put_once(attempt, b'{"run_id": "run-3", "begun_at": "2026-11-22T00:00:00+00:00"}')
    erase(output, ["b.mp4"])
    assert findings(archive) == {}
    assert findings(archive, quick=True) == {}
    return archive


@pytest.fixture
def archive(whole: Archive, tmp_path: Path) -> Archive:
    return whole.copied(str(tmp_path / "index"))


def findings(archive: Archive, *, quick: bool = False) -> dict[str, list[str]]:
    return {check.name: check.findings for check in audit(archive.output, is_quick=quick).checks if check.num_findings}


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


# Signatures: what was forged together with its hashes.


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """`keys(name)`: the files of a private and a public key."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives import serialization as form

    folder = tmp_path_factory.mktemp("keys")

    def make(name: str) -> tuple[Path, Path]:
        key, private, public = ed25519.Ed25519PrivateKey.generate(), folder / f"{name}.pem", folder / f"{name}.pub"
        none = form.NoEncryption()
        private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, none))
        whole = form.PublicFormat.SubjectPublicKeyInfo
        public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, whole))
        return private, public

    return make


def call(archive: Archive, *options: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", archive.output.root, *map(str, options)], env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.fixture
def signed(archive: Archive, keys: Callable[[str], tuple[Path, Path]]) -> tuple[Archive, Path, Path]:
    private, public = keys("signer")
    code, text = call(archive, "--sign", private)
    assert (code, "signatures/00000000.json.gz" in text) == (0, True), text
    return archive, private, public


def forge_rows(archive: Archive) -> None:
    """Other answers, with the file's new hash in its record and its plan left as it was."""
    path = one(archive, RESULTS)
    table = pq.ParquetFile(path).read()
    metadata = pq.read_metadata(path).metadata
    forged = set_column("answer", "no")(table).replace_schema_metadata(
        {key: value for key, value in (metadata or {}).items() if key.startswith(b"framegate")}
    )
    pq.write_table(forged, path)
    name, data = str(path.relative_to(root(archive))), path.read_bytes()
    record_path = one(archive, SEALS, -1)
    record = json.loads(record_path.read_text())
    (file,) = [file for file in record["files"] if file["uri"] == name]
    sha256 = hashlib.sha256(data).hexdigest()
    file.update(sha256=sha256, sha256_sealed=sha256, size_bytes=len(data))
    record_path.write_text(json.dumps(record))
    step_paths = root(archive).glob(STEP)
    for step in step_paths:
        if json.loads(step.read_text())["file"] == name:
            step.write_text(json.dumps({**json.loads(step.read_text()), "file": "results/none"}))


FORGED = [
    pytest.param(forge_rows, "was changed since it was signed", id="rows-with-their-hashes"),
    pytest.param(
        edit(RUNS, lambda r: r.update(job="other")), "the record of run run-1 was changed", id="field-of-a-run"
    ),
    pytest.param(edit(LAYOUT, lambda d: d.update(time_zone="Asia/Tokyo")), "time_zone Asia/Tokyo", id="time-zone"),
    pytest.param(
        lambda a: rename(a, LABELS, lambda name: name[:25] + "20270101T000000Z" + name[41:]) or None,
        "was signed, and is missing",
        id="time-of-a-label",
    ),
    pytest.param(
        edit(CALIBRATION, lambda d: d["whole"].update(threshold=0.1)),
        "was changed since it was signed",
        id="certificate",
    ),
    pytest.param(rewrite(PLANS, lambda t: pa.concat_tables([t, t.slice(0, 1)])), "the plan of run run-1", id="plan"),
    pytest.param(
        put(CONFIG, b"model: other\n"), "was changed since it was signed", id="configuration-without-a-version"
    ),
    pytest.param(remove("signatures/*.gz"), "nothing is signed with the key", id="signature-removed"),
    pytest.param(empty("signatures/*.gz"), "is no signature", id="signature-emptied"),
    pytest.param(double("signatures/*.gz", "00000007.json.gz"), "is out of order", id="signature-copied"),
]


@pytest.mark.parametrize(("forge", "words"), FORGED)
def test_what_was_forged_after_signing_is_found(signed: tuple[Archive, Path, Path], forge: Damage, words: str) -> None:
    archive, private, public = signed
    assert call(archive, "--verify", public)[0] == 0
    forge(archive)
    code, text = call(archive, "--verify", public)
    assert code == 1
    assert words in " ".join(text.split()), text
    if not any(
        part in words for part in ("signature", "nothing is signed", "out of order")
    ):  # who signs again does not vouch for it
        assert call(archive, "--sign", private)[0] == 1
        assert len(list(root(archive).glob("signatures/*"))) == 1


def test_a_changed_statement_is_no_signature(signed: tuple[Archive, Path, Path]) -> None:
    archive, _, public = signed
    path = one(archive, "signatures/*.gz")
    told = json.loads(gzip.decompress(path.read_bytes()))
    statement = {**json.loads(told["statement"]), "seals": {}}
    path.write_bytes(gzip.compress(json.dumps({**told, "statement": json.dumps(statement)}).encode()))
    code, text = call(archive, "--verify", public)
    assert code == 1
    assert "is not signed with a key that was given" in " ".join(text.split())


def test_another_key_is_none(signed: tuple[Archive, Path, Path], keys: Callable[[str], tuple[Path, Path]]) -> None:
    archive, _, public = signed
    other, other_public = keys("other")
    assert call(archive, "--verify", other_public)[0] == 1
    assert call(archive, "--sign", other)[0] == 1  # what the first key signed is not verified by it
    assert call(archive, "--sign", other, "--verify", public)[0] == 0
    assert call(archive, "--verify", public, "--verify", other_public)[0] == 0


def test_what_writers_add_is_not_signed_yet_and_no_finding(signed: tuple[Archive, Path, Path], facts: RunFacts) -> None:
    archive, private, public = signed
    archive.run("run-4", "e")
    code, text = call(archive, "--verify", public)
    assert code == 0, text
    assert "1 seals are not signed yet" in text
    assert "1 plans are not signed yet" in text
    assert call(archive, "--sign", private)[0] == 0
    assert "not signed yet" not in call(archive, "--verify", public)[1].replace("what is in them is not signed yet", "")


def test_an_erasure_after_signing_is_a_note(signed: tuple[Archive, Path, Path]) -> None:
    archive, _, public = signed
    erase(archive.output, ["c.mp4"])
    code, text = call(archive, "--verify", public)
    assert code == 0, text
    assert "were written anew since" in " ".join(text.split())


def test_a_key_that_is_none_and_a_quick_audit_are_refused(archive: Archive, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = tmp_path / "key"
    key.write_text("secret words")
    for options in (("--sign", key), ("--verify", key), ("--sign", key, "--quick"), ("--sign", tmp_path / "none")):
        code, text = call(archive, *options)
        assert code != 0
        assert "secret words" not in text
    assert not list(root(archive).glob("signatures"))
