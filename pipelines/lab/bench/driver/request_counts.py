"""Requests to S3 for each unit: a run of ours whose output lies behind a proxy that counts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from framegate.pipelines.lab.bench.driver.measure import System, Workbench, environment_of
from framegate.pipelines.lab.bench.s3_proxy import Answer, Proxy, Request
from framegate.pipelines.lab.bench.s3_server import s3_server
from framegate.schemas.errors import FramegateError

BUCKET: Final = "framegate-bench"
KEYS: Final = {"AWS_ACCESS_KEY_ID": "framegate", "AWS_SECRET_ACCESS_KEY": "framegate-secret", "AWS_REGION": "us-east-1"}


def count_requests(bench: Workbench, system: System, num_videos: int) -> list[dict[str, Any]]:
    """A row for each operation on each folder of the output, most requests first.

    The films lie on the local disk, so that reading them is no part of it. Needs the program `weed`, an S3 server.
    Raises ConfigError where it is missing.
    """
    with tempfile.TemporaryDirectory(prefix="framegate-bench-s3-") as scratch:
        folder = Path(scratch)
        with s3_server(folder, environment={**os.environ, **KEYS}) as server, _CountingProxy(server) as proxy:
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


class _CountingProxy(Proxy):
    """Hands every request on as it came, and counts it."""

    def __init__(self, server_endpoint: str) -> None:
        super().__init__(server_endpoint, self._count)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.put_bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def _count(self, request: Request, serve: Callable[[], Answer]) -> Answer:
        operation, folder = _operation(request)
        # A body that is sent in chunks with signatures of their own says its length without them.
        length = request.headers.get("x-amz-decoded-content-length") or request.headers.get("content-length", "0")
        with self._lock:
            self.counts[operation, folder] += 1
            if operation == "PUT":
                self.put_bytes[folder] += int(length)
        return serve()


def _operation(request: Request) -> tuple[str, str]:
    """What S3 calls it, and the folder of the output that it is about."""
    path, _, query = request.target.partition("?")
    folder = [*path.split("/"), "", "", "", ""][3]
    if request.method == "POST" and "delete" in query:
        return "DELETE of many", folder
    if request.method == "GET" and "list-type" in query:
        prefix = query.rpartition("prefix=")[2].partition("&")[0]
        return "LIST", "".join(prefix.split("/")[1:2])
    return request.method, folder


def _make_bucket(endpoint: str, environment: dict[str, str]) -> None:
    script = f"import s3fs; s3fs.S3FileSystem(endpoint_url={endpoint!r}).mkdir({BUCKET!r})"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)
