"""No wanted video is overlooked: statistics rule out only what they may, and no plan is needed to find one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.commit.output import Output
from framegate.pipelines.erase.search import find_matches
from framegate.pipelines.erase.targets import Targets, redact
from framegate.schemas.errors import StorageError

URI = "cam/erased.mp4"
NAMES = st.text(alphabet="ab/é😀", max_size=6)


@given(wanted=st.sets(NAMES, min_size=1), held=st.lists(NAMES, min_size=1))
def test_a_range_that_holds_a_wanted_uri_is_never_ruled_out(wanted: set[str], held: list[str]) -> None:
    chosen = Targets.of(wanted)
    found = chosen.among(held)
    assert found == wanted & set(held)
    if found:
        assert chosen.may_lie_between(min(held), max(held))
    elif len(set(held)) == 1:
        assert not chosen.may_lie_between(held[0], held[0])


@given(prefix=st.text(alphabet="ab/é😀", min_size=1, max_size=3), held=st.lists(NAMES, min_size=1))
def test_nor_is_one_that_holds_a_uri_below_a_prefix(prefix: str, held: list[str]) -> None:
    chosen = Targets(prefix=prefix)
    found = chosen.among(held)
    assert found == {uri for uri in held if uri.startswith(prefix)}
    if found:
        assert chosen.may_lie_between(min(held), max(held))


@pytest.mark.parametrize("by_digest", [True, False])
def test_a_unit_of_a_video_that_no_plan_names_is_found(tmp_path: Path, fill_index: Callable, by_digest: bool) -> None:
    output = Output.at(str(tmp_path))
    fill_index(output)
    tables = [info.uri for kind in ("plans", "results", "failures") for info in output.list(kind)]
    output.store.delete(tables)
    wanted = Targets(Targets.of([URI]).digests) if by_digest else Targets.of([URI])
    matches = find_matches(output, wanted)
    ids = {video.video_id for video in fill_index.videos if video.uri == URI}
    assert matches.video_ids == {URI: ids}
    assert {held.video_id for held in matches.journal} == {held.video_id for held in matches.attempts} == ids
    assert (len(matches.journal), len(matches.attempts)) == (4, 4)


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    output.store.put_once(output.layout.sealed("results", "a" * 16, "", 0), b"PAR1, but no more of it")
    with pytest.raises(StorageError, match=r"00000000\.parquet is no whole Parquet file"):
        find_matches(output, Targets.of([URI]))


def test_a_uri_is_taken_out_of_any_text_of_a_record() -> None:
    record = {URI: [f"cannot read '{URI}'.", 1, None, {"deep": URI}], "other": f"{URI}.bak and x{URI}"}
    assert redact(record, Targets.of([URI]), lambda uri: "*") == {
        "*": ["cannot read '*'.", 1, None, {"deep": "*"}],
        "other": f"{URI}.bak and x{URI}",
    }


@pytest.mark.parametrize("uri", ["/a/clip [abc123].mp4", "/a/b c.mp4", "/a/{1,2};(x).mp4", 'https://h/it\'s "it".mp4'])
def test_a_uri_of_several_words_is_taken_out_too(uri: str) -> None:
    record = {uri: f"cannot read {uri}: permission denied", "other": "/a/clip.mp4"}
    assert redact(record, Targets.of([uri]), lambda found: "*") == {
        "*": "cannot read *: permission denied",
        "other": "/a/clip.mp4",
    }
