"""When a failure is tried again: by its reason code, how often it has failed, and how long ago.

`pipelines.plan.coverage` applies these rules to the stored failures.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

SOURCE_GONE: Final = "source_gone"
NOT_FOUND: Final = "not_found"

RETRY_AFTER: Final[dict[str, timedelta | None]] = {
    # The file stays as it is: never. (Another decoder is another config_id, under which everything is asked anew.)
    "empty": None,
    "not_video": None,
    "playlist": None,
    "no_video_stream": None,
    "truncated": None,
    "too_large": None,
    "unsupported_codec": None,
    "decode_error": None,
    "times_restart": None,
    "unsafe_member": None,
    "not_unicode": None,
    # What the job allows and names stays as it is. Where it is corrected, the name leads to a video with a version.
    "protocol_refused": None,
    "outside_roots": None,
    "secret_in_uri": None,
    "address_refused": None,
    # So do the question and the model. (Fewer or smaller frames are another config_id.)
    "too_long": None,
    "first_answer_differs": None,
    # The cause may lie outside the file and pass. The wait doubles with each failure.
    "storage": timedelta(minutes=1),
    "source_changed": timedelta(minutes=1),
    "engine_error": timedelta(minutes=10),
    "decode_timeout": timedelta(hours=1),
    "decoder_crash": timedelta(hours=1),
    "memory_limit": timedelta(hours=1),
    # These reasons are given after max_attempts tries.
    "engine_timeout": None,
    "actor_crash": None,
    # Nothing is there to be tried. One that comes back is due at once (`pipelines.plan.remaining`), and one that was
    # never there is another video once it is.
    SOURCE_GONE: None,
    NOT_FOUND: None,
}
"""The wait after the first failure, for each reason code; None: never, but for `run --retry-failed`."""

STOPS_RUN: Final = frozenset(
    {"storage", "source_changed", "engine_error", "decode_timeout", "decoder_crash", "memory_limit", "engine_timeout",
     "actor_crash", "decode_error", "too_long"}
)  # fmt: skip
"""Reasons whose cause may be the machine, the model or the bucket, and so affect every video. Files that are not videos
(pictures, playlists, empty objects) can fill half a bucket and are no reason to stop. Nor are videos that are not
there: a retention rule may have deleted most of what a manifest names."""


def wait_after(reason: str, attempts: int) -> timedelta | None:
    """How long after the last of `attempts` failures the next try is due; None: never."""
    first = RETRY_AFTER.get(reason)
    return None if first is None else first * 2 ** min(attempts - 1, 16)
