"""A faulty way to an S3 server: a proxy on loopback that spoils the answers it is told to spoil.

It forwards each request as it came, `Host` too, so that signatures hold; what a fault says was applied is applied by
the real server. Stands for what a network, a load balancer and a busy S3 do to requests.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    target: str  # path and query, unquoted
    headers: Mapping[str, str]  # names in lower case


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent_bytes: int | None = None  # how much of the body is sent before the line is cut; None: all, and it is not cut


Fault = Callable[["Request", Callable[[], Answer]], Answer | None]
"""What becomes of one request: it may or may not call the server, and gives an answer, or None to cut the line."""


def refused(status: int, code: str, message: str = "as scripted", *, extra: str = "") -> Fault:
    """The server is never asked."""
    return lambda request, serve: _error(status, code, message, extra)


def applied_then(status: int, code: str) -> Fault:
    """The server does it, and the client hears of an error."""

    def fault(request: Request, serve: Callable[[], Answer]) -> Answer:
        serve()
        return _error(status, code, "as scripted", "")

    return fault


def applied_then_cut(request: Request, serve: Callable[[], Answer]) -> None:
    """The server does it, and the client hears nothing."""
    serve()


def applied_then_late(seconds: float) -> Fault:
    """The server does it, and its answer is late."""

    def fault(request: Request, serve: Callable[[], Answer]) -> Answer:
        answer = serve()
        time.sleep(seconds)
        return answer

    return fault


def cut(request: Request, serve: Callable[[], Answer]) -> None:
    """The line breaks before the server hears of it."""


def body_cut(request: Request, serve: Callable[[], Answer]) -> Answer:
    """The length is true, and the line breaks in the middle of the body."""
    answer = serve()
    answer.sent_bytes = len(answer.body) // 2
    return answer


def body_short(request: Request, serve: Callable[[], Answer]) -> Answer:
    """Length and body agree, and the last byte is missing."""
    answer = serve()
    answer.body = answer.body[:-1]
    return answer


def named_condition(name: str | None) -> Fault:
    """A 412 of the server names the condition that failed, or does not: servers differ."""

    def fault(request: Request, serve: Callable[[], Answer]) -> Answer:
        answer = serve()
        if answer.status != 412:
            return answer
        extra = "" if name is None else f"<Condition>{name}</Condition>"
        return _error(412, "PreconditionFailed", "At least one of the pre-conditions did not hold", extra)

    return fault


def stale_listing(num_missing: int = 1) -> Fault:
    """A listing that does not have the newest objects yet."""

    def fault(request: Request, serve: Callable[[], Answer]) -> Answer:
        answer = serve()
        entries = re.findall(rb"<Contents>.*?</Contents>", answer.body, re.DOTALL)
        entries.sort(key=lambda entry: re.findall(rb"<LastModified>(.*?)</LastModified>", entry))
        for entry in entries[-num_missing:]:
            answer.body = answer.body.replace(entry, b"", 1)
        return answer

    return fault


SLOW_DOWN = refused(503, "SlowDown", "Please reduce your request rate")
CONFLICT = refused(409, "ConditionalRequestConflict")
TOO_MANY = refused(429, "TooManyRequests")
EXPIRED = refused(400, "ExpiredToken", "The provided token has expired.")
DENIED = refused(403, "AccessDenied", "Access Denied")
NO_ANSWER = refused(502, "BadGateway")


@dataclass
class Rule:
    fault: Fault
    methods: tuple[str, ...]
    pattern: re.Pattern[str]
    times: float
    until: float

    def takes(self, request: Request) -> bool:
        if request.method not in self.methods or not self.pattern.search(request.target):
            return False
        if self.times <= 0 or time.monotonic() > self.until:
            return False
        self.times -= 1
        return True


class S3Faults:
    """The proxy. `endpoint` is its address, `rules` what is still to happen, `seen` every request that came."""

    def __init__(self, endpoint: str) -> None:
        self._upstream = urlsplit(endpoint).netloc
        self.rules: list[Rule] = []
        self._lock = threading.Lock()
        self.seen: list[Request] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.faults = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(
        self,
        fault: Fault,
        *,
        method: str = "GET HEAD PUT POST DELETE",
        target: str = "",
        times: float = 1,
        seconds: float = float("inf"),
    ) -> None:
        """The next `times` requests of a method whose path and query match the regular expression `target` meet it.

        Rules are asked in the order in which they were scripted; what no rule takes is served.
        """
        rule = Rule(fault, tuple(method.split()), re.compile(target), times, time.monotonic() + seconds)
        with self._lock:
            self.rules.append(rule)

    def clear(self) -> None:
        """Fair weather again, and nothing seen."""
        with self._lock:
            self.rules.clear()
            self.seen = []

    def count(self, method: str, target: str = "") -> int:
        """How many such requests came."""
        return sum(seen.method == method and re.search(target, seen.target) is not None for seen in self.seen)

    def __enter__(self) -> S3Faults:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: Request, serve: Callable[[], Answer]) -> Answer | None:
        """What the client hears."""
        with self._lock:
            rule = next((rule for rule in self.rules if rule.takes(request)), None)
            self.seen.append(request)
        return serve() if rule is None else rule.fault(request, serve)

    def forward(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        """The server's own answer."""
        line = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                line.putheader(name, value)
            line.endheaders(body or None)
            reply = line.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            line.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    faults: S3Faults


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            del self.headers["Expect"]
        body = self._body()
        headers = [(name, value) for name, value in self.headers.items() if name.lower() != "connection"]
        faults, request = cast(_Server, self.server).faults, self._request()
        answer = faults.answer(request, lambda: faults.forward(self.command, self.path, headers, body))
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

    def _request(self) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, unquote(self.path), headers)

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
        """Nothing: `seen` tells."""


def _error(status: int, code: str, message: str, extra: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>".encode()
    return Answer(status, {"Content-Type": "application/xml"}, body)
