"""Time limits on a decoder process: how long it may take to open a file, to give a frame, to finish a video."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecoderCrash, DecodeTimeout


class Deadline(Protocol):
    """A limit on the seconds that are spent waiting for the child."""

    @property
    def slice_seconds(self) -> float:
        """The longest wait between two calls of `spend`."""
        ...

    def spend(self, seconds: float) -> None:
        """Counts `seconds`. Raises VideoError where the sum is above the limit."""
        ...


class FixedDeadline:
    """One limit for a step that decodes nothing: to start, to close."""

    slice_seconds = 0.5

    def __init__(self, seconds: float, *, to_do: str) -> None:
        self._seconds = self._left_seconds = seconds
        self._to_do = to_do

    def spend(self, seconds: float) -> None:
        """Raises DecoderCrash."""
        self._left_seconds -= seconds
        if self._left_seconds < 0:
            raise DecoderCrash(f"The decoder's process did not {self._to_do} within {self._seconds:g} seconds.")


class VideoDeadlines:
    """The limits of one video. Counts the time that the parent spends waiting for the child, and no other: `served`
    counts what it spends in storage meanwhile.

    `progress` gives a value that changes whenever the decoder makes progress. It is asked at least every
    `slice_seconds`, so that the limit between frames fires at most one slice late.
    """

    def __init__(self, limits: DecodeConfig, progress: Callable[[], bytes]) -> None:
        self._limits = limits
        self._progress = progress
        self._video_seconds = 0.0
        self.begin("open")

    @property
    def slice_seconds(self) -> float:
        return min(0.25, self._limits.open_seconds / 8, self._limits.frame_seconds / 8, self._limits.video_seconds / 8)

    def begin(self, step: Literal["open", "frame"], *, num_frames: int = 1) -> None:
        """A new request. In it, `num_frames` frames are decoded without a report of progress in between."""
        self._step = step
        self._num_frames = max(1, num_frames)
        self._step_seconds = 0.0
        self._last = self._progress()

    def spend(self, seconds: float) -> None:
        """Raises DecodeTimeout."""
        self._video_seconds += seconds
        self._step_seconds += seconds
        limits = self._limits
        if self._step == "open" and self._step_seconds > limits.open_seconds:
            raise DecodeTimeout(
                f"The decoder did not open the file within {limits.open_seconds:g} seconds (decode.open_seconds)."
            )
        if self._step == "frame":
            now = self._progress()
            if now != self._last:
                self._last, self._step_seconds = now, 0.0
            if self._step_seconds > limits.frame_seconds * self._num_frames:
                raise DecodeTimeout(
                    f"The decoder gave no frame for {limits.frame_seconds * self._num_frames:g} seconds "
                    f"(decode.frame_seconds is {limits.frame_seconds:g})."
                )
        if self._video_seconds > limits.video_seconds:
            raise DecodeTimeout(
                f"The decoder worked on the video for more than {limits.video_seconds:g} seconds "
                "(decode.video_seconds)."
            )
