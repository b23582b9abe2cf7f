"""Makes the golden set of decoders: `python -m tests.decode.make_golden FOLDER`. Needs an FFmpeg with its encoders.

The set is packaged as it was made once: what is made anew has other bytes, and gives every job another config_id.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from framegate.pipelines.decode.golden import FILMS, NUM_FRAMES, RATE, decode_film, opened_by, reference_key
from framegate.pipelines.decode.readers.reader import DECODERS
from framegate.schemas.errors import VideoError

HEIGHT, WIDTH = 48, 64
CODECS = {
    "h264.mp4": ("libx264", {"bf": "2", "g": "12", "crf": "20", "preset": "veryslow"}),
    "hevc.mp4": ("libx265", {"crf": "20", "x265-params": "log-level=none:bframes=2:keyint=12"}),
    "vp9.webm": ("libvpx-vp9", {"crf": "20", "b": "0", "auto-alt-ref": "1", "lag-in-frames": "8"}),
}


def picture(number: int) -> np.ndarray:
    """A disc that moves over a slanted gradient, in colours that a wrong matrix or range would change."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.stack([columns * 3.5, rows * 4.5, 255 - columns * 2 - rows], axis=-1)
    disc = (rows - 24) ** 2 + (columns - 8 - 2 * number) ** 2 < 100
    pixels[disc] = (235, 60 + 6 * number, 20)
    return pixels.clip(0, 255).astype(np.uint8)


def write_film(path: Path, codec: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for number in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts = number
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    reference = {}
    for film in FILMS:
        write_film(folder / film, *CODECS[film])
        for name in DECODERS:
            with opened_by(name) as open_film, suppress(VideoError):
                frames, _ = decode_film(open_film, (folder / film).read_bytes())
                reference[reference_key(name, film)] = frames
    np.savez_compressed(folder / "frames.npz", **reference)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
