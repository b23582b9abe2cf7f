"""The views `calibrations` and `labels`: a row for each certificate and label, typed, and without erased videos."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import framegate
from framegate.pipelines.certify.of_output import Request, calibrate_output, store
from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.commit.labels import put_labels, read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import set_tombstones
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.results.exported import describe_output, export_views
from framegate.pipelines.results.terms import QueryTerms
from framegate.pipelines.results.view_makers import MAKERS, VIEW_NAMES
from framegate.pipelines.results.views import open_views, query, select
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import StorageError
from framegate.schemas.keys import uri_digest
from framegate.schemas.label import Label
from framegate.schemas.qa import Question
from framegate.schemas.rules import parse_rules
from tests.certify.archive import Archive, make_output, put
from tests.mornings import BLACK, MOVES, Film, commit, note_videos
from tests.outputs import CONFIG_ID

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
OTHER = "b" * 16


def ask(output: Output, sql: str, **options: Any) -> list[dict[str, Any]]:
    return query(output.root, {}, sql, **options).to_pylist()


def label(film: Film, question: Any, answer: str, *, clip: int = 0, minutes: int = 0, by: str = "anna") -> Label:
    return Label(
        video_id=film.video_id, clip_index=clip, question_hash=question.hash, answer=answer, labelled_by=by,
        labelled_at=NOON + timedelta(minutes=minutes),
    )  # fmt: skip


@pytest.fixture
def calibrated(tmp_path: Path) -> Output:
    """An output that was calibrated three times: twice for agreement, once for videos to come."""
    output = make_output(tmp_path)
    put(output, Archive())
    changes: list[dict[str, Any]] = [{}, {"epsilon": 0.05}, {"scope": "future", "epsilon": 0.2}]
    for values in changes:
        request = Request(job=None, config_id=CONFIG_ID, audit=AuditConfig(rate=0.5), **values)
        store(OutputConfig(uri=output.root), calibrate_output(OutputConfig(uri=output.root), request))
    return output


def test_each_certificate_is_a_row(calibrated: Output) -> None:
    rows = ask(calibrated, "FROM calibrations")
    kept = read_calibrations(calibrated)
    assert len(rows) == 9
    assert [row["calibration_id"] for row in rows[::3]] == [one.calibration_id for one in kept]
    for calibration, (whole, *questions) in zip(kept, (rows[:3], rows[3:6], rows[6:]), strict=True):
        for row, made in zip((whole, *questions), (calibration.whole, *calibration.questions), strict=True):
            for name, value in vars(made).items():
                assert row[name] == value, name
            assert row["made_at"] == datetime.fromisoformat(calibration.made_at)
            assert (row["audit_rate"], row["config_id"]) == (0.5, CONFIG_ID)
    assert [row["is_latest"] for row in rows] == [False] * 3 + [True] * 6
    assert ask(calibrated, "SELECT count(*) AS n FROM calibrations", config_id=CONFIG_ID) == [{"n": 9}]


def test_a_certificate_of_one_question_is_one_row(tmp_path: Path) -> None:
    output = make_output(tmp_path)
    rows = put(output, Archive(questions=(BLACK,)))
    put_labels(output, CONFIG_ID, [
        Label(video_id=row["video_id"], clip_index=row["clip_index"], question_hash=BLACK.hash, answer="yes",
              labelled_by="anna", labelled_at=NOON)
        for row in rows if row["audit_rank"] is not None
    ])  # fmt: skip
    request = Request(
        job=None, config_id=CONFIG_ID, audit=AuditConfig(rate=0.5), claim="precision", questions=("black_seen",)
    )
    store(OutputConfig(uri=output.root), calibrate_output(OutputConfig(uri=output.root), request))
    [row] = ask(
        output, "SELECT claim, question_id, num_labels, threshold IS NOT NULL AS is_certified FROM calibrations"
    )
    assert row == {"claim": "precision", "question_id": "black_seen", "num_labels": len(read_labels(output, CONFIG_ID)),
                   "is_certified": True}  # fmt: skip


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Output, Film, Film]:
    """Two videos with a yes/no, a number and a span question; of one row there are two labels."""
    output = Output.at(str(tmp_path / "index"))
    one, other = (Film(number=number, uri=f"dock/{number}.mp4") for number in (1, 2))
    spans = Question(id="black_when", text="When?", type="span")
    rows = [film.row(0, question, answer) for film in (one, other)
            for question, answer in ((BLACK, "yes"), (MOVES, "3"), (spans, "1,2"))]  # fmt: skip
    commit(output, rows)
    commit(output, [one.row(1, BLACK, "no")], config_id=OTHER)
    note_videos(output, [one, other])
    put_labels(output, CONFIG_ID, [
        label(one, BLACK, "yes"), label(one, BLACK, "no", minutes=5, by="ben"), label(one, MOVES, "3"),
        label(one, spans, "[1, 2.5]"), label(other, BLACK, "yes"),
    ])  # fmt: skip
    put_labels(output, OTHER, [label(one, BLACK, "yes", clip=1)])
    return output, one, other


def test_each_label_is_a_row_of_the_type_of_its_question(labelled: tuple[Output, Film, Film]) -> None:
    output, *_ = labelled
    rows = ask(output, "FROM labels ORDER BY config_id, video_id, question_id, labelled_at")
    assert [(row["question_id"], row["label"], row["is_latest"]) for row in rows] == [
        ("black_seen", "yes", False), ("black_seen", "no", True), ("black_when", "[1, 2.5]", True),
        ("parcel_moves", "3", True), ("black_seen", "yes", True), ("black_seen", "yes", True),
    ]  # fmt: skip
    typed = [(row["label_bool"], row["label_number"], row["label_start_seconds"], row["label_end_seconds"])
             for row in rows[:4]]  # fmt: skip
    assert typed == [
        (True, None, None, None), (False, None, None, None), (None, None, 1.0, 2.5), (None, 3.0, None, None),
    ]  # fmt: skip
    assert [row["labelled_by"] for row in rows[:2]] == ["anna", "ben"]
    assert rows[1]["labelled_at"] == NOON + timedelta(minutes=5)
    assert {row["config_id"] for row in ask(output, "FROM labels", config_id=OTHER)} == {OTHER}
    latest = {key: value.answer for key, value in read_labels(output, CONFIG_ID).items()}
    assert latest == {
        (row["video_id"], row["clip_index"], row["question_hash"]): row["label"]
        for row in rows if row["is_latest"] and row["config_id"] == CONFIG_ID
    }  # fmt: skip


def test_labels_join_with_answers(labelled: tuple[Output, Film, Film]) -> None:
    output, *_ = labelled
    sql = """
        SELECT a.question_id, a.answer, l.label FROM answers AS a
        JOIN labels AS l USING (config_id, video_id, clip_index, question_hash) WHERE is_latest ORDER BY ALL"""
    assert [tuple(row.values()) for row in ask(output, sql)] == [
        ("black_seen", "no", "yes"), ("black_seen", "yes", "no"), ("black_seen", "yes", "yes"),
        ("black_when", "[1, 2]", "[1, 2.5]"), ("parcel_moves", "3", "3"),
    ]  # fmt: skip


def test_labels_of_an_erased_video_are_not_shown(labelled: tuple[Output, Film, Film]) -> None:
    """Also not while the erasure is under way, with its tombstone set and the labels still there."""
    output, one, other = labelled
    set_tombstones(output, [uri_digest(one.uri)], "erasure-1")
    assert {row["video_id"] for row in ask(output, "FROM labels")} == {other.video_id}
    assert len(read_labels(output, CONFIG_ID)) == 4
    erase(output, [one.uri])
    assert {row["video_id"] for row in ask(output, "FROM labels")} == {other.video_id}
    assert {key[0] for key in read_labels(output, CONFIG_ID)} == {other.video_id}


def test_without_any_both_are_empty_and_have_their_columns(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path / "index"))
    commit(output, [Film(number=1, uri="v.mp4").row(0, BLACK, "yes")])
    full = {name: ask(output, f"FROM {name}") for name in ("labels", "calibrations")}
    assert full == {"labels": [], "calibrations": []}
    types = {
        row["column_name"]: row["column_type"] for name in full for row in ask(output, f"DESCRIBE {name}")
    }  # fmt: skip
    assert (types["clip_index"], types["label_bool"], types["threshold"]) == ("INTEGER", "BOOLEAN", "DOUBLE")
    assert types["made_at"] == types["labelled_at"] == "TIMESTAMP WITH TIME ZONE"


def test_columns_tell_what_they_mean(calibrated: Output) -> None:
    sql = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = '{}'"
    for view, name in (("labels", "is_latest"), ("calibrations", "is_latest"), ("calibrations", "threshold")):
        told = {row["column_name"]: row["comment"] for row in ask(calibrated, sql.format(view))}
        assert told[name]
    assert "may exit" in told["threshold"]


def test_what_is_no_label_and_no_calibration_spoils_no_view(calibrated: Output) -> None:
    store = calibrated.store
    store.put_once(calibrated.layout.calibration(CONFIG_ID, "20261130T081500123456Z-0a1b2c"), b"{")
    name = f"0000000-{'1' * 16}-20261130T081500Z-{'2' * 12}.json"
    store.put_once(calibrated.layout.label(CONFIG_ID, "3" * 16, name), b'{"answer": 3, "labelled_by": "anna"}')
    assert ask(calibrated, "SELECT count(*) AS n FROM calibrations") == [{"n": 9}]
    assert ask(calibrated, "FROM labels") == []
    with pytest.raises(StorageError, match="is no label"):
        read_labels(calibrated, CONFIG_ID)


def test_a_file_and_an_event_of_that_name_take_the_place_of_the_view(
    labelled: tuple[Output, Film, Film], tmp_path: Path
) -> None:
    output, *_ = labelled
    file = tmp_path / "own.csv"
    file.write_text("video_uri,label\ndock/1.mp4,forklift\n")
    with open_views(output.root, {}, terms=QueryTerms(files={"labels": str(file)})) as views:
        assert select(views, "SELECT label FROM labels").to_pylist() == [{"label": "forklift"}]
        assert "calibrations" in {row["name"] for row in select(views, "SHOW TABLES").to_pylist()}
        comments = select(views, "SELECT comment FROM duckdb_columns() WHERE table_name = 'labels'").to_pylist()
        assert {row["comment"] for row in comments} == {None}
    rules = parse_rules({"events": {"labels": {"question": "black_seen", "answer": "yes"}}}, taken=VIEW_NAMES)
    assert "place" not in ask(output, "FROM labels")[0]
    assert "place" in ask(output, "FROM labels", rules=rules, config_id=CONFIG_ID)[0]


def test_python_has_them_as_well(labelled: tuple[Output, Film, Film]) -> None:
    with framegate.connect(labelled[0].root) as connection:
        assert connection.sql("SELECT count(*) FROM labels").fetchall() == [(6,)]
        assert connection.sql("SELECT count(*) FROM calibrations").fetchall() == [(0,)]


def test_what_is_json_is_not_among_the_exported_views(calibrated: Output) -> None:
    exported = {
        name for name, _ in export_views(describe_output(calibrated.root, {}, threshold=0.9, rules=None), "duckdb")
    }
    assert {*MAKERS} - exported == {"runs", "drift", "calibrations", "labels"}
    page = (Path(__file__).resolve().parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
    assert "The views `runs`, `drift`, `calibrations` and `labels` are not among them" in page
