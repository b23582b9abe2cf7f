"""Films that lie behind one another in one file, read as one film.

The pictures of each follow at once on those of the one before it. So a film's own clock is shifted by when the one
before it ends; what it has before its first picture, sound or a delay, counts in the first film alone.

    file       |-- film 0 --|-- film 1 --|-- film 2 --|      bytes
    pictures   0.0 ..... 4.0 4.0 .... 8.0 8.0 ... 12.0       seconds of the video
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.films_in_file import find_films
from framegate.pipelines.decode.readers.gaps import Gap, longest
from framegate.pipelines.decode.readers.header import check_duration
from framegate.pipelines.decode.readers.picture import fitted_into
from framegate.pipelines.decode.readers.reader import Reader, Selection, VideoHeader
from framegate.pipelines.decode.readers.timeline import TICK_SECONDS
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import VideoError, VideoTooLarge

MAX_FILMS = 1000
MAX_FPS = 240.0  # a rate above it counts ticks, not frames
SMALL_PIXELS = 64  # a side of the picture of which only the time counts; decord fails at 16
BROKEN_SECONDS = 1.0  # what a film that cannot be opened counts for, so that a clip meets it

OpenOne = Callable[..., Reader]


class _Film(NamedTuple):
    """Bytes [start, end) of the file; when its first picture is shown, and what its own seconds take, to be that."""

    start: int
    end: int
    begin_seconds: float
    shift_seconds: float


def open_joined(open_one: OpenOne, file: RangeFile, *, container: str, limits: DecodeConfig) -> Reader:
    """A reader of the film in `file`, by `open_one(file, container=..., limits=...)`, or of all films in it.

    Raises VideoError, and what `file` raises.
    """
    films = find_films(file, container)
    if len(films) == 1:
        return open_one(file, container=container, limits=limits)
    if len(films) > MAX_FILMS:
        raise VideoTooLarge(f"The file holds {len(films)} films behind one another; at most {MAX_FILMS} are read.")
    return JoinedReader(open_one, file, films, container=container, limits=limits)


class JoinedReader:
    """See `Reader`. All films are opened once, to learn how long they are; then those that are read from.

    Where a film cannot be opened, the video ends before it, cut short.
    """

    header: VideoHeader

    def __init__(
        self,
        open_one: OpenOne,
        file: RangeFile,
        films: Sequence[tuple[int, int]],
        *,
        container: str,
        limits: DecodeConfig,
    ) -> None:
        self._file, self._limits = file, limits
        self._open_one = lambda film: open_one(film, container=container, limits=limits)
        self._tell: Callable[[], object] = bool  # which does nothing; see `Reader`
        self._films: list[_Film] = []
        self._number, self._reader = -1, None
        try:
            self.header = self._survey(films)
            check_duration(self.header.duration_seconds, limits)
        except BaseException:
            self.close()
            raise

    def read(
        self, times_seconds: Sequence[float], *, height: int, width: int, out: np.ndarray | None = None
    ) -> Selection:
        """See `Reader.read`."""
        frames_THWC = np.empty((len(times_seconds), height, width, 3), dtype=np.uint8) if out is None else out
        pts: list[float] = []
        has_ended, is_letterboxed, place = False, False, 0
        while place < len(times_seconds) and not has_ended:
            number = self._film_at(times_seconds[place])
            num = sum(self._film_at(seconds) == number for seconds in times_seconds[place:])
            film = self._films[number]
            local = [max(0.0, seconds - film.shift_seconds) for seconds in times_seconds[place : place + num]]
            room = frames_THWC[len(pts) : len(pts) + num]
            selection = self._read_film(number, local, room)
            is_letterboxed |= selection.is_letterboxed
            pts += [seconds + film.shift_seconds for seconds in selection.pts_seconds.tolist()]
            has_ended = selection.has_ended and number == len(self._films) - 1
            place += num
        return Selection(frames_THWC[: len(pts)], np.array(pts, np.float64), has_ended, is_letterboxed=is_letterboxed)

    def _read_film(self, number: int, times_seconds: Sequence[float], room_THWC: np.ndarray) -> Selection:
        """Frames of one film, by its own clock, put into `room_THWC`: on black where they have another shape than the
        first film's."""
        film = self._film(number)
        _, height, width, _ = room_THWC.shape
        shape, own = _display_size(self.header), _display_size(film.header)
        inner = fitted_into(height, width, shape=shape, own=own) if own != shape else (height, width)
        if inner == (height, width):
            selection = film.read(times_seconds, height=height, width=width, out=room_THWC)
            if selection.frames_THWC.ctypes.data != room_THWC.ctypes.data:
                room_THWC[: len(selection.pts_seconds)] = selection.frames_THWC
            return selection
        selection = film.read(times_seconds, height=inner[0], width=inner[1])
        room = room_THWC[: len(selection.pts_seconds)]
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        room[:] = 0
        room[:, top : top + inner[0], left : left + inner[1]] = selection.frames_THWC
        return Selection(room, selection.pts_seconds, selection.has_ended, is_letterboxed=True)

    def count_bytes(self, times_seconds: Sequence[float]) -> int | None:
        """See `Reader.count_bytes`."""
        total = 0
        for number, film in enumerate(self._films):
            local = [seconds - film.shift_seconds for seconds in times_seconds if self._film_at(seconds) == number]
            num_bytes = self._film(number).count_bytes(local) if local else 0
            if num_bytes is None:
                return None
            total += num_bytes
        return total

    @property
    def progress(self) -> Callable[[], object]:
        """See `Reader`."""
        return self._tell

    @progress.setter
    def progress(self, tell: Callable[[], object]) -> None:
        self._tell = tell
        _set_progress(self._reader, tell)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._number, self._reader = -1, None

    def __enter__(self) -> JoinedReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _survey(self, films: Sequence[tuple[int, int]]) -> VideoHeader:
        """Opens the films one after the other. Raises VideoError where the first one cannot be opened."""
        headers: list[VideoHeader] = []
        gaps: list[Gap] = []
        end_seconds, is_broken = 0.0, False
        for number, (start, end) in enumerate(films):
            self._films.append(_Film(start, end, end_seconds, end_seconds))
            try:
                header = self._film(number).header
                first_seconds = self._first_seconds()
            except VideoError:
                if number == 0:
                    raise
                self._films.pop()
                end_seconds, is_broken = end_seconds + BROKEN_SECONDS, True
                break
            shift = end_seconds - first_seconds if number else 0.0
            self._films[-1] = _Film(start, end, end_seconds, shift)
            end_seconds = shift + _pictures_end(header)
            gaps += [(after + shift, before + shift) for after, before in _inner_gaps(header, number)]
            headers.append(header)
        self.close()
        return replace(
            headers[0],
            duration_seconds=end_seconds,
            num_streams=max(header.num_streams for header in headers),
            is_cut_short=is_broken or headers[-1].is_cut_short,
            gaps=longest(gaps),
        )

    def _film(self, number: int) -> Reader:
        if number != self._number or self._reader is None:
            self.close()
            film = self._films[number]
            self._reader = self._open_one(self._file.stretch(film.start, film.end))
            self._number = number
            _set_progress(self._reader, self._tell)
        return self._reader

    def _film_at(self, seconds: float) -> int:
        begins = [film.begin_seconds for film in self._films]
        return max(0, bisect_right(begins, seconds + TICK_SECONDS) - 1)

    def _first_seconds(self) -> float:
        """When the open film shows its first picture, by its own clock."""
        assert self._reader is not None
        selection = self._reader.read([0.0], height=SMALL_PIXELS, width=SMALL_PIXELS)
        return float(selection.pts_seconds[0]) if len(selection.pts_seconds) else 0.0


def _display_size(header: VideoHeader) -> tuple[int, int]:
    return header.display_height, header.display_width


def _pictures_end(header: VideoHeader) -> float:
    """When the last picture goes off, by the film's own clock; sound may go on for longer."""
    is_last_known = bool(header.gaps) and header.gaps[-1][1] > header.duration_seconds
    if not is_last_known or header.fps is None or header.fps > MAX_FPS:
        return header.duration_seconds
    return min(header.duration_seconds, max(0.0, header.gaps[-1][0]) + 1 / header.fps)


def _inner_gaps(header: VideoHeader, number: int) -> list[Gap]:
    """The gaps of a film, but for those before its first picture, of any but the first film, and after its last one."""
    return [
        (after, before)
        for after, before in header.gaps
        if (after >= 0 or number == 0) and before <= header.duration_seconds
    ]


def _set_progress(reader: Reader | None, tell: Callable[[], object]) -> None:
    if reader is not None and hasattr(reader, "progress"):
        reader.progress = tell  # pyright: ignore[reportAttributeAccessIssue] - an attribute that a reader may have
