"""Files that end early or at once: cut, damaged, too large, and no videos at all."""

from __future__ import annotations

import random

from tests.decode import corpus_texts as texts
from tests.decode.corpus_bytes import (
    announce_mkv,
    announce_mp4,
    elsewhere_as_alias,
    elsewhere_by_url,
    fill,
    many_tracks,
    replace,
)
from tests.decode.corpus_case import ends_at_once, ends_early, ends_well
from tests.decode.corpus_films import FASTSTART, FRAGMENTED, blank_png, film, only_a_cover, packets, picture, sound
from tests.decode.corpus_h264 import grey_pictures


def _head(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _long() -> bytes:
    """20 s with the index in front, frames evenly large."""
    return film(seconds=20, muxer_options=FASTSTART, gop_frames=5)


def _huge(muxer: str) -> bytes:
    """Half a MB, 200 MB a frame."""
    return packets(muxer, "h264", grey_pictures(16_384, 8_192, num=100), height=8_192, width=16_384)


def _huge_png() -> bytes:
    return packets("mov", "png", (blank_png(16_384, 8_192),), height=8_192, width=16_384)


def _aliased() -> bytes:
    return elsewhere_as_alias(film(), "other.mp4")


CUT = [
    ends_early("cut_at_25_percent", lambda: _head(_long(), 0.25), 1, 3),
    ends_early("cut_at_50_percent", lambda: _head(_long(), 0.5), 3, 6),
    ends_early("cut_at_75_percent", lambda: _head(_long(), 0.75), 6, 8),
    ends_early("cut_fragmented", lambda: _head(film(seconds=20, muxer_options=FRAGMENTED), 0.5), 3, 6),
    ends_early("cut_mkv", lambda: _head(film("matroska", seconds=20), 0.5), 3, 6),
    ends_early("cut_avi", lambda: _head(film("avi", "mpeg4", seconds=20), 0.5), 3, 6),
    # Neither says where it should end; a transport stream may begin and end anywhere.
    ends_well("cut_flv", lambda: _head(film("flv", seconds=20), 0.5), 5),
    ends_well("cut_ts", lambda: _head(film("mpegts", seconds=20), 0.5), 5),
    ends_at_once("truncated", "index_cut_off", lambda: _head(film(), 0.5)),
    ends_at_once("truncated", "index_cut_within", lambda: film()[:-100]),
    ends_at_once("truncated", "only_a_head", lambda: film()[:40]),
    ends_at_once("truncated", "half_a_box", lambda: film()[:12]),
    ends_at_once("truncated", "mkv_head_alone", lambda: film("matroska")[:300]),
]

DAMAGED = [
    ends_well("garbage_behind", lambda: film() + _noise(5000)),
    ends_well("text_behind", lambda: film() + b"\nMISTAKE of whoever joined these files\n" * 9),
    ends_well("zip_behind", lambda: film() + texts.ZIP),
    ends_well("playlist_behind", lambda: film("mpegts") + texts.hls("http://127.0.0.1:9/a.ts")),
    ends_well("other_file_by_url", lambda: elsewhere_by_url(film(), "file:///etc/hostname")),
    ends_at_once("decode_error", "other_file_by_alias", _aliased),
    ends_at_once("not_video", "garbage_in_front", lambda: _noise(500) + film()),
    ends_at_once("decode_error", "noise_for_frames", lambda: fill(film(), "mdat", _noise(1000))),
    ends_at_once("decode_error", "zeros_for_frames", lambda: fill(film(), "mdat", b"\0")),
    ends_at_once("no_video_stream", "noise_after_ftyp", lambda: film()[:32] + b"\0\0\x20\0moov" + _noise(8184)),
    ends_at_once("decode_error", "noise_after_ebml", lambda: film("matroska")[:60] + _noise(10_000)),
    ends_at_once(
        "no_video_stream", "text_in_avi", lambda: film("avi", "mpeg4")[:12] + texts.hls("http://127.0.0.1:9/a.ts") * 20
    ),
    ends_at_once("unsupported_codec", "codec_of_nonsense_mp4", lambda: replace(film(), b"avc1", b"zz9!")),
    ends_at_once(
        "unsupported_codec",
        "codec_of_nonsense_mkv",
        lambda: replace(film("matroska"), b"V_MPEG4/ISO/AVC", b"V_NONSENSE/X/YZ"),
    ),
    ends_at_once("unsupported_codec", "codec_of_nonsense_avi", lambda: replace(film("avi", "mpeg4"), b"FMP4", b"ZZ9!")),
    ends_at_once("unsupported_codec", "encrypted", lambda: replace(film(), b"avc1", b"encv")),
    ends_at_once("no_video_stream", "sound_mp4", lambda: sound("mp4")),
    ends_at_once("no_video_stream", "sound_mkv", lambda: sound("matroska", "libopus")),
    ends_at_once("no_video_stream", "sound_ogg", lambda: sound("ogg", "libopus")),
    ends_at_once("no_video_stream", "cover_alone", only_a_cover),
]

TOO_LARGE = [
    ends_at_once("too_large", "huge_h264_mp4", lambda: _huge("mp4")),
    ends_at_once("too_large", "huge_h264_ts", lambda: _huge("mpegts")),
    ends_at_once("too_large", "huge_png_mov", _huge_png),
    ends_at_once("too_large", "centuries_mp4", lambda: announce_mp4(film(), 4_000_000_000)),
    ends_at_once("too_large", "centuries_mkv", lambda: announce_mkv(film("matroska"), 1e12)),
    ends_at_once("too_large", "900_streams", lambda: many_tracks(film(), 900)),
    # FFmpeg gives up at 1000, and says that memory is short.
    ends_at_once("memory_limit", "5000_streams", lambda: many_tracks(film(), 5000)),
    ends_well("within_limits", lambda: film(seconds=3.9), is_tight=True),
    ends_at_once("too_large", "beyond_max_pixels", lambda: film(height=66), is_tight=True),
    ends_at_once("too_large", "beyond_max_total_pixels", lambda: film(fps=12), is_tight=True),
    ends_at_once("too_large", "beyond_max_duration", lambda: film(seconds=5, fps=5), is_tight=True),
    ends_at_once("too_large", "beyond_max_streams", lambda: film(sound_seconds=1.0), is_tight=True),
]

NO_VIDEO = [
    ends_at_once("empty", "empty", lambda: b""),
    ends_at_once("not_video", "one_byte", lambda: b"G"),
    ends_at_once("not_video", "zeros", lambda: bytes(10_000)),
    ends_at_once("not_video", "noise", lambda: b"\xf0" + _noise(10_000)),
    ends_at_once("not_video", "text", lambda: b"Once upon a time there was a file.\n" * 50),
    ends_at_once("not_video", "html", lambda: texts.HTML),
    ends_at_once("not_video", "zip", lambda: texts.ZIP),
    ends_at_once("not_video", "gzip", lambda: texts.GZIP),
    ends_at_once("not_video", "png", picture),
    ends_at_once("not_video", "jpeg", lambda: picture("mjpeg", pixel_format="yuvj420p")),
    ends_at_once("not_video", "gif", lambda: picture("gif", pixel_format="rgb8")),
    ends_at_once("not_video", "webp", lambda: picture("libwebp", pixel_format="yuv420p")),
    ends_at_once("not_video", "heic", lambda: texts.HEIC),
    ends_at_once("not_video", "avif", lambda: texts.AVIF),
    ends_at_once("not_video", "wmv", lambda: texts.WMV),
    ends_at_once("not_video", "wave", lambda: sound("wav", "pcm_s16le")),
    *(
        ends_at_once("playlist", name, lambda maker=maker: maker("http://127.0.0.1:9/a.ts"))
        for name, maker in texts.PLAYLISTS.items()
    ),
    ends_at_once("playlist", "hls_with_a_mark", lambda: texts.BYTE_ORDER_MARK + texts.hls("a.ts")),
    ends_at_once("playlist", "hls_after_blanks", lambda: b" \r\n\t\n" + texts.hls("a.ts")),
    ends_at_once("playlist", "hls_utf_16", lambda: texts.hls("a.ts").decode().encode("utf-16")),
    ends_at_once("playlist", "dash_utf_16", lambda: texts.dash("a.mp4").decode().encode("utf-16")),
    ends_at_once("playlist", "plain_list", lambda: texts.plain_list("http://127.0.0.1:9/a.ts")),
]
