"""What a signature says of an output: a digest of each record, plan, label, certificate, and of what else is trusted.

Records of seals hold the sha256 of each sealed file, so that who signs the records signs the rows. Records and plans
are folded into histories in time: so what is signed is their content, and not the bytes of an object.

    seals     by config_id: digests of the records of seals 0, 1, ...
    runs      by run_id: of the record of each run that has ended
    plans     by run_id: of its rows
    objects   by name: sha256 of each object that is created once
    layout    partitions, time zone, and the type of each column
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.audit.unknown_objects import OutputNames, is_ours
from framegate.pipelines.commit.fixed import read_fixed
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import read_plans
from framegate.pipelines.commit.records import PLAN
from framegate.pipelines.commit.runs import ENDED, read_runs
from framegate.pipelines.commit.seal_log import SealLog
from framegate.schemas.clock import now

SIGNED_FOLDERS: Final = (
    "configs", "adoptions", "questions", "indexes", "calibrations", "labels", "tombstones", "erasures",
)  # fmt: skip
"""Whose objects are created once, and go by an erasure alone."""


def make_statement(output: Output, *, number: int, previous: str | None) -> dict[str, Any]:
    """Of the output as it is. `previous`: sha256 of the statement that was signed before. Raises StorageError."""
    below = OutputNames.of(output)
    folders = {info.uri.rsplit("/", 2)[-2] for info in output.list("seals")}
    config_ids = sorted(folder.removeprefix("config_id=") for folder in folders)
    fixed = read_fixed(output)
    objects = {
        below.name(uri): hashlib.sha256(data).hexdigest()
        for folder in SIGNED_FOLDERS
        for uri, data in output.store.read_present(info.uri for info in output.list(folder))
        if data is not None and is_ours(below.name(uri))
    }
    plans: dict[str, list[pa.Table]] = {}
    for run_id, rows in read_plans(output, PLAN.names):
        plans.setdefault(run_id, []).append(rows)
    return {
        "number": number,
        "previous": previous,
        "signed_at": now().isoformat(timespec="seconds"),
        "seals": {
            id: [digest_of(record.to_document()) for record in SealLog(output, id).read_records()] for id in config_ids
        },
        "runs": {run_id: digest_of(run) for run_id, run in read_runs(output).items() if run["state"] in ENDED},
        "plans": {run_id: digest_of_rows(tables) for run_id, tables in sorted(plans.items())},
        "objects": objects,
        "layout": None if fixed is None else json.loads(fixed.to_json()),
    }


def encode_statement(statement: Mapping[str, Any]) -> str:
    """The text that is signed."""
    return json.dumps(dict(statement), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest_of(document: Mapping[str, Any]) -> str:
    """Of a JSON document, whatever the order of its keys."""
    text = json.dumps(dict(document), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_rows(tables: list[pa.Table]) -> str:
    """Of the rows of a plan, which may come in parts, in whatever order they are."""
    rows = pa.concat_tables([table.select(PLAN.names).cast(PLAN) for table in tables]).sort_by("video_id")
    hashes = pc.call_function("binary_join", [rows.column("question_hashes").combine_chunks(), pa.scalar(",")])
    texts = [hashes if name == "question_hashes" else rows.column(name).combine_chunks() for name in PLAN.names]
    digest = hashlib.sha256()
    for text in texts:
        values = pc.call_function("binary_length", [text]).to_numpy(zero_copy_only=False)
        digest.update(values.tobytes())
        digest.update("".join(pa.array(text, pa.string()).to_pylist()).encode())
    return digest.hexdigest()
