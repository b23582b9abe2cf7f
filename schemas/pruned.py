"""Rows of the audit sample of a job that prunes: what they answer without pruning, and at other levels of it.

A level is what `frames.prune` says of how much is left out: the threshold of `change`, or the rate of `evs`. At 0
nothing is. A row of the sample is answered at the job's level, at 0 and at those that `audit_thresholds` or
`audit_rates` name, so that calibration can compare.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from framegate.schemas.columns import optional

FAILED: Final = "failed"
"""The status of an answer that could not be had."""


PRUNED_ANSWER: Final = pa.struct(
    [
        ("level", pa.float64()),
        ("answer", pa.string()),
        ("status", pa.string()),
        ("num_prompt_tokens", pa.int32()),
        ("num_video_tokens", pa.int32()),
        ("num_answer_tokens", pa.int32()),
        ("num_thinking_tokens", pa.int32()),
        ("engine_seconds", pa.float64()),
        ("prompt_seconds", pa.float64()),
    ]
)
"""What a row answers at one level: see `schemas.qa.PrunedAnswer`."""

PRUNED: Final = [
    optional(
        "prune_levels",
        pa.list_(pa.float64()),
        "thresholds or rates of pruning at which rows of the audit sample were answered then; null: none was",
    ),
    optional("prune_answers", pa.list_(PRUNED_ANSWER), "of a row of the sample: what it answers at each of them"),
    optional("answer_whole", pa.string(), "of such a row: its answer without pruning; null also where it has none"),
]
"""The columns of a row whose job prunes and audits."""
