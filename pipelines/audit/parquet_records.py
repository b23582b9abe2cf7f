"""The log of videos, and the indexes of tar shards: whole, in order, with columns of ours, and what their names say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from framegate.pipelines.audit.moments import find_future
from framegate.pipelines.audit.report import Check
from framegate.pipelines.audit.unknown_objects import OutputNames
from framegate.pipelines.commit.layout import OBJECT_NUMBER
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.video_log import CURRENT, GONE, NOT_LISTED, SUPERSEDED
from framegate.pipelines.store.parquet import PARQUET_ERRORS
from framegate.schemas.errors import CredentialsError, FramegateError, ObjectNotFound
from framegate.schemas.keys import id_numbers, index_digest
from framegate.schemas.tables import INPUT_PREFIX, VIDEO_STATES

_STATES: Final = [CURRENT, SUPERSEDED, GONE, NOT_LISTED]
_OBJECT: Final = re.compile(rf"videos/({OBJECT_NUMBER})(\.all)?\.parquet")
_ERASED_AT_ONCE: Final = 8
"""So many objects in a row may be missing after an erasure: of runs that added to the log while it was under way."""

_INDEX_FORMATS: Final = range(1, 10)
_CURE: Final = "bring it back from a copy, or move it away where it is none of ours"


def check_video_log(check: Check, output: Output, *, num_erased: int, is_quick: bool) -> None:
    """Numbers follow each other from the last object that stands for all before it. An erasure may have taken one."""
    below = OutputNames.of(output)
    infos = {below.name(info.uri): info for info in output.list("videos")}
    found = {int(match[1]): bool(match[2]) for name in infos if (match := _OBJECT.fullmatch(name)) is not None}
    wholes = [number for number, is_whole in found.items() if is_whole]
    if found and not wholes:
        check.find(f"videos/ has no object that stands for all before it (<n>.all.parquet): {_CURE}")
    numbers = sorted(number for number in found if number >= max(wholes, default=0))
    for before, number in pairwise(numbers):
        if number != before + 1:
            sentence = f"videos/ has an object {number:08d}, and none from {before + 1:08d} on before it: {_CURE}"
            may_be_erased = num_erased and number - before <= _ERASED_AT_ONCE
            (check.note if may_be_erased else check.find)(sentence)
    for name, info in infos.items():
        check.num_checked += 1
        if not info.size_bytes:
            check.find(f"{name} is empty: {_CURE}")
        elif not is_quick:
            _look(check, output, name, info.uri, _video_problem)


def check_indexes(check: Check, output: Output, *, is_quick: bool) -> None:
    """An index is named after the shard and its version, which stand in it."""
    below = OutputNames.of(output)
    for info in output.list("indexes"):
        check.num_checked += 1
        name = below.name(info.uri)
        if not info.size_bytes:
            check.find(f"{name} is empty: {_CURE}")
        elif not is_quick:
            _look(check, output, name, info.uri, _index_problem)


def _look(check: Check, output: Output, name: str, uri: str, problem_of: Callable[[str, pa.Table], str | None]) -> None:
    try:
        with output.store.open_read(uri) as source:
            problem = problem_of(name, pq.ParquetFile(source, page_checksum_verification=True).read())
    except (CredentialsError, ObjectNotFound) as error:
        if isinstance(error, CredentialsError):
            raise
        return  # folded or erased meanwhile
    except (*PARQUET_ERRORS, ValueError, TypeError, FramegateError) as error:
        problem = f"is no whole object of ours ({(str(error).splitlines() or [''])[0]})"
    if problem:
        check.find(f"{name} {problem}: {_CURE}")


def _video_problem(name: str, rows: pa.Table) -> str | None:
    types = {column.name: column.type for column in VIDEO_STATES}
    for column in rows.schema:
        if not column.name.startswith(INPUT_PREFIX) and types.get(column.name) != column.type:
            return f"has {column.type} as {column.name}, not {types.get(column.name, 'nothing')}"
    for needed in ("video_id", "video_uri", "state"):
        if needed not in rows.column_names:
            return f"has no column {needed}"
    id_numbers(rows.column("video_id"))
    states = set(rows.column("state").unique().to_pylist())
    if unknown := sorted(map(str, states.difference(_STATES))):
        return f"has the state {unknown[0]!r}"
    for column in ("since", "first_seen", "last_seen"):
        if column in rows.column_names and (
            late := find_future(pc.call_function("max", [rows.column(column)]).as_py())
        ):
            return f"cannot be right: {column} {late}"
    return None


def _index_problem(name: str, rows: pa.Table) -> str | None:
    about = json.loads((rows.schema.metadata or {})[b"framegate_shard"])
    digest = name.rpartition("/")[2].removesuffix(".parquet")
    if digest not in {index_digest(about["uri"], about["version"], number) for number in _INDEX_FORMATS}:
        return "is the index of another shard or version than its name says"
    return None
