"""Reads the content of a box as an answer of the question's type, in one normal form per type.

A content that cannot be read is None; it is never taken for "no" or for a zero. Times that a model writes are seconds
of the clip that it was shown; here they become seconds of the video.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from framegate.schemas.qa import OPTION_LETTERS, Question

_LETTER = re.compile(r"\s*\(?\s*([A-Za-z])\s*(?:\)\s*[.:,]?|[.:,](?=\s|$)|$)")
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)\{(.*)\}", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w)")
_TIME = r"(\d+(?::\d{1,2}){0,2}(?:\.\d+)?)\s*(?:s|sec|seconds)?"
_SPAN = re.compile(rf"[\[(]?\s*{_TIME}\s*(?:,|-|\u2013|to)\s*{_TIME}\s*[\])]?", re.IGNORECASE)
_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)


@dataclass(frozen=True, kw_only=True)
class ParsedAnswer:
    """`value` is the normal form; `span_seconds` is set for spans alone, in seconds of the video."""

    value: str
    span_seconds: tuple[float, float] | None = None


def parse_answer(content: str, question: Question, *, clip_start_seconds: float) -> ParsedAnswer | None:
    """The answer that a box's content gives, or None where it gives none.

    choice   the letter, from `B`, `(B)`, `B.`, `(B) text` or the text of exactly one option
    yes_no   `yes` or `no`
    number   digits, without thousands separators and trailing zeros
    span     `[start, end]` in seconds of the video, from `[start, end]`, `start - end` or `m:ss` of the clip
    text     the content with its white space collapsed
    """
    content = _unwrap(content)
    if not content:
        return None
    if question.type == "span":
        return _parse_span(content, clip_start_seconds)
    value = {"choice": _parse_choice, "yes_no": _parse_yes_no, "number": _parse_number, "text": _parse_text}[
        question.type
    ](content, question)
    return None if value is None else ParsedAnswer(value=value)


def answer_region(content: str, question: Question) -> tuple[int, int]:
    """The characters [start, end) of a box's content that carry the answer, whose tokens a confidence is measured of.

    For a choice question the letter alone where the content starts with one: what follows it merely copies the option.
    """
    if question.type == "choice" and (match := _LETTER.match(content)) is not None:
        return match.span(1)
    return 0, len(content)


def format_seconds(seconds: float) -> str:
    """Seconds with at most three decimals (a millisecond), without trailing zeros."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _unwrap(content: str) -> str:
    content = content.strip().strip("$").strip()
    while (match := _WRAPPER.fullmatch(content)) is not None:
        content = match.group(1).strip()
    return content


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!?\"'")


def _parse_choice(content: str, question: Question) -> str | None:
    letters = OPTION_LETTERS[: len(question.options)]
    if (match := _LETTER.match(content)) is not None:
        letter = match.group(1).upper()
        return letter if letter in letters else None
    texts = [_plain(_unwrap(option)) for option in question.options]
    return letters[texts.index(_plain(content))] if texts.count(_plain(content)) == 1 else None


def _parse_yes_no(content: str, question: Question) -> str | None:
    words = re.findall(r"[a-z]+", content.casefold())
    said = {word for word in words if word in ("yes", "no")}
    return said.pop() if words and words[0] in said and len(said) == 1 else None


def _parse_number(content: str, question: Question) -> str | None:
    numbers = _NUMBER.findall(content)
    if len(numbers) == 1:
        digits = numbers[0].replace(",", "")
        whole, _, fraction = digits.partition(".")
        fraction = fraction.rstrip("0")
        sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
        whole = whole.lstrip("0") or "0"
        value = f"{whole}.{fraction}" if fraction else whole
        return value if value == "0" else sign + value
    words = [word for word in re.findall(r"[a-z]+", content.casefold()) if word in _NUMBER_WORDS]
    return str(_NUMBER_WORDS.index(words[0])) if not numbers and len(words) == 1 else None


def _parse_text(content: str, question: Question) -> str | None:
    return " ".join(content.split())


def _parse_span(content: str, clip_start_seconds: float) -> ParsedAnswer | None:
    match = _SPAN.fullmatch(content)
    if match is None:
        return None
    start, end = (round(_to_seconds(time) + clip_start_seconds, 3) for time in match.groups())
    if end < start:
        return None
    return ParsedAnswer(value=f"[{format_seconds(start)}, {format_seconds(end)}]", span_seconds=(start, end))


def _to_seconds(time: str) -> float:
    seconds = 0.0
    for part in time.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
