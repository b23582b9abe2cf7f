"""Which of several answers to one question is the row's."""

from __future__ import annotations

from dataclasses import replace

from framegate.schemas.qa import Answer


def take_answer(row: Answer, told: Answer) -> Answer:
    """`row` with what `told` answers, in every form that a row has it in, and whether it could be read."""
    return replace(
        row,
        answer=told.answer,
        answer_letter=told.answer_letter,
        answer_number=told.answer_number,
        answer_bool=told.answer_bool,
        span_start_seconds=told.span_start_seconds,
        span_end_seconds=told.span_end_seconds,
        status=told.status,
    )
