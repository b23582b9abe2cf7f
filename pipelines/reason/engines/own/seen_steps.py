"""Temporal steps that the vision tower has seen: one whose pixels are the same takes the features of the earlier one.

A tower of the families attends within a temporal step (two frames), and its positions are those within the step. So the
features of a step follow from its pixels alone, whichever clip it is in: overlapping clips share the steps that they
have in common, and a still picture is seen once.

    clip 0   A B C D        A to D are run
    clip 1       C D E E    E is run, once

Steps are found by their content. They are kept while one of the last few clips had them, within a bound of bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from framegate.pipelines.reason.models.preprocess import ScaledVideo

MAX_KEPT_BYTES: Final = 256 * 2**20
"""Of pixels and features. A clip of 4,096 tokens takes 150 MB with the largest of the families, Qwen3-VL-8B."""

KEPT_CLIPS: Final = 8
"""Clips of a unit are seen one after the other, some of them together: what overlaps is in the last few of them."""

_ROW_WORDS = 509  # a content is summed up in rows of so many words: prime, so that no picture's rows fall on them
_SAMPLED_ROWS = 16  # of so many rows of pixels one is compared first

RunTower = Callable[[np.ndarray], tuple[torch.Tensor, ...]]
"""Scaled steps (S, F, H, W, 3) of one size to their features: (S, V, D) of each level, that of the output first."""


@dataclass(frozen=True, kw_only=True)
class VideoFeatures:
    """The output of the vision tower for one clip: a vector for each video token, and those that deeper layers add.

    num_reused   of its temporal steps: those that were not run for it
    """

    features_VD: torch.Tensor
    deepstack_LVD: tuple[torch.Tensor, ...]
    num_reused: int = 0


@dataclass(kw_only=True, eq=False)
class _Step:
    """`levels_VD` are there once it has been run. `last_clip` is the number of the last clip that had it."""

    pixels_FHWC: np.ndarray
    key: int
    last_clip: int
    levels_VD: tuple[torch.Tensor, ...] = ()

    def has_shape_of(self, other: _Step) -> bool:
        return self.pixels_FHWC.shape == other.pixels_FHWC.shape

    @property
    def num_bytes(self) -> int:
        return self.pixels_FHWC.nbytes + sum(level.nbytes for level in self.levels_VD)


class SeenSteps:
    """The steps that one engine has seen.

    With `same_within` above 0, a step also takes the features of the step in front of it *in its clip* where no value
    of any pixel differs by more: compared is the step that was seen, so that differences do not add up. What a clip's
    steps are taken for then follows from the clip alone, whatever was asked before.
    """

    def __init__(self, *, same_within: int = 0, reuses: bool = True, max_bytes: int = MAX_KEPT_BYTES) -> None:
        """Without `reuses` every step is run."""
        self._same_within = same_within
        self._reuses = reuses
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._num_clips = 0
        self._kept: OrderedDict[int, _Step] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        """Of what is kept."""
        return self._num_bytes

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
        self._num_bytes = 0

    def see(self, videos: Sequence[ScaledVideo], run: RunTower) -> list[VideoFeatures]:
        """The features of each video. `run` is called once for each size of frames, with the steps that are new."""
        new: dict[int, _Step] = {}
        to_run: dict[tuple[int, ...], list[_Step]] = {}
        seen: list[tuple[list[_Step], int]] = []
        for video in videos:
            steps: list[_Step] = []
            num_reused = 0
            self._num_clips += 1
            for pixels in video.steps_SFHWC:
                step = self._find_near(pixels, steps)
                if step is None:
                    key = _sum_up(pixels)
                    step = self._find_equal(pixels, key, new)
                    if step is None:
                        step = new[key] = _Step(pixels_FHWC=pixels, key=key, last_clip=self._num_clips)
                        to_run.setdefault(pixels.shape, []).append(step)
                        num_reused -= 1
                steps.append(step)
                num_reused += 1
            seen.append((steps, num_reused))
        for same_size in to_run.values():
            levels_SVD = run(np.stack([step.pixels_FHWC for step in same_size]))
            for place, step in enumerate(same_size):
                step.levels_VD = tuple(level[place] for level in levels_SVD)
        features = [_gather(steps, num_reused) for steps, num_reused in seen]
        if self._reuses:
            self._keep([step for same_size in to_run.values() for step in same_size])
        return features

    def _find_near(self, pixels_FHWC: np.ndarray, steps: Sequence[_Step]) -> _Step | None:
        """The step in front, where it is within `same_within`."""
        if not self._same_within or not steps:
            return None
        return steps[-1] if _is_within(pixels_FHWC, steps[-1].pixels_FHWC, self._same_within) else None

    def _find_equal(self, pixels_FHWC: np.ndarray, key: int, new: Mapping[int, _Step]) -> _Step | None:
        """A step of these videos, or one that is kept, with the same pixels."""
        if not self._reuses:
            return None
        step = new.get(key) or self._kept.get(key)
        if step is None or not np.array_equal(step.pixels_FHWC, pixels_FHWC):
            return None
        step.last_clip = self._num_clips
        if key in self._kept:
            self._kept.move_to_end(key)
        return step

    def _keep(self, steps: Sequence[_Step]) -> None:
        """In memory of their own: what they lie in now has the steps of whole clips.

        They take the places of those that are forgotten. New ones each time, between the tower's large tensors, would
        let the heap grow by some 20 MB before it stays as it is.
        """
        forgotten = self._forget_old(0)
        for step in steps:
            self._forget(step.key)
            place = next((index for index, old in enumerate(forgotten) if old.has_shape_of(step)), None)
            kept = _copy(step, None if place is None else forgotten.pop(place))
            self._kept[kept.key] = kept
            self._num_bytes += kept.num_bytes
        self._forget_old(self._num_bytes - self._max_bytes)

    def _forget_old(self, num_bytes: int) -> list[_Step]:
        """Those that none of the last clips had, and the oldest until so many bytes are free."""
        forgotten: list[_Step] = []
        aim = self._num_bytes - num_bytes
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            if self._num_bytes <= aim and oldest.last_clip > self._num_clips - KEPT_CLIPS:
                break
            forgotten += self._forget(key)
        return forgotten

    def _forget(self, key: int) -> list[_Step]:
        step = self._kept.pop(key, None)
        if step is None:
            return []
        self._num_bytes -= step.num_bytes
        return [step]


def _copy(step: _Step, old: _Step | None) -> _Step:
    """In the memory of `old`, where it is given."""
    if old is None:
        levels_VD = tuple(level.clone() for level in step.levels_VD)
        return replace(step, pixels_FHWC=step.pixels_FHWC.copy(), levels_VD=levels_VD)
    np.copyto(old.pixels_FHWC, step.pixels_FHWC)
    for mine, its in zip(old.levels_VD, step.levels_VD, strict=True):
        mine.copy_(its)
    return replace(step, pixels_FHWC=old.pixels_FHWC, levels_VD=old.levels_VD)


def _gather(steps: Sequence[_Step], num_reused: int) -> VideoFeatures:
    features_VD, *deepstack_LVD = (torch.cat(level) for level in zip(*(step.levels_VD for step in steps), strict=True))
    return VideoFeatures(features_VD=features_VD, deepstack_LVD=tuple(deepstack_LVD), num_reused=num_reused)


def _sum_up(pixels: np.ndarray) -> int:
    """A number that differs for nearly all contents that differ: at the speed at which memory is read."""
    content = np.ascontiguousarray(pixels).reshape(-1)
    words = content[: len(content) // 8 * 8].view(np.uint64)
    rows = words[: len(words) // _ROW_WORDS * _ROW_WORDS].reshape(-1, _ROW_WORDS)
    return hash((pixels.shape, rows.sum(axis=0, dtype=np.uint64).tobytes(), words[rows.size :].tobytes()))


def _is_within(one: np.ndarray, other: np.ndarray, most: int) -> bool:
    """Whether no value differs by more than `most`. Most pictures that differ do so in a few rows already."""
    if one.shape != other.shape:
        return False
    return all(
        int((np.maximum(one[rows], other[rows]) - np.minimum(one[rows], other[rows])).max()) <= most
        for rows in (np.s_[:, ::_SAMPLED_ROWS], np.s_[:])
    )
