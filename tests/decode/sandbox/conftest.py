"""Sandboxes for fakes, and the proof after each test that nothing of them is left."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from framegate.pipelines.decode.readers.reader import DECODERS, Decoder
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from tests.decode.sandbox.sources import children, eventually


class Held(NamedTuple):
    num_descriptors: int
    num_threads: int
    processes: set[str]

    def is_within(self, other: Held) -> bool:
        """What an earlier test began may end meanwhile."""
        return (
            self.num_descriptors <= other.num_descriptors
            and self.num_threads <= other.num_threads
            and self.processes <= other.processes
        )


def held() -> Held:
    gc.collect()
    return Held(len(os.listdir("/proc/self/fd")), threading.active_count(), children())


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """After each test: no descriptor (shared memory is one), thread or process more."""
    if sys.platform != "linux":
        pytest.skip("what is left of a process is read from /proc")
    before = held()
    yield
    assert eventually(lambda: held().is_within(before)), f"before: {before}, after: {held()}"


@pytest.fixture
def make_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sandbox]]:
    """`make_sandbox("HangsAtOpen", open_seconds=0.3)`: a sandbox for this fake, by its name."""
    sandboxes = []
    monkeypatch.syspath_prepend(Path(__file__).parent)  # the child takes over where modules are looked for

    def make(*names: str, module: str = "fake_readers", **limits: object) -> Sandbox:
        for name in names:
            monkeypatch.setitem(DECODERS, name, Decoder(package="json", reader=f"{module}:{name}"))
        sandboxes.append(Sandbox(DecodeConfig(**limits), names))
        return sandboxes[-1]

    yield make
    for sandbox in sandboxes:
        sandbox.close()


@pytest.fixture
def pyav_sandbox() -> Iterator[Sandbox]:
    with Sandbox(DecodeConfig()) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def long_film(tmp_path_factory: pytest.TempPathFactory, write_film: Callable[..., Path]) -> bytes:
    """A film that is not read whole when it is opened: its frames are noise and take up space."""

    def noise(number: int, *, height: int, width: int) -> np.ndarray:
        return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)

    path = tmp_path_factory.mktemp("long") / "film.mp4"
    times = [number / 10 for number in range(100)]
    options = {"movflags": "faststart"}
    return write_film(path, times_seconds=times, height=128, width=192, drawing=noise, options=options).read_bytes()
