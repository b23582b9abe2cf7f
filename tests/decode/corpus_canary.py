"""A video that must not be seen, and files that would lead a decoder to it."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from tests.decode import corpus_texts as texts
from tests.decode.corpus_bytes import elsewhere_as_alias, elsewhere_by_url, fill
from tests.decode.corpus_films import MAGENTA, film


def is_canary(frames_THWC: np.ndarray) -> bool:
    return bool((np.abs(frames_THWC.reshape(-1, 3).mean(axis=0) - np.array(MAGENTA)) < 40).all())


@dataclass
class Canary:
    """A video that must not be seen: on disk beside the input, and behind an address. Its text is in its bytes."""

    folder: Path
    text: str
    port: int = 0
    calls: list[str] = field(default_factory=list)

    @property
    def targets(self) -> dict[str, str]:
        return {
            "address": f"http://127.0.0.1:{self.port}/canary.ts",
            "path": str(self.folder / "canary.ts"),
            "file_address": (self.folder / "canary.ts").as_uri(),
            "neighbour": "canary.ts",
        }


@contextlib.contextmanager
def keep_canary(folder: Path) -> Iterator[Canary]:
    """In `folder`, which exists, and on a port of this machine, as long as the context lasts."""
    canary = Canary(folder=folder, text=f"CANARY-{secrets.token_hex(8)}")
    data = film("mpegts", is_magenta=True)
    (folder / "canary.ts").write_bytes(data + canary.text.encode())
    (folder / "canary.mp4").write_bytes(film(is_magenta=True) + canary.text.encode())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def get_request(self):
            connection, address = super().get_request()
            canary.calls.append(str(address))
            return connection, address

        def handle_error(self, request: object, client_address: object) -> None:
            """Who hangs up early is no error of ours."""

    server = Server(("127.0.0.1", 0), Handler)
    canary.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield canary
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hostile_files(canary: Canary) -> dict[str, bytes]:
    """By name. The last five are videos, or begin like one."""
    targets = canary.targets
    files = {
        f"{maker}-{kind}": texts.PLAYLISTS[maker](target)
        for kind, target in targets.items()
        for maker in (texts.PLAYLISTS if kind == "address" else ("hls", "ffconcat", "dash"))
    }
    address = targets["address"]
    return {
        **files,
        "hls-mark": texts.BYTE_ORDER_MARK + texts.hls(address),
        "hls-blanks": b"\n\n \t" + texts.hls(address),
        "hls-utf-16": texts.hls(address).decode().encode("utf-16"),
        "ffconcat-blanks": b"\n" + texts.ffconcat(address),
        "plain-list": texts.plain_list(address),
        "video-by-alias": movie_without_frames(),
        "video-by-url": elsewhere_by_url(film(), (canary.folder / "canary.mp4").as_uri()),
        "video-before-a-playlist": film("mpegts") + texts.hls(address),
        "video-with-a-manifest": _manifest_in_mkv(texts.dash(address)),
        "avi-of-text": film("avi", "mpeg4")[:12] + texts.hls(address) * 9,
    }


def movie_without_frames() -> bytes:
    """The canary's own index, which says that the frames are in the file beside it."""
    return elsewhere_as_alias(fill(film(is_magenta=True), "mdat", b"\0"), "canary.mp4")


def _manifest_in_mkv(text: bytes) -> bytes:
    """A whole Matroska film whose first element holds a text: some decoders look for one in all that they see."""
    data = film("matroska")
    size_bytes = 9 - data[4].bit_length()
    size = int.from_bytes(data[4 : 4 + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    content = data[4 + size_bytes : 4 + size_bytes + size]
    content += b"\xec" + (0x4000 | len(text)).to_bytes(2, "big") + text
    return data[:4] + (0x4000 | len(content)).to_bytes(2, "big") + content + data[4 + size_bytes + size :]
