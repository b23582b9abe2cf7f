"""The view `questions`: every wording that has answers, with its options, since when it is asked, and how it does."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.wordings import Current

_NAMES: Final = "current_wordings"

QUESTIONS_SQL: Final = """
    WITH wordings AS (
        SELECT config_id, question_hash, max_by(question_id, written_at) AS written_id,
            max_by(question, written_at) AS question, max_by(answer_type, written_at) AS answer_type,
            max_by(question_options, written_at) FILTER (WHERE question_options IS NOT NULL) AS question_options,
            min(coalesce(question_since, written_at)) AS first_asked, max(written_at) AS last_answered,
            count(*) AS num_answers, count(*) FILTER (WHERE status <> 'answered') AS num_unanswered,
            avg(CAST(thinking AS INTEGER)) AS think_rate
        FROM answers GROUP BY config_id, question_hash
    )
    SELECT w.config_id, coalesce(c.question_id, w.written_id) AS question_id, w.question_hash, w.question,
        w.answer_type, w.question_options, c.question_id IS NOT NULL AS is_current, w.first_asked, w.last_answered,
        w.num_answers, w.num_unanswered, w.think_rate
    FROM wordings AS w LEFT JOIN {names} AS c ON c.config_id = w.config_id AND c.question_hash = w.question_hash"""

MEANINGS: Final = {
    "question_id": "its name: the id under which it was asked last",
    "is_current": "its answers are in current: the newest wording of its id, in the newest configuration",
    "first_asked": "when a run first asked it; of rows of earlier versions: when the first was written",
    "last_answered": "when the newest answer was written",
    "num_answers": "its rows in answers",
    "num_unanswered": "of these, with another status than answered",
    "think_rate": "share of them that the model thought about",
}


def create_questions(opened: Opened, current: Current) -> None:
    """Makes the view. `answers` is there."""
    names = [*current.asked.names.values()]
    table = pa.table(
        {
            "config_id": pa.array([current.config_id] * len(names), pa.string()),
            "question_hash": pa.array([*current.asked.names], pa.string()),
            "question_id": pa.array(names, pa.string()),
        }
    )
    opened.connection.register(_NAMES, table)
    opened.connection.execute(f"CREATE TEMP VIEW questions AS {QUESTIONS_SQL.format(names=_NAMES)}")
