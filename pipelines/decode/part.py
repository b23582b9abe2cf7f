"""Parts of a long video: which of its clips one worker decodes where several decode it at once.

Clips are shared out in groups of `group_clips`, and no unit reaches beyond its group. So units, and their names in the
journal, are the same however many parts a video has.
"""

from __future__ import annotations

from framegate.pipelines.decode.readers.reader import VideoHeader
from framegate.pipelines.decode.split import split_duration
from framegate.schemas.config import ClipsConfig
from framegate.schemas.unit import PlannedVideo

GROUP_SECONDS = 240.0  # a film of ten hours has 150 groups to share out
MAX_GROUP_CLIPS = 32  # a unit has no more: its answers are soon repeated after a crash
CANNOT_SEEK = frozenset({"mpeg_ps"})  # containers that are read from their beginning, whatever is asked for


def group_clips(clips: ClipsConfig) -> int:
    """How many clips are one group."""
    if clips.whole_video:
        return 1
    if clips.scenes or clips.same_within is not None:  # a group's first clip is asked, whatever it shows
        return MAX_GROUP_CLIPS
    return min(MAX_GROUP_CLIPS, max(1, round(GROUP_SECONDS / clips.step_seconds)))


def can_share(clips: ClipsConfig) -> bool:
    """Whether videos have parts at all."""
    return not clips.whole_video


def is_shared(planned: PlannedVideo, header: VideoHeader, clips: ClipsConfig, *, opening_bytes: int) -> bool:
    """Whether each part of a video has some of its clips.

    If not, the first part has all of it: where the container cannot seek, or where opening it once for each part would
    read more than the file: a live recording without an index is read through to find its end.
    """
    is_costly = opening_bytes * planned.num_parts > planned.video.size_bytes
    return planned.num_parts > 1 and can_share(clips) and header.container not in CANNOT_SEEK and not is_costly


def clips_of_part(planned: PlannedVideo, header: VideoHeader, clips: ClipsConfig) -> range:
    """The clips that are this part's, where these are stretches; all parts of a video find the same bounds. May be
    empty."""
    size = group_clips(clips)
    num_clips = sum(1 for _ in split_duration(header.duration_seconds, clips, header.gaps))
    num_groups = -(-num_clips // size)
    first, end = (part * num_groups // planned.num_parts for part in (planned.part, planned.part + 1))
    return range(first * size, min(end * size, num_clips))
