"""Marks of key frames that are wrong: the frame that is shown is that of decoding from the first one on."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable

import numpy as np
import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.picture_heads import PICTURE_HEADS, EndOfBits, hevc_head
from framegate.pipelines.decode.readers.pyav import PyavReader
from framegate.pipelines.decode.readers.reader import open_reader, sniff_file
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import UnsupportedCodec
from tests.decode.container_edits import all_marked
from tests.decode.corpus_films import film as quarters
from tests.decode.ffmpeg_command import encode, remux, shown_frames

NUM_FRAMES, RATE = 60, 10
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov")
# codec, muxer, options, whether decord decodes it
FILMS: list[tuple[str, str, tuple[str, ...], bool]] = [
    ("libx264", "mp4", (), True),
    ("libx264", "mp4", ("-bf", "0", "-x264-params", "intra-refresh=1"), False),
    ("libx264", "mp4", FRAGMENTS, False),
    ("libx264", "matroska", (), True),
    ("libx264", "flv", ("-bf", "0"), True),
    ("libx264", "flv", ("-bf", "2"), False),
    ("libx264", "avi", ("-bf", "0"), False),  # of H.264 in AVI decord shows other frames, whatever is marked
    ("libx265", "mp4", ("-x265-params", "log-level=none"), True),
    ("libx265", "mp4", ("-x265-params", "log-level=none:open-gop=1"), True),
    ("libx265", "mp4", (*FRAGMENTS, "-x265-params", "log-level=none"), False),
    ("libx265", "matroska", ("-x265-params", "log-level=none"), True),
    ("mpeg4", "mp4", ("-bf", "2"), True),
    ("mpeg4", "avi", (), True),
    ("mpeg4", "matroska", ("-bf", "2"), True),
    ("mpeg2video", "mp4", ("-bf", "2"), True),
    ("mpeg2video", "matroska", (), True),
    ("libvpx", "webm", ("-deadline", "realtime"), True),
    ("libvpx-vp9", "webm", ("-deadline", "realtime"), True),
    ("libvpx-vp9", "mp4", ("-deadline", "realtime"), True),
    ("libsvtav1", "mp4", ("-preset", "12"), False),
    ("libsvtav1", "matroska", ("-preset", "12"), False),
    ("libtheora", "matroska", (), True),
    ("msmpeg4v2", "avi", (), True),
    ("msmpeg4v3", "avi", (), True),
    ("wmv1", "avi", (), True),
    ("wmv2", "matroska", (), True),
    ("flv1", "flv", (), True),
    ("h263", "avi", (), True),  # here FFmpeg itself marks every frame
    ("ffv1", "matroska", (), True),
    ("cinepak", "avi", ("-pix_fmt", "rgb24"), True),
    ("qtrle", "mov", ("-pix_fmt", "rgb24"), True),
]
NAMES = [f"{codec}-{muxer}-{number}" for number, (codec, muxer, *_) in enumerate(FILMS)]


@functools.cache
def film(codec: str, muxer: str, options: tuple[str, ...]) -> bytes:
    source = f"testsrc2=size=128x96:rate={RATE}:duration={NUM_FRAMES / RATE}"
    formats = () if "-pix_fmt" in options else ("-pix_fmt", "yuv420p")
    return encode(source, codec, muxer, "-g", "25", *formats, *options)


def wrong_frames(decoder: str, data: bytes, right: list[np.ndarray]) -> list[int]:
    """Numbers of frames that come out otherwise: one at a time in any order, then several of one read."""
    height, width, _ = right[0].shape
    numbers = [*random.Random(7).sample(range(NUM_FRAMES), 9), *range(3, NUM_FRAMES, 8)]
    wrong: list[int] = []
    with open_reader(decoder, RangeFile.of(data)) as reader:
        for asked in ([[number] for number in numbers[:9]], [numbers[9:]]):
            for some in asked:
                times = [number / RATE + 0.02 for number in some]
                frames, _, _ = reader.read(times, height=height, width=width)
                assert len(frames) == len(some)
                wrong += [
                    number
                    for number, frame in zip(some, frames, strict=True)
                    if np.abs(frame.astype(int) - right[number]).mean() > 2
                ]
    return wrong


@pytest.mark.parametrize(("codec", "muxer", "options", "by_decord"), FILMS, ids=NAMES)
def test_frames_are_right_where_every_frame_is_marked(
    codec: str, muxer: str, options: tuple[str, ...], by_decord: bool
) -> None:
    data = all_marked(film(codec, muxer, options))
    right = shown_frames(data)
    assert len(right) == NUM_FRAMES
    for decoder in ("pyav", "decord") if by_decord else ("pyav",):
        assert wrong_frames(decoder, data, right) == [], decoder


@pytest.mark.parametrize(("codec", "muxer", "options", "by_decord"), FILMS, ids=NAMES)
def test_marks_that_are_right_are_relied_on(codec: str, muxer: str, options: tuple[str, ...], by_decord: bool) -> None:
    if codec == "h263":
        pytest.skip("FFmpeg's encoder marks every frame")
    file = RangeFile.of(film(codec, muxer, options))
    with PyavReader(file, container=sniff_file(file), limits=DecodeConfig()) as reader:
        for seconds in (5.5, 0.3, 3.1):
            reader.read([seconds], height=96, width=128)
        assert reader._track is not None
        assert reader._track.keys_are_marked
        assert reader._track.can_seek


@pytest.mark.parametrize("codec", ["mjpeg", "png", "prores_ks", "ffv1", "mpeg4", "libx264"])
def test_films_of_key_frames_alone_are_sought_in(codec: str) -> None:
    pixel_format = {"mjpeg": "yuvj420p", "png": "rgb24", "prores_ks": "yuv422p10le"}.get(codec, "yuv420p")
    muxer = "matroska" if codec == "ffv1" else "mov"
    file = RangeFile.of(quarters(muxer, codec, seconds=6, gop_frames=1, pixel_format=pixel_format))
    with PyavReader(file, container=sniff_file(file), limits=DecodeConfig()) as reader:
        _, pts, _ = reader.read([0.1, 3.1, 5.1], height=64, width=96)
        assert pts.tolist() == [0.1, 3.1, 5.1]
        assert reader._track is not None
        assert reader._track.keys_are_marked
        assert reader._track.can_seek


def test_decord_refuses_reordered_flv_whose_marks_are_wrong() -> None:
    data = film("libx264", "flv", ("-bf", "2"))
    assert wrong_frames("decord", data, shown_frames(data)) == []
    with (
        pytest.raises(UnsupportedCodec, match="miscounts them in FLV"),
        open_reader("decord", RangeFile.of(all_marked(data))),
    ):
        pass


def test_a_scene_change_without_a_reset_is_no_key_frame() -> None:
    """x264 puts I pictures at cuts, across which later pictures may still refer to earlier ones."""
    scenes = "testsrc2=size=128x96:rate=10:duration=3[a];mandelbrot=size=128x96:rate=10,trim=duration=3[b]"
    cuts = f"{scenes};[a][b]concat=n=2:v=1"
    data = encode(
        cuts, "libx264", "mp4", "-pix_fmt", "yuv420p", "-g", "250", "-keyint_min", "200", "-bf", "0", "-refs", "8"
    )
    for marked in (data, all_marked(data), all_marked(remux(data, "matroska"))):
        right = shown_frames(marked)
        for decoder in ("pyav", "decord"):
            assert wrong_frames(decoder, marked, right) == [], decoder


@pytest.mark.parametrize(
    ("codec", "muxer", "options"),
    [
        ("libx265", "mp4", ("-x265-params", "log-level=none:open-gop=1:bframes=3")),
        ("libx264", "mp4", ("-x264-params", "open-gop=1:bframes=3")),
        ("libx264", "matroska", ("-x264-params", "open-gop=1:bframes=3")),
        ("mpeg2video", "matroska", ("-bf", "2")),
        ("mpeg4", "mp4", ("-bf", "2")),
    ],
)
def test_frames_that_are_shown_before_the_key_frame_they_follow(
    codec: str, muxer: str, options: tuple[str, ...]
) -> None:
    data = film(codec, muxer, options)
    right = shown_frames(data)
    for decoder in ("pyav", "decord"):
        assert wrong_frames(decoder, data, right) == [], decoder


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_decord_refuses_what_it_opens_in_the_middle(codec: str) -> None:
    options = FRAGMENTS if codec == "libx264" else (*FRAGMENTS, "-x265-params", "log-level=none:open-gop=0")
    honest = film(codec, "mp4", options)
    assert wrong_frames("decord", honest, shown_frames(honest)) == []
    with (
        open_reader("decord", RangeFile.of(all_marked(honest))) as reader,
        pytest.raises(UnsupportedCodec, match=r"set frames\.decoder to pyav"),
    ):
        reader.read([3.0], height=96, width=128)


def test_one_key_frame_in_a_long_film_is_decoded_from_once() -> None:
    """Marks that lie cost a seek or two, and not one for each moment."""
    data = all_marked(
        encode(
            "testsrc2=size=64x48:rate=10:duration=200", "libx264", "mp4", "-g", "9999", "-sc_threshold", "0",
            "-pix_fmt", "yuv420p", "-preset", "ultrafast",
        )
    )  # fmt: skip
    file = RangeFile.of(data)
    num_decoded = 0

    def count() -> None:
        nonlocal num_decoded
        num_decoded += 1

    with PyavReader(file, container=sniff_file(file), limits=DecodeConfig()) as reader:
        reader.progress = count
        _, pts, _ = reader.read([10.0 * number for number in range(20)], height=48, width=64)
    assert len(pts) == 20
    assert num_decoded < 3 * 2000


def test_a_file_that_lies_is_not_read_more_than_it_must() -> None:
    data = all_marked(film("libx265", "mp4", ("-x265-params", "log-level=none")))
    with open_reader("pyav", RangeFile.of(data)) as reader:
        reader.read([5.5], height=96, width=128)
        assert reader.count_bytes([5.5]) is None  # its index is not to be relied on


@pytest.mark.parametrize("judge", [*PICTURE_HEADS.values(), hevc_head(b""), hevc_head(b"\1" + bytes(30))])
@pytest.mark.parametrize("seed", range(20))
def test_damaged_heads_are_no_more_than_unknown(judge: Callable[[bytes], bool | None], seed: int) -> None:
    chance = random.Random(seed)
    starts = [b"\0\0\1\xb6", b"\0\0\1\0", b"\0\0\x80\x02", b"\0\0\1", b""]
    data = chance.choice(starts) + chance.randbytes(chance.randrange(12))
    with contextlib.suppress(EndOfBits, IndexError):
        assert judge(data) in (True, False, None)
