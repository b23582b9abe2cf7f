"""docs/output.md holds: every object of a real output is one that it describes, with the fields that it describes."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from framegate.pipelines.commit.layout import UNIT, UNIT_ENDING, UNIT_ENDINGS
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.schemas.certificate import CALIBRATION_ID
from framegate.schemas.certified_pruning import PruneCertificate, PruneLevel
from framegate.schemas.drift import DriftRow
from framegate.schemas.tables import CLIPS, FAILURES, INPUT_PREFIX, RESULTS
from tests.docs.pages import PAGES, code_blocks, rows, section

OUTPUT = PAGES["docs/output.md"]
DOCUMENTED = {
    name: [row[0] for row in rows(text)]
    for name, text in re.findall(r"<!-- object: ([\w ]+) -->\n((?:\|.*\n)+)", OUTPUT)
}
ID = "[0-9a-f]{16}"
KINDS = {
    "results": r"results/.+\.parquet",
    "failures": r"failures/.+\.parquet",
    "clips": r"clips/.+\.parquet",
    "videos": r"videos/\d{8}(?:\.all)?\.parquet",
    "journal": rf"journal/config_id={ID}/{ID}/.+\.arrow\.zst",
    "deepened": rf"deepened/config_id={ID}/{ID}/.+\.arrow\.zst",
    "seal plan": rf"seals/config_id={ID}/\d{{8}}\.plan\.parquet",
    "seal record": rf"seals/config_id={ID}/\d{{8}}\.json",
    "seal history": rf"seals/config_id={ID}/history\.json\.gz",
    "attempt": rf"attempts/config_id={ID}/{ID}/[^/]+/[^/]+-\d{{4}}",
    "plan": r"plans/(?!history\.)[^/]+\.parquet",
    "plan history": r"plans/history\.parquet",
    "run record": r"runs/[^/.]+\.json",
    "run history": r"runs/history\.json\.gz",
    "lease": rf"leases/{ID}\.json",
    "config": rf"configs/{ID}\.yaml",
    "question": rf"questions/{ID}-(?:\d{{8}}T\d{{12}}Z|unknown)\.json",
    "adoption": rf"adoptions/{ID}\.yaml",
    "report": r"reports/[^/]+\.html",
    "label": rf"labels/config_id={ID}/{ID}/\d{{7}}-{ID}-\d{{8}}T\d{{6}}Z-[0-9a-f]{{12}}\.json",
    "calibration": rf"calibrations/config_id={ID}/{CALIBRATION_ID}\.json",
    "quarantine": rf"quarantine/config_id={ID}/{ID}/[^/]+",
    "signature": r"signatures/\d{8}\.json\.gz",
    "index": r"indexes/[0-9a-f]{32}\.parquet",
    "tombstone": r"tombstones/[0-9a-f]{32}\.json",
    "erasure begun": r"erasures/[^/]+\.begun\.json",
    "erasure step": r"erasures/[^/]+/\d{6}\.json",
    "erasure receipt": r"erasures/[^/.]+\.json",
    "layout": r"layout\.json",
}
QUARANTINED = re.compile(
    rf"(?P<folder>journal|deepened)-(?P<unit>{UNIT})-(?P<time>\d{{8}}T\d{{6}}Z)-(?P<digest>[0-9a-f]{{12}})"
    rf"(?P<ending>{UNIT_ENDINGS})"
)
SAME_COLUMNS = ("results", "failures", "clips", "journal", "deepened")
"""Kinds whose columns are told from the schemas."""
INNER = {
    "certificate",
    "plan history metadata",
    "prune certificate",
    "prune level",
    "seal plan metadata",
    "seal record answers",
    "seal record files",
    "seal record runs",
    "run record counts",
    "run record drift",
    "run record heartbeat",
    "signature statement",
    "index metadata",
}


@pytest.fixture(scope="module")
def objects(outputs: tuple[Path, ...]) -> dict[str, list[Path]]:
    """Every object of the outputs by its kind; one of no kind fails. Hidden files are none."""
    found: dict[str, list[Path]] = {}
    for root in outputs:
        for path in sorted(path for path in root.rglob("[!.]*") if path.is_file()):
            name = str(path.relative_to(root))
            [kind] = [kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, name)] or [f"unknown: {name}"]
            found.setdefault(kind, []).append(path)
    return found


def test_every_kind_of_object_is_there_and_described(objects: dict[str, list[Path]]) -> None:
    assert set(objects) == set(KINDS)
    assert set(DOCUMENTED) == (set(KINDS) - {"results", "failures", "clips", "deepened"}) | INNER


def test_the_tree_of_the_page_names_every_kind() -> None:
    tree = code_blocks(section(OUTPUT, "What lies below an output"))[0]
    examples = {
        "<id>": "a" * 16,
        "<config_id>": "a" * 16,
        "<video_id>": "b" * 16,
        "<hash>": "c" * 32,
        "<calibration_id>": "20261130T081500123456Z-0a1b2c",
        "<label>": f"0000001-{'d' * 16}-20261130T081500Z-{'e' * 12}",
        "<hash of URI>": "c" * 32,
        "<n>": "00000000",
        "<question_hash>": "d" * 16,
        "<time>": "20261121T120000000000Z",
        "<k>": "000001",
        "<scope>": "decode",
        "[<partition>=<value>/]": "",
    }
    named = set()
    for line in tree.splitlines():
        name = line.split("  ")[0]
        for place, value in (*examples.items(), ("-000001", "-0001")):
            name = name.replace(place, value)
        name = re.sub(r"<(\w+)>", r"\1-1", name)
        named |= {kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, name)}
    assert named == set(KINDS)


def fields_of(kind: str, path: Path) -> dict[str, Any]:
    """The fields of an object; of Parquet, columns; of what is no unit, the parts of its name."""
    if kind == "quarantine":
        match = QUARANTINED.fullmatch(path.name)
        assert match is not None
        return match.groupdict()
    if path.name.endswith(UNIT_ENDING):
        names = parse_unit(str(path), path.read_bytes()).column_names
        return dict.fromkeys(name for name in names if not name.startswith(INPUT_PREFIX))
    if path.suffix == ".parquet":
        return dict.fromkeys(name for name in pq.read_schema(path).names if not name.startswith(INPUT_PREFIX))
    data = path.read_bytes()
    if path.suffix == ".html":
        return dict.fromkeys(re.findall(r'<meta name="(framegate-[a-z]+)"', data.decode()))
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in SAME_COLUMNS])
def test_each_object_has_the_fields_of_the_page(objects: dict[str, list[Path]], kind: str) -> None:
    for path in objects[kind]:
        assert set(fields_of(kind, path)) == set(DOCUMENTED[kind]), path


def test_what_lies_inside_of_objects_is_described(objects: dict[str, list[Path]]) -> None:
    for path in objects["seal record"]:
        record = json.loads(path.read_text())
        for file in record["files"]:
            assert set(file) == set(DOCUMENTED["seal record files"])
        for counts in record["runs"].values():
            assert set(counts) == set(DOCUMENTED["seal record runs"])
        assert set(record["answers"]) == set(DOCUMENTED["seal record answers"])
    for path in objects["run record"]:
        record = json.loads(path.read_text())
        assert set(record["counts"]) == set(DOCUMENTED["run record counts"])
        assert set(record["heartbeat"]) == set(DOCUMENTED["run record heartbeat"])
    for path in objects["signature"]:
        statement = json.loads(json.loads(gzip.decompress(path.read_bytes()))["statement"])
        assert set(statement) == set(DOCUMENTED["signature statement"])
    for of, kind in (
        (DriftRow, "run record drift"),
        (PruneCertificate, "prune certificate"),
        (PruneLevel, "prune level"),
    ):
        assert [field.name for field in dataclasses.fields(of)] == DOCUMENTED[kind]
    for kind, key in (("seal plan", b"framegate"), ("plan history", b"framegate"), ("index", b"framegate_shard")):
        for path in objects[kind]:
            about = json.loads((pq.read_schema(path).metadata or {})[key])
            assert set(about) == set(DOCUMENTED[f"{kind} metadata"])


def test_tables_and_journal_have_the_columns_of_the_page(objects: dict[str, list[Path]]) -> None:
    for kind, schema in (("results", RESULTS), ("failures", FAILURES), ("clips", CLIPS)):
        for path in objects[kind]:
            assert set(fields_of(kind, path)) == set(schema.names)
    told = ({*RESULTS.names, *FAILURES.names, *CLIPS.names} - {"config_id"}) | set(DOCUMENTED["journal"])
    for path in (*objects["journal"], *objects["deepened"]):
        assert set(fields_of("journal", path)) == told
