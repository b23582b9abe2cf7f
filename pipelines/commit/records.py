"""Records of runs and configurations: what a config_id stands for, what a run planned to do, and what it did.

They are small objects beside the tables, each created once. A run that was killed has `runs/<run_id>.begun.json` and no
`runs/<run_id>.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import yaml

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store import Store
from framegate.pipelines.store.parquet import NOT_OURS, encode_parquet
from framegate.schemas.errors import FramegateError, StorageError

PLAN: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("video_uri", pa.string(), nullable=False),
        pa.field("video_version", pa.string(), nullable=False),
        pa.field("question_hashes", pa.list_(pa.string()), nullable=False),
        pa.field("config_id", pa.string(), nullable=False),
    ]
)
"""plans/<run_id>.parquet: one row per video that the run has work for, by video_id."""

PLAN_GROUP_ROWS = 16_384  # of a row group; an erasure looks for single videos by the groups' statistics


def record_config(output: Output, config_id: str, document: Mapping[str, Any]) -> None:
    """configs/<config_id>.yaml; the same document gives the same bytes, so that every run may call this."""
    text = yaml.safe_dump(dict(document), sort_keys=True, allow_unicode=True)
    output.store.put_once(output.layout.config(config_id), text.encode())


def record_begun(output: Output, run_id: str, facts: Mapping[str, Any]) -> None:
    """runs/<run_id>.begun.json: config_id, started_at, questions (id to hash), num_videos to do; nothing of the host.

    It is created, with the plan, before the first unit is committed, so that every row has a run. Raises StorageError.
    """
    _put_json(output.store, output.layout.run_begun(run_id), facts)


def record_plan(output: Output, run_id: str, planned: pa.Table) -> None:
    """plans/<run_id>.parquet. `planned` has at least the columns of PLAN; the others are left out. Raises StorageError.

    The same plan gives the same bytes. An erasure takes the rows of its videos out again.
    """
    missing = [name for name in PLAN.names if name not in planned.column_names]
    if missing:
        raise FramegateError(f"a plan needs the columns {', '.join(PLAN.names)}; it lacks {', '.join(missing)}")
    rows = planned.select(PLAN.names).sort_by("video_id").cast(PLAN)
    output.store.put_once(output.layout.plan(run_id), encode_parquet(rows, row_group_rows=PLAN_GROUP_ROWS))


def record_run(output: Output, run_id: str, record: Mapping[str, Any]) -> None:
    """runs/<run_id>.json. Raises StorageError."""
    _put_json(output.store, output.layout.run(run_id), record)


def read_runs(output: Output) -> dict[str, dict[str, Any]]:
    """The records of runs that came to an end, by run_id. Raises StorageError where an object is not a record."""
    return _read_json(output, is_begun=False)


def read_begun(output: Output) -> dict[str, dict[str, Any]]:
    """The records of all runs that began, by run_id. Raises StorageError where an object is not a record."""
    return _read_json(output, is_begun=True)


def parse_record(uri: str, data: bytes) -> dict[str, Any]:
    """One record. Raises StorageError where the object is not a record."""
    try:
        record = json.loads(data)
    except ValueError as error:
        raise StorageError(f"{uri} is no run record ({error}); {NOT_OURS}") from error
    if not isinstance(record, dict):
        raise StorageError(f"{uri} is no run record: it holds a {type(record).__name__} where a mapping should be")
    return record


def _put_json(store: Store, uri: str, record: Mapping[str, Any]) -> None:
    store.put_once(uri, (json.dumps(dict(record), indent=2, sort_keys=True) + "\n").encode())


def _read_json(output: Output, *, is_begun: bool) -> dict[str, dict[str, Any]]:
    uris = [info.uri for info in output.list("runs") if info.uri.endswith(".json")]
    wanted = [uri for uri in uris if uri.endswith(".begun.json") == is_begun]
    names = {uri: uri.rpartition("/")[2].removesuffix(".json").removesuffix(".begun") for uri in wanted}
    return {names[uri]: parse_record(uri, data) for uri, data in output.store.read_many(wanted)}
