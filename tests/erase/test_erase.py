"""What is erased is gone from every table, name and record, and nothing else is changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.erase.records import read_erasure_receipt, read_replacements, unfinished_erasures
from framegate.pipelines.source.index_cache import to_parquet as index_bytes
from framegate.pipelines.source.members import ShardIndex, ShardMember
from framegate.pipelines.store import ObjectInfo, join
from framegate.schemas.errors import FramegateError
from framegate.schemas.keys import uri_digest

URI = "cam/erased.mp4"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(params=["local", "memory", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    if request.param == "local":
        return Output.at(str(tmp_path / "index"))
    return Output.at(request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param]))


def tables(output: Output) -> dict[str, pa.Table]:
    """Every sealed file and plan by its name."""
    return {
        info.uri: parse_unit(info.uri, output.store.read(info.uri))
        for folder in ("results", "failures", "plans")
        for info in output.list(folder)
    }


def told(column: pa.Field) -> tuple:
    return column.name, column.type, column.nullable, column.metadata


def names(output: Output, folder: str) -> list[str]:
    return [info.uri.rpartition(f"/{folder}/")[2] for info in output.list(folder)]


def other_ids(fill_index: Callable) -> set[str]:
    return {video.video_id for video in fill_index.videos if video.uri != URI}


def test_nothing_is_left_of_it_and_others_are_as_they_were(output: Output, fill_index: Callable) -> None:
    fill_index(output)
    before = tables(output)
    receipt = erase(output, [URI])
    after = tables(output)
    assert after.keys() == before.keys()
    for name, rows in before.items():
        expected = rows.filter([uri != URI for uri in rows.column("video_uri").to_pylist()])
        assert after[name].equals(expected), name
        assert list(map(told, after[name].schema)) == list(map(told, rows.schema)), name
    assert sum(rows.num_rows for rows in before.values()) > sum(rows.num_rows for rows in after.values())
    for info in output.store.list(output.root):
        assert URI.encode() not in output.store.read(info.uri), info.uri
    assert {name.split("/")[1] for name in names(output, "journal")} == other_ids(fill_index)
    assert {name.split("/")[1] for name in names(output, "attempts")} == other_ids(fill_index)
    assert read_tombstones(output) == {uri_digest(URI)} == set(receipt.videos)


def test_a_marker_of_several_videos_goes_where_it_names_one_that_is_erased(
    output: Output, fill_index: Callable
) -> None:
    fill_index(output)
    config_id = fill_index.config_ids[0]
    erased, _, other, third = (f"{video.video_id}/decode" for video in fill_index.videos)
    for scope, works in (("together-2-aaaaaaaaaaaa", [other, erased]), ("together-2-bbbbbbbbbbbb", [other, third])):
        uri = output.layout.attempt(config_id, other.partition("/")[0], scope, "run-9", 1)
        marker = {"run_id": "run-9", "begun_at": "2026-11-21T12:00:00+00:00", "by": "x", "works": works}
        output.store.put_once(uri, json.dumps(marker).encode())
    assert erase(output, [URI]).num_attempts == 5
    scopes = [name.split("/")[2] for name in names(output, "attempts")]
    assert [scope for scope in scopes if scope != "decode"] == ["together-2-bbbbbbbbbbbb"]
    assert len(scopes) == 5


def test_the_receipt_counts_what_went_and_says_what_it_cannot_reach(output: Output, fill_index: Callable) -> None:
    fill_index(output)
    receipt = erase(output, [URI], erasure_id="e1")
    assert receipt.rows == {
        "a" * 16: {"results": 4, "failures": 4, "journal": 4},
        "b" * 16: {"results": 4, "failures": 4, "journal": 4},
        "": {"plans": 4},
    }
    assert (receipt.num_attempts, receipt.num_indexes) == (4, 0)
    assert receipt.begun_at <= receipt.finished_at
    assert any("versions" in sentence for sentence in receipt.not_reached)
    assert read_erasure_receipt(output, "e1") == receipt
    assert unfinished_erasures(output) == []


def test_every_replacement_was_noted_with_both_hashes(output: Output, fill_index: Callable) -> None:
    fill_index(output)
    before = {
        info.uri: hashlib.sha256(output.store.read(info.uri)).hexdigest() for info in output.store.list(output.root)
    }
    erase(output, [URI], erasure_id="e1")
    notes = [note for _, note in read_replacements(output)]
    for note in notes:
        uri = next(uri for uri in before if uri.endswith(f"/{note.file}"))
        assert before[uri] == note.sha256_before
        if note.table == "journal":
            assert note.sha256_after is None
        else:
            assert hashlib.sha256(output.store.read(uri)).hexdigest() == note.sha256_after
    removed = {note.file: note.removed for note in notes if note.config_id == "a" * 16}
    results = next(removed[file] for file in removed if file.startswith("results"))
    assert results == {"run-1": {"answers": 4, "failures": 0}}
    assert {json.dumps(note.removed) for note in notes if note.table == "plans"} == {
        '{"run-1": {"videos": 2}}',
        '{"run-2": {"videos": 2}}',
    }


def test_a_file_of_which_nothing_stays_is_an_empty_table(output: Output, fill_index: Callable) -> None:
    fill_index(output)
    before = tables(output)
    erase(output, [URI, *(video.uri for video in fill_index.videos)])
    after = tables(output)
    assert after.keys() == before.keys()
    for name, rows in after.items():
        assert rows.num_rows == 0
        assert list(map(told, rows.schema)) == list(map(told, before[name].schema))
    assert names(output, "journal") == names(output, "attempts") == []


def test_again_it_changes_nothing_more(output: Output, fill_index: Callable) -> None:
    fill_index(output)
    erase(output, [URI], erasure_id="e1")
    there = {info.uri: info.version for info in output.store.list(output.root)}
    erase(output, [URI], erasure_id="e1")
    assert {info.uri: info.version for info in output.store.list(output.root)} == there
    again = erase(output, [URI])
    assert (again.rows, again.objects) == ({}, ())


def test_what_was_never_indexed_is_kept_out_all_the_same(output: Output, fill_index: Callable) -> None:
    fill_index(output)
    there = {info.uri: info.version for info in output.store.list(output.root)}
    receipt = erase(output, ["s3://elsewhere/later.mp4"])
    assert receipt.rows == {}
    assert read_tombstones(output) == {uri_digest("s3://elsewhere/later.mp4")}
    kept = {info.uri: info.version for info in output.store.list(output.root)}
    assert kept.items() >= there.items()


def test_a_shard_is_indexed_anew_where_its_index_names_a_member(output: Output) -> None:
    member = ShardMember(name="d/b.mp4", offset_bytes=512, size_bytes=9, texts={})
    for shard in ("s3://b/x.tar", "s3://b/y.tar"):
        info = ObjectInfo(uri=shard, size_bytes=2048, version="1")
        data = index_bytes(ShardIndex(members=(member,), refusal=None, num_ignored={}), info)
        output.store.put_once(join(output.layout.folder("indexes"), f"{uri_digest(shard)}.parquet"), data)
    receipt = erase(output, ["s3://b/x.tar#d/b.mp4"])
    assert names(output, "indexes") == [f"{uri_digest('s3://b/y.tar')}.parquet"]
    assert receipt.num_indexes == 1
    assert any("tar shards" in sentence for sentence in receipt.not_reached)


def test_a_record_that_tells_of_a_video_tells_of_its_digest(output: Output) -> None:
    reason = f"stopped: cannot read {URI}: no answer; {URI}.bak is fine"
    output.store.put_once(
        output.layout.run("run-1"), json.dumps({"run_id": "run-1", "stop_reason": reason, "n": [1, None]}).encode()
    )
    erase(output, [URI])
    record = json.loads(output.store.read(output.layout.run("run-1")))
    assert f"cannot read erased:{uri_digest(URI)}: no answer" in record["stop_reason"]
    assert (record["run_id"], record["n"]) == ("run-1", [1, None])


def test_a_message_of_another_videos_failure_stays_as_it_is(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output = Output.at(str(tmp_path))
    telling = units.make_undecoded(units.make_video("cam/other"), None)
    telling = replace(telling, failure=replace(telling.failure, message=f"it is a copy of {URI}"))
    commit_unit(output, telling, facts, written_at=NOON)
    seal(output, facts.config_id)
    [before] = tables(output).values()
    erase(output, [URI])
    [after] = tables(output).values()
    assert after.equals(before)


def test_an_erasure_of_nothing_or_under_a_taken_id_is_refused(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    with pytest.raises(FramegateError, match="at least one URI"):
        erase(output, [])
    erase(output, ["a"], erasure_id="e1")
    with pytest.raises(FramegateError, match="other videos; give this one another id"):
        erase(output, ["b"], erasure_id="e1")
