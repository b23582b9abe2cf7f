"""The columns of a row whose strategy may ask more than once."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from framegate.schemas.columns import optional

ASK_ROW: Final = pa.struct(
    [
        ("label", pa.string()),
        ("num_frames", pa.int32()),
        ("num_video_tokens", pa.int32()),
        ("num_prompt_tokens", pa.int32()),
        ("num_tokens", pa.int32()),
        ("confidence", pa.float64()),
        ("answer", pa.string()),
        ("thinking", pa.bool_()),
    ]
)
"""What a row says of one of its asks: see `schemas.qa.AskRow`."""

ASKS: Final = [
    optional(
        "asks",
        pa.list_(ASK_ROW),
        "every ask of the row in order, by a strategy that may have several; null: it has one",
    ),
    optional("agreement", pa.float64(), "share of its asks' votes, or their mean probability, for the answer"),
]
