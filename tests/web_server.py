"""A real web server on loopback whose ways are set by a test: ranges or none, ETags, signatures, redirects, faults."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

CHANGED = "Sat, 21 Nov 2026 03:00:00 GMT"


@dataclass
class WebServer:
    """`files` by decoded path. `signature`: the query without which a request is answered with 403.

    statuses     answers to come first, one by one, such as [503, 503]
    redirects    from one path to another URL
    requests     (method, target, Range) of all requests so far
    """

    files: dict[str, bytes] = field(default_factory=dict)
    signature: str | None = None
    has_ranges: bool = True
    has_etags: bool = True
    has_lengths: bool = True
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    cut_bytes: int = 0
    etag: Callable[[bytes], str] = lambda data: f'"{hash(data) & 0xFFFFFFFF:x}"'
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def __enter__(self) -> WebServer:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(("GET", self.path, self.headers.get("Range")))
                server.answer(self)

            def do_HEAD(self) -> None:
                """Refused, as of a URL that is signed for GET."""
                server.requests.append(("HEAD", self.path, None))
                self.send_error(403)

            def log_message(self, format: str, *args: object) -> None:
                """Silence."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        path = unquote(parts.path)
        if self.statuses:
            return request.send_error(self.statuses.pop(0))
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.send_header("Content-Length", "0")
            return request.end_headers()
        if self.signature is not None and parts.query != self.signature:
            return request.send_error(403)
        if path not in self.files:
            return request.send_error(404)
        self._send(request, self.files[path])
        return None

    def _send(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        body = data
        if self.has_ranges and asked is not None:
            start, end = int(asked[1]), min(int(asked[2] or len(data)) + 1, len(data))
            if start >= len(data):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(data)}")
                body = b""
            else:
                body = data[start:end]
                request.send_response(206)
                request.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(data)}")
        else:
            request.send_response(200)
        if self.has_etags:
            request.send_header("ETag", self.etag(data))
        request.send_header("Last-Modified", CHANGED)
        if self.has_lengths:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) - self.cut_bytes])
