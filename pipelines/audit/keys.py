"""The keys of all rows as numbers on local disk, parted by video, so that an audit of any size fits into memory.

A key takes 38 bytes, in one of NUM_PARTS files by the first bits of video_id: ids are digests, so that all parts have
about the same size. Two rows with the same key are in the same part, and so is the plan that they came from. The
numbers are the ids themselves, not digests of them, so that nothing is found or missed by chance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.schemas.keys import id_number, id_numbers, id_text

RESULT, FAILURE, UNSEALED, CLIP, DEEPENED, LABEL = 0, 1, 2, 3, 4, 5
TABLE_NAMES: Final = ("results", "failures", "the journal", "clips", "results, where it was deepened,", "labels")
"""The table that a row is in, by the numbers above. A row that was deepened is one of the run that did so, too."""

KEY_ROW: Final = np.dtype(
    [
        ("video", "<u8"),
        ("question", "<u8"),
        ("clip", "<i4"),
        ("attempts", "<i4"),
        ("run", "<i4"),
        ("file", "<i4"),
        ("config", "<i4"),
        ("table", "u1"),
        ("has_question", "?"),
    ]
)
PLAN_ROW: Final = np.dtype([("video", "<u8"), ("run", "<i4"), ("questions", "<i4")])
NUM_PARTS: Final = 64
_PART_SHIFT: Final = np.uint64(58)
_BUFFERED: Final = 500_000  # rows in memory before they go to disk
_NO_CLIP: Final = -1


class Names:
    """Names as small numbers, in the order in which they came."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        known = self._codes.get(name)
        if known is None:
            known = self._codes[name] = len(self.names)
            self.names.append(name)
        return known

    def codes(self, column: pa.ChunkedArray) -> np.ndarray:
        """int32 for each value of a column of strings; a null is the empty name."""
        words = pc.fill_null(column.cast(pa.string()), "").combine_chunks().dictionary_encode()
        known = np.array([self.code(word) for word in words.dictionary.to_pylist()], np.int32)
        return known[words.indices.to_numpy()] if len(words) else np.empty(0, np.int32)


def row_keys(found: pa.Table, *, table: int, config: int, file: int, run: np.ndarray) -> np.ndarray:
    """KEY_ROW for each row with video_id, clip_index, question_hash and, unless it is an answer, attempts; of
    clips with video_id, clip_index and clip_policy.

    `attempts` is 0 where a row is not a failure. Raises FramegateError where an id is not an id.
    """
    rows = np.zeros(found.num_rows, KEY_ROW)
    rows["video"] = id_numbers(found.column("video_id"))
    if table == CLIP:  # its policy stands where others have their question: both tell rows of one clip apart
        rows["question"] = id_numbers(found.column("clip_policy"))
    else:
        rows["question"] = id_numbers(found.column("question_hash"))
        rows["has_question"] = found.column("question_hash").is_valid().to_numpy()
    rows["clip"] = pc.fill_null(found.column("clip_index"), _NO_CLIP).to_numpy()
    if table not in (RESULT, CLIP, DEEPENED):
        rows["attempts"] = pc.fill_null(found.column("attempts"), 0).to_numpy()
    rows["run"], rows["table"], rows["config"], rows["file"] = run, table, config, file
    return rows


def key_text(row: np.void) -> str:
    """A row's key as a person reads it."""
    clip = "no clip" if row["clip"] == _NO_CLIP else f"clip {row['clip']}"
    if row["table"] == CLIP:
        return f"video {id_text(int(row['video']))}, {clip}, clip policy {id_text(int(row['question']))}"
    question = f"question {id_text(int(row['question']))}" if row["has_question"] else "all questions"
    attempt = f", attempt {row['attempts']}" if row["attempts"] else ""
    return f"video {id_text(int(row['video']))}, {clip}, {question}{attempt}"


