"""The questions of a Monday: the SQL of the page gives what plain Python finds in the rows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from statistics import fmean
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from framegate.pipelines.results.views import query
from tests.docs.pages import PAGES, code_blocks, section
from tests.mornings import BERLIN, CLIP_SECONDS, DOCKS, WITHOUT_ANSWERS, monday_rows, write_monday

Rows = list[dict[str, Any]]
PAGE: Final = section(PAGES["docs/use.md"], "Questions on a Monday").split("\n### ")[0]
PARTS: Final = re.split(r"\n\*\*(.+?)\*\*", PAGE)[1:]
SQL: Final = {title: code_blocks(text)[0] for title, text in zip(PARTS[::2], PARTS[1::2], strict=True)}


def of(rows: Rows, question: str) -> Rows:
    return [row for row in rows if row["question_id"] == question]


def grouped(rows: Rows, key: Callable[[dict[str, Any]], Any]) -> dict[Any, Rows]:
    groups: dict[Any, Rows] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def local(row: dict[str, Any]) -> datetime:
    return row["clip_started_at"].astimezone(ZoneInfo(BERLIN))


def confidence(row: dict[str, Any]) -> float:
    return row["confidence_second"] or row["confidence_first"]


def share(rows: Rows) -> float | None:
    """Of yes, among the answers."""
    answers = [row["answer"] == "yes" for row in rows if row["answer"] is not None]
    return fmean(answers) if answers else None


def by_colour_of_dock(rows: Rows, dock: str) -> Rows:
    return [row for row in of(rows, "black_seen") if row["input_dock"] == dock and row["answer"] == "yes"]


def when_at_dock_3(rows: Rows) -> Any:
    seen = by_colour_of_dock(rows, "dock-3")
    ends = max(local(row) for row in seen) + timedelta(seconds=CLIP_SECONDS)
    return [(min(map(local, seen)).replace(tzinfo=None), ends.replace(tzinfo=None))]


def longest(rows: Rows) -> Any:
    found = []
    for dock in DOCKS:
        for uri, of_video in grouped(by_colour_of_dock(rows, dock), lambda row: row["video_uri"]).items():
            clips = sorted(row["clip_index"] for row in of_video)
            while clips:
                run = [clips.pop(0)]
                while clips and clips[0] - run[-1] <= 2:  # one clip of ten seconds between them
                    run.append(clips.pop(0))
                seconds = (run[-1] - run[0] + 1) * CLIP_SECONDS
                found.append((-seconds, uri, run[0] * CLIP_SECONDS, len(run), dock))
    seconds, uri, start, num_clips, dock = min(found)
    return [(dock, uri, start, -seconds, num_clips)]


def changed(rows: Rows) -> Any:
    found = []
    for dock in DOCKS:
        asked = [row for row in of(rows, "black_seen") if row["input_dock"] == dock]
        before, after = ([row for row in asked if (local(row).day < 20) == is_first] for is_first in (True, False))
        change = (share(after) or 0) - (share(before) or 0)
        found.append((dock, date(2026, 11, 23), share(after), change))
    return sorted(found, key=lambda row: (-abs(row[3]), row[0]))


def not_to_be_trusted(rows: Rows) -> Any:
    found = []
    for question, asked in grouped(rows, lambda row: row["question_id"]).items():
        unread = fmean(row["status"] != "answered" for row in asked)
        thought = [row for row in asked if row["thinking"] and row["answer"] is not None]
        moved = fmean(row["answer"] != row["answer_first_value"] for row in thought) if thought else None
        found.append((question, unread, min(map(confidence, asked)), moved))
    return sorted(found, key=lambda row: (-row[1], 1 if row[3] is None else -row[3], row[0]))


def saved(rows: Rows) -> Any:
    found = []
    for question, asked in grouped(rows, lambda row: row["question_id"]).items():
        exits = sum(not row["thinking"] for row in asked)
        seconds = [row["thinking_seconds"] for row in asked if row["thinking"]]
        found.append((question, exits, exits * fmean(seconds) / 3600 * 2.5))
    return sorted(found, key=lambda row: (-row[2], row[0]))


def without_answers(rows: Rows) -> Any:
    return [(WITHOUT_ANSWERS.uri, "not_video", "The file is text.", 2)]


def to_look_at(rows: Rows) -> Any:
    found = []
    for (uri, start), asked in grouped(rows, lambda row: (row["video_uri"], row["start_seconds"])).items():
        doubts = sum(row["answer"] is None or row["answer"] != row["answer_first_value"] for row in asked)
        found.append((uri, start, min(map(confidence, asked)), doubts))
    return sorted(found, key=lambda row: (-row[3], row[2], row[0], row[1]))[:5]


def by_hour(rows: Rows) -> Any:
    hours = grouped(of(rows, "black_seen"), lambda row: local(row).hour)
    assert len(hours) == 2, "the clips go over the full hour"
    return [
        (hour, share(asked), sum(row["answer"] is not None for row in asked)) for hour, asked in sorted(hours.items())
    ]


def together(rows: Rows) -> Any:
    counts: dict[Any, int] = defaultdict(int)
    for asked in grouped(rows, lambda row: (row["video_uri"], row["clip_index"])).values():
        said = {row["question_id"]: row["answer"] for row in asked}
        if said["first_colour"] and said["parcel_from_a"]:
            counts[said["first_colour"], said["parcel_from_a"]] += 1
    return sorted(((*pair, count) for pair, count in counts.items()), key=lambda row: (-row[2], *row[:2]))


def hours_indexed(rows: Rows) -> Any:
    clips = {(row["input_dock"], row["video_uri"], row["clip_index"]) for row in rows}
    counts = [sum(clip[0] == dock for clip in clips) for dock in DOCKS]
    return [(dock, count * CLIP_SECONDS / 3600, count) for dock, count in zip(DOCKS, counts, strict=True)]


def most_unsure(rows: Rows) -> Any:
    found = [
        (question, fmean(row["confidence_first"] for row in asked), fmean(row["thinking"] for row in asked))
        for question, asked in grouped(rows, lambda row: row["question_id"]).items()
    ]
    return sorted(found, key=lambda row: (row[1], row[0]))


def since_yesterday(rows: Rows) -> Any:
    new = [row for row in rows if row["written_at"] > datetime.now(UTC) - timedelta(days=1)]
    counts = grouped(new, lambda row: (row["input_dock"], row["question_id"], row["answer"]))
    return sorted(((*key, len(asked)) for key, asked in counts.items()), key=lambda row: [(v is None, v) for v in row])


EXPECTED: Final[list[Callable[[Rows], Any]]] = [
    when_at_dock_3, longest, changed, not_to_be_trusted, saved, without_answers, to_look_at, by_hour, together,
    hours_indexed, most_unsure, since_yesterday,
]  # fmt: skip
"""In the order of the page."""


@pytest.fixture(scope="module")
def monday(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("monday") / "index")
    write_monday(root)
    return root


def test_there_are_twelve_of_at_most_four_lines() -> None:
    assert len(SQL) == len(EXPECTED) == 12
    assert all(len(sql.strip().splitlines()) <= 4 for sql in SQL.values())


@pytest.mark.parametrize(("title", "find"), [*zip(SQL, EXPECTED, strict=True)])
def test_the_page_gives_what_is_in_the_rows(monday: str, title: str, find: Callable[[Rows], Any]) -> None:
    found = [tuple(row.values()) for row in query(monday, {}, SQL[title]).to_pylist()]
    expected = find(monday_rows())
    assert len(found) == len(expected) > 0
    for row, wanted in zip(found, expected, strict=True):
        assert tuple(map(_plain, row)) == pytest.approx(tuple(map(_plain, wanted))), title


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value


def test_the_rules_of_the_page_are_views(monday: str, tmp_path: Any) -> None:
    from framegate.pipelines.results.view_makers import VIEW_NAMES
    from framegate.schemas.rules import load_rules

    file = tmp_path / "rules.yaml"
    [block] = [block for block in code_blocks(PAGES["docs/use.md"]) if block.startswith("camera: ")]
    file.write_text(block)
    rules = load_rules(file, taken=VIEW_NAMES)
    counts: Iterable[int] = [query(monday, {}, f"SELECT * FROM {name}", rules=rules).num_rows for name in rules.events]
    assert all(counts), [*zip(rules.events, counts, strict=True)]
