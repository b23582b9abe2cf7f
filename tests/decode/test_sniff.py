"""What a file is decided by its content; whatever is not a video never reaches a decoder."""

from __future__ import annotations

import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.cut_short import is_cut_short
from framegate.pipelines.decode.readers.reader import sniff_file
from framegate.pipelines.decode.readers.sniff import DEMUXERS, HEAD_BYTES
from framegate.schemas.errors import EmptyVideo, NotAVideo, Playlist, VideoError

CONTAINERS = [
    ("iso_bmff", b"\0\0\0\x20ftypisom\0\0\2\0isom"),
    ("iso_bmff", b"\0\0\0\x14ftypqt  \0\0\2\0"),
    ("iso_bmff", b"\0\0\x10\0moov"),
    ("matroska", b"\x1a\x45\xdf\xa3\xa3B\x86\x81"),
    ("avi", b"RIFF\xc0@\1\0AVI LIST"),
    ("mpeg_ps", b"\0\0\1\xba\x44\0\4\0"),
    ("flv", b"FLV\1\5\0\0\0\t"),
    ("ogg", b"OggS\0\2" + bytes(20)),
    ("mxf", bytes.fromhex("060e2b34020501010d01020101020400")),
    ("mpeg_ts", (b"\x47" + bytes(187)) * 4),
    ("mpeg_ts", bytes(100) + (b"\x47" + bytes(187)) * 12),
    ("iso_bmff", b"\0\0\0\x28uuid" + bytes(32) + b"\0\0\0\x14ftypisom"),
    ("iso_bmff", b"\0\0\0\x14pdin" + bytes(12)),
    ("mxf", b"\xff\0run-in" * 700 + bytes.fromhex("060e2b34020501010d01020101020400")),
    ("mpeg_ts", (bytes(4) + b"\x47" + bytes(187)) * 4),
    ("mpeg_ts", (b"\x47" + bytes(203)) * 4),
]

REFUSED = [
    (EmptyVideo, "empty", b""),
    (Playlist, "playlist", b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:10,\nhttp://127.0.0.1/secret.ts\n"),
    (Playlist, "playlist", b"\xef\xbb\xbf\r\n  #EXTM3U\n"),
    (Playlist, "playlist", b"ffconcat version 1.0\nfile secret.mp4\n"),
    (Playlist, "playlist", b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">'),
    (Playlist, "playlist", b'<MPD type="static">'),
    (Playlist, "playlist", b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"),
    (Playlist, "playlist", b"[playlist]\nFile1=http://example.org/a.mp4\n"),
    (Playlist, "playlist", "#EXTM3U\n#EXTINF:10,\nsecret.ts\n".encode("utf-16")),
    (Playlist, "playlist", "\n #EXTM3U\n#EXTINF:10,\nsecret.ts\n".encode("utf-16-be")),
    (NotAVideo, "not_video", "Once upon a time".encode("utf-16-le")),
    (NotAVideo, "not_video", b"All free of charge, said the fox."),
    (NotAVideo, "not_video", b"\x89PNG\r\n\x1a\n" + bytes(40)),
    (NotAVideo, "not_video", b"\xff\xd8\xff\xe0\0\x10JFIF"),
    (NotAVideo, "not_video", b"GIF89a" + bytes(40)),
    (NotAVideo, "not_video", b"RIFF\x10\0\0\0WEBPVP8 "),
    (NotAVideo, "not_video", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1"),
    (NotAVideo, "not_video", b"\0\0\0\x18ftypheic\0\0\0\0"),
    (NotAVideo, "not_video", b"Once upon a time there was a file.\n"),
    (NotAVideo, "not_video", bytes(HEAD_BYTES)),
    (NotAVideo, "not_video", b"G"),
]


@pytest.mark.parametrize(("container", "head"), CONTAINERS)
def test_video_containers_are_let_through(container: str, head: bytes) -> None:
    assert sniff_file(RangeFile.of(head)) == container
    assert container in DEMUXERS


@pytest.mark.parametrize(("error", "reason", "head"), REFUSED)
def test_anything_else_is_refused_with_its_reason(error: type[VideoError], reason: str, head: bytes) -> None:
    with pytest.raises(error) as caught:
        sniff_file(RangeFile.of(head))
    assert caught.value.reason == reason


def test_a_refusal_says_what_the_file_is_and_what_is_allowed() -> None:
    with pytest.raises(NotAVideo, match=r"PNG image.*MP4/MOV, Matroska/WebM"):
        sniff_file(RangeFile.of(b"\x89PNG\r\n\x1a\n" + bytes(40)))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_ends_inside_a_box_is_known_as_cut_short(film: bytes, share: float) -> None:
    assert is_cut_short(RangeFile.of(film[: int(len(film) * share)]))


def test_a_whole_file_is_not_cut_short(film: bytes) -> None:
    assert not is_cut_short(RangeFile.of(film))
    assert not is_cut_short(RangeFile.of(b"\x1a\x45\xdf\xa3" + bytes(100)))
