"""Samples of an answer, and what most of them say.

A vote is an answer as it was read, not as it was written: `(B)` and `B` are one vote, and so are `3` and `three`.

    choice, yes_no, number   the option, yes or no, the number
    text                     the text without regard to case, white space, and marks at its end
    span                     spans that overlap by half or more of what they cover together agree

An answer gets the votes of all samples that agree with it. Of spans, agreement is not transitive: so the span that most
others agree with wins, as it stands, and no mean of spans that nobody gave. Of equals the first sample's answer wins. A
sample that cannot be read agrees with none, and counts among all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from framegate.pipelines.reason.strategies.protocol import Ask, Sampling
from framegate.schemas.qa import Answer

OVERLAP: Final = 0.5
"""Of two spans that agree: the length of both over the length of either, at least."""

_MARKS: Final = " .,;:!?"


@dataclass(frozen=True, kw_only=True)
class Votes:
    """`winner` is the sample whose answer counts, and `agreement` the share of all samples that gave its answer, 0
    where none can be read."""

    winner: Answer
    agreement: float


def count_votes(answers: Sequence[Answer]) -> Votes:
    """Of samples of one question at one clip, at least one, in their order."""
    numbers = [sum(agree(one, other) for other in answers) for one in answers]
    most = max(numbers)
    return Votes(winner=answers[numbers.index(most)], agreement=most / len(answers))


def agree(one: Answer, other: Answer) -> bool:
    """Whether two answers to one question are the same vote. One that cannot be read agrees with none."""
    if one.answer is None or other.answer is None:
        return False
    if one.question.type == "span":
        return _overlap(one, other) >= OVERLAP
    return _value(one) == _value(other)


def draw_samples(ask: Ask, *, part: str, num_samples: int, temperature: float, top_p: float) -> list[Ask]:
    """The ask, `num_samples` times, each with a seed of its own, named `part` and its number.

    A seed is made of the clip's key, the question, the part and the number: the same sample of the same question has
    the same tokens in each run. A clip that is of no archive has no key, and the seeds of any other such clip.
    """
    seeds = [make_seed(ask.clip.key, ask.question.hash, part, number) for number in range(num_samples)]
    return [
        replace(
            ask,
            sampling=Sampling(temperature=temperature, top_p=top_p, seed=seed),
            label=f"{part} {number}",
        )
        for number, seed in enumerate(seeds)
    ]


def make_seed(clip_key: str, question_hash: str, part: str, number: int) -> int:
    """A number below 2**63."""
    text = "/".join((clip_key, question_hash, part, str(number)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _value(answer: Answer) -> object:
    if answer.question.type == "text":
        return " ".join((answer.answer or "").casefold().split()).strip(_MARKS)
    typed = (answer.answer_letter, answer.answer_bool, answer.answer_number)
    return typed if any(value is not None for value in typed) else answer.answer


def _overlap(one: Answer, other: Answer) -> float:
    spans = [(each.span_start_seconds, each.span_end_seconds) for each in (one, other)]
    (a_start, a_end), (b_start, b_end) = ((start or 0.0, end or 0.0) for start, end in spans)
    covered = max(a_end, b_end) - min(a_start, b_start)
    return max(0.0, min(a_end, b_end) - max(a_start, b_start)) / covered if covered > 0 else 1.0
