"""What is done: every stored row counts, wherever it lies and whoever moves it; of failures, those that stand."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.commit.journal import commit_unit, unit_uri
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_rows import RunFacts, journal_table
from framegate.pipelines.plan import stored as done_module
from framegate.pipelines.plan.stored import Stored, read_stored
from framegate.pipelines.store import Store, join
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import StorageError
from framegate.schemas.keys import id_number
from framegate.schemas.read_back import ANSWERED_KEYS, FAILED_KEYS
from framegate.schemas.tables import FAILURES, RESULTS
from framegate.schemas.unit import AnsweredUnit
from tests.s3_faults import S3Faults

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
STORE = Store()


@pytest.fixture(params=["local", "memory", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    if request.param == "local":
        return Output.at(str(tmp_path / "out"))
    return Output.at(request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param]))


@pytest.fixture
def local(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "out"))


class Writer:
    """Units as they are committed, `hours` after noon, and as a sealer would leave them."""

    def __init__(self, output: Output, facts: RunFacts) -> None:
        self.output, self.facts, self.numbers = output, facts, itertools.count()

    def commit(self, unit: AnsweredUnit, hours: int = 0) -> None:
        commit_unit(self.output, unit, self.facts, written_at=NOON + timedelta(hours=hours))

    def seal(self, *units: tuple[AnsweredUnit, int]) -> None:
        tables = [journal_table(unit, self.facts, written_at=NOON + timedelta(hours=hours)) for unit, hours in units]
        rows = pa.concat_tables(tables)
        rows = rows.append_column("config_id", pa.repeat(self.facts.config_id, rows.num_rows)).sort_by("video_id")
        number = next(self.numbers)
        for kind, name, schema in (("results", "answer", RESULTS), ("failures", "failure", FAILURES)):
            some = rows.filter(pc.field("row_kind") == name).select(schema.names).cast(schema)
            sink = pa.BufferOutputStream()
            pq.write_table(some, sink, row_group_size=3)
            uri = self.output.layout.sealed(kind, self.facts.config_id, "", number)
            STORE.put_once(uri, sink.getvalue().to_pybytes())

    def empty_journal(self) -> None:
        STORE.delete([info.uri for info in self.output.list("journal")])

    def stored(self) -> Stored:
        return read_stored(self.output, self.facts.config_id)


def answered(done: Stored) -> set[tuple[int, int, int, bool]]:
    return {tuple(row.values()) for row in done.answered.to_pylist()}  # type: ignore[misc]


def standing(done: Stored) -> set[tuple[int, int | None, str, int]]:
    """(video, clip, reason, attempts) of what failed."""
    names = ("video", "clip_index", "reason", "attempts")
    return {tuple(row[name] for name in names) for row in done.failed.to_pylist()}  # type: ignore[misc]


def test_nothing_is_done_of_a_new_output(output: Output, facts: RunFacts) -> None:
    done = Writer(output, facts).stored()
    assert (done.answered.num_rows, done.failed.num_rows, done.undecoded.num_rows) == (0, 0, 0)
    assert done.answered.schema.equals(ANSWERED_KEYS)
    assert done.failed.schema.equals(FAILED_KEYS)


def test_a_row_counts_whether_it_is_sealed_or_not(output: Output, facts: RunFacts, units: Any) -> None:
    a, b, c = (units.make_video(name) for name in "abc")
    writer = Writer(output, facts)
    writer.commit(units.make_unit(a, range(2), num_clips=2))
    sealed = units.make_unit(b, range(3), num_clips=3, failing=True)
    writer.seal((sealed, 0), (units.make_undecoded(c, None), 0))
    writer.commit(sealed)  # by a sealer that has not deleted it yet
    done = writer.stored()
    first, second = (id_number(question.hash) for question in units.QUESTIONS[:2])
    a, b, c = (id_number(video.video_id) for video in (a, b, c))
    assert answered(done) == {
        *((a, clip, question, clip == 1) for clip in range(2) for question in (first, second)),
        *((b, clip, first, clip == 2) for clip in range(3)),
    }
    assert standing(done) == {*((b, clip, "engine_error", 1) for clip in range(3)), (c, None, "truncated", 1)}
    assert {row["question"] for row in done.failed.to_pylist()} == {second, None}
    assert {row["failed_at"] for row in done.failed.to_pylist()} == {NOON}
    assert done.undecoded.to_pylist() == [{"video": c, "attempts": 1}]


@pytest.mark.parametrize("sealed", [(), (0,), (1,), (0, 1)])
def test_a_failure_stands_until_it_is_answered(
    local: Output, facts: RunFacts, units: Any, sealed: tuple[int, ...]
) -> None:
    video = units.make_video()
    writer = Writer(local, facts)
    failing = units.make_unit(video, range(2), num_clips=2, failing=True)
    again = units.make_unit(video, range(2), num_clips=2, failing=True, attempt=2)
    answer = units.make_unit(video, range(1), num_clips=2, questions=units.QUESTIONS[1:2], attempt=3)
    for number, unit in enumerate((failing, again)):
        writer.seal((unit, number)) if number in sealed else writer.commit(unit, number)
    whole = id_number(video.video_id)
    assert standing(writer.stored()) == {(whole, clip, "engine_error", 2) for clip in range(2)}
    writer.commit(answer, 2)
    assert standing(writer.stored()) == {(whole, 1, "engine_error", 2)}
    writer.seal((answer, 2))
    writer.empty_journal()
    if sealed == (0, 1):
        assert standing(writer.stored()) == {(whole, 1, "engine_error", 2)}


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("clips", "hours", "stands"),
    [(range(2, 3), 1, False), (range(3, 4), 1, False), (range(2), 1, True), (range(2, 4), -1, True)],
)
def test_a_video_that_broke_off_stands_until_a_clip_from_there_on_is_answered_later(
    local: Output, facts: RunFacts, units: Any, sealed: bool, clips: range, hours: int, stands: bool
) -> None:
    video = units.make_video()
    writer = Writer(local, facts)
    writer.commit(units.make_undecoded(video, 2))
    writer.seal((units.make_unit(units.make_video("other"), range(9), num_clips=9), 2))
    unit = units.make_unit(video, clips, num_clips=9)
    writer.seal((unit, hours)) if sealed else writer.commit(unit, hours)
    done = writer.stored()
    assert standing(done) == ({(id_number(video.video_id), 2, "truncated", 1)} if stands else set())
    assert done.undecoded.column("attempts").to_pylist() == [1]  # stored, and so its number is taken


@pytest.mark.parametrize("step", range(9))
def test_no_row_is_missed_while_a_sealer_moves_it(
    local: Output, facts: RunFacts, units: Any, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The sealer comes by before the n-th thing that is asked of storage."""
    writer = Writer(local, facts)
    moved = units.make_unit(units.make_video("a"), range(2), num_clips=2, failing=True)
    writer.commit(moved)
    writer.commit(units.make_unit(units.make_video("b"), range(2), num_clips=2))
    before = writer.stored()
    asked = itertools.count()

    def move_first(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if next(asked) == step:
                monkeypatch.undo()
                writer.seal((moved, 0))
                STORE.delete([unit_uri(local.layout, moved, facts.config_id)])
            return method(*args)

        return call

    for name in ("list", "read_present", "open_read"):
        monkeypatch.setattr(Store, name, move_first(getattr(Store, name)))
    after = writer.stored()
    assert answered(after) == answered(before)
    assert standing(after) == standing(before)


def test_a_file_that_an_erasure_replaces_while_it_is_read_is_read_again(
    local: Output, facts: RunFacts, units: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(local, facts)
    writer.seal((units.make_unit(units.make_video(), range(2), num_clips=2), 0))
    [info] = local.list("results")
    whole, plain_open, is_first = STORE.read(info.uri), Store.open_read, iter([True])

    def open_old(self: Store, uri: str) -> Any:
        if uri == info.uri and next(is_first, False):
            self.replace(uri, whole, if_match=info.version)
            return io.BytesIO(whole[:-9])  # the footer of one version, the length of another
        return plain_open(self, uri)

    monkeypatch.setattr(Store, "open_read", open_old)
    assert writer.stored().answered.num_rows == 4


@pytest.mark.parametrize("folder", ["results", "failures"])
@pytest.mark.parametrize("data", [b"something else", None])
def test_a_file_of_something_else_is_said_in_one_sentence(
    local: Output, facts: RunFacts, folder: str, data: bytes | None
) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    uri = join(local.layout.folder(folder, facts.config_id), "v", "x.parquet")
    STORE.put_once(uri, data or sink.getvalue().to_pybytes())
    with pytest.raises(StorageError, match=r"v/x\.parquet is no whole Parquet file of ours"):
        Writer(local, facts).stored()


def test_many_journal_objects_are_taken_in_part_by_part(
    local: Output, facts: RunFacts, units: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(done_module, "JOURNAL_OBJECTS", 2)
    writer = Writer(local, facts)
    for n in range(5):
        writer.commit(units.make_unit(units.make_video(str(n)), range(1), num_clips=1))
    done = writer.stored()
    assert (len(answered(done)), done.answered.num_rows) == (10, 10)


@pytest.mark.parametrize("is_small", [True, False])
def test_a_small_file_on_s3_is_one_request(
    s3_root: str, s3_faults: S3Faults, facts: RunFacts, units: Any, monkeypatch: pytest.MonkeyPatch, is_small: bool
) -> None:
    if not is_small:
        monkeypatch.setattr(done_module, "WHOLE_BYTES", 100)
    writer = Writer(Output.at(s3_root), facts)
    for name in "abc":
        writer.seal((units.make_unit(units.make_video(name), range(2), num_clips=2, failing=True), 0))
    expected = writer.stored()
    s3_faults.clear()
    options = {"endpoint_url": s3_faults.endpoint}
    done = read_stored(Output.open(OutputConfig(uri=s3_root, storage_options=options)), facts.config_id)
    assert done.answered.equals(expected.answered)
    assert done.failed.equals(expected.failed)
    num_requests = len([seen for seen in s3_faults.seen if ".parquet" in seen.target])
    assert num_requests == 6 if is_small else num_requests > 12
