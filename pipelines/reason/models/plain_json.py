"""JSON that a checkpoint brings, read strictly: bounded in size, depth and numbers, without NaN."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 24
MAX_WHOLE: Final = 2**53  # beyond, whole numbers are not the same in every reader of JSON


def parse_json(data: bytes | str) -> Any:
    """Raises ValueError, half a sentence that says what is wrong: "is no JSON: ..."."""
    try:
        value = json.loads(data, parse_constant=_refuse_constant, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep") from None
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error}") from None
    _check_depth(value)
    return value


def parse_mapping(data: bytes | str) -> dict[str, Any]:
    """The same where a mapping is due."""
    value = parse_json(data)
    if not isinstance(value, dict):
        raise ValueError(f"holds no mapping, but a {type(value).__name__}")
    return value


def _whole(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_WHOLE:
        raise ValueError(f"holds a number of {len(text)} digits, beyond 2^53")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no number of JSON")


def _check_depth(value: Any) -> None:
    """Level by level: what is nested deeply is not followed by calls."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