class KeySpool:
    """Keys and plans in files of `folder`, which is empty and on a local disk with room for 38 bytes a row."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffered: dict[str, list[np.ndarray]] = defaultdict(list)
        self._num_buffered: dict[str, int] = defaultdict(int)
        self._sets = Names()

    def add_rows(self, rows: np.ndarray) -> None:
        self._add("rows", rows)

    def add_plan(self, run: int, videos: pa.ChunkedArray, question_hashes: pa.ChunkedArray) -> None:
        """Adds some rows of a run's plan. Sets of questions get numbers, since most videos are asked the same ones."""
        planned = np.zeros(len(videos), PLAN_ROW)
        planned["video"] = id_numbers(videos)
        planned["questions"] = self._sets.codes(pc.call_function("binary_join", [question_hashes, pa.scalar(",")]))
        planned["run"] = run
        self._add("plans", planned)

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rows, plans) of one part after the other. Nothing can be added from then on."""
        for name in [name for name, buffered in self._buffered.items() if buffered]:
            self._flush(name)
        for part in range(NUM_PARTS):
            yield self._read("rows", part, KEY_ROW), self._read("plans", part, PLAN_ROW)

    def questions(self, code: int) -> np.ndarray:
        """The questions, as numbers, that a number in PLAN_ROW stands for."""
        text = self._sets.names[code]
        return np.array([id_number(hash) for hash in text.split(",") if hash], np.uint64)

    def _add(self, name: str, rows: np.ndarray) -> None:
        self._buffered[name].append(rows)
        self._num_buffered[name] += len(rows)
        if self._num_buffered[name] >= _BUFFERED:
            self._flush(name)

    def _flush(self, name: str) -> None:
        rows = np.concatenate(self._buffered[name])
        self._buffered[name], self._num_buffered[name] = [], 0
        parts = (rows["video"] >> _PART_SHIFT).astype(np.uint8)
        order = np.argsort(parts, kind="stable")
        starts = np.searchsorted(parts[order], np.arange(NUM_PARTS + 1))
        rows = rows[order]
        for part in range(NUM_PARTS):
            if starts[part] < starts[part + 1]:
                with open(self._folder / f"{name}-{part}", "ab") as file:
                    rows[starts[part] : starts[part + 1]].tofile(file)

    def _read(self, name: str, part: int, dtype: np.dtype) -> np.ndarray:
        path = self._folder / f"{name}-{part}"
        return np.fromfile(path, dtype) if path.exists() else np.empty(0, dtype)


def doubled(rows: np.ndarray) -> Iterator[tuple[np.void, np.void]]:
    """Each sealed row with the next one of the same key, where there is one. The attempts of an answer are 0."""
    sealed = rows[~np.isin(rows["table"], (UNSEALED, DEEPENED, LABEL))]
    names = ("attempts", "question", "has_question", "clip", "video", "config", "table")
    ordered = sealed[np.lexsort([sealed[name] for name in names])]
    if len(ordered):
        same = np.logical_and.reduce([ordered[name][1:] == ordered[name][:-1] for name in names])
        for place in np.flatnonzero(same):
            yield ordered[place], ordered[place + 1]


def unmatched_labels(rows: np.ndarray) -> Iterator[np.void]:
    """The keys of labels that no answer has, sealed or not."""
    names = ["config", "video", "clip", "question"]
    labels = rows[rows["table"] == LABEL]
    if len(labels):
        answers = {tuple(row) for row in rows[np.isin(rows["table"], (RESULT, UNSEALED))][names].tolist()}
        yield from (label for label in labels if tuple(label[names].tolist()) not in answers)


def unplanned(rows: np.ndarray, plans: np.ndarray, spool: KeySpool) -> Iterator[np.void]:
    """The rows that are in no plan of their run. Of a row without a question only its video must be planned."""
    for run in np.unique(rows["run"]):
        ours, plan = rows[rows["run"] == run], plans[plans["run"] == run]
        plan = plan[np.argsort(plan["video"])]
        places = np.minimum(np.searchsorted(plan["video"], ours["video"]), max(len(plan) - 1, 0))
        is_planned = plan["video"][places] == ours["video"] if len(plan) else np.zeros(len(ours), bool)
        sets = plan["questions"][places] if len(plan) else np.zeros(len(ours), np.int32)
        for code in np.unique(sets[is_planned]):
            asked = is_planned & (sets == code) & ours["has_question"]
            is_planned[asked] = np.isin(ours["question"][asked], spool.questions(int(code)))
        yield from ours[~is_planned]
