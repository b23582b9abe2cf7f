"""What lies in the journal and is no unit is set aside, and the run goes on and says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.quarantine import count_set_aside, set_aside_damaged
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.unit_format import encode_unit, parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.plan.stored import read_stored
from framegate.schemas.clock import now

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
Change = Callable[[bytes], bytes]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index"))


def commit(output: Output, units: SimpleNamespace, facts: RunFacts, name: str) -> Path:
    unit = units.make_unit(units.make_video(name), range(2), num_clips=2)
    assert commit_unit(output, unit, facts, written_at=NOON).created
    folder = Path(output.layout.folder("journal", facts.config_id), unit.video.video_id)
    return next(folder.iterdir())


def changed(change: Callable[[pa.Table], pa.Table]) -> Change:
    return lambda data: encode_unit(change(parse_unit("x", data)))


def as_parquet(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"something": ["else"]}), sink)
    return sink.getvalue().to_pybytes()


def of_other_video(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("video_id")
    return rows.set_column(place, rows.schema.field("video_id"), pa.array(["f" * 16] * rows.num_rows))


def of_other_clips(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("clip_index")
    return rows.set_column(place, rows.schema.field("clip_index"), pa.array([9] * rows.num_rows, pa.int32()))


DAMAGED: dict[str, Change] = {
    "empty": lambda _: b"",
    "text": lambda _: b"hello",
    "half": lambda data: data[:-20],
    "Parquet of something else": as_parquet,
    "a column less": changed(lambda rows: rows.drop_columns(["answer"])),
    "a key less": changed(lambda rows: rows.drop_columns(["video_id"])),
    "a column more": changed(lambda rows: rows.append_column("mood", pa.array(["good"] * rows.num_rows))),
    "no rows": changed(lambda rows: rows.slice(0, 0)),
    "another video": changed(of_other_video),
    "other clips": changed(of_other_clips),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_seal_sets_it_aside_and_seals_the_rest(
    output: Output, units: SimpleNamespace, facts: RunFacts, name: str
) -> None:
    path, _ = (commit(output, units, facts, video) for video in "ab")
    path.write_bytes(DAMAGED[name](path.read_bytes()))
    assert [Path(uri) for uri in read_stored(output, facts.config_id).damaged] == [path]
    assert seal(output, facts.config_id).num_units == 1
    assert list(output.list("journal")) == []
    (aside,) = output.list("quarantine")
    assert Path(aside.uri).parts[-3:-1] == path.parts[-3:-1]
    assert count_set_aside(output, facts.config_id, now() - timedelta(minutes=1)) == 1
    assert count_set_aside(output, facts.config_id, now() + timedelta(minutes=1)) == 0
    (finding,) = audit(output)["journal"].findings
    assert "was set aside" in finding
    assert read_stored(output, facts.config_id).answered.num_rows == 4


def test_the_name_is_free_again_and_the_same_bytes_are_set_aside_once(
    output: Output, units: SimpleNamespace, facts: RunFacts
) -> None:
    path = commit(output, units, facts, "a")
    for _ in range(2):
        path.write_bytes(b"no unit")
        set_aside_damaged(output, (str(path),))
        assert not path.exists()
    assert len(list(output.list("quarantine"))) == 1
    assert commit(output, units, facts, "a") == path


def test_a_worker_that_meets_it_under_its_own_name_commits_all_the_same(
    output: Output, units: SimpleNamespace, facts: RunFacts
) -> None:
    path = commit(output, units, facts, "a")
    path.write_bytes(b"no unit")
    assert commit(output, units, facts, "a") == path
    assert read_stored(output, facts.config_id).damaged == ()
    assert len(list(output.list("quarantine"))) == 1


def test_foreign_names_are_left_where_they_are(output: Output, units: SimpleNamespace, facts: RunFacts) -> None:
    commit(output, units, facts, "a")
    foreign = Path(output.layout.folder("journal", facts.config_id), "notes", "todo.txt")
    foreign.parent.mkdir()
    foreign.write_text("x")
    assert read_stored(output, facts.config_id).damaged == ()
    assert seal(output, facts.config_id).num_units == 1
    assert foreign.exists()
    assert any("notes/todo.txt is no name of a unit" in found for found in audit(output)["journal"].findings)
