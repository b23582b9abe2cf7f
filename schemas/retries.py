"""When what failed is tried again: by its reason, how often it has failed, and how long ago.

A policy and nothing else; `source.plan` applies it to what storage holds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

RETRY_AFTER: Final[dict[str, timedelta | None]] = {
    # What the file is, it will be tomorrow: another decoder is another config_id, and asks everything anew.
    "empty": None,
    "not_video": None,
    "playlist": None,
    "no_video_stream": None,
    "truncated": None,
    "too_large": None,
    "unsupported_codec": None,
    "decode_error": None,
    "unsafe_member": None,
    # What the world was like may have passed. Doubled with each failure.
    "storage": timedelta(minutes=1),
    "source_changed": timedelta(minutes=1),
    "engine_error": timedelta(minutes=10),
    "decode_timeout": timedelta(hours=1),
    "decoder_crash": timedelta(hours=1),
    "memory_limit": timedelta(hours=1),
    # It has been tried max_attempts times when it gets this reason.
    "actor_crash": None,
}
"""The wait after the first failure, for each reason code; None: never, but for `run --retry-failed`."""

STOPS_RUN: Final = frozenset(
    {"storage", "source_changed", "engine_error", "decode_timeout", "decoder_crash", "memory_limit", "actor_crash",
     "decode_error"}
)  # fmt: skip
"""Reasons that may lie with the machine, the model or the bucket, and so with every video. What a file is by itself (a
picture, a playlist, an empty object) can fill half a bucket and is no reason to stop."""


def wait_after(reason: str, attempts: int) -> timedelta | None:
    """How long after its last failure something that failed `attempts` times is tried again; None: never."""
    first = RETRY_AFTER.get(reason)
    return None if first is None else first * 2 ** min(attempts - 1, 16)
