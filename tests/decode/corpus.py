"""Files as archives hold them, and files made to hurt: what each is, and how it must end.

A case is bytes under a name that ends in `.mp4`, whatever the bytes are. A film ends in clips, what is cut in clips and
then a failure, what is refused in a failure alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.decode import corpus_texts as texts
from tests.decode.corpus_bytes import (
    announce_mkv,
    announce_mp4,
    edit,
    elsewhere_as_alias,
    elsewhere_by_url,
    fill,
    frame_ticks,
    many_tracks,
    replace,
    without_rate,
)
from tests.decode.corpus_films import blank_png, film, only_a_cover, packets, picture, sound, steady, two_pictures
from tests.decode.corpus_h264 import grey_pictures

FASTSTART = (("movflags", "faststart"),)
FRAGMENTED = (("movflags", "frag_keyframe+empty_moov"),)
UPRIGHT = ("top_left", "top_right", "bottom_left", "bottom_right")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file and its end.

    reason     code of the failure that comes last, None where there is none
    num_clips  how many clips of 2 seconds have frames before that: at least, at most
    quarters   where the colours of `corpus_films.QUARTERS` are seen, row by row; None: not looked at
    limits     of DecodeConfig, where the defaults would let the file pass
    """

    name: str
    make: Callable[[], bytes]
    reason: str | None = None
    num_clips: tuple[int, int] = (0, 0)
    quarters: tuple[str, str, str, str] | None = None
    limits: Mapping[str, object] = field(default_factory=dict)


def _film(name: str, make: Callable[[], bytes], num_clips: int = 2, *, quarters: bool | tuple = True, **values) -> Case:
    seen = {True: UPRIGHT, False: None}.get(quarters, quarters) if isinstance(quarters, bool) else quarters
    return Case(name=name, make=make, num_clips=(num_clips, num_clips), quarters=seen, **values)


def _cut(name: str, make: Callable[[], bytes], at_least: int, at_most: int) -> Case:
    return Case(name=name, make=make, reason="truncated", num_clips=(at_least, at_most), quarters=UPRIGHT)


def _refused(reason: str, name: str, make: Callable[[], bytes], **limits: object) -> Case:
    return Case(name=name, make=make, reason=reason, limits=limits)


