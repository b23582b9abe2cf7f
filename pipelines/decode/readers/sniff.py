"""The kind of a file, found by its first bytes and never by its name.

Video containers are let through; playlists, images and text are refused before any decoder sees them, because some
decoders follow a playlist to other files and to the network.
"""

from __future__ import annotations

import codecs
import re

from framegate.schemas.errors import EmptyVideo, NotAVideo, Playlist

# An MXF file may begin with up to 64 KiB of anything (the run-in, SMPTE 377-1) before its first key of 16 bytes.
HEAD_BYTES = (64 << 10) + 16

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

# What may stand first. A `uuid` or `pdin` box before `ftyp` is allowed, and so are QuickTime files without `ftyp`.
ISO_BMFF_BOXES = frozenset(
    b"ftyp styp moov moof mdat wide free skip pnot sidx ssix prft emsg pdin uuid udta meta junk".split()
)
_MXF_KEY = bytes.fromhex("060e2b34020501010d010201")  # of a partition
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

    Raises EmptyVideo, Playlist or NotAVideo. What looks like a movie may be a picture still: see `still_pictures`.
    """
    if not head:
        raise EmptyVideo("The file is empty (0 bytes); a video is expected.")
    container = _container_of(head)
    if container is not None:
        return container
    text = _as_utf8(head)
    for noun, pattern in _PLAYLISTS:
        if pattern.match(text):
            raise Playlist(f"The file is {noun}, which names other files; give the videos themselves.")
    for noun, pattern in _OTHERS:
        if pattern.match(head):
            raise NotAVideo(f"The file is {noun}; a video must be {ALLOWED}.")
    if _is_text(text):
        raise NotAVideo(f"The file is text; a video must be {ALLOWED}.")
    if _MXF_KEY in head:
        return "mxf"
    if _is_cut_out_transport_stream(head):
        return "mpeg_ts"
    raise NotAVideo(f"The file is of no known kind (it starts with {head[:8].hex(' ')}); a video must be {ALLOWED}.")


def _container_of(head: bytes) -> str | None:
    if head[4:8] in ISO_BMFF_BOXES and (head[0] < 0x20 or head[4:8] == b"mdat"):  # below 512 MiB, which no text is
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
    if head.startswith(_MXF_KEY):
        return "mxf"
    return "mpeg_ts" if _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    """Three sync bytes in a row, at the distance of plain (188), Blu-ray (192, after 4 bytes) or ATSC (204) packets."""
    return any(
        len(head) > offset + 2 * size and all(head[offset + k * size] == 0x47 for k in range(3))
        for size, offset in ((188, 0), (192, 4), (204, 0))
    )


def _is_cut_out_transport_stream(head: bytes) -> bool:
    """Ten sync bytes in a row from any byte of the first packet on: a recording that was cut at an arbitrary byte."""
    return any(
        len(head) > offset + 9 * size and all(head[offset + k * size] == 0x47 for k in range(10))
        for size in (188, 192, 204)
        for offset in range(size)
    )


def _as_utf8(head: bytes) -> bytes:
    """Text without byte-order mark and leading white space, UTF-16 made UTF-8; other bytes stay as they are."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if head.startswith(mark):
            return head[2:].decode(encoding, errors="ignore").encode(errors="ignore").lstrip()
    even, odd = head[:64:2], head[1:64:2]
    for encoding, zeros, letters in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros and not any(zeros) and all(letters):  # UTF-16 without a mark
            return head.decode(encoding, errors="ignore").encode(errors="ignore").lstrip()
    return head.removeprefix(codecs.BOM_UTF8).lstrip()


def _is_text(text: bytes) -> bool:
    return b"\0" not in text and sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in text) == 0
