"""The arrays of an audit sample, checked once, and what all claims read off them.

An audit sample is a uniform draw of rows of an archive, each with its first answer's confidence and whether the second
answer is another one. A row without a confidence always thinks: it never exits, so that it loses nothing, and it counts
as a sampled row. Count a sampled row that has no second answer as one that differs: what is not known is not promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from framegate.schemas.errors import InputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def as_confidence(values: npt.ArrayLike) -> Floats:
    """One float64 for each row, NaN where there was no confidence. Raises InputError outside of 0 to 1."""
    confidence = _flat(values, np.float64, "confidence")
    wrong = confidence[~(np.isnan(confidence) | ((confidence >= 0) & (confidence <= 1)))]
    if wrong.size:
        raise InputError(f"a confidence is {wrong[0]:g}; it lies between 0 and 1, or is missing (NaN)")
    return confidence


def as_bools(values: npt.ArrayLike, num_rows: int, name: str) -> Bools:
    """Raises InputError where there are not as many as rows."""
    return _of_length(_flat(values, np.bool_, name), num_rows, name)


def as_floats(values: npt.ArrayLike, num_rows: int, name: str) -> Floats:
    """Raises InputError where there are not as many as rows."""
    return _of_length(_flat(values, np.float64, name), num_rows, name)


def codes_of(values: Sequence[Any] | npt.NDArray[Any], num_rows: int, name: str) -> tuple[list[Any], Ints]:
    """Different values, sorted by their text, and for each row the number of its own. None is a value of its own."""
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if len(listed) != num_rows:
        raise InputError(f"{name} has {len(listed)} values for {num_rows} rows; each row has one")
    names = sorted(set(listed), key=lambda value: (value is None, str(value)))
    places = {value: place for place, value in enumerate(names)}
    return names, np.fromiter((places[value] for value in listed), np.int64, num_rows)


def lowest_above(confidence: Floats, limit: float) -> float | None:
    """The lowest confidence that occurs above a limit; None where none does."""
    above = confidence[confidence > limit]  # NaN is above nothing
    return float(above.min()) if above.size else None


def _flat(values: npt.ArrayLike, kind: Any, name: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"{name} has {array.ndim} axes; it is one value for each row")
    if kind is np.bool_ and array.size and array.dtype != np.bool_:
        raise InputError(f"{name} holds {array.dtype}; it is true or false for each row")
    return array.astype(kind)


def _of_length(array: npt.NDArray[Any], num_rows: int, name: str) -> npt.NDArray[Any]:
    if array.size != num_rows:
        raise InputError(f"{name} has {array.size} values for {num_rows} rows; each row has one")
    return array
