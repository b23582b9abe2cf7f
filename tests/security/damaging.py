"""Ways to damage an output, and what an audit finds then."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.unit_format import encode_unit, parse_unit
from tests.audit.conftest import Archive

Damage = Callable[[Archive], Any]


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


def rename(archive: Archive, pattern: str, change: Callable[[str], str]) -> None:
    path = one(archive, pattern)
    path.rename(path.with_name(change(path.name)))


def findings(archive: Archive, *, quick: bool = False) -> dict[str, list[str]]:
    return {check.name: check.findings for check in audit(archive.output, is_quick=quick).checks if check.num_findings}
