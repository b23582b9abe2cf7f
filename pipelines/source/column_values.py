"""A column of a manifest in its type: the output's, where it has the column already, else the one that the values show.

A text stays a text unless a number gives back the same text: 007, 12E4567, NA, true and twenty digits stay as they are.
A value that does not fit its column's type is an error, and never null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from framegate.pipelines.source.input_columns import plain_column
from framegate.pipelines.source.raw_table import RawColumn
from framegate.pipelines.source.time_texts import ISO_DATES, ISO_TIMES, localized, look_like, parse_date, parse_time
from framegate.schemas.column_types import TIMESTAMP, column_word

_INTEGER: Final = r"^(?:0|-?[1-9][0-9]{0,18})$"
_DECLARED_INTEGER: Final = r"^[+-]?[0-9]{1,18}$"
MAX_DEPTH: Final = 32
"""Of a column of lists and objects. Parquet's readers take 100 levels, of which each list is two."""
_SHORT_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.(?:[0-9]*[1-9]|0))?", re.ASCII)
_EXACT_DIGITS: Final = 15  # decimal digits that a double always gives back
_ANY_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


class Unfit(ValueError):
    """A value that does not fit. `row` counts from 1; `expected` says what would."""

    def __init__(self, row: int, value: object, expected: str) -> None:
        super().__init__(f"row {row} has {value!r}, expected {expected}")
        self.row, self.value, self.expected = row, value, expected


def guess_type(column: RawColumn) -> pa.DataType:
    """The type of a column that is new to the output, by all of its values; null where it has none."""
    texts, kinds = column.texts, column.kinds
    if texts.null_count == len(texts):
        return pa.null()
    if kinds == {"bool"}:
        return pa.bool_()
    if kinds == {"nested"}:
        return _nested(texts).type
    if kinds <= {"plain"} or kinds <= {"int"}:
        if _matches(texts, _INTEGER) and _fits(texts, pa.int64()):
            return pa.int64()
        if kinds <= {"plain"} and _are_short_numbers(texts):
            return pa.float64()
    if "float" in kinds and kinds <= {"int", "float"} and _fits_numbers(texts):
        return pa.float64()
    if kinds <= {"plain"} or kinds <= {"text"}:
        return look_like(texts) or pa.string()
    return pa.string()


def from_texts(column: RawColumn, data_type: pa.DataType, zone: tzinfo, *, is_declared: bool) -> pa.ChunkedArray:
    """The values in a type. Raises Unfit for the first one that does not fit. `is_declared`: by the job, so that 007
    counts as 7."""
    texts = column.texts
    if pt.is_string(data_type):
        return texts
    if pt.is_null(data_type) or texts.null_count == len(texts):
        return pa.chunked_array([pa.nulls(len(texts), data_type)])
    if pt.is_timestamp(data_type):
        return _times(_each(texts, lambda text: parse_time(text, zone), ISO_TIMES), data_type, zone)
    if pt.is_date(data_type):
        return _each(texts, parse_date, ISO_DATES).cast(data_type)
    if pt.is_boolean(data_type):
        return _each(texts, {"true": True, "false": False}.__getitem__, "true or false").cast(data_type)
    if pt.is_integer(data_type):
        return _integers(texts, data_type, is_declared=is_declared)
    if pt.is_floating(data_type):
        return _each(texts, _number, "a number such as 0.5 or 12").cast(data_type)
    if pt.is_nested(data_type):
        return _fitting(texts, lambda some: pa.array(_json(some), data_type), column_word(data_type))
    return _fitting(texts, lambda some: some.cast(data_type), column_word(data_type))


def from_arrow(column: pa.ChunkedArray, data_type: pa.DataType | None, zone: tzinfo) -> pa.ChunkedArray:
    """A Parquet file's column in a type, or in the plain one of its own. Raises Unfit."""
    column = plain_column(column)
    if pt.is_timestamp(column.type):
        column = _instants(column, zone)
    if data_type is None or column.type == data_type:
        return column
    if pt.is_null(column.type) or column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), data_type)])
    if pt.is_string(column.type):
        return from_texts(RawColumn(chunks=column.chunks, kinds={"text"}), data_type, zone, is_declared=False)
    if pt.is_timestamp(column.type) and pt.is_timestamp(data_type):
        return _times(column, data_type, zone)
    if pt.is_date(column.type) and pt.is_timestamp(data_type):
        return _times(_each(column, lambda day: localized(datetime(day.year, day.month, day.day), zone), ISO_TIMES),
                      data_type, zone)  # fmt: skip
    if pt.is_floating(column.type) and pt.is_string(data_type):
        return _each(column, repr, "a text").cast(data_type)
    if not _may_become(column.type, data_type):
        row = _row_of(column, lambda value: value is not None)
        raise Unfit(row, column[row - 1].as_py(), column_word(data_type))
    return _fitting(column, lambda some: some.cast(data_type), column_word(data_type))


def _may_become(own: pa.DataType, data_type: pa.DataType) -> bool:
    """Whether values of one type may fit another: numbers numbers, and what has one plain text a text."""
    is_number = pt.is_integer(own) or pt.is_floating(own) or pt.is_decimal(own)
    if pt.is_string(data_type):
        return is_number or pt.is_boolean(own) or pt.is_date(own)
    return is_number and (pt.is_integer(data_type) or pt.is_floating(data_type) or pt.is_decimal(data_type))


