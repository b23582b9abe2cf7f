"""Labels of an output: one object for each, created once, below a folder of its video, which an erasure deletes.

    labels/config_id=<id>/<video_id>/<clip>-<question_hash>-<time>-<digest>.json

The name has the key of the row and when it was labelled; the digest is of the answer and of who gave it, so that the
same label put twice is one object. Of several labels of a row the latest counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from framegate.pipelines.commit.layout import CLIP_INDEX, ID
from framegate.pipelines.commit.output import Output
from framegate.pipelines.store.parquet import NOT_OURS
from framegate.schemas.errors import StorageError
from framegate.schemas.json_object import load_json
from framegate.schemas.label import Label

NAME: Final = rf"config_id={ID}/{ID}/{CLIP_INDEX}-{ID}-[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{12}}\.json"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_PARTS: Final = re.compile(
    rf"config_id=({ID})/({ID})/({CLIP_INDEX})-({ID})-([0-9]{{8}}T[0-9]{{6}}Z)-[0-9a-f]{{12}}\.json$"
)
_PUT_THREADS: Final = 16


def put_labels(output: Output, config_id: str, labels: Iterable[Label]) -> int:
    """Stores them; gives back how many were new. Raises StorageError."""

    def put(label: Label) -> bool:
        told = {"answer": label.answer, "labelled_by": label.labelled_by}
        data = json.dumps(told, ensure_ascii=False, sort_keys=True).encode()
        name = (
            f"{label.clip_index:07d}-{label.question_hash}-{label.labelled_at.astimezone(UTC):{_STAMP}}"
            f"-{hashlib.sha256(data).hexdigest()[:12]}.json"
        )
        return output.store.put_once(output.layout.label(config_id, label.video_id, name), data).created

    with ThreadPoolExecutor(_PUT_THREADS) as threads:
        return sum(threads.map(put, labels))


def read_labels(output: Output, config_id: str) -> dict[tuple[str, int, str], Label]:
    """The label that counts of each row that has any, by its key. Raises StorageError where one cannot be read."""
    return {label.key: label for _, label in list_labels(output, config_id)}


def list_labels(
    output: Output, config_id: str | None = None, *, on_damaged: Callable[[StorageError], None] | None = None
) -> Iterator[tuple[str, Label]]:
    """Every label with its config_id, of all or of one; of several labels of a row the one that counts comes last.

    Raises StorageError where one cannot be read, unless `on_damaged` is told of it.
    """
    uris = sorted(info.uri for info in output.list("labels", config_id) if _PARTS.search(info.uri))
    for uri, data in output.store.read_present(uris):
        if data is None:  # erased meanwhile
            continue
        try:
            yield _parse(uri, data)
        except StorageError as error:
            if on_damaged is None:
                raise
            on_damaged(error)


def delete_labels(output: Output, config_id: str, video_ids: Iterable[str]) -> None:
    """All labels of these videos. Raises StorageError."""
    for video_id in video_ids:
        folder = output.layout.label(config_id, video_id, "")
        output.store.delete([info.uri for info in output.store.list(folder)])


def _parse(uri: str, data: bytes) -> tuple[str, Label]:
    parts = _PARTS.search(uri)
    assert parts is not None
    config_id, video_id, clip_index, question_hash, stamp = parts.groups()
    try:
        told = load_json(data)
        if not isinstance(told["answer"], str) or not isinstance(told["labelled_by"], str):
            raise TypeError("answer and labelled_by are texts")
        return config_id, Label(
            video_id=video_id,
            clip_index=int(clip_index),
            question_hash=question_hash,
            answer=told["answer"],
            labelled_by=told["labelled_by"],
            labelled_at=datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC),
        )
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise StorageError(f"{uri} is no label ({error!r}); {NOT_OURS}") from error
