"""The view `wide`: a row for each clip of `current`, a column for each question, each answer in its own type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from framegate.pipelines.results.events import input_columns
from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.view_sql import quoted, text_literal

KEY: Final = ("config_id", "video_id", "video_uri", "clip_index")
CLIP: Final = ("start_seconds", "end_seconds", "clip_started_at", "clip_ended_at", "clip_local_date", "clip_local_hour")
_VALUES: Final = {
    "yes_no": "answer = 'yes'",
    "number": "coalesce(answer_number, TRY_CAST(answer AS DOUBLE))",
}
"""What a column holds, by the question's type; of all others the answer as text."""


def create_wide(opened: Opened, question_types: Mapping[str, str]) -> None:
    """Makes the view. `current` is there. `question_types`: of each question id, its answer_type."""
    sql = wide_sql(question_types, input_columns(opened.columns("current")))
    opened.connection.execute(f"CREATE TEMP VIEW wide AS {sql}")


def wide_sql(question_types: Mapping[str, str], inputs: Iterable[str]) -> str:
    """A SELECT of `current`. A question that is called like a column of the clip has `answer_` before its name."""
    inputs = [*inputs]
    taken = {name.lower() for name in (*KEY, *CLIP, *inputs)}
    columns = [*KEY, *(f"max({quoted(name)}) AS {quoted(name)}" for name in (*CLIP, *inputs))]
    for question_id, answer_type in sorted(question_types.items()):
        name = question_id
        while name.lower() in taken:
            name = f"answer_{name}"
        taken.add(name.lower())
        value = _VALUES.get(answer_type, "answer")
        columns.append(f"max(CASE WHEN question_id = {text_literal(question_id)} THEN {value} END) AS {quoted(name)}")
    return f"SELECT {', '.join(columns)} FROM current GROUP BY {', '.join(KEY)}"
