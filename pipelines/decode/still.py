"""Whether a clip shows what another one shows: block by block, on the frames that the model sees.

Both clips have the same number of frames, of the same size. For each frame, each block of 28 x 28 pixels and each
colour channel by itself

    d = mean of |one - other| over the pixels of the block, in grey levels from 0 to 255

and the clips show the same where every d is at most `within`. Blocks are counted from the top left corner; those at the
right and at the bottom have the pixels that are left. With `within` 0 all pixels are equal. So a change counts by where
it is, not by how much of the picture it is: of 5 x 5 pixels that change by 100 levels a block of 28 has d = 3.19, and a
whole frame of 448 x 252 has 0.02.

A model is told when frames were taken, so that times count, too, each from its clip's start. With `within` 0 both clips
are told alike: the steps' times to a tenth of a second and the mean distance of steps to a hundredth are what prompts
are made of. Else no frame is further from its time than TIME_WITHIN_SECONDS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from framegate.schemas.clip import FrameBatch
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.still import SameAs, StillClips
from framegate.schemas.unit import DecodedClip, PlannedVideo

BLOCK_PIXELS: Final = 28  # what one video token of Qwen2.5-VL covers
TIME_WITHIN_SECONDS: Final = 0.1
MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
"""Of one unit, pixels of clips that show the same and are asked something all the same. With more, clips are asked."""


@dataclass(frozen=True, kw_only=True)
class StillFinder:
    """Looks at the clips of a video one after the other. `temporal_patch`: frames of one temporal step of the model."""

    planned: PlannedVideo
    still: StillClips
    temporal_patch: int

    def look(self, decoded: DecodedClip, before: Sequence[DecodedClip]) -> DecodedClip:
        """The clip as one that shows the same as one of its unit, where it does; `before` are those of its unit so far.

        It is compared with the last one that is asked itself, not with the one just before: a picture that drifts by
        less than `within` from clip to clip is asked about again. Where nothing is asked of it, its pixels are dropped.
        """
        root = next((clip for clip in reversed(before) if clip.same_as is None), None)
        if root is None or not self._has_room(decoded, before):
            return decoded
        if not shows_same(root, decoded, within=self.still.within, temporal_patch=self.temporal_patch):
            return decoded
        same_as = SameAs(clip_index=root.clip.index, asked=self._asked(decoded, root))
        pixels = decoded.frames.frames_THWC if same_as.asked else root.frames.frames_THWC
        frames = FrameBatch(
            frames_THWC=pixels,
            pts_seconds=decoded.frames.pts_seconds,
            duration_seconds=decoded.frames.duration_seconds,
        )
        return replace(decoded, frames=frames, same_as=same_as)

    def _has_room(self, decoded: DecodedClip, before: Sequence[DecodedClip]) -> bool:
        """By how many pixels are expected to stay, not by how many do: whether a row takes over its answer must not
        depend on which rows are audited, or these would be no uniform draw of those that do."""
        share = self.still.share_with_pixels(self.planned.missing(decoded.clip.index))
        found = [clip for clip in before if clip.same_as is not None]
        return share * sum(clip.frames.frames_THWC.nbytes for clip in [*found, decoded]) <= MAX_KEPT_BYTES

    def _asked(self, decoded: DecodedClip, root: DecodedClip) -> tuple[str, ...]:
        video_id, index = decoded.clip.video_id, decoded.clip.index
        return tuple(
            question_hash
            for question_hash in self.planned.missing(index)
            if self.still.asks(video_id, index, question_hash)
            or self._goes_on_from(root, question_hash) != self._goes_on_from(decoded, question_hash)
        )

    def _goes_on_from(self, clip: DecodedClip, question_hash: str) -> tuple[object, ...] | None:
        """The first answer of a row that is deepened: another one is thought about for itself."""
        wanted = self.planned.wanted or {}
        given: GivenAnswer | None = wanted.get((clip.clip.index, question_hash))
        return None if given is None else (given.token_ids, given.answer_first, given.confidence)


def shows_same(one: DecodedClip, other: DecodedClip, *, within: float, temporal_patch: int) -> bool:
    """`within` in grey levels; `temporal_patch`: frames of one temporal step of the model."""
    frames, others = one.frames.frames_THWC, other.frames.frames_THWC
    if frames.shape != others.shape or not _same_times(one, other, is_exact=not within, temporal_patch=temporal_patch):
        return False
    return all(_same_frame(*pair, within=within) for pair in zip(frames, others, strict=True))


def block_differences(one_HWC: np.ndarray, other_HWC: np.ndarray) -> np.ndarray:
    """d of each block and channel, float64 (rows, columns, 3). Two uint8 frames of one size."""
    difference = np.maximum(one_HWC, other_HWC) - np.minimum(one_HWC, other_HWC)  # in bytes: twice as fast as int16
    height, width, _ = difference.shape
    rows, columns = (np.arange(0, size, BLOCK_PIXELS) for size in (height, width))
    # A column of 28 bytes fits 16 bits; slices are summed twice as fast as with one reduceat over all rows.
    strips = np.stack([difference[top : top + BLOCK_PIXELS].sum(axis=0, dtype=np.uint16) for top in rows.tolist()])
    sums = np.add.reduceat(strips, columns, axis=1, dtype=np.uint32)
    heights, widths = np.diff(rows, append=height), np.diff(columns, append=width)
    return sums / (heights[:, None] * widths)[..., None]


def _same_frame(one_HWC: np.ndarray, other_HWC: np.ndarray, *, within: float) -> bool:
    if not within:
        return np.array_equal(one_HWC, other_HWC)
    return bool((block_differences(one_HWC, other_HWC) <= within).all())


def _same_times(one: DecodedClip, other: DecodedClip, *, is_exact: bool, temporal_patch: int) -> bool:
    times, others = (clip.frames.pts_seconds - clip.clip.start_seconds for clip in (one, other))
    if is_exact:
        return _as_told(times, temporal_patch) == _as_told(others, temporal_patch)
    return bool((np.abs(times - others) <= TIME_WITHIN_SECONDS).all())


def _as_told(times: np.ndarray, temporal_patch: int) -> tuple[float, list[str]]:
    """As `pipelines.reason.models.positions` has them: the mean distance of steps, and the middle of each."""
    distance = float(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    steps = np.append(times, np.repeat(times[-1:], -len(times) % temporal_patch)).reshape(-1, temporal_patch)
    return round(distance * temporal_patch, 2), [f"{(step[0] + step[-1]) / 2:.1f}" for step in steps.tolist()]
