"""Few frames of a long video cost few of its bytes, and the reader says beforehand how many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.pyav import PyavReader
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import StorageError, VersionChanged

WriteFilm = Callable[..., Path]
SPARSE = [20.5, 41.0, 70.2]


class Counted:
    """Bytes that count what is fetched of them, and can be lost."""

    def __init__(self, data: bytes) -> None:
        self.data, self.num_bytes, self.num_requests, self.is_lost = data, 0, 0, False
        self.file = RangeFile(self.fetch, len(data))

    def fetch(self, start: int, end: int) -> bytes:
        if self.is_lost:
            raise VersionChanged("The object was replaced.")
        self.num_bytes += end - start
        self.num_requests += 1
        return self.data[start:end]


def grain(number: int, *, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["a.mp4", "a.mkv"])
def long_film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, write_film: WriteFilm) -> bytes:
    """80 s, a key frame every 2 s, 4 MB."""
    path = tmp_path_factory.mktemp("long") / request.param
    times: Sequence[float] = [number / 10 for number in range(800)]
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    return write_film(
        path,
        times_seconds=times,
        gop_frames=20,
        drawing=grain,
        options=options,
        codec_options={"preset": "ultrafast", "qp": "32"},
    ).read_bytes()


def test_sparse_frames_read_little_and_as_much_as_was_said(long_film: bytes) -> None:
    source = Counted(long_film)
    with open_reader("pyav", source.file) as reader:
        opened_bytes = source.num_bytes
        counted = reader.count_bytes(SPARSE)
        index_bytes = source.num_bytes - opened_bytes  # Matroska's index is read for it
        frames, _, _ = reader.read(SPARSE, height=64, width=96)
    assert len(frames) == 3
    assert counted is not None
    read_bytes = source.num_bytes - opened_bytes - index_bytes
    assert 0 < counted < 0.1 * len(long_film)
    assert read_bytes < 0.15 * len(long_film)
    if long_film[4:8] == b"ftyp":
        assert abs(read_bytes - counted) <= 0.01 * len(long_film)
        assert source.num_requests < 12


def test_a_dense_stretch_is_a_few_large_requests(long_film: bytes) -> None:
    source = Counted(long_film)
    times = [30 + k / 2 for k in range(40)]
    with open_reader("pyav", source.file) as reader:
        opened_requests = source.num_requests
        counted = reader.count_bytes(times)
        frames, _, _ = reader.read(times, height=64, width=96)
    assert len(frames) == 40
    assert counted is not None
    assert 0.2 * len(long_film) < counted < 0.3 * len(long_film)
    assert source.num_requests - opened_requests < 12


def test_what_storage_raises_comes_through_and_the_reader_goes_on_after_it(long_film: bytes) -> None:
    source = Counted(long_film)
    with open_reader("pyav", source.file) as reader:
        source.is_lost = True
        with pytest.raises(StorageError, match="replaced"):
            reader.read([60.05], height=64, width=96)
        source.is_lost = False
        assert reader.read([60.05], height=64, width=96).pts_seconds == pytest.approx([60.0], abs=0.002)


def test_storage_that_is_lost_while_opening_is_no_damaged_video(long_film: bytes) -> None:
    source = Counted(long_film)
    container = "iso_bmff" if long_film[4:8] == b"ftyp" else "matroska"
    source.is_lost = True
    with pytest.raises(StorageError, match="replaced"):
        PyavReader(source.file, container=container, limits=DecodeConfig())
