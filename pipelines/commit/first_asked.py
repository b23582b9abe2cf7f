"""When this output was first asked each wording: objects below `questions/`, which say it by their names.

A run lists them and adds its new ones, so that old ones are never read. Two runs may add the same wording: the earlier
one counts. An output of an earlier version has no such objects, and what it was asked before nobody can tell: those
wordings have no time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store import join
from framegate.schemas.qa import Question

NAME: Final = r"[0-9a-f]{16}-(?:\d{8}T\d{12}Z|unknown)\.json"
_STAMP: Final = "%Y%m%dT%H%M%S%fZ"
_UNKNOWN: Final = "unknown"
_PARTS: Final = re.compile(r"([0-9a-f]{16})-([^/.]+)\.json$")


def note_first_asked(output: Output, questions: Iterable[Question], at: datetime) -> dict[str, datetime | None]:
    """When each wording was first asked, by its hash; None where it is not known. New ones are asked `at` this moment,
    and stored. Raises StorageError."""
    known = read_first_asked(output)
    is_older = not known and any(True for _ in output.list("configs"))
    for question in questions:
        if question.hash not in known:
            known[question.hash] = None if is_older else at
            stamp = _UNKNOWN if is_older else at.astimezone(UTC).strftime(_STAMP)
            uri = join(output.layout.folder("questions"), f"{question.hash}-{stamp}.json")
            output.store.put_once(uri, _document(question))
    return known


def read_first_asked(output: Output) -> dict[str, datetime | None]:
    """As stored. Raises StorageError."""
    found: dict[str, datetime | None] = {}
    for info in output.list("questions"):
        parts = _PARTS.search(info.uri)
        if parts is None:
            continue  # an audit tells of it
        question_hash, stamp = parts.groups()
        at = None if stamp == _UNKNOWN else datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        before = found.get(question_hash, at)
        found[question_hash] = None if at is None or before is None else min(before, at)
    return found


def _document(question: Question) -> bytes:
    fields: Mapping[str, object] = {"question_hash": question.hash, **asdict(question)}
    return json.dumps(fields, ensure_ascii=False, sort_keys=True).encode()
