"""The table macro `answers_at(tau)`: what the gate would have answered with another threshold, as far as rows tell.

A first answer as sure as tau would have been final. One that is less sure would have been thought about: where it was,
its second answer is known; where it was not, nobody knows what would have come of it. Rows of the audit sample know
both. Questions that the gate does not decide about stay as they are (`think: always` or `never`, no readable box).
"""

from __future__ import annotations

from typing import Final

from framegate.pipelines.results.opened import Opened

# Under these two strategies `always` and `never` are the strategy's own words, and the gate would decide.
_FREE: Final = """(confidence_first IS NOT NULL
            AND (gate_reason IN ('confident', 'unsure', 'deferred', 'audit', 'asked')
            OR strategy = 'always_think' AND gate_reason = 'always'
            OR strategy = 'direct' AND gate_reason = 'never'))"""

ANSWERS_AT: Final = """
    WITH weighed AS (
        SELECT *, CASE WHEN {free} THEN confidence_first < {tau} WHEN gate_reason = 'deferred' THEN true ELSE thinking
            END AS would_think
        FROM current
    ), told AS (
        SELECT *, CASE WHEN gate_reason = 'audit' AND would_think THEN coalesce(answer_second_value, answer)
            WHEN gate_reason = 'audit' OR would_think = thinking THEN answer
            WHEN thinking THEN answer_first_value END AS answer_then
        FROM weighed
    )
    SELECT config_id, video_id, video_uri, clip_index, start_seconds, end_seconds, clip_started_at, clip_ended_at,
        question_id, question_hash, answer_type, answer_then AS answer, answer AS stored_answer,
        would_think = thinking OR thinking AND (answer_first_value IS NOT NULL OR question_since IS NOT NULL)
            AS is_known,
        would_think, thinking, confidence_first,
        CASE WHEN NOT would_think THEN 0 WHEN thinking THEN num_thinking_tokens END AS num_thinking_tokens, answer_key
    FROM told"""

MEANINGS: Final = {
    "answer": "what it would be; null: it could not be read, or is not known",
    "stored_answer": "what it is",
    "is_known": "false: it would have been thought about and was not, or its first answer was not kept",
    "would_think": "whether the model would have thought",
    "num_thinking_tokens": "tokens that it would have taken; null: not known",
}


def create_answers_at(opened: Opened) -> None:
    """Makes the macro. `current` is there."""
    opened.connection.execute(f"CREATE TEMP MACRO answers_at(tau) AS TABLE {answers_at_sql('tau')}")


def answers_at_sql(tau: str) -> str:
    """A SELECT of `current`. `tau`: SQL of the threshold."""
    return ANSWERS_AT.format(free=_FREE, tau=tau)
