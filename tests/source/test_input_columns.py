"""A manifest's columns and side files: the same values in the same types, however they came and wherever they wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.plan.remaining import remaining
from framegate.pipelines.plan.stored import Stored
from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import FoundRows, to_videos
from framegate.pipelines.source.input_columns import column_types, pack_inputs, pack_texts, plain_column
from framegate.schemas.clip import Member
from framegate.schemas.column_types import TIMESTAMP
from framegate.schemas.config import InputConfig
from framegate.schemas.qa import Question
from framegate.schemas.read_back import ANSWERED_KEYS, FAILED_KEYS
from framegate.schemas.tables import FOUND
from framegate.schemas.unit import PlannedVideo
from framegate.schemas.video_row import inputs_bytes, inputs_table

NAMES = st.text("abcdefghij_.0", min_size=1, max_size=5)


def unpacked(data: bytes) -> dict[str, Any]:
    table = inputs_table(data)
    return {} if table is None else table.to_pylist()[0]


@given(st.lists(st.dictionaries(NAMES, st.text(max_size=5), max_size=3), max_size=8))
def test_texts_come_back_as_they_were_packed(rows: list[Mapping[str, str]]) -> None:
    packed = pack_texts(rows)
    assert [unpacked(data) for data in packed] == rows
    assert all((data == b"") == (row == {}) for data, row in zip(packed, rows, strict=True))


@pytest.mark.parametrize(
    ("column", "plain"),
    [
        (pa.array([1, None], pa.int16()), pa.int64()),
        (pa.array([2**63, 1], pa.uint64()), pa.uint64()),
        (pa.array([0.5, None], pa.float32()), pa.float64()),
        (pa.array(["a", "b"], pa.large_string()), pa.string()),
        (pa.array(["a", "a"]).dictionary_encode(), pa.string()),
        (pa.array([datetime(2026, 1, 1), None], pa.timestamp("s")), pa.timestamp("us")),
        (pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2, pa.timestamp("ms", "UTC")), pa.timestamp("us", "UTC")),
        (pa.array([date(2026, 1, 1), None]), pa.date32()),
        (pa.array([date(2026, 1, 1), None], pa.date64()), pa.date32()),
        (pa.array([True, None]), pa.bool_()),
        (pa.array([["a"], []], pa.large_list(pa.large_string())), pa.list_(pa.string())),
        (pa.array([{"x": 1}, None], pa.struct([("x", pa.int8())])), pa.struct([("x", pa.int64())])),
    ],
)
def test_a_value_has_one_type_whatever_kind_of_file_it_came_in(column: pa.Array, plain: pa.DataType) -> None:
    values = plain_column(pa.chunked_array([column]))
    assert values.type == plain
    assert values.to_pylist() == column.to_pylist()


def test_rows_are_packed_as_single_rows_are(tmp_path: Path) -> None:
    rows = [
        {"uri": f"{n}.mp4", "camera": f"north-{n}", "floor": n, "taken": datetime(2026, 1, 1, tzinfo=UTC)}
        for n in range(5)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "list.parquet", row_group_size=2)
    found = find_videos(InputConfig(videos=str(tmp_path / "list.parquet")))
    assert found.column("inputs").to_pylist() == [b""] * 5
    assert column_types(found) == {"camera": pa.string(), "floor": pa.int64(), "taken": TIMESTAMP}
    own = [{name: value for name, value in row.items() if name != "uri"} for row in rows]
    for data, row in zip(pack_inputs(found).to_pylist(), own, strict=True):
        packed = inputs_table(data)
        assert packed is not None
        assert packed.equals(inputs_table(inputs_bytes(row)), check_metadata=True)
    none = pa.table({"video": pa.array([], pa.uint64()), "attempts": pa.array([], pa.int32())})
    stored = Stored(answered=ANSWERED_KEYS.empty_table(), failed=FAILED_KEYS.empty_table(), undecoded=none)
    left = remaining(found.slice(3), [Question(id="q", text="?").hash], stored, retries=None)
    assert [dict(work.video.inputs) for work in PlannedVideo.from_table(left.videos())] == own[3:]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12), st.integers(1, 5))
def test_a_name_that_is_given_twice_is_the_first_one_given(given_names: list[tuple[int, int]], batch: int) -> None:
    rows = FoundRows(batch_rows=batch)
    for order, (name, size_bytes) in reversed(list(enumerate(given_names))):
        rows.add(order, f"{name}.mp4", "1", size_bytes, member=Member(name=str(order), offset_bytes=name))
    manifest = pa.table({"input_row": list(range(len(given_names)))})
    found = rows.table(manifest)
    assert found.drop_columns(["input_row"]).schema.equals(FOUND)
    first: dict[int, int] = {}
    for order, (name, _) in enumerate(given_names):
        first.setdefault(name, order)
    assert found.column("input_row").to_pylist() == [first[name] for name in sorted(first)]
    videos = list(to_videos(found))
    assert [video.uri for video in videos] == [f"{name}.mp4" for name in sorted(first)]
    assert [video.size_bytes for video in videos] == [given_names[first[name]][1] for name in sorted(first)]
    assert [video.video_id for video in videos] == found.column("video_id").to_pylist()


def test_a_name_that_is_no_unicode_is_one_row_with_its_bytes_written_out(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "fine.mp4").touch()
    for name in (b"a\xff.mp4", "ü".encode() + b"\xfc.mp4"):
        with open(bytes(folder) + b"/" + name, "wb"):
            pass
    for videos in (str(folder), f"{folder}/*.mp4", (f"{folder}/",)):
        found = {video.uri: video.refusal for video in to_videos(find_videos(InputConfig(videos=videos)))}
        assert set(found) == {f"{folder}/{name}.mp4" for name in ("fine", r"a\xff", r"ü\xfc")}
        assert [refusal and refusal.reason for refusal in found.values()].count("not_unicode") == 2
