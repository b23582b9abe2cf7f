"""Texts that make some decoders open other files or addresses. Each names one `target`: a URL, or a path."""

from __future__ import annotations

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def hls(target: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{target}\n#EXT-X-ENDLIST\n".encode()


def hls_of_playlists(target: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{target}\n".encode()


def hls_with_a_key(target: str) -> bytes:
    """The stretch is a data URL; what lies elsewhere is the key."""
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"'
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n{key}\n#EXTINF:4,\n{target}\n#EXT-X-ENDLIST\n".encode()


def ffconcat(target: str) -> bytes:
    return f"ffconcat version 1.0\nfile '{target}'\n".encode()


def dash(target: str) -> bytes:
    return (
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        ' mediaPresentationDuration="PT4S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000" width="96" height="64">'
        f"<BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>\n"
    ).encode()


def smooth_streaming(target: str) -> bytes:
    return (
        '<?xml version="1.0"?>\n<SmoothStreamingMedia MajorVersion="2" Duration="40000000">'
        f'<StreamIndex Type="video" Url="{target}"/></SmoothStreamingMedia>\n'
    ).encode()


def xspf(target: str) -> bytes:
    return (
        '<?xml version="1.0"?>\n<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track>'
        f"<location>{target}</location></track></trackList></playlist>\n"
    ).encode()


def smil(target: str) -> bytes:
    return f'<smil><body><video src="{target}"/></body></smil>\n'.encode()


def sdp(target: str) -> bytes:
    """Sound and picture over RTP from the host of `target`."""
    host = target.split("//")[-1].split("/")[0].split(":")[0] or "127.0.0.1"
    return f"v=0\r\no=- 0 0 IN IP4 {host}\r\ns=x\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n".encode()


def winamp(target: str) -> bytes:
    return f"[playlist]\nFile1={target}\nNumberOfEntries=1\nVersion=2\n".encode()


def plain_list(target: str) -> bytes:
    return f"{target}\n".encode()


PLAYLISTS = {
    maker.__name__: maker
    for maker in (hls, hls_of_playlists, hls_with_a_key, ffconcat, dash, smooth_streaming, xspf, smil, sdp, winamp)
}

HTML = b"<!DOCTYPE html>\n<html><body><video src='film.mp4'></video></body></html>\n"
ZIP = b"PK\x03\x04\x14\0\0\0\0\0" + bytes(100)
GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(100)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(100)
WMV = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(100)
