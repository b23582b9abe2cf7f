"""Texts of others, such as names of files and answers of models, as they may be printed: what a terminal would obey,
or a reader would not see, is written out.
"""

from __future__ import annotations

import re
from typing import Final

# C0 and C1 controls (a terminal's commands begin with ESC or with U+009B), marks that end a line or turn the direction
# of writing, and halves of surrogate pairs, which stand for bytes of a name that is no Unicode.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_LINE_BREAKS: Final = frozenset("\n\t")


def escape(text: str, *, keep_lines: bool = False) -> str:
    """The text with each unprintable character as `\\xNN` or `\\uNNNN`. `keep_lines`: line breaks and tabs stay."""
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub(
        lambda match: match[0] if keep_lines and match[0] in _LINE_BREAKS else _code(match[0]), text
    )


def escape_json(text: str) -> str:
    """A JSON document that means the same and holds no unprintable character but line breaks between its values."""
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in _LINE_BREAKS else f"\\u{ord(match[0]):04x}", text)


def escape_name(name: str) -> str:
    """A name that is no Unicode, as Python has it from a disk, with the bytes that are none as `\\xNN`."""
    return "".join(_code(char) if "\ud800" <= char <= "\udfff" else char for char in name)


def is_unicode(text: str) -> bool:
    """Whether it holds no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _code(char: str) -> str:
    number = ord(char)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no part of any character
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
