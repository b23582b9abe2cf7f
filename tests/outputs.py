"""A real output for tests of what reads one: Parquet in the schemas of the product, on any storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config, record_plan
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.unit_format import encode_unit
from framegate.pipelines.store import Store
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.tables import FAILURES, JOURNAL, RESULTS
from tests.run_records import put_old_begun, put_old_end

CONFIG_ID = "a" * 16
NOON = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHARED = {"config_id": CONFIG_ID, "run_id": "run-2", "written_at": NOON}
QUESTIONS = {"where": "1" * 16, "colour": "2" * 16}


def video(number: int) -> dict[str, str]:
    return {"video_uri": f"s3://cameras/v{number}.mp4", "video_id": f"{number:016x}"}


def answer_row(**values: Any) -> dict[str, Any]:
    """A row of results; what is not said is the plainest value of its column."""
    plain = {
        field.name: None if field.nullable else _plainest(field.type) for field in RESULTS if field.name not in SHARED
    }
    return {**plain, "status": "answered", "model": "dock", "strategy": "gated", **SHARED, **values}


def failure_row(number: int, reason: str, attempts: int, *, hours_ago: int = 0, **values: Any) -> dict[str, Any]:
    """A row of failures: the video as a whole unless `values` say which clip and question."""
    return {
        **video(number),
        "clip_index": None,
        "question_hash": None,
        "clip_is_last": True,
        "stage": "decode",
        "reason": reason,
        "message": "The file is text.",
        "attempts": attempts,
        **SHARED,
        "written_at": NOON - timedelta(hours=hours_ago),
        **values,
    }


def _plainest(data_type: pa.DataType) -> Any:
    if pa.types.is_boolean(data_type):
        return False
    return 0 if pa.types.is_integer(data_type) or pa.types.is_floating(data_type) else ""


ANSWERS = [
    answer_row(
        **video(number),
        clip_index=clip,
        clip_is_last=clip == 1,
        question_id=question,
        question_hash=hash,
        status="unparsed" if (number, clip, question) == (2, 1, "where") else "answered",
        thinking=question == "where",
        num_answer_tokens=3,
        num_thinking_tokens=40 if question == "where" else 0,
    )
    for number in (1, 2)
    for clip in (0, 1)
    for question, hash in QUESTIONS.items()
]
STANDING = [
    failure_row(3, "not_video", 1),
    failure_row(4, "not_video", 1),
    failure_row(5, "truncated", 2),
]
OVERCOME = [
    failure_row(5, "storage", 1, hours_ago=1),
    failure_row(2, "storage", 1, hours_ago=1, clip_index=1),
    failure_row(1, "engine_error", 1, hours_ago=1, clip_index=0, question_id="where", question_hash="1" * 16),
]


def write_tables(root: str, number: int, inputs: Mapping[str, Any] | None = None) -> None:
    """One more file of each kind with the same rows, as a seal of that number would leave it."""
    extra = [pa.field(name, pa.scalar(value).type) for name, value in (inputs or {}).items()]
    for kind, rows, schema in (("results", ANSWERS, RESULTS), ("failures", [*OVERCOME, *STANDING], FAILURES)):
        table = pa.Table.from_pylist([{**row, **(inputs or {})} for row in rows], schema=pa.schema([*schema, *extra]))
        Store().put_once(
            Output.at(root).layout.sealed(kind, CONFIG_ID, "", number), encode_parquet(table.sort_by("video_id"))
        )


def write_unit(output: Output, rows: list[dict[str, Any]], row_kind: str) -> None:
    """Rows of one video as one object of the journal."""
    first = rows[0]
    if first["question_hash"] is None:
        clip_index, attempt = first["clip_index"], first["attempts"]
        uri = output.layout.undecoded(CONFIG_ID, first["video_id"], clip_index=clip_index, attempt=attempt)
    else:
        asked = {(row["question_hash"], row.get("attempts", 2)) for row in rows}
        clips = {row["clip_index"] for row in rows}
        uri = output.layout.unit(CONFIG_ID, first["video_id"], clip_indexes=clips, questions=asked)
    table = pa.Table.from_pylist([{**row, "row_kind": row_kind} for row in rows], schema=JOURNAL)
    assert Store().put_once(uri, encode_unit(table)).created


def write_output(root: str) -> None:
    """Two videos of two clips with two questions each, half of them thought about; three failures that stand and three
    that do not; a unit not sealed; a run that was stopped, one that ended and one that was killed. An audit finds
    nothing."""
    output = Output.at(root)
    for failure in [*OVERCOME, *STANDING]:
        write_unit(output, [failure], "failure")
    for number in (1, 2):
        write_unit(output, [row for row in ANSWERS if row["video_id"] == f"{number:016x}"], "answer")
    seal(output, CONFIG_ID)
    write_unit(output, [answer_row(**video(6), question_hash="1" * 16, run_id="run-3")], "answer")
    output.store.put_once(output.layout.attempt(CONFIG_ID, f"{6:016x}", "decode", "run-3", 1), b"{}")
    record_config(output, CONFIG_ID, {"model": {"name": "dock"}, "gate": {"strategy": "gated"}})
    for number, videos in ((1, range(1, 6)), (2, range(1, 6)), (3, range(6, 9))):
        run_id, started_at = f"run-{number}", f"2026-01-0{number}T00:00:00+00:00"
        facts = {"config_id": CONFIG_ID, "started_at": started_at, "questions": QUESTIONS, "num_videos": len(videos)}
        put_old_begun(output, run_id, {"run_id": run_id, **facts})
        rows = [
            {**video(v), "video_version": "1", "question_hashes": [*QUESTIONS.values()], "config_id": CONFIG_ID}
            for v in videos
        ]
        record_plan(output, run_id, pa.Table.from_pylist(rows))
    for number, is_complete in ((1, False), (2, True)):
        counts = {
            "num_clips": 4,
            "num_answers": 8,
            "num_unparsed": 1,
            "num_failures": 6,
            "num_thinking": 4,
            "num_answer_tokens": 24,
            "num_thinking_tokens": 160,
            "decode_seconds": 1.0,
            "engine_seconds": 2.0,
        }
        record = {
            "run_id": f"run-{number}",
            "config_id": CONFIG_ID,
            "started_at": f"2026-01-0{number}T00:00:00+00:00",
            "is_complete": is_complete,
            "is_stopped": not is_complete,
            "num_videos_planned": 5,
            "num_videos_answered": 2,
            "num_videos_failed": 3,
            "num_videos_skipped": 0,
            "num_videos_left": 0,
            "elapsed_seconds": 12.5,
            "counts": counts if is_complete else dict.fromkeys(counts, 0),
        }
        put_old_end(output, f"run-{number}", record)


@pytest.fixture
def output(tmp_path) -> str:
    root = str(tmp_path / "index")
    write_output(root)
    return root


@pytest.fixture(scope="session")
def fill_output() -> Callable[..., None]:
    """`fill_output(uri)` writes the same output anywhere."""
    return write_output


@pytest.fixture(scope="session")
def fill_tables() -> Callable[..., None]:
    """`fill_tables(uri, 1, inputs={"input_dock": "north"})` writes the sealed files again, with more columns."""
    return write_tables


@pytest.fixture(scope="session")
def fill_failures() -> Callable[..., None]:
    """`fill_failures(uri, number=1, reason="storage", attempts=1)` seals one more failure of video 1."""

    def fill(root: str, **values: Any) -> None:
        table = pa.Table.from_pylist([failure_row(**values)], schema=FAILURES)
        Store().put_once(Output.at(root).layout.sealed("failures", CONFIG_ID, "", 1), encode_parquet(table))

    return fill


@pytest.fixture(scope="session")
def fill_unit() -> Callable[..., None]:
    """`fill_unit(uri, number=6, clip_index=0, question_hash="2" * 16)` commits one more answer of run-3."""

    def fill(root: str, *, number: int, **values: Any) -> None:
        write_unit(Output.at(root), [answer_row(**video(number), run_id="run-3", **values)], "answer")

    return fill
