"""A proxy on loopback in front of an S3 server, whose owner decides on each answer.

It forwards a request as it came, `Host` too, so that its signature holds. Knows no faults.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self, cast
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    target: str  # path and query, unquoted
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent_bytes: int | None = None  # how much of the body is sent before the line is cut; None: all, and it is not cut


Decide = Callable[[Request, Callable[[], Answer]], Answer | None]
"""The answer to a request, from the server or not; None cuts the line."""


class Proxy:
    """Serves on `endpoint` while it is open as a context."""

    def __init__(self, server_endpoint: str, decide: Decide) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.upstream, self._server.decide = urlsplit(server_endpoint).netloc, decide
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    upstream: str
    decide: Decide


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        body = self._body()
        left_out = ("connection", "expect")  # of this line; `Expect` was answered before the body came
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in left_out]
        request = Request(self.command, unquote(self.path), {name.lower(): value for name, value in headers}, body)
        answer = cast(_Server, self.server).decide(request, lambda: self._forward(headers, body))
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(answer.body))
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.sent_bytes])
        if answer.sent_bytes is not None:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do

    def _forward(self, headers: list[tuple[str, str]], body: bytes) -> Answer:
        line = http.client.HTTPConnection(cast(_Server, self.server).upstream, timeout=60)
        try:
            line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                line.putheader(name, value)
            line.endheaders(body or None)
            reply = line.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            line.close()

    def _body(self) -> bytes:
        """As it came: a chunked body keeps its framing."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        raw = b""
        while True:
            line = self.rfile.readline()
            num_bytes = int(line.split(b";")[0], 16)
            raw += line + self.rfile.read(num_bytes + 2)
            if num_bytes == 0:
                return raw

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client gave up waiting
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: its owner sees every request."""
