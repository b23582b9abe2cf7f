"""FFmpeg's command line as the oracle: which frames a film has, and when a player shows them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np

from tests.decode.conftest import _number_of, _numbered_frame
from tests.decode.container_edits import EIGHT

HEIGHT, WIDTH = 48, 64


class Seen(NamedTuple):
    """The number that each frame shows, and when, in seconds of the file."""

    numbers: list[int]
    seconds: list[float]


def ffmpeg(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs the command line; fails the test where it does."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", "-y", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:].decode(errors="replace")
    return done


def raw_frames(num: int, *, first: int = 0) -> bytes:
    """Numbered frames as raw RGB, for `-f rawvideo`."""
    return b"".join(
        _numbered_frame(number, height=HEIGHT, width=WIDTH).tobytes() for number in range(first, first + num)
    )


def shown_size(orientation: str) -> tuple[int, int]:
    """Height and width of a film as a player shows it, by a name of EIGHT."""
    return (WIDTH, HEIGHT) if EIGHT[orientation][1] % 2 else (HEIGHT, WIDTH)


def number_in(frame_HWC: np.ndarray, orientation: str) -> int:
    """The number in a frame as a player shows it: a frame shown otherwise has another one."""
    _, num_turns, is_mirrored = EIGHT[orientation]
    stored = np.rot90(frame_HWC, -num_turns)
    return _number_of(np.ascontiguousarray(stored[:, ::-1] if is_mirrored else stored))


def see(path: str, *, has_sound: bool = False, orientation: str = "upright") -> Seen:
    """What FFmpeg shows of a file. With sound, second 0 is when the first of both begins."""
    sound = ["-map", "0:a", "-f", "null", "-"] if has_sound else []
    picture = ["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", "showinfo=checksum=0", "-f", "rawvideo"]
    done = ffmpeg("-i", path, *picture, "-pix_fmt", "rgb24", "pipe:1", *sound)
    seconds = [float(text) for text in re.findall(rb" pts_time:(\S+)", done.stderr)]
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, *shown_size(orientation), 3)
    assert len(frames) == len(seconds)
    return Seen([number_in(frame, orientation) for frame in frames], seconds)


def in_order(film: Seen) -> Seen:
    """The frames whose times lie behind all before and before all after: of a program stream that leaves times out,
    FFmpeg makes some that fall back, and no player can show those frames at them."""
    seconds = np.array(film.seconds)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(seconds)[:-1]])
    after = np.concatenate([np.minimum.accumulate(seconds[::-1])[::-1][1:], [np.inf]])
    kept = np.flatnonzero((seconds >= before) & (seconds < after))
    return Seen([film.numbers[k] for k in kept], [film.seconds[k] for k in kept])


def one_after_another(films: Sequence[Seen], *, step_seconds: float) -> Seen:
    """Where the command line makes nonsense of films in one file: each follows at once on the one before."""
    numbers, seconds = list(films[0].numbers), list(films[0].seconds)
    for film in films[1:]:
        shift = seconds[-1] + step_seconds - film.seconds[0]
        numbers += film.numbers
        seconds += [moment + shift for moment in film.seconds]
    return Seen(numbers, seconds)
