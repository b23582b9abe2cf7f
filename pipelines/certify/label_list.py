"""Which rows of an output a person should label next, with a picture of each; and labels read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.certify.labelled_rows import LabelledRows, label_rows
from framegate.pipelines.certify.request import Request, choose_questions, open_asked, read_asked
from framegate.pipelines.certify.spread import spread_wanted
from framegate.pipelines.commit.labels import delete_labels, put_labels, read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.reason.asking.answers import parse_answer
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.results.views import Views, select
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import InputError
from framegate.schemas.keys import uri_digest
from framegate.schemas.label import Label
from framegate.schemas.qa import Question

KEY: Final = ("video_id", "clip_index", "question_hash")
LABEL: Final = "label"
"""The column that a person fills in."""

MAX_TOLD: Final = 5  # mistakes in a file of labels that are named
_THUMBNAILS: Final = """
    SELECT video_id, clip_index, any_value(thumbnail) AS thumbnail FROM clips
    WHERE thumbnail IS NOT NULL AND video_id IN ({ids}) GROUP BY ALL"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Rows as `labelled_rows.LISTED` has them, with `thumbnail` (JPEG or None); `num_labels` are there already."""

    config_id: str
    rows: Sequence[Mapping[str, Any]]
    num_labels: int
    num_rows: int


def list_wanted(config: OutputConfig, request: Request, *, most: int, is_spread: bool = False) -> Wanted:
    """At most so many rows that the claim of the request needs labels of, most useful first; of the questions that it
    names, where it names any. `is_spread`: in place of a claim's, those that tell most of how often answers are right.

    Raises ConfigError where there is no audited row, or the claim cannot be made of such questions; StorageError.
    """
    with open_asked(config, request, with_clips=True) as (views, config_id):
        found = read_asked(views, request)
        found = found.of_questions(choose_questions(found, request))
        labelled = label_rows(found, read_labels(Output.open(config), config_id))
        wanted = _wanted(labelled, request, most, is_spread).to_pylist()
        pictures = _thumbnails(views, {row["video_id"] for row in wanted})
        rows = [{**row, "thumbnail": pictures.get((row["video_id"], row["clip_index"]))} for row in wanted]
        return Wanted(config_id=config_id, rows=rows, num_labels=labelled.num_labels, num_rows=found.rows.num_rows)


def _wanted(labelled: LabelledRows, request: Request, most: int, is_spread: bool) -> pa.Table:
    if is_spread:
        return labelled.listed(spread_wanted(labelled, most))
    return labelled.listed(labelled.wanted(request.claim, epsilon=request.epsilon, delta=request.delta)[:most])


def take_labels(
    config: OutputConfig, request: Request, given: Iterable[Mapping[str, Any]], *, by: str, at: datetime
) -> tuple[int, int]:
    """Stores what people wrote into the column `label`; gives back how many were new, and how many were left empty.

    `given` are rows with KEY and LABEL. All of them are stored or, where one is wrong, none. Raises InputError,
    ConfigError, StorageError.
    """
    with open_asked(config, request) as (views, config_id):
        found = read_asked(views, request)
    known = {tuple(row[name] for name in KEY): row for row in found.rows.to_pylist()}
    labels: list[Label] = []
    wrong: list[str] = []
    num_empty = 0
    for number, row in enumerate(given, start=1):
        text = str(row.get(LABEL) or "").strip()
        if not text:
            num_empty += 1
            continue
        try:
            labels.append(_label(row, text, known, by, at))
        except InputError as error:
            wrong.append(f"row {number}: {error}")
    if wrong:
        more = f" and {len(wrong) - MAX_TOLD:,} more" if len(wrong) > MAX_TOLD else ""
        raise InputError(
            f"nothing was stored, since {len(wrong):,} labels are wrong: {'; '.join(wrong[:MAX_TOLD])}{more}"
        )
    return _put(Output.open(config), config_id, labels, known), num_empty


def _put(
    output: Output, config_id: str, labels: Sequence[Label], known: Mapping[tuple[Any, ...], Mapping[str, Any]]
) -> int:
    """How many were new. An erasure sets its tombstones before it looks for labels, and here tombstones are looked at
    after labels are put: one of the two takes away those of a video that is erased meanwhile."""
    num_new = put_labels(output, config_id, labels)
    erased = read_tombstones(output)
    gone = {label.video_id for label in labels if uri_digest(known[label.key]["video_uri"]) in erased}
    delete_labels(output, config_id, gone)
    return num_new


def _thumbnails(views: Views, video_ids: set[str]) -> dict[tuple[str, int], bytes]:
    if not video_ids:
        return {}
    ids = ", ".join(map(text_literal, sorted(video_ids)))
    rows = select(views, _THUMBNAILS.format(ids=ids)).to_pylist()
    return {(row["video_id"], row["clip_index"]): row["thumbnail"] for row in rows}


def _label(
    row: Mapping[str, Any], text: str, known: Mapping[tuple[Any, ...], Mapping[str, Any]], by: str, at: datetime
) -> Label:
    try:
        key = (str(row["video_id"]), int(row["clip_index"]), str(row["question_hash"]))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"it needs {', '.join(KEY)} as they were exported") from None
    asked = known.get(key)
    if asked is None:
        raise InputError(f"no audited row has the key {key[0]}, {key[1]}, {key[2]}")
    question = Question(
        id=asked["question_id"],
        text=asked["question"],
        type=asked["answer_type"],
        options=tuple(asked["question_options"] or ()),
    )
    parsed = parse_answer(text, question, clip_start_seconds=0.0)  # a span is in seconds of the video already
    if parsed is None or not parsed.is_in_range:
        options = f" ({', '.join(question.options)})" if question.options else ""
        raise InputError(f"'{text}' is no answer of type {question.type}{options} to '{question.id}'")
    return Label(
        video_id=key[0],
        clip_index=key[1],
        question_hash=key[2],
        answer=parsed.value,
        labelled_by=by,
        labelled_at=at,
    )
