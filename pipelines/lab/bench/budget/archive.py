"""Rows that all thought, in the order of their output, with what each part of them took: what a budget is tried on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from framegate.pipelines.calibrate.audited import Floats
from framegate.pipelines.results.agreement import STRICT, differs_sql
from framegate.pipelines.results.views import query
from framegate.schemas.errors import InputError

MIN_ROWS: Final = 500

_ROWS: Final = """
    SELECT question_hash, confidence_first, coalesce({differs}, false) AS differs, num_thinking_tokens,
        prompt_seconds, first_answer_seconds, thinking_seconds
    FROM answers WHERE thinking AND prompt_seconds IS NOT NULL AND confidence_first IS NOT NULL
    ORDER BY config_id, video_id, clip_index, question_hash"""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """
    questions       a number for each question, int64 (rows,)
    confidence      of first answers, (rows,)
    differs         whether the second answer is another one, bool (rows,)
    tokens          of the thought, (rows,)
    first_seconds   of the engine, to read the clip and the question and to answer at once, (rows,)
    think_seconds   of the engine, to think and answer again, (rows,)
    """

    questions: np.ndarray
    confidence: Floats
    differs: np.ndarray
    tokens: Floats
    first_seconds: Floats
    think_seconds: Floats

    @property
    def num_rows(self) -> int:
        return len(self.confidence)

    @property
    def all_seconds(self) -> float:
        """Of the engine, where every row thinks at once."""
        return float((self.first_seconds + self.think_seconds).sum())

    def shuffled(self, rng: np.random.Generator) -> Archive:
        """The same rows in another order."""
        order = rng.permutation(self.num_rows)
        return Archive(**{name: values[order] for name, values in vars(self).items()})


def read_archive(output_uri: str) -> Archive:
    """Raises InputError where few rows of the output have thought, StorageError, QueryError."""
    rows = query(output_uri, {}, _ROWS.format(differs=differs_sql(STRICT)))
    if rows.num_rows < MIN_ROWS:
        raise InputError(
            f"{output_uri} has {rows.num_rows} rows that thought and were timed; the benchmark needs {MIN_ROWS}."
            " Run a job with strategy always_think"
        )
    floats = {name: rows[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in rows.column_names[3:]}
    return Archive(
        questions=rows["question_hash"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64),
        confidence=rows["confidence_first"].to_numpy().astype(np.float64),
        differs=rows["differs"].to_numpy(zero_copy_only=False).astype(bool),
        tokens=floats["num_thinking_tokens"],
        first_seconds=floats["prompt_seconds"] + floats["first_answer_seconds"],
        think_seconds=floats["thinking_seconds"],
    )
