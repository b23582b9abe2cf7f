"""Rows of a real output as an archive: those with both answers, such as all of a job that always thinks."""

from __future__ import annotations

from typing import Final

import numpy as np

from framegate.pipelines.lab.bench.calibrate.worlds import World
from framegate.pipelines.results.views import query
from framegate.schemas.errors import InputError

MIN_ROWS: Final = 1000
_ROWS: Final = """
    SELECT confidence_first, answer_first_value IS DISTINCT FROM answer AS differs FROM answers
    WHERE thinking AND status = 'answered' AND answer_second IS NOT NULL
    ORDER BY config_id, video_id, clip_index, question_hash"""


def read_world(output_uri: str) -> World:
    """Which answers are right is not known. Raises InputError where few rows have both, StorageError, QueryError."""
    rows = query(output_uri, {}, _ROWS)
    if rows.num_rows < MIN_ROWS:
        raise InputError(
            f"{output_uri} has {rows.num_rows} rows with both answers; the benchmark needs {MIN_ROWS}."
            " Run a job with strategy always_think, or one with a larger sample"
        )
    confidence = rows["confidence_first"].to_numpy(zero_copy_only=False).astype(np.float64)
    return World(name="recorded", confidence=confidence, differs=rows["differs"].to_numpy(zero_copy_only=False))
