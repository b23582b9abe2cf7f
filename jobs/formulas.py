"""Cells of a CSV that a spreadsheet would take for formulas: they get a `'` in front, which is taken away again when
they are read back.

A formula begins with one of = + - @, also in their full-width and small forms, or with a tab or a carriage return that
hides one; white space and characters without width may stand before it. A number is none, whatever its sign.
"""

from __future__ import annotations

import re
from typing import Final

from framegate.schemas.escape import INVISIBLE

GUARD: Final = "'"
SIGNS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
_FORMULA: Final = re.compile(rf"(?:(?![\t\r])[\s{INVISIBLE}])*[{SIGNS}\t\r]")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def guard(value: object) -> object:
    """A text that may be a formula with a `'` in front; any other value as it is.

    So is one that is a formula behind some `'` of its own: `unguard` gives back each text as it was.
    """
    return GUARD + value if isinstance(value, str) and _is_formula(value) else value


def unguard(cell: str) -> str:
    """The text that `guard` made the cell of."""
    return cell[1:] if cell.startswith(GUARD) and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    bare = text.lstrip(GUARD)
    return _FORMULA.match(bare) is not None and _NUMBER.fullmatch(bare) is None
