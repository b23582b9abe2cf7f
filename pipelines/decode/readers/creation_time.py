"""When a file says that it was made.

MP4, MOV and Matroska can say so. What they say is often not when recording began:

    a clock that was never set     says 1904, 1970 or 1980: a time before MIN_YEAR is none
    local time                     is written by many cameras where the format means UTC: off by the zone
    the end                        of the recording, by cameras that write the header when they close the file
    the export                     of an editor or a video management system, and not the recording
    the first part                 of a long recording, in every part that was cut from it without a new header

`com.apple.quicktime.creationdate`, which phones write, has the zone in it and is asked first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the process that serves a decoder's bytes needs the bounds alone
    from av.container import InputContainer
    from av.video.stream import VideoStream

MIN_YEAR: Final = 1990
MAX_SECONDS: Final = 32_503_680_000.0  # the year 3000
CREATED_BETWEEN: Final = {"at_least": 0.0, "at_most": MAX_SECONDS}
_TAGS: Final = ("com.apple.quicktime.creationdate", "creation_time")


def read_creation_time(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds since 1970 (UTC); None where the file does not say, or says what cannot be."""
    return first_time([container.metadata, stream.metadata])


def first_time(tags: list[Mapping[str, str]]) -> float | None:
    """The first time among the tags of a file and of its stream that can be one."""
    for name in _TAGS:
        for of_one in tags:
            found = _parse(of_one.get(name, ""))
            if found is not None:
                return found
    return None


def _parse(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text.strip())
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        seconds = time.timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if time.year >= MIN_YEAR and seconds < MAX_SECONDS else None
