"""Parts of a video with scenes: the clips of a part are the groups that begin in its share of the video's time.

How many clips lie before a moment is known from the cuts before it alone, which the workers scan together
(`decode.scan_sharing`). A group is of as many clips as in any other video, so that units are the same however many
parts there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from framegate.pipelines.decode.part import group_clips
from framegate.pipelines.decode.readers.reader import VideoHeader
from framegate.pipelines.decode.scan import WINDOW_SECONDS
from framegate.pipelines.decode.scan_sharing import SharedScan
from framegate.pipelines.decode.scenes import join_scenes
from framegate.schemas.config import ClipsConfig
from framegate.schemas.errors import VideoError
from framegate.schemas.unit import PlannedVideo


@dataclass(frozen=True, kw_only=True)
class ScenePart:
    """The clips of one part.

    stretches  (start, end) of all clips from the first one of the video to the one behind this part, if there is one
    error      what ended the scan before the clip behind this part was known
    tells      the error belongs to this part: the clip that cannot be found would be one of its groups
    """

    clips: range
    stretches: tuple[tuple[float, float], ...]
    error: VideoError | None = None
    tells: bool = False


def find_scene_part(planned: PlannedVideo, header: VideoHeader, clips: ClipsConfig, shared: SharedScan) -> ScenePart:
    """Which clips are this part's: all parts of a video find the same bounds. Raises what `shared` met itself."""
    duration_seconds = header.duration_seconds
    begin, end = _share(planned, duration_seconds)
    size = group_clips(clips)
    first_window = int(begin // WINDOW_SECONDS)
    last_window = math.ceil(duration_seconds / WINDOW_SECONDS) if end == math.inf else int(end // WINDOW_SECONDS)
    stretches: list[tuple[float, float]] = []
    groups: list[float] = []  # when each of them begins
    error: VideoError | None = None
    try:
        for stretch in join_scenes(
            shared.windows(range(first_window, last_window)), duration_seconds, clips, header.gaps
        ):
            if len(stretches) % size == 0:
                groups.append(stretch[0])
            stretches.append(stretch)
            if groups[-1] >= end:
                break
    except VideoError as met:
        if shared.is_reader_gone:
            raise
        error = met
        if len(stretches) % size == 0:  # the next clip follows, or the first one after a gap
            groups.append(stretches[-1][1] if stretches else 0.0)
    first, stop = (min(_count_before(groups, seconds) * size, len(stretches)) for seconds in (begin, end))
    tells = error is not None and begin <= groups[-1] < end
    return ScenePart(clips=range(first, stop), stretches=tuple(stretches), error=error, tells=tells)


def _share(planned: PlannedVideo, duration_seconds: float) -> tuple[float, float]:
    begin, end = (duration_seconds * part / planned.num_parts for part in (planned.part, planned.part + 1))
    return begin, math.inf if planned.part + 1 == planned.num_parts else end


def _count_before(groups: list[float], seconds: float) -> int:
    return sum(1 for start in groups if start < seconds)
