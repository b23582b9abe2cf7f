"""From sources to a comparison: the labelled rows that each of them was asked, and what came of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.calibrate.audited import Bools
from framegate.pipelines.calibrate.estimate import estimate_share
from framegate.pipelines.calibrate.paired import compare_pairs, holm
from framegate.pipelines.compare.figures import (
    LEVEL,
    Axis,
    Comparison,
    DifferenceFigures,
    JobFigures,
    QuestionFigures,
)
from framegate.pipelines.compare.front import choose_axis, mark_front
from framegate.pipelines.compare.source import (
    Answers,
    Source,
    check_sources,
    find_config_id,
    read_answers,
    read_told,
)
from framegate.pipelines.compare.told import Key, Labels, is_same_clip, labels_of_outputs, read_label, refuse
from framegate.pipelines.results.agreement import compare
from framegate.schemas.errors import ConfigError, InputError

_DEFERRED: Final = "deferred"


def compare_sources(sources: Sequence[Source], labels: Labels | None, *, axis: Axis | None = None) -> Comparison:
    """The first source is the one that all others are held against. `labels`: of a file; None: those of the outputs.

    Raises ConfigError where there is nothing to compare, InputError where a label is wrong, ObjectNotFound where there
    is no output, StorageError.
    """
    config_ids = [find_config_id(source) for source in sources]
    check_sources(sources, config_ids)
    is_file = labels is not None
    if labels is None:
        labels = labels_of_outputs(read_told(zip(sources, config_ids, strict=True)))
    if not labels.num_labels:
        raise ConfigError(
            "the file of labels has none: fill in its column label"
            if is_file
            else "no row of these answers has a label; give labels with framegate label, or --labels FILE"
        )
    found = [read_answers(source, config_id, labels) for source, config_id in zip(sources, config_ids, strict=True)]
    return compare_answers(found, labels, axis=axis)


def compare_answers(found: Sequence[Answers], labels: Labels, *, axis: Axis | None = None) -> Comparison:
    """The same of answers that are read already."""
    known = _known_rows(found, labels)
    keys = sorted({*known, *(key for key in labels.by_key if any(each.has_failed(key) for each in found))})
    asked = {key: [key in each.rows or each.has_failed(key) for each in found] for key in keys}
    compared = [key for key in keys if all(asked[key])]
    if not compared:
        missing = ", ".join(
            f"{each.source.name} {sum(asked[key][place] for key in keys):,}" for place, each in enumerate(found)
        )
        raise ConfigError(
            f"no labelled row was answered by all of them, so that nothing can be compared; of {labels.num_labels:,}"
            f" labels there are rows of {missing}"
        )
    _check_clips(found, compared)
    texts = _read_labels(known, labels)
    videos = [key[0] for key in compared]
    right = [_right(each, compared, texts) for each in found]
    jobs = [
        _figures(each, compared, is_right, videos, num_missing=sum(not asked[key][place] for key in keys))
        for place, (each, is_right) in enumerate(zip(found, right, strict=True))
    ]
    chosen = choose_axis(jobs, axis)
    return Comparison(
        jobs=mark_front(jobs, chosen),
        differences=_differences(jobs, right, videos),
        questions=_questions(found, compared, right),
        num_labels=labels.num_labels,
        num_rows=len(compared),
        num_left_out=len(keys) - len(compared),
        num_unknown=max(0, labels.num_labels - len(keys)),
        num_videos=len(set(videos)),
        axis=chosen,
    )


def _known_rows(found: Sequence[Answers], labels: Labels) -> dict[Key, Mapping[str, Any]]:
    """A row of each labelled key, of the first source that has one."""
    rows: dict[Key, Mapping[str, Any]] = {}
    for each in found:
        for key, row in each.rows.items():
            if key not in rows and labels.find(row) is not None:
                rows[key] = row
    return rows


def _check_clips(found: Sequence[Answers], keys: Sequence[Key]) -> None:
    for key in keys:
        first: tuple[Answers, tuple[float, float]] | None = None
        for each in found:
            if (row := each.rows.get(key)) is None:
                continue
            clip = (row["start_seconds"], row["end_seconds"])
            if first is None:
                first = each, clip
            elif not is_same_clip(first[1], clip):
                raise ConfigError(
                    f"{first[0].source.name} and {each.source.name} cut other clips: clip {key[1]} of"
                    f" {row['video_uri']} is {first[1][0]:g} to {first[1][1]:g} s, and {clip[0]:g} to {clip[1]:g} s;"
                    " compare jobs with the same clips: part"
                )


def _read_labels(known: Mapping[Key, Mapping[str, Any]], labels: Labels) -> dict[Key, str]:
    texts: dict[Key, str] = {}
    wrong: list[str] = []
    for key, row in known.items():
        told = labels.find(row)
        assert told is not None
        try:
            texts[key] = read_label(told, row)
        except InputError as error:
            wrong.append(str(error))
    refuse(wrong)
    return texts


def _right(each: Answers, keys: Sequence[Key], texts: Mapping[Key, str]) -> Bools:
    rows = [each.rows.get(key) for key in keys]
    table = pa.table(
        {
            "answer_type": pa.array([None if row is None else row["answer_type"] for row in rows], pa.string()),
            "answer": pa.array(
                [None if row is None or _is_deferred(row) else row["answer"] for row in rows], pa.string()
            ),
            "label": pa.array([texts.get(key) for key in keys], pa.string()),
        }
    )
    return np.array([same is True for same in compare(table, "answer", "label")], bool)


def _is_deferred(row: Mapping[str, Any]) -> bool:
    return row["gate_reason"] == _DEFERRED


def _figures(
    each: Answers, keys: Sequence[Key], right: Bools, videos: Sequence[str], *, num_missing: int
) -> JobFigures:
    rows = [each.rows[key] for key in keys if key in each.rows]
    share = estimate_share(right.astype(np.float64), np.zeros(right.size), clusters=videos, level=LEVEL)
    seconds = _mean(rows, "engine_seconds")
    price = each.source.cost_per_second
    return JobFigures(
        job=each.source.name,
        strategy=each.strategy,
        config_id=each.config_id,
        num_rows=len(keys),
        num_right=int(right.sum()),
        accuracy=float(right.mean()),
        low=_known(share.low),
        high=_known(share.high),
        num_unparsed=sum(row["answer"] is None and not _is_deferred(row) for row in rows),
        num_deferred=sum(map(_is_deferred, rows)),
        num_failed=len(keys) - len(rows),
        think_share=_mean(rows, "thinking"),
        prompt_tokens=_mean(rows, "num_prompt_tokens"),
        video_tokens=_mean(rows, "num_video_tokens"),
        written_tokens=_mean(rows, "num_answer_tokens", "num_thinking_tokens"),
        seconds=seconds,
        cost=None if price is None or seconds is None else price * seconds * 1000,
        currency=each.source.currency,
        num_missing=num_missing,
    )


def _differences(
    jobs: Sequence[JobFigures], right: Sequence[Bools], videos: Sequence[str]
) -> tuple[DifferenceFigures, ...]:
    pairs = [compare_pairs(one.astype(int) - right[0].astype(int), videos, level=LEVEL) for one in right[1:]]
    adjusted = holm([pair.p_clusters for pair in pairs])
    return tuple(
        DifferenceFigures(
            job=job.job,
            difference=pair.mean,
            low=_known(pair.low),
            high=_known(pair.high),
            num_more=pair.num_more,
            num_fewer=pair.num_fewer,
            p_rows=pair.p_rows,
            p_videos=pair.p_clusters,
            p_holm=p_holm,
        )
        for job, pair, p_holm in zip(jobs[1:], pairs, adjusted, strict=True)
    )


def _questions(found: Sequence[Answers], keys: Sequence[Key], right: Sequence[Bools]) -> tuple[QuestionFigures, ...]:
    """In order of names. A question's name is the first job's."""
    names = np.array([next(each.asked[key[2]] for each in found if key[2] in each.asked) for key in keys], object)
    return tuple(
        QuestionFigures(
            question_id=name,
            num_rows=int((names == name).sum()),
            accuracies=tuple(float(one[names == name].mean()) for one in right),
        )
        for name in sorted(set(names))
    )


def _mean(rows: Sequence[Mapping[str, Any]], *names: str) -> float | None:
    """Of the sum of these columns; None where there is no row. A null counts as 0."""
    return sum(float(row[name] or 0) for row in rows for name in names) / len(rows) if rows else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
