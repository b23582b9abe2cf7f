"""How many answers are right, by labels: which labels count, whatever they were given for, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.calibrate.accuracy import labels_wanted
from framegate.pipelines.certify.audit_rows import AuditRows, find_audit_rows
from framegate.pipelines.certify.label_list import list_wanted, take_labels
from framegate.pipelines.certify.labelled_rows import label_rows
from framegate.pipelines.certify.request import Request
from framegate.pipelines.certify.right_share import RightShare, find_right_shares, leading
from framegate.pipelines.certify.spread import spread_wanted
from framegate.pipelines.commit.labels import put_labels, read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.agreement import STRICT
from framegate.pipelines.results.views import open_views
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.label import MIN_LABELS, Label
from framegate.schemas.qa import Question
from tests.certify.archive import Archive, make_output, put
from tests.mornings import BLACK
from tests.outputs import CONFIG_ID
from tests.outputs import NOON as WRITTEN

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
DOOR = Question(id="door_open", text="Is the door open?", type="yes_no")
BOTH: dict[str, Any] = {"questions": (BLACK, DOOR), "changed": {"black_seen": 0.4, "door_open": 0.2}}


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path)


def shares(output: Output) -> list[RightShare]:
    with open_views(output.root, {}, config_id=CONFIG_ID) as views:
        found = find_audit_rows(views)
    assert found is not None
    return find_right_shares(found, read_labels(output, CONFIG_ID))


def wanted(output: Output, most: int = 100_000, *, is_spread: bool = False, **values: Any) -> list[dict[str, Any]]:
    given: dict[str, Any] = {
        "job": None,
        "config_id": CONFIG_ID,
        "audit": AuditConfig(rate=0.5),
        "claim": "error",
        "epsilon": 0.02,
    }
    request = Request(**{**given, **values})
    return [
        dict(row) for row in list_wanted(OutputConfig(uri=output.root), request, most=most, is_spread=is_spread).rows
    ]


def take(output: Output, rows: list[dict[str, Any]], *, at: datetime = NOON, truth: str | None = None) -> None:
    """The truth is what thinking comes to, unless it is said."""
    names = ("video_id", "clip_index", "question_hash")
    told = [{name: row[name] for name in names} | {"label": truth or row["second_value"]} for row in rows]
    request = Request(job=None, config_id=CONFIG_ID, audit=AuditConfig(rate=0.5))
    take_labels(OutputConfig(uri=output.root), request, told, by="anna", at=at)


def truly_right(rows: list[dict[str, Any]]) -> float:
    """Of audited rows, those whose stored answer is what thinking comes to."""
    audited = [row for row in rows if row["audit_rank"] is not None]
    return float(np.mean([row["answer"] == row["answer_second_value"] for row in audited]))


def test_all_labels_give_the_share_itself(output: Output) -> None:
    rows = put(output, Archive(num_films=60, questions=(BLACK,), changed={"black_seen": 0.6}))
    take(output, wanted(output))
    [found] = shares(output)
    assert found.share is not None
    assert found.share.mean == pytest.approx(truly_right(rows))
    assert found.share.low < found.share.mean < found.share.high
    assert found.num_counted == found.num_labels == found.num_rows
    assert (found.num_videos, found.until) == (60, NOON)
    assert sum(part.num_rows for part in found.parts) == found.num_rows
    assert sum(part.num_right for part in found.parts) == round(found.share.mean * found.num_rows)
    assert [part.low for part in found.parts] == [0.5, 0.8, 0.9, 0.95, 0.99]


@pytest.mark.parametrize("is_spread", [False, True])
def test_a_part_of_the_labels_gives_an_interval_that_holds_it(output: Output, is_spread: bool) -> None:
    rows = put(output, Archive(num_films=60, questions=(BLACK,), changed={"black_seen": 0.9}))
    listed = wanted(output, 200, is_spread=is_spread)
    assert len(listed) == 200
    take(output, listed)
    [found] = shares(output)
    assert found.share is not None
    assert found.share.low <= truly_right(rows) <= found.share.high
    assert found.share.high - found.share.low < 0.15
    assert found.num_labels == 200
    assert found.num_counted == 200, "they were listed so that all count"


def test_a_part_of_a_spread_list_counts_as_well(output: Output) -> None:
    """Who labels the first half of the list has labelled a spread one."""
    put(output, Archive(num_films=60, **BOTH))
    take(output, wanted(output, 300, is_spread=True)[:150])
    found = shares(output)
    assert all(each.share is not None for each in found)
    assert sum(each.num_counted for each in found) >= 140


def test_a_spread_list_goes_where_answers_deviate(output: Output) -> None:
    put(output, Archive(num_films=60, questions=(BLACK,)))
    listed = wanted(output, 200, is_spread=True)
    differing = [row for row in listed if row["first_value"] != row["second_value"]]
    every = wanted(output)
    share = len([row for row in every if row["first_value"] != row["second_value"]]) / len(every)
    assert len(differing) / len(listed) > 1.2 * share
    take(output, listed)
    more = wanted(output, 100, is_spread=True)
    keys = {(row["video_id"], row["clip_index"]) for row in listed}
    assert len(more) == 100
    assert not keys & {(row["video_id"], row["clip_index"]) for row in more}


def test_labels_for_the_claim_accuracy_alone_tell_nothing_of_rows_that_agree(output: Output) -> None:
    put(output, Archive(num_films=80, questions=(BLACK,), changed={"black_seen": 0.6}))
    listed = wanted(output, claim="accuracy", epsilon=0.2)
    assert len(listed) > 50
    take(output, listed)
    [found] = shares(output)
    assert found.share is None
    assert found.num_labels == len(listed)
    assert found.num_counted < MIN_LABELS


def test_rows_of_later_nights_do_not_make_labels_useless(output: Output) -> None:
    rows = put(output, Archive(num_films=60, questions=(BLACK,)))
    take(output, wanted(output, 200))
    [before] = shares(output)
    later = {"written_at": NOON + timedelta(days=1)}
    put(output, Archive(first_film=100, num_films=60, questions=(BLACK,), seed=3, more=later), number=1)
    [after] = shares(output)
    assert after.share == before.share, "it is about the rows that were there when labels were given"
    assert after.until == NOON
    assert after.num_rows > before.num_rows
    take(output, wanted(output, 400), at=NOON + timedelta(days=2))
    [last] = shares(output)
    assert last.until == NOON + timedelta(days=2)
    assert last.num_counted > before.num_counted
    assert rows[0]["written_at"] == WRITTEN


def test_few_labels_and_those_of_one_video_say_nothing(output: Output) -> None:
    rows = put(output, Archive(num_films=40, **BOTH))
    [black, door] = shares(output)
    assert (black.share, black.num_labels, black.until, door.num_labels) == (None, 0, None, 0)
    assert black.parts[0].num_labels == 0
    take(output, wanted(output, MIN_LABELS - 1, questions=("black_seen",)))
    [black, door] = shares(output)
    assert (black.share, black.num_counted, door.num_labels) == (None, MIN_LABELS - 1, 0)
    one = next(row for row in rows if row["question_id"] == "door_open" and row["audit_rank"] is not None)
    labels = [
        Label(video_id=row["video_id"], clip_index=row["clip_index"], question_hash=row["question_hash"], answer="yes",
              labelled_by="ben", labelled_at=NOON)
        for row in rows if row["video_id"] == one["video_id"] and row["audit_rank"] is not None
    ]  # fmt: skip
    assert len(labels) >= MIN_LABELS
    put_labels(output, CONFIG_ID, labels)
    assert shares(output)[1].share is None


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_labels_count_up_to_the_first_row_without_one(rows: list[tuple[int, bool]]) -> None:
    strata, has_label = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], bool)
    found = leading(strata, has_label)
    for number in range(5):
        inside = [label for stratum, label in rows if stratum == number]
        until = inside.index(False) if False in inside else len(inside)
        assert found[strata == number].tolist() == [place < until for place in range(len(inside))]


def in_memory(rows: list[dict[str, Any]], sample: AuditSample) -> AuditRows:
    """What is read of an output with these rows."""
    audited = [row for row in rows if row["audit_rank"] is not None]
    audited.sort(key=lambda row: row["audit_rank"])
    table = pa.Table.from_pylist(
        [
            {**row, "first_value": row["answer_first_value"], "second_value": row["answer_second_value"]}
            for row in audited
        ]
    )
    count = {"question_hash": BLACK.hash, "question_id": BLACK.id, "num_rows": len(rows), "num_uncovered": 0}
    return AuditRows(rows=table, counts=[count], sample=sample, tolerance=STRICT)


@pytest.mark.parametrize("kind", ["first", "spread", "both"])
def test_the_interval_covers_over_many_samples(kind: str) -> None:
    """Audits of one archive, each by a salt of its own. `both`: a spread list, and the surest rows that differ."""
    covered = told = 0
    for number in range(50):
        sample = AuditSample(rate=0.5, salt=f"salt {number}")
        archive = Archive(num_films=20, num_clips=20, questions=(BLACK,), changed={"black_seen": 0.9}, sample=sample)
        found = in_memory([*archive.rows()], sample)
        empty = label_rows(found, {})
        places = np.arange(80) if kind == "first" else spread_wanted(empty, 80)
        if kind == "both":
            surest = labels_wanted(found.confidence, empty.differs, empty.gain, epsilon=0.1, delta=0.1)
            places = np.union1d(places, surest)
        rows = found.rows.take(pa.array(places)).to_pylist()
        labels = [
            Label(video_id=row["video_id"], clip_index=row["clip_index"], question_hash=BLACK.hash,
                  answer=row["second_value"], labelled_by="anna", labelled_at=NOON)
            for row in rows
        ]  # fmt: skip
        [share] = find_right_shares(found, {label.key: label for label in labels})
        truth = np.mean([a == b for a, b in zip(*(found.rows.column(name).to_pylist() for name in
                                                  ("answer", "second_value")), strict=True)])  # fmt: skip
        if share.share is not None:
            told += 1
            covered += share.share.low <= truth <= share.share.high
    assert told == 50
    assert covered >= 45
