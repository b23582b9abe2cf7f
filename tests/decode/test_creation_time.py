"""When a file says that it was made, and the times that it cannot be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.creation_time import first_time
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.store import Store
from framegate.schemas.clip import Video


def write_film(path: Path, created: str) -> None:
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["creation_time"] = created
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(10):
            picture = np.full((48, 64, 3), 20 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_containers_that_can_say_so_do(tmp_path: Path, ending: str, decoder: str) -> None:
    path = tmp_path / f"film{ending}"
    write_film(path, "2026-11-21T03:04:05Z")
    store = Store({})
    info = store.stat(str(path))
    video = Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes)
    with store.open_pinned(video) as source, open_reader(decoder, RangeFile(source.read, source.size_bytes)) as reader:
        created = reader.header.created_seconds
    assert created is not None
    assert datetime.fromtimestamp(created, UTC) == datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([{"creation_time": "2026-11-21T03:04:05.000000Z"}], "2026-11-21T03:04:05+00:00"),
        ([{}, {"creation_time": "2026-11-21T03:04:05Z"}], "2026-11-21T03:04:05+00:00"),
        (
            [{"creation_time": "2026-11-21T03:04:05Z", "com.apple.quicktime.creationdate": "2026-11-21T05:04:05+0900"}],
            "2026-11-20T20:04:05+00:00",
        ),
        ([{"com.apple.quicktime.creationdate": "?", "creation_time": "2026-11-21T03:04:05Z"}],
         "2026-11-21T03:04:05+00:00"),
        ([{"creation_time": "1904-01-01T00:00:00Z"}], None),
        ([{"creation_time": "1970-01-01T00:00:00Z"}, {"creation_time": "2026-11-21T03:04:05Z"}],
         "2026-11-21T03:04:05+00:00"),
        ([{"creation_time": "1980-01-06T00:00:00Z"}], None),
        ([{"creation_time": "9999-12-31T23:59:59Z"}], None),
        ([{"creation_time": "0001-01-01T00:00:00+23:59"}], None),
        ([{"creation_time": "yesterday"}], None),
        ([{"creation_time": ""}], None),
        ([{}, {}], None),
    ],
)  # fmt: skip
def test_what_cannot_be_is_no_time(tags: list[dict[str, str]], expected: str | None) -> None:
    found = first_time(list(tags))
    assert (None if found is None else datetime.fromtimestamp(found, UTC).isoformat()) == expected
