"""Records beside the tables, each created once: what a config_id stands for, and what a run planned to do.

Records of the runs themselves are in `commit.runs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import yaml

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store.parquet import NOT_OURS, encode_parquet
from framegate.schemas.errors import ConfigError, FramegateError, ObjectNotFound, StorageError
from framegate.schemas.plain_yaml import parse_yaml

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


def read_config(output: Output, config_id: str) -> dict[str, Any]:
    """What a config_id stands for. Raises ObjectNotFound, StorageError."""
    uri = output.layout.config(config_id)
    return _parse_yaml(uri, output.store.read(uri))


def record_adoption(output: Output, own_id: str, config_id: str, document: Mapping[str, Any], run_id: str) -> None:
    """adoptions/<own_id>.yaml: what follows from a job is filed under another config_id from now on.

    Raises ConfigError where another run has adopted another one meanwhile.
    """
    adoption = {"config_id": config_id, "run_id": run_id, "document": dict(document)}
    data = yaml.safe_dump(adoption, sort_keys=True, allow_unicode=True).encode()
    output.store.put_once(output.layout.adoption(own_id), data)
    if (there := read_adoption(output, own_id)) != config_id:
        raise ConfigError(f"another run has adopted config_id {there} for this job meanwhile, and not {config_id}")


def read_adoption(output: Output, own_id: str) -> str | None:
    """The config_id that was adopted in the place of `own_id`; None where none was. Raises StorageError."""
    uri = output.layout.adoption(own_id)
    try:
        return str(_parse_yaml(uri, output.store.read(uri))["config_id"])
    except ObjectNotFound:
        return None
    except KeyError as error:
        raise StorageError(f"{uri} is no adoption: it has no config_id") from error


def _parse_yaml(uri: str, data: bytes) -> dict[str, Any]:
    try:
        value = parse_yaml(data.decode(), uri)
    except (UnicodeDecodeError, ConfigError) as error:
        raise StorageError(f"{uri} is no YAML of ours ({error}); {NOT_OURS}") from error
    if not isinstance(value, dict):
        raise StorageError(f"{uri} holds no mapping; {NOT_OURS}")
    return value


def record_config(output: Output, config_id: str, document: Mapping[str, Any]) -> None:
    """configs/<config_id>.yaml; the same document gives the same bytes, so that every run may call this."""
    text = yaml.safe_dump(dict(document), sort_keys=True, allow_unicode=True)
    output.store.put_once(output.layout.config(config_id), text.encode())


def record_plan(output: Output, run_id: str, planned: pa.Table) -> None:
    """plans/<run_id>.parquet. `planned` has at least the columns of PLAN; the others are left out. Raises StorageError.

    The same plan gives the same bytes. An erasure takes the rows of its videos out again.
    """
    missing = [name for name in PLAN.names if name not in planned.column_names]
    if missing:
        raise FramegateError(f"a plan needs the columns {', '.join(PLAN.names)}; it lacks {', '.join(missing)}")
    rows = planned.select(PLAN.names).sort_by("video_id").cast(PLAN)
    output.store.put_once(output.layout.plan(run_id), encode_parquet(rows, row_group_rows=PLAN_GROUP_ROWS))
