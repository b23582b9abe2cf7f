"""Which answers are counted as one: the answer mix of a question has a share for each class of them.

    choice   one class for each option
    yes_no   one class: yes
    number   stretches of the number line, which are the same for all questions
    text     the most frequent answers of the oldest night that is read

No class is chosen by a night that is compared: a share that was chosen for being high there would seem to fall
afterwards. So texts are counted in the oldest night, which then takes no part. A span has no classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from framegate.pipelines.results.view_sql import text_literal
from framegate.schemas.qa import OPTION_LETTERS, Question

EDGES: Final = (0, 1, 2, 3, 5, 10, 20, 50, 100, 1000)
"""A number's class is how many of these it has reached."""

MAX_TEXTS: Final = 5
MIN_TEXT_VIDEOS: Final = 10
"""A text that fewer videos have is no class: it may tell of one of them, and a record is no place for that."""


@dataclass(frozen=True, kw_only=True)
class Classes:
    """names     of each question's classes, by its hash, in the order of their numbers
    spelled   answers and the class that each is of: (question_hash, answer as it is stored, number)"""

    names: Mapping[str, tuple[str, ...]]
    spelled: tuple[tuple[str, str, int], ...]


def find_classes(questions: Iterable[Question], texts: Mapping[str, Sequence[str]]) -> Classes:
    """`texts`: of text questions by their hash, the answers that are classes, trimmed and in lower case."""
    names: dict[str, tuple[str, ...]] = {}
    spelled: list[tuple[str, str, int]] = []
    for question in questions:
        names[question.hash], of_question = _classes_of(question, texts.get(question.hash, ()))
        spelled += ((question.hash, answer, number) for answer, number in of_question)
    return Classes(names=names, spelled=tuple(spelled))


def _classes_of(question: Question, texts: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    match question.type:
        case "choice":
            return question.options, [*_spell_options(question.options)]
        case "yes_no":
            return ("yes",), [("yes", 0)]
        case "number":
            return tuple(_name_stretches()), []
        case "text":
            return tuple(texts), [(text, number) for number, text in enumerate(texts)]
        case _:
            return (), []


def _spell_options(options: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Rows of earlier versions have the letter in place of the option."""
    for number, option in enumerate(options):
        yield option, number
        if OPTION_LETTERS[number] not in options:
            yield OPTION_LETTERS[number], number


def _name_stretches() -> Iterator[str]:
    yield f"below {EDGES[0]}"
    for low, high in pairwise(EDGES):
        yield str(low) if high == low + 1 else f"{low} to {high - 1}"
    yield f"{EDGES[-1]} or more"


def class_join(classes: Classes, answer: str, number: str) -> tuple[str, str]:
    """SQL of a join, and of the number of a row's class with it; null where it is of none. The row has `question_hash`
    and `answer_type`; `answer` is its column, and `number` the one of a number's value, null of other types."""
    reached = " + ".join(f"({number} >= {edge})::INT" for edge in EDGES)
    spelled = [f"({text_literal(hash)}, {text_literal(text)}, {number})" for hash, text, number in classes.spelled]
    listed = ", ".join(spelled) or "(NULL::VARCHAR, NULL::VARCHAR, NULL::INT)"
    word = f"CASE answer_type WHEN 'number' THEN NULL WHEN 'text' THEN lower(trim({answer})) ELSE {answer} END"
    join = (
        f"LEFT JOIN (VALUES {listed}) AS spelled (of_question, spelling, spelled_class)"
        f" ON of_question = question_hash AND spelling = {word}"
    )
    return join, f"CASE WHEN answer_type = 'number' THEN {reached} ELSE spelled_class END"


def texts_sql(rows: str) -> str:
    """SQL of the answers that are classes of text questions: question_hash, answer. `rows` is a SELECT of rows with
    `night_answer`, of one night."""
    return f"""
        SELECT question_hash, answer FROM (
            SELECT question_hash, lower(trim(night_answer)) AS answer, count(*) AS num_rows FROM ({rows})
            WHERE answer_type = 'text' AND night_answer IS NOT NULL GROUP BY ALL
            HAVING count(DISTINCT video_id) >= {MIN_TEXT_VIDEOS}
        ) QUALIFY row_number() OVER (PARTITION BY question_hash ORDER BY num_rows DESC, answer) <= {MAX_TEXTS}
        ORDER BY question_hash, num_rows DESC, answer"""


def texts_by_question(found: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """From the rows of `texts_sql`."""
    texts: dict[str, list[str]] = {}
    for row in found:
        texts.setdefault(row["question_hash"], []).append(row["answer"])
    return texts
