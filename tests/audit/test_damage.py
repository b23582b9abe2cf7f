"""An audit finds each kind of damage by the check that is meant for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.audit.report import AuditReport
from framegate.pipelines.commit.tombstones import set_tombstones
from framegate.pipelines.commit.unit_format import encode_unit, parse_unit
from framegate.pipelines.erase.records import ErasureBegun, put_erasure_begun
from framegate.schemas.counts import SEALED_COUNTS
from framegate.schemas.keys import uri_digest

Archive = Any
Damage = Callable[[Archive], None]


def wrong(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.findings for check in report.checks if check.num_findings}


def look(archive: Archive, *, is_quick: bool = False) -> dict[str, list[str]]:
    return wrong(audit(archive.output, is_quick=is_quick))


@pytest.fixture(scope="module")
def whole(make_archive: Callable[[str], Archive], tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(str(tmp_path_factory.mktemp("whole") / "index"))


@pytest.fixture
def archive(whole: Archive, tmp_path: Path) -> Archive:
    return whole.copied(str(tmp_path / "index"))


def sealed(archive: Archive, kind: str = "results") -> Path:
    return min(Path(archive.output.root, kind).rglob("*.parquet"))


def flip(at: float) -> Damage:
    def damage(archive: Archive) -> None:
        data = bytearray(sealed(archive).read_bytes())
        data[int(at * (len(data) - 1))] ^= 0x40
        sealed(archive).write_bytes(data)

    return damage


def change_table(archive: Archive, change: Callable[[pa.Table], pa.Table], kind: str = "results") -> None:
    """Another content of the first sealed file that its seal and its run agree with."""
    path = sealed(archive, kind)
    table = change(pq.ParquetFile(path).read())
    pq.write_table(table, path)
    archive.agree(path, table.num_rows)


def double_a_row(archive: Archive, kind: str) -> None:
    change_table(archive, lambda table: pa.concat_tables([table, table.slice(0, 1)]), kind)


def change_plan(archive: Archive, change: Callable[[list[dict]], list[dict]]) -> None:
    path = Path(archive.output.layout.plan("run-1"))
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)


def without_a_question(rows: list[dict]) -> list[dict]:
    return [{**row, "question_hashes": row["question_hashes"][1:]} for row in rows]


def put(name: str, data: bytes = b"x") -> Damage:
    def damage(archive: Archive) -> None:
        path = Path(archive.output.root, name.format(config=archive.config_id))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return damage


def remove(name: str) -> Damage:
    return lambda archive: Path(archive.output.root, name.format(config=archive.config_id)).unlink()


def change_count(name: str) -> Damage:
    def damage(archive: Archive) -> None:
        path = Path(archive.output.layout.run("run-1"))
        record = json.loads(path.read_text())
        record["counts"][name] += 1
        path.write_text(json.dumps(record))

    return damage


def change_seal(archive: Archive) -> None:
    """One answer more in the seal's record and in the run's."""
    path = Path(archive.output.layout.seal_record(archive.config_id, 0))
    record = json.loads(path.read_text())
    record["runs"]["run-1"]["num_answers"] += 1
    path.write_text(json.dumps(record))
    change_count("num_answers")(archive)


def change_unit(change: Callable[[bytes], bytes]) -> Damage:
    def damage(archive: Archive) -> None:
        path = min(Path(archive.output.root, "journal").rglob("*.arrow.zst"))
        path.write_bytes(change(path.read_bytes()))

    return damage


def drop_column(data: bytes) -> bytes:
    return encode_unit(parse_unit("x", data).drop_columns(["answer"]))


def copy(kind: str, name: str) -> Damage:
    return lambda archive: shutil.copy(sealed(archive, kind), sealed(archive, kind).with_name(name)) and None


def forget_badly(archive: Archive) -> None:
    set_tombstones(archive.output, [uri_digest("a.mp4")], "some-erasure")


def begin_to_forget(archive: Archive) -> None:
    put_erasure_begun(archive.output, ErasureBegun(erasure_id="e1", begun_at="2026", videos=(uri_digest("z.mp4"),)))


def with_long_clip_index(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("clip_index")
    return table.set_column(place, "clip_index", table["clip_index"].cast("int64"))


DAMAGES: dict[str, tuple[Damage, set[str], str]] = {
    "a file is gone": (lambda a: sealed(a).unlink(), {"sealed_files"}, "is missing, and its 15 rows with it"),
    "the other kind of file is gone": (lambda a: sealed(a, "failures").unlink(), {"sealed_files"}, "is missing"),
    **{f"a bit flips at {at:.0%}": (flip(at), {"sealed_files"}, "") for at in (0, 0.05, 0.3, 0.6, 0.9, 0.99, 1)},
    "a file twice": (copy("results", "00000007.parquet"), {"sealed_files", "unique_results"}, "is in no seal"),
    "a file of failures twice": (copy("failures", "x.parquet"), {"sealed_files", "unique_failures"}, "is in no seal"),
    "a foreign file": (put("results/notes.parquet"), {"sealed_files"}, "results/notes.parquet is in no seal"),
    "no record of a seal": (remove("seals/config_id={config}/00000000.json"), {"sealed_files"}, "of seal 0 of"),
    "a damaged record of a seal": (put("seals/config_id={config}/00000000.json"), {"sealed_files"}, "no record of"),
    "a row twice": (lambda a: double_a_row(a, "results"), {"unique_results"}, "stands twice, in results/"),
    "a failure twice": (lambda a: double_a_row(a, "failures"), {"unique_failures"}, "stands twice, in failures/"),
    "no record of a run": (remove("runs/run-1.json"), {"planned"}, "runs/run-1.json is missing"),
    "no plan": (remove("plans/run-1.parquet"), {"planned"}, "plans/run-1.parquet is missing"),
    "a damaged plan": (put("plans/run-1.parquet"), {"planned"}, "plans/run-1.parquet is missing or cannot be read"),
    "no configuration": (remove("configs/{config}.yaml"), {"planned"}, ".yaml is missing"),
    "a video unplanned": (lambda a: change_plan(a, lambda rows: rows[1:]), {"planned"}, "in no plan of its run run-1"),
    "a question unplanned": (lambda a: change_plan(a, without_a_question), {"planned"}, "in results is in no plan"),
    "an empty plan": (lambda a: change_plan(a, lambda _: []), {"planned"}, "in failures is in no plan"),
    **{
        f"{name} is wrong": (change_count(name), {"counts"}, f"runs/run-1.json says {name}")
        for name in SEALED_COUNTS
    },
    "a seal that miscounts": (change_seal, {"counts"}, "say of run run-1 num_"),
    "a damaged record of a run": (put("runs/run-1.json"), {"counts"}, "is no run record"),
    "a column too many": (
        lambda a: change_table(a, lambda table: table.append_column("mood", [["good"] * table.num_rows])),
        {"schema"}, "has a column mood",
    ),
    "a column of another type": (
        lambda a: change_table(a, with_long_clip_index),
        {"schema"}, "has int64 as clip_index, not int32",
    ),
    "a column missing": (
        lambda a: change_table(a, lambda table: table.drop_columns(["run_id"]), "failures"),
        {"schema"}, "has nothing as run_id, not string",
    ),
    "another config_id": (
        lambda a: shutil.move(
            a.output.layout.config(a.config_id), a.output.layout.config('b' * 16)
        ) and None,
        {"planned", "records"}, ".yaml is missing",
    ),
    "half a unit": (change_unit(lambda data: data[:-10]), {"journal"}, "no whole unit of the journal"),
    "a foreign unit": (put("journal/config_id={config}/x.parquet"), {"journal"}, "is no name of a unit"),
    "a unit without a column": (change_unit(drop_column), {"journal"}, "has nothing as answer, not string"),
    "a row of an erased video": (forget_badly, {"erased"}, "rows of erased videos"),
    "an erasure that broke off": (begin_to_forget, {"erased"}, "erasure e1 has begun and is not complete"),
    **{
        f"a stray {name}": (put(name), {"strays"}, "is no name that Framegate gives")
        for name in (
            "notes.txt", "results/readme.txt", "runs/x.txt", "seals/config_id={config}/odd.json", "thumbnails/a.png",
            "configs/job.yaml", "tombstones/a.mp4.json", "erasures/e/x.json", "plans/run-1.parquet.bak",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found_by_its_check(archive: Archive, name: str) -> None:
    damage, checks, words = DAMAGES[name]
    damage(archive)
    found = look(archive)
    assert set(found) == checks
    assert any(words in sentence for sentences in found.values() for sentence in sentences)


def test_a_quick_audit_finds_what_changes_rows_or_size(archive: Archive) -> None:
    table = pq.read_table(sealed(archive), partitioning=None)
    pq.write_table(table.slice(1), sealed(archive))
    assert set(look(archive, is_quick=True)) == {"sealed_files"}
