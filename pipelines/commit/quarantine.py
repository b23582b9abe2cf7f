"""Quarantine: an object of the journal that is no unit is set aside, so that a run goes on and its work is done again.

It is copied to `quarantine/` under a name that says where it lay, when that was, and a digest of its bytes. Then it is
deleted from the journal, where it would keep its name from the unit that belongs there. Nothing reads it: it is for a
person to look at, and an audit names it until it is moved away. An erasure deletes those of its videos.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import pyarrow as pa

from framegate.pipelines.commit.layout import CLIP_INDEX, ID, UNIT, UNIT_ENDINGS, Layout
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.store import Store, join
from framegate.schemas.clock import now
from framegate.schemas.errors import DamagedUnit, FramegateError, ObjectNotFound, StorageError
from framegate.schemas.keys import id_numbers
from framegate.schemas.tables import INPUT_PREFIX, JOURNAL, NEWER_COLUMNS

_STAMP: Final = "%Y%m%dT%H%M%SZ"
NAME: Final = rf"config_id={ID}/{ID}/(?:journal|deepened)-{UNIT}-[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{12}}{UNIT_ENDINGS}"
_PLACE: Final = re.compile(rf"(.*)/(journal|deepened)/config_id=({ID})/({ID})/({UNIT})({UNIT_ENDINGS})")
_NAME_TIME: Final = re.compile(r"-([0-9]{8}T[0-9]{6}Z)-[0-9a-f]{12}\.")
_CLIPS: Final = re.compile(rf"({CLIP_INDEX})-({CLIP_INDEX})-[0-9a-f]{{12}}\.")


def read_unit(uri: str, data: bytes) -> pa.Table:
    """The rows of a journal object, whose URI ends in `<video_id>/<unit>.arrow.zst`, in columns of JOURNAL.

    Raises DamagedUnit where it is no unit, has other columns, or holds rows of another video or clip than its name
    says.
    """
    try:
        rows = parse_unit(uri, data)
    except StorageError as error:
        raise DamagedUnit(str(error)) from error
    if problem := (_schema_problem(rows.schema.remove_metadata()) or _rows_problem(rows, uri)):
        raise DamagedUnit(f"{uri} {problem}")
    return rows


def set_aside(store: Store, uri: str, data: bytes) -> str:
    """Moves an object of the journal, which has these bytes, to the quarantine; gives back its URI there.

    The same bytes are set aside once, whoever does so. Raises StorageError.
    """
    match = _PLACE.fullmatch(uri)
    if match is None:
        raise ValueError(f"{uri} is no name of a journal object")
    root, folder, config_id, video_id, unit, ending = match.groups()
    there = join(Layout(root).folder("quarantine", config_id), video_id)
    digest = hashlib.sha256(data).hexdigest()[:12]
    known = [
        info.uri
        for info in store.list(there)
        if info.uri.rpartition("/")[2].startswith(f"{folder}-{unit}-") and info.uri.endswith(f"-{digest}{ending}")
    ]
    name = known[0] if known else join(there, f"{folder}-{unit}-{now():{_STAMP}}-{digest}{ending}")
    if not known:
        store.put_once(name, data)
    store.delete([uri])
    return name


def set_aside_damaged(output: Output, uris: tuple[str, ...]) -> None:
    """Sets those objects of the journal aside that are still no units. Raises StorageError."""
    for uri in uris:
        try:
            data = output.store.read(uri)
        except ObjectNotFound:
            continue
        try:
            read_unit(uri, data)
        except DamagedUnit:
            set_aside(output.store, uri, data)


def count_set_aside(output: Output, config_id: str, since: datetime) -> int:
    """How many objects were set aside from this second on. Raises StorageError."""
    stamp = since.astimezone(UTC).strftime(_STAMP)
    times = (_NAME_TIME.search(info.uri) for info in output.list("quarantine", config_id))
    return sum(1 for found in times if found is not None and found[1] >= stamp)


@lru_cache(maxsize=256)
def _schema_problem(there: pa.Schema) -> str | None:
    """Kept: a run writes units of one schema, and comparing 50 columns one by one takes six times as long as reading
    them."""
    types = {column.name: column.type for column in there}
    if len(types) < len(there):
        return "has a column twice"
    for column in JOURNAL:
        is_missing = column.name not in types and column.name in NEWER_COLUMNS
        if types.get(column.name) != column.type and not is_missing:
            return f"has {types.get(column.name, 'nothing')} as {column.name}, not {column.type}"
    for column in types:
        if column not in JOURNAL.names and not column.startswith(INPUT_PREFIX):
            return f"has a column {column} that is neither ours nor of a manifest ({INPUT_PREFIX}*)"
    return None


def _rows_problem(rows: pa.Table, uri: str) -> str | None:
    video_id, _, name = uri.rpartition("/")[0].rpartition("/")[2], "", uri.rpartition("/")[2]
    if {*rows.column("video_id").to_pylist()} != {video_id}:
        return "holds rows of another video than its name says, or none"
    for question_hash in {*rows.column("question_hash").to_pylist()}:
        if (problem := _id_problem(question_hash)) is not None:
            return f"holds a question_hash that is none ({problem})"
    if (clips := _CLIPS.match(name)) is not None:
        numbers = [number for number in rows.column("clip_index").to_pylist() if number is not None]
        if not numbers or min(numbers) < int(clips[1]) or max(numbers) > int(clips[2]):
            return "holds rows of other clips than its name says"
    return None


@lru_cache(maxsize=4096)
def _id_problem(text: str | None) -> str | None:
    """Kept: the questions of a bank come with each unit."""
    try:
        id_numbers(pa.array([text], pa.string()))
    except FramegateError as error:
        return str(error)
    return None
