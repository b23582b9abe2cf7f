"""Every view and macro of an output by its name: what it is made of, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import duckdb
import pyarrow as pa

from framegate.pipelines.results.calibration_table import create_calibrations
from framegate.pipelines.results.clip_table import create_clips
from framegate.pipelines.results.current import Records, create_current, find_current
from framegate.pipelines.results.drift_table import create_drift
from framegate.pipelines.results.events import create_events
from framegate.pipelines.results.label_table import create_labels
from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.questions import create_questions
from framegate.pipelines.results.run_table import create_runs, of_config
from framegate.pipelines.results.thresholds import create_answers_at
from framegate.pipelines.results.video_states import create_videos, read_known_videos
from framegate.pipelines.results.view_sql import SECONDS_AFTER, create_standing, create_view, text_literal
from framegate.pipelines.results.wide import create_wide
from framegate.pipelines.results.wordings import Current
from framegate.schemas.tables import CLIPS, FAILURES, RESULTS, with_config_id

CLIPS_FOLDER: Final = "clips"
FOLDERS: Final[dict[str, tuple[str, pa.Schema]]] = {
    "answers": ("results", with_config_id(RESULTS)),
    "failure_history": ("failures", with_config_id(FAILURES)),
    "stored_clips": (CLIPS_FOLDER, with_config_id(CLIPS)),
}
"""The views that are a folder of Parquet each, with the folder's name and schema."""


class Making:
    """What several views are made with: found out once."""

    def __init__(self, opened: Opened, records: Records) -> None:
        self.opened, self.records = opened, records

    @cached_property
    def current(self) -> Current:
        """What `current` shows. `answers` is there. Raises StorageError."""
        return find_current(self.opened, self.records)

    @cached_property
    def known_videos(self) -> pa.Table:
        """What the output knows of each version of each video. Raises StorageError."""
        return read_known_videos(self.opened.output)

    @cached_property
    def question_types(self) -> Mapping[str, str]:
        """Of each question id of `current`, its answer_type."""
        hashes = ", ".join(map(text_literal, self.current.asked.names)) or "NULL"
        sql = f"""
            SELECT question_hash, min(answer_type) FROM answers
            WHERE config_id = $config_id AND question_hash IN ({hashes}) GROUP BY question_hash"""
        found = self.opened.connection.execute(sql, {"config_id": self.current.config_id}).fetchall()
        return {self.current.asked.names[hash]: answer_type for hash, answer_type in found}


@dataclass(frozen=True, kw_only=True)
class Maker:
    """`needs`: the views that it is made of, each of which is there when `make` is called."""

    needs: tuple[str, ...]
    make: Callable[[Making], None]


def _make_folder(view: str) -> Callable[[Making], None]:
    folder, schema = FOLDERS[view]

    def make(making: Making) -> None:
        opened = making.opened
        try:
            create_view(
                opened.connection,
                view,
                schema,
                opened.tables[folder],
                is_remote=opened.files.is_remote,
                config_id=opened.config_id,
                paths=opened.paths,
            )
        except duckdb.Error as error:
            raise opened.files.take_error() or error from error

    return make


def _make_current(making: Making) -> None:
    making.opened.connection.execute(SECONDS_AFTER)
    create_current(making.opened, making.current, making.known_videos, making.records)


MAKERS: Final[dict[str, Maker]] = {
    "answers": Maker(needs=(), make=_make_folder("answers")),
    "failure_history": Maker(needs=(), make=_make_folder("failure_history")),
    "failures": Maker(
        needs=("answers", "failure_history"),
        make=lambda making: create_standing(making.opened.connection, making.opened.tables["failures"]),
    ),
    "videos": Maker(
        needs=("answers", "failures"),
        make=lambda making: create_videos(making.opened.connection, making.known_videos),
    ),
    "stored_clips": Maker(needs=(), make=_make_folder("stored_clips")),
    "clips": Maker(needs=("stored_clips",), make=lambda making: create_clips(making.opened, making.records.time_zone)),
    "runs": Maker(
        needs=(),
        make=lambda making: create_runs(making.opened, of_config(making.records.runs, making.opened.config_id)),
    ),
    "drift": Maker(
        needs=(),
        make=lambda making: create_drift(making.opened, of_config(making.records.runs, making.opened.config_id)),
    ),
    "calibrations": Maker(needs=(), make=lambda making: create_calibrations(making.opened)),
    "labels": Maker(needs=("answers",), make=lambda making: create_labels(making.opened, lambda: making.known_videos)),
    "current": Maker(needs=("answers",), make=_make_current),
    "questions": Maker(needs=("answers",), make=lambda making: create_questions(making.opened, making.current)),
    "events": Maker(needs=("current",), make=lambda making: create_events(making.opened, making.records.time_zone)),
    "wide": Maker(needs=("current",), make=lambda making: create_wide(making.opened, making.question_types)),
    "answers_at": Maker(needs=("current",), make=lambda making: create_answers_at(making.opened)),
}
"""`events` is a macro of that name as well, and `answers_at` is one alone."""

YIELDING: Final = frozenset({"calibrations", "labels"})
"""Views that a person's own file or event of that name takes the place of: they came later than such names."""

VIEW_NAMES: Final = frozenset(MAKERS) - YIELDING
"""What no event of rules can be called."""