def _integers(texts: pa.ChunkedArray, data_type: pa.DataType, *, is_declared: bool) -> pa.ChunkedArray:
    pattern = _DECLARED_INTEGER if is_declared else _INTEGER
    expected = "a whole number" if is_declared else "a whole number that gives back the same text"
    if not _matches(texts, pattern):
        wrong = re.compile(pattern)
        row = _row_of(texts, lambda text: text is not None and not wrong.fullmatch(text))
        raise Unfit(row, texts[row - 1].as_py(), expected)
    if is_declared:
        return _each(texts, int, expected).cast(data_type)
    return _fitting(texts, lambda some: some.cast(data_type), expected)


def _number(text: str) -> float:
    if not _ANY_NUMBER.fullmatch(text) or (number := float(text)) in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _each(column: pa.ChunkedArray, parse: Callable[[Any], Any], expected: str) -> pa.ChunkedArray:
    """Every value parsed, each different one once. `parse` raises ValueError or KeyError where it does not fit."""
    distinct = column.combine_chunks().dictionary_encode()
    if isinstance(distinct, pa.ChunkedArray):
        distinct = pa.concat_arrays(distinct.unify_dictionaries().chunks)
    parsed = []
    for value in distinct.dictionary.to_pylist():
        try:
            parsed.append(parse(value))
        except (ValueError, KeyError, OverflowError):
            row = _row_of(column, lambda other, wrong=value: other == wrong)
            raise Unfit(row, value, expected) from None
    return pa.chunked_array([pa.array(parsed).take(distinct.indices)])


def _fitting(
    column: pa.ChunkedArray, convert: Callable[[pa.ChunkedArray], pa.Array | pa.ChunkedArray], expected: str
) -> pa.ChunkedArray:
    """`convert` of the column. Raises Unfit for the first value that it refuses."""
    try:
        converted = convert(column)
    except (pa.ArrowException, ValueError, TypeError):
        low, high = 0, len(column)  # rows before `low` fit, and of those before `high` one does not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _converts(column.slice(low, middle - low), convert) else (low, middle)
        raise Unfit(low + 1, column[low].as_py(), expected) from None
    return converted if isinstance(converted, pa.ChunkedArray) else pa.chunked_array([converted])


def _converts(column: pa.ChunkedArray, convert: Callable[[pa.ChunkedArray], object]) -> bool:
    try:
        convert(column)
    except (pa.ArrowException, ValueError, TypeError):
        return False
    return True


def _instants(column: pa.ChunkedArray, zone: tzinfo) -> pa.ChunkedArray:
    """Timestamps as instants in UTC; those without a zone are in `zone`. Nanoseconds are cut off."""
    column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    if column.type.tz is None and zone is not UTC:
        return _each(column, lambda time: localized(time, zone), ISO_TIMES).cast(TIMESTAMP)
    return column.cast(TIMESTAMP)


def _times(instants: pa.ChunkedArray, data_type: pa.DataType, zone: tzinfo) -> pa.ChunkedArray:
    """Instants in a type of timestamps; one without a zone, of an older output, holds the time in `zone`."""
    instants = instants.cast(TIMESTAMP)
    if data_type.tz is None and zone is not UTC:
        instants = _each(instants, lambda time: time.astimezone(zone).replace(tzinfo=None), ISO_TIMES)
    elif data_type.tz is None:
        instants = instants.cast(pa.timestamp("us"))
    return instants.cast(data_type, safe=False)


def _are_short_numbers(texts: pa.ChunkedArray) -> bool:
    """Whether all are decimal numbers that a double gives back digit by digit."""
    return all(
        _SHORT_NUMBER.fullmatch(text) and (sum(map(str.isdigit, text)) <= _EXACT_DIGITS or repr(float(text)) == text)
        for text in texts.drop_null().unique().to_pylist()
    )


def _fits_numbers(texts: pa.ChunkedArray) -> bool:
    """Whether all numbers of a JSON file are finite doubles, whole ones without losing a digit."""
    for text in texts.drop_null().unique().to_pylist():
        number = float(text)
        if number in (float("inf"), float("-inf")) or (text.lstrip("-").isdigit() and int(number) != int(text)):
            return False
    return True


def _matches(texts: pa.ChunkedArray, pattern: str) -> bool:
    found = pc.call_function("match_substring_regex", [texts], pc.MatchSubstringOptions(pattern))
    return pc.call_function("all", [found]).as_py() is not False


def _fits(texts: pa.ChunkedArray, data_type: pa.DataType) -> bool:
    return _converts(texts, lambda some: some.cast(data_type))


def _json(texts: pa.ChunkedArray) -> list[Any]:
    return [None if text is None else json.loads(text) for text in texts.to_pylist()]


def _nested(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists and objects of a JSON file in the type that Arrow finds for them; as texts where it finds none, or one that
    Parquet would not give back."""
    try:
        values = pa.chunked_array([pa.array(_json(texts))])
    except (pa.ArrowException, OverflowError, RecursionError):
        return texts
    return texts if depth_of(values.type) > MAX_DEPTH else values


def depth_of(data_type: pa.DataType) -> int:
    """How many types lie in each other, at most: 1 of a number or a text."""
    deepest, level = 0, [data_type]
    while level:
        deepest += 1
        level = [one.field(n).type for one in level for n in range(one.num_fields)]
    return deepest


def _row_of(column: pa.ChunkedArray, is_wanted: Callable[[Any], bool]) -> int:
    """The first row, from 1, with such a value."""
    return next(row for row, value in enumerate(column.to_pylist(), start=1) if is_wanted(value))
