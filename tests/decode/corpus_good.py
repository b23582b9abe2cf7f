"""Films that must be read to their end: containers and codecs, shapes, times."""

from __future__ import annotations

from collections.abc import Sequence

from tests.decode.container_edits import all_marked, with_clap, with_matrix
from tests.decode.corpus_bytes import edit, frame_ticks, without_rate
from tests.decode.corpus_case import ends_at_once, ends_well
from tests.decode.corpus_films import FASTSTART, FRAGMENTED, film, packets, picture, steady, two_pictures


def _before_zero(muxer: str) -> bytes:
    times = steady(4, start_seconds=-1.5)
    return film(muxer, times_seconds=times, muxer_options=(("avoid_negative_ts", "disabled"),))


def _pictures(muxer: str, milliseconds: Sequence[int]) -> bytes:
    jpeg = picture("mjpeg", pixel_format="yuvj420p")
    return packets(muxer, "mjpeg", (jpeg,) * len(milliseconds), height=64, width=96, milliseconds=tuple(milliseconds))


def _vfr() -> list[float]:
    return [0.0, 0.1, 0.5, 0.55, 0.6, 2.0, 3.0, 3.1, 3.9]


CONTAINERS = [
    ends_well("h264_mp4", film),
    ends_well("h264_faststart", lambda: film(muxer_options=FASTSTART)),
    ends_well("h264_fragmented", lambda: film(muxer_options=FRAGMENTED)),
    ends_well("h264_mov", lambda: film("mov")),
    ends_well("h264_mkv", lambda: film("matroska")),
    ends_well("h264_ts", lambda: film("mpegts")),
    ends_well("h264_flv", lambda: film("flv")),
    ends_well("h264_b_frames", lambda: film(b_frames=2)),
    ends_well("h264_10_bit", lambda: film(pixel_format="yuv420p10le")),
    ends_well("hevc_mp4", lambda: film(codec="libx265")),
    ends_well("hevc_10_bit", lambda: film(codec="libx265", pixel_format="yuv420p10le")),
    ends_well("vp8_webm", lambda: film("webm", "libvpx")),
    ends_well("vp9_webm", lambda: film("webm", "libvpx-vp9")),
    ends_well("vp8_ogg", lambda: film("ogg", "libvpx")),
    ends_well("av1_mp4", lambda: film(codec="libsvtav1")),
    ends_well("av1_mkv", lambda: film("matroska", "libsvtav1")),
    ends_well("mpeg2_ts", lambda: film("mpegts", "mpeg2video", fps=25)),
    ends_well("mpeg2_ps", lambda: film("mpeg", "mpeg2video", fps=25)),
    ends_well("mpeg1_ps", lambda: film("mpeg", "mpeg1video", fps=25)),
    ends_well("mpeg2_mxf", lambda: film("mxf", "mpeg2video", fps=25)),
    ends_well("mjpeg_avi", lambda: film("avi", "mjpeg", pixel_format="yuvj420p")),
    ends_well("mpeg4_avi", lambda: film("avi", "mpeg4")),
    ends_well("sorenson_flv", lambda: film("flv", "flv1")),
    ends_well("prores_mov", lambda: film("mov", "prores_ks", pixel_format="yuv422p10le")),
    ends_well("ffv1_mkv", lambda: film("matroska", "ffv1")),
]

SHAPES = [
    ends_well(
        "turned_90",
        lambda: film(rotation_degrees=90),
        quarters=("top_right", "bottom_right", "top_left", "bottom_left"),
    ),
    ends_well(
        "turned_180",
        lambda: film(rotation_degrees=180),
        quarters=("bottom_right", "bottom_left", "top_right", "top_left"),
    ),
    ends_well(
        "turned_270",
        lambda: film(rotation_degrees=-90),
        quarters=("bottom_left", "top_left", "bottom_right", "top_right"),
    ),
    ends_well(
        "mirrored",
        lambda: with_matrix(film(), (-1, 0, 0, 1)),
        quarters=("top_right", "top_left", "bottom_right", "bottom_left"),
    ),
    ends_well(
        "transposed",
        lambda: with_matrix(film(), (0, 1, 1, 0)),
        quarters=("top_left", "bottom_left", "top_right", "bottom_right"),
    ),
    ends_well("cut_by_the_container", lambda: with_clap(film(), 48, 1, 48, 1, 0, 1, 0, 1)),
    ends_well("all_marked_mp4", lambda: all_marked(film(codec="libx265"))),
    ends_well("all_marked_avi", lambda: all_marked(film("avi", "mpeg4"))),
    ends_well("odd_size", lambda: film(pixel_format="yuv444p", height=99, width=175)),
    ends_well("two_by_two", lambda: film(height=2, width=2), quarters=None),
    # More than 200 times as high as wide: the model family takes no such picture.
    ends_at_once("decode_error", "one_column", lambda: film(pixel_format="yuv444p", height=1080, width=1)),
    ends_well("single_frame", lambda: film(times_seconds=[0.0]), 1),
    ends_well(
        "one_long_frame",
        lambda: packets("mov", "png", (picture(),), height=64, width=96, milliseconds=(0,), last_milliseconds=6000),
        1,
    ),
    ends_well("sound_is_longer", lambda: film(sound_seconds=9.0)),
    ends_well("bigger_of_two", lambda: two_pictures("mp4", cover=False)),
    ends_well("bigger_of_two_mkv", lambda: two_pictures("matroska", cover=False)),
    ends_well("larger_cover", lambda: two_pictures("mp4", cover=True)),
]

TIMES = [
    ends_well("variable_rate_mkv", lambda: film("matroska", times_seconds=_vfr())),
    ends_well("variable_rate_mp4", lambda: film(times_seconds=_vfr())),
    ends_well("starts_late", lambda: film(times_seconds=steady(4, start_seconds=0.7))),
    ends_well("negative_times_mkv", lambda: _before_zero("matroska"), quarters=None),
    ends_well("negative_times_ts", lambda: _before_zero("mpegts")),
    ends_well("repeated_times", lambda: _pictures("matroska", [0, 0, 500, 500, 500, 1000, 2500, 2500, 3000])),
    ends_well("ts_wraps_around", lambda: film("mpegts", times_seconds=steady(4, start_seconds=95_440))),
    ends_well("ts_joined", lambda: film("mpegts") + film("mpegts"), 4),
    ends_well("mkv_joined", lambda: film("matroska") + film("matroska"), 4),
    ends_well("flv_joined", lambda: film("flv") + film("flv"), 4),
    ends_well("mp4_joined", lambda: film() + film(), 4),
    ends_well("trimmed_start", lambda: edit(film(b_frames=2), duration_ticks=3000, media_ticks=19_200)),
    # FFmpeg then takes 25 frames a second.
    ends_well("no_rate_avi", lambda: without_rate(film("avi", "mpeg4")), 1),
    ends_well("all_at_once", lambda: frame_ticks(film(), 0), 1),
    ends_at_once("decode_error", "edit_of_nothing", lambda: edit(film(b_frames=2), duration_ticks=0, media_ticks=3200)),
    ends_at_once(
        "decode_error", "edit_behind_the_end", lambda: edit(film(b_frames=2), duration_ticks=4000, media_ticks=1 << 30)
    ),
]
