"""What people say is right: labels of outputs, or of a file, found by a row's key.

A row of a file names its answer by video_id, clip_index and question_hash, as `framegate label` exports it, or by
video_uri, clip_index and question_id, as a person may write it. start_seconds and end_seconds, where they stand there,
must be those of the clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from framegate.pipelines.reason.asking.answers import parse_answer
from framegate.schemas.errors import InputError
from framegate.schemas.label import Label
from framegate.schemas.qa import Question

Key = tuple[str, int, str]
SAME_CLIP: Final = 1e-3
"""Seconds that the ends of one clip may be apart, as a file with decimals has them."""

_MAX_TOLD: Final = 5  # mistakes in a file that are named


@dataclass(frozen=True, kw_only=True)
class Told:
    """`answer` as it was written. `source` names it in errors; `times`: the clip's ends, where they were written."""

    answer: str
    source: str
    times: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Labels:
    """By (video_id, clip_index, question_hash), or by (video_uri, clip_index, question_id)."""

    by_key: Mapping[Key, Told] = field(default_factory=dict)
    by_name: Mapping[Key, Told] = field(default_factory=dict)

    @property
    def num_labels(self) -> int:
        return len(self.by_key) + len(self.by_name)

    def find(self, row: Mapping[str, Any]) -> Told | None:
        """The label of a row of answers."""
        by_key = self.by_key.get((row["video_id"], row["clip_index"], row["question_hash"]))
        return by_key or self.by_name.get((row["video_uri"], row["clip_index"], row["question_id"]))


def labels_of_outputs(labels: Iterable[Label]) -> Labels:
    """Of several labels of a row the latest counts."""
    latest: dict[Key, Label] = {}
    for label in sorted(labels, key=lambda label: label.labelled_at):
        latest[label.key] = label
    told = {key: Told(answer=label.answer, source=f"the label of {label.labelled_by}") for key, label in latest.items()}
    return Labels(by_key=told)


def labels_of_rows(rows: Iterable[Mapping[str, Any]]) -> Labels:
    """Of the rows of a file; those with an empty label are left out. Raises InputError where one names no answer."""
    by_key: dict[Key, Told] = {}
    by_name: dict[Key, Told] = {}
    wrong: list[str] = []
    for number, row in enumerate(rows, start=1):
        text = str(row.get("label") or "").strip()
        if not text:
            continue
        try:
            told = Told(answer=text, source=f"row {number}", times=_times(row))
            is_exported = bool(row.get("video_id")) and bool(row.get("question_hash"))
            names = ("video_id", "question_hash") if is_exported else ("video_uri", "question_id")
            video, question = (row[name] for name in names)
            if not video or not question:
                raise KeyError
            key = (str(video), int(row["clip_index"]), str(question))
        except (KeyError, TypeError, ValueError):
            wrong.append(
                f"row {number} needs clip_index, a whole number, with video_id and question_hash, or with video_uri and"
                " question_id"
            )
            continue
        into = by_key if is_exported else by_name
        if key in into and into[key].answer != text:
            wrong.append(f"row {number} says {text!r} where {into[key].source} says {into[key].answer!r}")
        into[key] = told
    refuse(wrong)
    return Labels(by_key=by_key, by_name=by_name)


def read_label(told: Told, row: Mapping[str, Any]) -> str:
    """The label in the normal form of the row's question. Raises InputError where it is no answer to it, or was given
    of another clip."""
    question = Question(
        id=row["question_id"],
        text=row["question"],
        type=row["answer_type"],
        options=tuple(row["question_options"] or ()),
    )
    clip = (row["start_seconds"], row["end_seconds"])
    if told.times is not None and not is_same_clip(told.times, clip):
        raise InputError(
            f"{told.source} was labelled at {told.times[0]:g} to {told.times[1]:g} s, and clip {row['clip_index']} of"
            f" {row['video_uri']} is {clip[0]:g} to {clip[1]:g} s: the clips are others"
        )
    parsed = parse_answer(told.answer, question, clip_start_seconds=0.0)  # a span is in seconds of the video already
    if parsed is None or not parsed.is_in_range:
        options = f" ({', '.join(question.options)})" if question.options else ""
        raise InputError(
            f"{told.source}: {told.answer!r} is no answer of type {question.type}{options} to '{question.id}'"
        )
    return parsed.value


def is_same_clip(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether both have the same start and end."""
    return all(abs(a - b) <= SAME_CLIP for a, b in zip(one, other, strict=True))


def refuse(wrong: Sequence[str]) -> None:
    """Raises InputError where labels are wrong: nothing is compared then."""
    if wrong:
        more = f", and {len(wrong) - _MAX_TOLD:,} more" if len(wrong) > _MAX_TOLD else ""
        raise InputError(f"{len(wrong):,} labels are wrong: {'; '.join(wrong[:_MAX_TOLD])}{more}")


def _times(row: Mapping[str, Any]) -> tuple[float, float] | None:
    start, end = row.get("start_seconds"), row.get("end_seconds")
    return None if start in (None, "") or end in (None, "") else (float(start), float(end))
