"""A file that is shorter than its container says is told from a whole one, where the container says it at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.cut_short import is_cut_short

WriteFilm = Callable[..., Path]
TIMES = [number / 25 for number in range(50)]
TELLING = [("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")]


@pytest.mark.parametrize(("name", "codec"), TELLING)
def test_a_whole_file_is_whole_and_a_shorter_one_is_cut(
    name: str, codec: str, tmp_path: Path, write_film: WriteFilm
) -> None:
    data = write_film(tmp_path / name, codec=codec, times_seconds=TIMES, b_frames=0).read_bytes()
    assert not is_cut_short(RangeFile.of(data))
    assert not is_cut_short(RangeFile.of(data + b"\nwritten behind it"))
    for share in (0.25, 0.5, 0.75, 0.99):
        assert is_cut_short(RangeFile.of(data[: int(len(data) * share)])), share


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "libx264"), ("a.flv", "flv1"), ("a.mpg", "mpeg2video")])
def test_containers_without_a_length_count_as_whole(
    name: str, codec: str, tmp_path: Path, write_film: WriteFilm
) -> None:
    data = write_film(tmp_path / name, codec=codec, fps=25, times_seconds=TIMES, b_frames=0).read_bytes()
    assert not is_cut_short(RangeFile.of(data[: len(data) // 2]))


def test_a_live_recording_of_unknown_length_counts_as_whole() -> None:
    head = bytes.fromhex("1a45dfa3 84 42868101 18538067 01ffffffffffffff")
    assert not is_cut_short(RangeFile.of(head + bytes(100)))


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI ", b"\x1a\x45\xdf\xa3" + bytes(60)]
)
def test_scraps_count_as_whole(data: bytes) -> None:
    assert not is_cut_short(RangeFile.of(data))


def test_only_headers_are_read_and_the_file_stays_where_it_was(film: bytes) -> None:
    fetched: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        fetched.append(end - start)
        return film[start:end]

    file = RangeFile(fetch, len(film))
    file.seek(77)
    is_cut_short(file)
    assert file.tell() == 77
    assert sum(fetched) < 200
