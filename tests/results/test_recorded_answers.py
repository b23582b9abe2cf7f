"""Answers are counted by the records of seals where these say it truly, and by the rows where they do not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config
from framegate.pipelines.commit.seal import compact, seal
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.erase.records import ErasureBegun, put_erasure_begun
from framegate.pipelines.results import status
from framegate.pipelines.results.status import read_status
from framegate.pipelines.store.sealed_filesystem import SealedFilesystem
from framegate.schemas.config import OutputConfig
from tests.outputs import CONFIG_ID, answer_row, video, write_unit
from tests.s3_faults import S3Faults

Key = tuple[int, int, int]  # video, clip, question
NIGHTS: list[set[Key]] = [
    {(1, 0, 1), (1, 1, 1), (2, 0, 1)},
    {(1, 0, 2), (1, 2, 1), (3, 0, 1)},  # one more question of a clip, one more clip of a video
    {(1, 1, 1), (4, 0, 3)},  # an answer that is there already
    {(4, 0, 1), (4, 0, 2)},
]


def commit(output: Output, night: int, keys: Iterable[Key]) -> None:
    for number, clip, question in sorted(keys):
        row = answer_row(
            **video(number), clip_index=clip, question_id=f"q{question}", question_hash=f"{question:016x}",
            run_id=f"run-{night}", thinking=question == 1, status="unparsed" if clip == 2 else "answered",
            num_answer_tokens=3, num_thinking_tokens=10 * question,
        )  # fmt: skip
        write_unit(output, [row], "answer")


def make(root: str, nights: Iterable[Iterable[Key]], *, file_bytes: int = 2**20) -> Output:
    output = Output.at(root)
    record_config(output, CONFIG_ID, {})
    for night, keys in enumerate(nights):
        commit(output, night, keys)
        seal(output, CONFIG_ID, file_bytes=file_bytes)
    return output


def read(root: str) -> dict[str, Any]:
    (row,) = read_status(OutputConfig(uri=root), max_attempts=3, num_runs=0)
    return row


def count_rows(root: str) -> dict[str, Any]:
    """The same figures, of the rows alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status, "count_recorded", lambda *arguments, **more: {})
        return read(root)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sealed files that were read."""
    names: list[str] = []
    pin = SealedFilesystem.pin
    monkeypatch.setattr(SealedFilesystem, "pin", lambda self, name: names.append(name) or pin(self, name))
    return names


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "index")


def expected(nights: Iterable[Iterable[Key]]) -> dict[str, int]:
    keys = {key for night in nights for key in night}
    return {
        "num_videos": len({video for video, _, _ in keys}),
        "num_clips": len({key[:2] for key in keys}),
        "num_questions": len({question for _, _, question in keys}),
        "num_answers": len(keys),
        "num_unparsed": sum(clip == 2 for _, clip, _ in keys),
        "num_thinking_tokens": sum(10 * question for _, _, question in keys),
    }


def test_no_sealed_file_is_opened(root: str, opened: list[str]) -> None:
    make(root, NIGHTS)
    row = read(root)
    assert opened == []
    assert {name: row[name] for name in expected(NIGHTS)} == expected(NIGHTS)
    assert row == count_rows(root)
    assert opened != []


@given(st.lists(st.sets(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=6), min_size=1, max_size=3))
def test_whatever_the_seals_share_each_video_and_clip_counts_once(
    tmp_path_factory: pytest.TempPathFactory, nights: list[set[Key]]
) -> None:
    root = str(tmp_path_factory.mktemp("index"))
    make(root, nights, file_bytes=1)  # a file for each seal
    row = read(root)
    assert {name: row[name] for name in expected(nights)} == expected(nights)
    assert row == count_rows(root)


def test_requests_do_not_grow_with_files(s3_root: str, s3_faults: S3Faults) -> None:
    options = {"endpoint_url": s3_faults.endpoint}
    counts = []
    for folder, nights in (("two", NIGHTS[:2]), ("all", NIGHTS)):
        make(f"{s3_root}/{folder}", nights, file_bytes=1)
        s3_faults.clear()
        read_status(OutputConfig(uri=f"{s3_root}/{folder}", storage_options=options), max_attempts=3, num_runs=0)
        assert s3_faults.count("GET", r"results/.*\.parquet") == 0
        counts.append(len(s3_faults.seen))
    assert max(counts) <= 15


def test_merged_files_count_as_before(root: str, opened: list[str]) -> None:
    output = make(root, NIGHTS, file_bytes=1)
    before = read(root)
    num_files = sum(1 for _ in output.list("results"))
    assert compact(output, CONFIG_ID).num_merged == num_files > 1
    assert read(root) == before
    assert opened == []


def test_an_erased_video_is_not_counted(root: str, opened: list[str]) -> None:
    output = make(root, NIGHTS)
    erase(output, [video(1)["video_uri"]])
    commit(output, 9, {(5, 0, 1)})
    seal(output, CONFIG_ID)  # the file is as it was recorded again
    row = read(root)
    assert opened != []
    left = [{(5, 0, 1)}, *({key for key in night if key[0] != 1} for night in NIGHTS)]
    assert {name: row[name] for name in expected(left)} == expected(left)


def test_an_erasure_elsewhere_costs_nothing(root: str, opened: list[str]) -> None:
    output = make(root, NIGHTS)
    erase(output, ["s3://cameras/never-seen.mp4"])
    assert (read(root)["num_videos"], opened) == (4, [])


def test_while_an_erasure_is_under_way_the_rows_are_counted(root: str, opened: list[str]) -> None:
    output = make(root, NIGHTS)
    erase(output, ["s3://cameras/never-seen.mp4"])
    put_erasure_begun(output, ErasureBegun(erasure_id="later", begun_at="2026-01-09", videos=("ab",)))
    assert read(root)["num_videos"] == 4
    assert opened != []


def test_a_seal_without_a_record_is_counted_by_its_rows(root: str, opened: list[str]) -> None:
    make(root, NIGHTS[:2])
    Path(root, "seals", f"config_id={CONFIG_ID}", "00000001.json").unlink()
    row = read(root)
    assert opened != []
    assert {name: row[name] for name in expected(NIGHTS[:2])} == expected(NIGHTS[:2])


@pytest.mark.parametrize("damage", ["older", "torn"])
def test_records_that_do_not_tell_are_no_figures(root: str, opened: list[str], damage: str) -> None:
    make(root, NIGHTS[:2])
    path = Path(root, "seals", f"config_id={CONFIG_ID}", "00000000.json")
    older = {name: value for name, value in json.loads(path.read_text()).items() if name != "answers"}
    path.write_text(json.dumps(older) if damage == "older" else "{")
    row = read(root)
    assert opened != []
    assert {name: row[name] for name in expected(NIGHTS[:2])} == expected(NIGHTS[:2])
