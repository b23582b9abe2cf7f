"""A faulty way to an S3 server: what a network, a load balancer and a busy S3 do to requests, as scripted.

What a fault says was applied is applied by the real server behind it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from framegate.pipelines.lab.bench.s3_proxy import Answer, Decide, Proxy, Request

Fault = Decide
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


def sometimes(fault: Fault, happens: Callable[[], bool]) -> Fault:
    """The fault where `happens()` says so, and fair weather otherwise."""
    return lambda request, serve: fault(request, serve) if happens() else serve()


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


class S3Faults(Proxy):
    """The faulty way. `rules` is what is still to happen, `seen` every request that came."""

    def __init__(self, server_endpoint: str) -> None:
        super().__init__(server_endpoint, self._decide)
        self.rules: list[Rule] = []
        self.seen: list[Request] = []
        self._lock = threading.Lock()

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

    def _decide(self, request: Request, serve: Callable[[], Answer]) -> Answer | None:
        with self._lock:
            rule = next((rule for rule in self.rules if rule.takes(request)), None)
            self.seen.append(request)
        return serve() if rule is None else rule.fault(request, serve)


def _error(status: int, code: str, message: str, extra: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>".encode()
    return Answer(status, {"Content-Type": "application/xml"}, body)
