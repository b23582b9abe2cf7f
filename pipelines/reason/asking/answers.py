"""Reads the content of a box as an answer of the question's type, in one normal form per type.

A content that cannot be read is None; it is never taken for "no" or for a zero, unless it says so. Times that a model
writes are seconds of the clip that it was shown; here they become seconds of the video.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from framegate.schemas.qa import OPTION_LETTERS, Question

_LETTER = re.compile(r"\s*\(?\s*([A-Za-z])\s*(?:\)\s*[.:,]?|[.:,](?=\s|$)|$)")
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)\{(.*)\}", re.DOTALL)
_UNIT = r"(?:[km]?g|t|[cmk]?m|km/h|kmh|mph|m/s|m?l|s|secs?|mins?|h|hrs?|k?hz|fps|px|[cf]|x)\b"
_NUMBER = re.compile(rf"(?<![\w.])-?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?={_UNIT}|(?!\w))", re.IGNORECASE)
_NOTHING = ("none", "nothing", "nobody", "no one")
_TIME = r"(\d+(?::\d{1,2}){0,2}(?:\.\d+)?)\s*(?:s|sec|seconds)?"
_SPAN = re.compile(rf"[\[(]?\s*{_TIME}\s*(?:,|-|\u2013|to)\s*{_TIME}\s*[\])]?", re.IGNORECASE)
# Models count in whole seconds: the end of a clip of 9.6 s is called 10. Such a span is cut at the clip's end.
SLACK_SECONDS = 0.5
_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)


@dataclass(frozen=True, kw_only=True)
class ParsedAnswer:
    """`value` is what a person would say. The others are there for one type each: `letter` for choice, `number`,
    `is_yes` for yes_no, `span_seconds` for span, in seconds of the video. `is_in_range` is False for a span alone that
    does not lie in the clip."""

    value: str
    letter: str | None = None
    number: float | None = None
    is_yes: bool | None = None
    span_seconds: tuple[float, float] | None = None
    is_in_range: bool = True


def parse_answer(
    content: str, question: Question, *, clip_start_seconds: float, clip_seconds: float = math.inf
) -> ParsedAnswer | None:
    """The answer that a box's content gives, or None where it gives none. The clip lasts `clip_seconds`.

    choice   the option's text, from `B`, `(B)`, `B.`, `(B) text` or the text of exactly one option
    yes_no   `yes` or `no`
    number   digits, without thousands separators and trailing zeros, from exactly one number; a unit, a currency and
             words such as "about" or "at least" may stand beside it; up to twenty as a word; "none" and "nothing" are
             0; two numbers, as in a range, are no number
    span     `[start, end]` in seconds of the video, from `[start, end]`, `start - end` or `m:ss` of the clip; out of
             range where it does not start before it ends, or not within the clip, or ends SLACK_SECONDS behind it
    text     the content with its white space collapsed
    """
    content = _unwrap(content)
    if not content:
        return None
    if question.type == "span":
        return _parse_span(content, clip_start_seconds, clip_seconds)
    return {"choice": _parse_choice, "yes_no": _parse_yes_no, "number": _parse_number, "text": _parse_text}[
        question.type
    ](content, question)


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


def _parse_choice(content: str, question: Question) -> ParsedAnswer | None:
    letters = OPTION_LETTERS[: len(question.options)]
    if (match := _LETTER.match(content)) is not None:
        place = letters.find(match.group(1).upper())
    else:
        texts = [_plain(_unwrap(option)) for option in question.options]
        place = texts.index(_plain(content)) if texts.count(_plain(content)) == 1 else -1
    return None if place < 0 else ParsedAnswer(value=question.options[place], letter=letters[place])


def _parse_yes_no(content: str, question: Question) -> ParsedAnswer | None:
    words = re.findall(r"[a-z]+", content.casefold())
    said = {word for word in words if word in ("yes", "no")}
    if not words or words[0] not in said or len(said) != 1:
        return None
    return ParsedAnswer(value=words[0], is_yes=words[0] == "yes")


def _parse_number(content: str, question: Question) -> ParsedAnswer | None:
    value = "0" if _plain(content) in _NOTHING else _find_number(content)
    return None if value is None else ParsedAnswer(value=value, number=float(value))


def _find_number(content: str) -> str | None:
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


def _parse_text(content: str, question: Question) -> ParsedAnswer:
    return ParsedAnswer(value=" ".join(content.split()))


def _parse_span(content: str, clip_start_seconds: float, clip_seconds: float) -> ParsedAnswer | None:
    match = _SPAN.fullmatch(content)
    if match is None:
        return None
    first, last = (_to_seconds(time) for time in match.groups())
    is_in_range = first < min(last, clip_seconds) and last <= clip_seconds + SLACK_SECONDS
    start, end = (round(clip_start_seconds + time, 3) for time in (first, min(last, clip_seconds)))
    return ParsedAnswer(
        value=f"[{format_seconds(start)}, {format_seconds(end)}]", span_seconds=(start, end), is_in_range=is_in_range
    )


def _to_seconds(time: str) -> float:
    seconds = 0.0
    for part in time.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds
