"""Rows of a query as Python values: each row a mapping, whatever the statement calls its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Batch:
    """Some rows of a query. `columns` are unique."""

    record_batch: pa.RecordBatch
    columns: Sequence[str]

    def __len__(self) -> int:
        return self.record_batch.num_rows

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        values = [_values(column) for column in self.record_batch.columns]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*values, strict=True)]


def distinct(names: Sequence[str]) -> list[str]:
    """Make column names unique, since rows are mappings: a, a -> a, a_1."""
    found: list[str] = []
    for name in names:
        candidate, number = name, 0
        while candidate in found:
            number += 1
            candidate = f"{name}_{number}"
        found.append(candidate)
    return found


def _values(column: pa.Array) -> list[Any]:
    """Python's values. SQL knows times that Python does not, such as `infinity`: those are texts."""
    try:
        return column.to_pylist()
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return _late_time(scalar)


def _late_time(scalar: pa.Scalar) -> str:
    """A date or a timestamp beyond Python's, in ISO 8601 with a year of more digits."""
    import numpy as np
    import pyarrow as pa

    is_date = pa.types.is_date(scalar.type)
    number = int(getattr(scalar, "value"))  # noqa: B009 (pyarrow's stubs know no value of scalars)
    if abs(number) == (2**31 - 1 if is_date else 2**63 - 1):
        return "infinity" if number > 0 else "-infinity"
    text = str(np.datetime64(number, "D" if is_date else scalar.type.unit))
    return text if is_date or scalar.type.tz is None else f"{text}+00:00"
