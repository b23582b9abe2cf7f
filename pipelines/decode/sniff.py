"""What a file is, by its first bytes and never by its name.

Video containers are let through; playlists, images and text are refused before any decoder sees them, because some
decoders follow a playlist to other files and to the network. Knows nothing of streams or codecs.
"""

from __future__ import annotations

import io
import re
from typing import BinaryIO

from schemas.errors import EmptyVideo, NotAVideo, Playlist

# Enough for three packets of the longest transport stream format (204 bytes each) and for any playlist's first line.
HEAD_BYTES = 4096

# FFmpeg's demuxer for each container: a decoder may be held to this one and try no other.
DEMUXERS: dict[str, str] = {
    "iso_bmff": "mov",
    "matroska": "matroska",
    "avi": "avi",
    "mpeg_ts": "mpegts",
    "mpeg_ps": "mpeg",
    "flv": "flv",
    "ogg": "ogg",
    "mxf": "mxf",
}
ALLOWED = "MP4/MOV, Matroska/WebM, AVI, MPEG-TS/PS, FLV, Ogg or MXF"

_ISO_BMFF_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"pnot", b"sidx"}
_ISO_BMFF_IMAGE_BRANDS = {
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"hevc",
    b"hevx",
    b"mif1",
    b"msf1",
    b"avif",
    b"avis",
    b"crx ",
}
_PLAYLISTS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("an HLS playlist", re.compile(rb"#EXT(M3U|INF|-X-)")),
    ("an ffconcat script", re.compile(rb"ffconcat\s")),
    ("a DASH manifest", re.compile(rb"(<\?xml.*?)?<MPD[\s>]", re.DOTALL | re.IGNORECASE)),
    (
        "a streaming manifest",
        re.compile(rb"(<\?xml.*?)?<(SmoothStreamingMedia|smil|asx|playlist)[\s>]", re.DOTALL | re.IGNORECASE),
    ),
    ("an SDP session description", re.compile(rb"v=0\r?\n")),
    ("a playlist", re.compile(rb"\[(playlist|Reference)\]|rtsp://|https?://", re.IGNORECASE)),
)
_OTHERS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("a PNG image", re.compile(rb"\x89PNG\r\n")),
    ("a JPEG image", re.compile(rb"\xff\xd8\xff")),
    ("a GIF image", re.compile(rb"GIF8[79]a")),
    ("a WebP image", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("a WAVE sound file", re.compile(rb"RIFF....WAVE", re.DOTALL)),
    ("a BMP image", re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)),
    ("a TIFF image", re.compile(rb"II\*\0|MM\0\*")),
    ("a PDF document", re.compile(rb"%PDF-")),
    ("a ZIP archive", re.compile(rb"PK\x03\x04")),
    ("a gzip archive", re.compile(rb"\x1f\x8b")),
    ("an MP3 sound file", re.compile(rb"ID3")),
    ("an ASF/WMV file", re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),
)


def sniff(head: bytes) -> str:
    """The container (a key of `DEMUXERS`) of a file with these first `HEAD_BYTES`, or all its bytes if fewer.

    Raises EmptyVideo, Playlist or NotAVideo.
    """
    if not head:
        raise EmptyVideo("The file is empty (0 bytes); a video is expected.")
    container = _container_of(head)
    if container is not None:
        return container
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for noun, pattern in _PLAYLISTS:
        if pattern.match(text):
            raise Playlist(f"The file is {noun}, which names other files; give the videos themselves.")
    for noun, pattern in _OTHERS:
        if pattern.match(head):
            raise NotAVideo(f"The file is {noun}; a video must be {ALLOWED}.")
    noun = "text" if _is_text(head) else f"of no known kind (it starts with {head[:8].hex(' ')})"
    raise NotAVideo(f"The file is {noun}; a video must be {ALLOWED}.")


def _container_of(head: bytes) -> str | None:
    if head[4:8] in _ISO_BMFF_BOXES:
        if head[4:8] == b"ftyp" and head[8:12] in _ISO_BMFF_IMAGE_BRANDS:
            raise NotAVideo(
                f"The file is a HEIF, AVIF or raw image ({head[8:12].decode()}); a video must be {ALLOWED}."
            )
        return "iso_bmff"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:11] == b"AVI":
        return "avi"
    if head.startswith(b"\x00\x00\x01\xba"):
        return "mpeg_ps"
    if head.startswith(b"FLV\x01"):
        return "flv"
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(bytes.fromhex("060e2b34020501010d010201")):
        return "mxf"
    return "mpeg_ts" if _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    """Three sync bytes in a row, at the distance of plain (188), Blu-ray (192, after 4 bytes) or ATSC (204) packets."""
    return any(
        len(head) > offset + 2 * size and all(head[offset + k * size] == 0x47 for k in range(3))
        for size, offset in ((188, 0), (192, 4), (204, 0))
    )


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return head[:2] in (b"\xff\xfe", b"\xfe\xff")  # UTF-16
    return sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head) == 0


def is_cut_short(file: BinaryIO) -> bool:
    """Whether an ISO-BMFF file (the only kind that can tell) ends inside a box, or before its index (`moov`)."""
    size_bytes = file.seek(0, io.SEEK_END)
    position, boxes = 0, set()
    while position + 8 <= size_bytes:
        file.seek(position)
        header = file.read(16)
        size, box = int.from_bytes(header[:4], "big"), header[4:8]
        if position == 0 and box not in _ISO_BMFF_BOXES:
            return False
        boxes.add(box)
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        elif size == 0:  # to the end of the file
            size = size_bytes - position
        if size < 8 or position + size > size_bytes:
            return True
        position += size
    return bool(boxes) and b"moov" not in boxes