def _head(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _long() -> bytes:
    """20 s with the index in front, frames evenly large."""
    return film(seconds=20, muxer_options=FASTSTART, gop_frames=5)


def _before_zero(muxer: str) -> bytes:
    times = steady(4, start_seconds=-1.5)
    return film(muxer, times_seconds=times, muxer_options=(("avoid_negative_ts", "disabled"),))


def _pictures(muxer: str, milliseconds: Sequence[int]) -> bytes:
    jpeg = picture("mjpeg", pixel_format="yuvj420p")
    return packets(muxer, "mjpeg", (jpeg,) * len(milliseconds), height=64, width=96, milliseconds=tuple(milliseconds))


def _huge(muxer: str) -> bytes:
    """Half a MB, 200 MB a frame."""
    return packets(muxer, "h264", grey_pictures(16_384, 8_192, num=100), height=8_192, width=16_384)


def _huge_png() -> bytes:
    return packets("mov", "png", (blank_png(16_384, 8_192),), height=8_192, width=16_384)


def _vfr() -> list[float]:
    return [0.0, 0.1, 0.5, 0.55, 0.6, 2.0, 3.0, 3.1, 3.9]


def _aliased() -> bytes:
    return elsewhere_as_alias(film(), "other.mp4")


CONTAINERS = [
    _film("h264_mp4", film),
    _film("h264_faststart", lambda: film(muxer_options=FASTSTART)),
    _film("h264_fragmented", lambda: film(muxer_options=FRAGMENTED)),
    _film("h264_mov", lambda: film("mov")),
    _film("h264_mkv", lambda: film("matroska")),
    _film("h264_ts", lambda: film("mpegts")),
    _film("h264_flv", lambda: film("flv")),
    _film("h264_b_frames", lambda: film(b_frames=2)),
    _film("h264_10_bit", lambda: film(pixel_format="yuv420p10le")),
    _film("hevc_mp4", lambda: film(codec="libx265")),
    _film("hevc_10_bit", lambda: film(codec="libx265", pixel_format="yuv420p10le")),
    _film("vp8_webm", lambda: film("webm", "libvpx")),
    _film("vp9_webm", lambda: film("webm", "libvpx-vp9")),
    _film("vp8_ogg", lambda: film("ogg", "libvpx")),
    _film("av1_mp4", lambda: film(codec="libsvtav1")),
    _film("av1_mkv", lambda: film("matroska", "libsvtav1")),
    _film("mpeg2_ts", lambda: film("mpegts", "mpeg2video", fps=25)),
    _film("mpeg2_ps", lambda: film("mpeg", "mpeg2video", fps=25)),
    _film("mpeg1_ps", lambda: film("mpeg", "mpeg1video", fps=25)),
    _film("mpeg2_mxf", lambda: film("mxf", "mpeg2video", fps=25)),
    _film("mjpeg_avi", lambda: film("avi", "mjpeg", pixel_format="yuvj420p")),
    _film("mpeg4_avi", lambda: film("avi", "mpeg4")),
    _film("sorenson_flv", lambda: film("flv", "flv1")),
    _film("prores_mov", lambda: film("mov", "prores_ks", pixel_format="yuv422p10le")),
    _film("ffv1_mkv", lambda: film("matroska", "ffv1")),
]

SHAPES = [
    _film(
        "turned_90",
        lambda: film(rotation_degrees=90),
        quarters=("top_right", "bottom_right", "top_left", "bottom_left"),
    ),
    _film(
        "turned_180",
        lambda: film(rotation_degrees=180),
        quarters=("bottom_right", "bottom_left", "top_right", "top_left"),
    ),
    _film(
        "turned_270",
        lambda: film(rotation_degrees=-90),
        quarters=("bottom_left", "top_left", "bottom_right", "top_right"),
    ),
    _film("odd_size", lambda: film(pixel_format="yuv444p", height=99, width=175)),
    _film("two_by_two", lambda: film(height=2, width=2), quarters=False),
    _film("one_column", lambda: film(pixel_format="yuv444p", height=1080, width=1), quarters=False),
    _film("single_frame", lambda: film(times_seconds=[0.0]), 1),
    _film(
        "one_long_frame",
        lambda: packets("mov", "png", (picture(),), height=64, width=96, milliseconds=(0,), last_milliseconds=6000),
        3,
    ),
    _film("sound_is_longer", lambda: film(sound_seconds=9.0)),
    _film("bigger_of_two", lambda: two_pictures("mp4", cover=False)),
    _film("bigger_of_two_mkv", lambda: two_pictures("matroska", cover=False)),
    _film("larger_cover", lambda: two_pictures("mp4", cover=True)),
]

TIMES = [
    _film("variable_rate_mkv", lambda: film("matroska", times_seconds=_vfr())),
    _film("variable_rate_mp4", lambda: film(times_seconds=_vfr())),
    _film("starts_late", lambda: film(times_seconds=steady(4, start_seconds=0.7))),
    _film("negative_times_mkv", lambda: _before_zero("matroska"), quarters=False),
    _film("negative_times_ts", lambda: _before_zero("mpegts")),
    _film("repeated_times", lambda: _pictures("matroska", [0, 0, 500, 500, 500, 1000, 2500, 2500, 3900])),
    _film("ts_wraps_around", lambda: film("mpegts", times_seconds=steady(4, start_seconds=95_440))),
    _film("ts_joined", lambda: film("mpegts") + film("mpegts")),
    _film("trimmed_start", lambda: edit(film(b_frames=2), duration_ticks=3000, media_ticks=19_200)),
    _film("no_rate_avi", lambda: without_rate(film("avi", "mpeg4"))),
    _film("all_at_once", lambda: frame_ticks(film(), 0)),
    _refused("decode_error", "edit_of_nothing", lambda: edit(film(b_frames=2), duration_ticks=0, media_ticks=3200)),
    _refused(
        "decode_error", "edit_behind_the_end", lambda: edit(film(b_frames=2), duration_ticks=4000, media_ticks=1 << 30)
    ),
]

CUT = [
    _cut("cut_at_25_percent", lambda: _head(_long(), 0.25), 1, 3),
    _cut("cut_at_50_percent", lambda: _head(_long(), 0.5), 3, 6),
    _cut("cut_at_75_percent", lambda: _head(_long(), 0.75), 6, 8),
    _cut("cut_fragmented", lambda: _head(film(seconds=20, muxer_options=FRAGMENTED), 0.5), 3, 6),
    _cut("cut_mkv", lambda: _head(film("matroska", seconds=20), 0.5), 3, 6),
    _cut("cut_avi", lambda: _head(film("avi", "mpeg4", seconds=20), 0.5), 3, 6),
    _cut("cut_flv", lambda: _head(film("flv", seconds=20), 0.5), 3, 6),
    # A transport stream says nowhere how long it is: it may begin and end anywhere.
    _film("cut_ts", lambda: _head(film("mpegts", seconds=20), 0.5), 5),
    _refused("truncated", "index_cut_off", lambda: _head(film(), 0.5)),
    _refused("truncated", "index_cut_within", lambda: film()[:-100]),
    _refused("truncated", "only_a_head", lambda: film()[:40]),
    _refused("truncated", "half_a_box", lambda: film()[:12]),
    _refused("truncated", "mkv_head_alone", lambda: film("matroska")[:300]),
]

DAMAGED = [
    _film("garbage_behind", lambda: film() + _noise(5000)),
    _film("zip_behind", lambda: film() + texts.ZIP),
    _film("playlist_behind", lambda: film("mpegts") + texts.hls("http://127.0.0.1:9/a.ts")),
    _film("other_file_by_url", lambda: elsewhere_by_url(film(), "file:///etc/hostname")),
    _refused("decode_error", "other_file_by_alias", _aliased),
    _refused("not_video", "garbage_in_front", lambda: _noise(500) + film()),
    _refused("decode_error", "noise_for_frames", lambda: fill(film(), "mdat", _noise(1000))),
    _refused("decode_error", "zeros_for_frames", lambda: fill(film(), "mdat", b"\0")),
    _refused("no_video_stream", "noise_after_ftyp", lambda: film()[:32] + b"\0\0\x20\0moov" + _noise(8184)),
    _refused("decode_error", "noise_after_ebml", lambda: film("matroska")[:60] + _noise(5000)),
    _refused(
        "no_video_stream", "text_in_avi", lambda: film("avi", "mpeg4")[:12] + texts.hls("http://127.0.0.1:9/a.ts") * 20
    ),
    _refused("unsupported_codec", "codec_of_nonsense_mp4", lambda: replace(film(), b"avc1", b"zz9!")),
    _refused(
        "unsupported_codec",
        "codec_of_nonsense_mkv",
        lambda: replace(film("matroska"), b"V_MPEG4/ISO/AVC", b"V_NONSENSE/X/YZ"),
    ),
    _refused("unsupported_codec", "codec_of_nonsense_avi", lambda: replace(film("avi", "mpeg4"), b"FMP4", b"ZZ9!")),
    _refused("unsupported_codec", "encrypted", lambda: replace(film(), b"avc1", b"encv")),
    _refused("no_video_stream", "sound_mp4", lambda: sound("mp4")),
    _refused("no_video_stream", "sound_mkv", lambda: sound("matroska", "libopus")),
    _refused("no_video_stream", "sound_ogg", lambda: sound("ogg", "libopus")),
    _refused("no_video_stream", "cover_alone", only_a_cover),
]

TOO_LARGE = [
    _refused("too_large", "huge_h264_mp4", lambda: _huge("mp4")),
    _refused("too_large", "huge_h264_ts", lambda: _huge("mpegts")),
    _refused("too_large", "huge_png_mov", _huge_png),
    _refused("too_large", "centuries_mp4", lambda: announce_mp4(film(), 4_000_000_000)),
    _refused("too_large", "centuries_mkv", lambda: announce_mkv(film("matroska"), 1e12)),
    _refused("too_large", "200_streams", lambda: many_tracks(film(), 200)),
    _refused("too_large", "5000_streams", lambda: many_tracks(film(), 5000)),
    _refused("too_large", "beyond_max_pixels", film, max_pixels=64 * 95),
    _refused("too_large", "beyond_max_total_pixels", film, max_total_pixels=64 * 96 * 39),
    _refused("too_large", "beyond_max_duration", film, max_duration_seconds=3.9),
    _refused("too_large", "beyond_max_streams", lambda: film(sound_seconds=1.0), max_streams=1),
]

NO_VIDEO = [
    _refused("empty", "empty", lambda: b""),
    _refused("not_video", "one_byte", lambda: b"G"),
    _refused("not_video", "zeros", lambda: bytes(10_000)),
    _refused("not_video", "noise", lambda: b"\xf0" + _noise(10_000)),
    _refused("not_video", "text", lambda: b"Once upon a time there was a file.\n" * 50),
    _refused("not_video", "html", lambda: texts.HTML),
    _refused("not_video", "zip", lambda: texts.ZIP),
    _refused("not_video", "gzip", lambda: texts.GZIP),
    _refused("not_video", "png", picture),
    _refused("not_video", "jpeg", lambda: picture("mjpeg", pixel_format="yuvj420p")),
    _refused("not_video", "gif", lambda: picture("gif", pixel_format="rgb8")),
    _refused("not_video", "webp", lambda: picture("libwebp", pixel_format="yuv420p")),
    _refused("not_video", "heic", lambda: texts.HEIC),
    _refused("not_video", "avif", lambda: texts.AVIF),
    _refused("not_video", "wmv", lambda: texts.WMV),
    _refused("not_video", "wave", lambda: sound("wav", "pcm_s16le")),
    *(
        _refused("playlist", name, lambda maker=maker: maker("http://127.0.0.1:9/a.ts"))
        for name, maker in texts.PLAYLISTS.items()
    ),
    _refused("playlist", "hls_with_a_mark", lambda: texts.BYTE_ORDER_MARK + texts.hls("a.ts")),
    _refused("playlist", "hls_after_blanks", lambda: b" \r\n\t\n" + texts.hls("a.ts")),
    _refused("playlist", "hls_utf_16", lambda: texts.hls("a.ts").decode().encode("utf-16")),
    _refused("playlist", "dash_utf_16", lambda: texts.dash("a.mp4").decode().encode("utf-16")),
    _refused("playlist", "plain_list", lambda: texts.plain_list("http://127.0.0.1:9/a.ts")),
]

CASES = [*CONTAINERS, *SHAPES, *TIMES, *CUT, *DAMAGED, *TOO_LARGE, *NO_VIDEO]
