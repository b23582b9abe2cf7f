"""The ffmpeg command line: what a player shows of a file, and files that PyAV cannot write.

It comes with a package of the tests (`imageio-ffmpeg`), newer than the FFmpeg inside of PyAV.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio_ffmpeg
import numpy as np

# Square pixels: the side that they are longer at is drawn out.
_SQUARE = "scale='trunc(if(gt(sar,1),iw*sar,iw)+0.5)':'trunc(if(gt(sar,1),ih,ih/sar)+0.5)':flags=bicubic,setsar=1"


def shown_frames(data: bytes, *, filters: str = _SQUARE, options: Sequence[str] = ()) -> list[np.ndarray]:
    """All frames of a file as a player shows them, decoded from the first to the last: RGB of (height, width, 3)."""
    pictures = _run(data, [*options, "-i", "{input}", "-fps_mode", "passthrough", "-vf", filters], "image2pipe", "ppm")
    frames: list[np.ndarray] = []
    position = 0
    while position < len(pictures):
        head = pictures[position : position + 32].split(b"\n", 3)
        width, height = (int(number) for number in head[1].split())
        start = position + len(pictures[position : position + 32]) - len(head[3])
        position = start + 3 * width * height
        frames.append(np.frombuffer(pictures[start:position], np.uint8).reshape(height, width, 3))
    return frames


def remux(data: bytes, muxer: str, *options: str) -> bytes:
    """The same packets in another container, or through a bitstream filter."""
    return _run(data, ["-i", "{input}", "-c", "copy", *options], muxer)


def encode(source: str, codec: str, muxer: str, *options: str) -> bytes:
    """A film of one of FFmpeg's own pictures, such as "testsrc2=size=96x64:rate=10:duration=3"."""
    return _run(b"", ["-f", "lavfi", "-i", source, "-c:v", codec, *options], muxer)


def join(parts: Sequence[bytes], muxer: str) -> bytes:
    """The packets of several files one after the other."""
    with TemporaryDirectory() as folder:
        for number, part in enumerate(parts):
            Path(folder, str(number)).write_bytes(part)
        names = "".join(f"file {folder}/{number}\n" for number in range(len(parts)))
        return _run(names.encode(), ["-f", "concat", "-safe", "0", "-i", "{input}", "-c", "copy"], muxer)


def _run(data: bytes, arguments: Sequence[str], muxer: str, codec: str | None = None) -> bytes:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(data)
        known = [str(source) if argument == "{input}" else argument for argument in arguments]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *known, *(["-c:v", codec] if codec else [])]
        done = subprocess.run([*command, "-f", muxer, str(target)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return target.read_bytes()
