"""Mutated videos: whatever comes in, the parent goes on, and each file ends in frames or in a documented reason.

`FRAMEGATE_FUZZ=2000 pytest tests/decode/test_fuzz.py -s` runs so many files, and prints what became of them.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections import Counter
from pathlib import Path

from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import REASON_MEANINGS, VideoError
from tests.decode.conftest import REAL_VIDEOS
from tests.decode.corpus_films import FASTSTART, FRAGMENTED, film
from tests.decode.corpus_run import holdings, leaked, rss_mib

NUM_FILES = int(os.environ.get("FRAMEGATE_FUZZ", "120"))
LIMITS = DecodeConfig(
    open_seconds=5, frame_seconds=5, video_seconds=15, memory_mib=512, max_pixels=2048 * 2048, recycle_videos=200
)
MAX_GROWTH_MIB = 64
MAX_BYTES = 1 << 20  # of a real video, from its start


class Bytes:
    """A source in memory, as the sandbox is given one from storage."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)
        self.bytes_read = 0

    def read(self, start: int, end: int) -> bytes:
        assert 0 <= start <= end <= self.size_bytes
        self.bytes_read += end - start
        return self._data[start:end]


def seeds() -> list[bytes]:
    """Films in every container that is let through, and real ones where they are."""
    films = [
        film(b_frames=2),
        film(muxer_options=FASTSTART, sound_seconds=2.0),
        film(muxer_options=FRAGMENTED),
        film(codec="libx265"),
        film("matroska"),
        film("webm", "libvpx-vp9"),
        film("ogg", "libvpx"),
        film("avi", "mpeg4"),
        film("avi", "mjpeg", pixel_format="yuvj420p"),
        film("mpegts"),
        film("mpeg", "mpeg2video", fps=25),
        film("flv", "flv1"),
        film("mxf", "mpeg2video", fps=25),
        film("mov", "prores_ks", pixel_format="yuv422p10le"),
    ]
    real = sorted(REAL_VIDEOS.glob("*.m*[4v]")) if REAL_VIDEOS.is_dir() else []
    return films + [path.read_bytes()[:MAX_BYTES] for path in real]


def mutate(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """One to three kinds of damage, the first bytes mostly spared, so that the decoder gets to see the file."""
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 3])):
        damage = chance.choice([_flip, _flip, _zero, _cut, _swap, _lengths, _splice])
        damaged = damage(chance, damaged, other)
    if chance.random() < 0.9:
        damaged[:12] = data[:12]
    return bytes(damaged)


def _flip(chance: random.Random, data: bytearray, other: bytes) -> bytearray:
    end = chance.choice([len(data), min(len(data), 2000)])  # headers are small, and where most harm is done
    for _ in range(chance.choice([1, 4, 16, 64, 256])):
        data[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return data


def _zero(chance: random.Random, data: bytearray, other: bytes) -> bytearray:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice([4, 64, 1024, 16384]))
    data[start:end] = chance.choice([b"\0", b"\xff"]) * (end - start)
    return data


def _cut(chance: random.Random, data: bytearray, other: bytes) -> bytearray:
    return data[: max(16, chance.randrange(len(data)))]


def _swap(chance: random.Random, data: bytearray, other: bytes) -> bytearray:
    size = chance.choice([16, 256, 4096])
    first, second = chance.randrange(len(data)), chance.randrange(len(data))
    first, second = min(first, second), max(first, second)
    if first + size <= second and second + size <= len(data):
        data[first : first + size], data[second : second + size] = (
            data[second : second + size],
            data[first : first + size],
        )
    return data


def _lengths(chance: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Numbers of four bytes that mean something to someone, over others."""
    for _ in range(chance.choice([1, 3, 9])):
        value = chance.choice([0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data), chance.getrandbits(32)])
        at = chance.randrange(max(1, min(len(data) - 4, chance.choice([600, 4000, len(data)]))))
        data[at : at + 4] = struct.pack(chance.choice(["<I", ">I"]), value)
    return data


def _splice(chance: random.Random, data: bytearray, other: bytes) -> bytearray:
    return data[: chance.randrange(12, len(data))] + other[chance.randrange(len(other)) :]


def decode(sandbox: Sandbox, data: bytes) -> str:
    """What becomes of a file: `frames`, or the reason why not."""
    try:
        with sandbox.open("pyav", Bytes(data)) as reader:
            end_seconds = min(reader.header.duration_seconds, 1000.0)
            num_frames = 0
            for times in ([0.0, 0.5], [end_seconds / 2], [0.9 * end_seconds, 2.0 * end_seconds], [0.2]):
                selection = reader.read(times, height=56, width=84)
                assert selection.frames_THWC.shape == (len(selection.pts_seconds), 56, 84, 3)
                num_frames += len(selection.pts_seconds)
            return "frames" if num_frames else "no frames"
    except VideoError as error:
        return error.reason if str(error).endswith(".") else f"no sentence: {error}"


def test_mutated_files_end_in_frames_or_in_a_reason(tmp_path: Path) -> None:
    sources = seeds()
    before, began = holdings(), time.monotonic()
    ends: Counter[str] = Counter()
    highest_mib = at_first_mib = 0.0
    with Sandbox(LIMITS, ("pyav",)) as sandbox:
        for number in range(NUM_FILES):
            chance = random.Random(number)
            data = mutate(chance, chance.choice(sources), chance.choice(sources))
            end = decode(sandbox, data)
            ends[end] += 1
            if NUM_FILES > 1000 and end in ("decoder_crash", "decode_timeout", "memory_limit"):
                print(f"file {number}: {end}")
            if number == min(50, NUM_FILES // 2):
                at_first_mib = rss_mib()
            highest_mib = max(highest_mib, rss_mib())
        # A whole film is decoded after all that.
        assert decode(sandbox, sources[0]) == "frames"
    after = holdings()
    seconds = time.monotonic() - began
    print(f"{NUM_FILES} files in {seconds:.0f} s: {dict(ends.most_common())}; at most {highest_mib:.0f} MiB here")
    assert set(ends) <= {"frames", "no frames", *REASON_MEANINGS}
    assert ends["frames"] > NUM_FILES / 10
    assert len(set(ends)) >= 3
    assert highest_mib - at_first_mib < MAX_GROWTH_MIB
    assert leaked(before, after) == []
