"""Texts of others, such as names of files and answers of models, as they may be printed: what a terminal would obey,
or a reader would not see, is written out.
"""

from __future__ import annotations

import re
from typing import Final

# C0 and C1 controls (a terminal's commands begin with ESC or with U+009B), marks that end a line or turn the direction
# of writing, what has no width (Unicode's Default_Ignorable_Code_Point: joiners, fillers, variation selectors, tags),
# and halves of surrogate pairs, which stand for bytes of a name that is no Unicode.
INVISIBLE: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
"""As the inside of a set of characters in a regular expression."""

_UNPRINTABLE: Final = re.compile(f"[{INVISIBLE}]")
_LINE_BREAKS: Final = frozenset("\n\t")
_ODD_IN_NAME: Final = re.compile(r"[^A-Za-z0-9._=-]")
_MAX_NAME: Final = 120  # characters; most disks take 255 bytes


def escape(text: str, *, keep_lines: bool = False) -> str:
    """The text with each unprintable character as `\\xNN`, `\\uNNNN` or `\\UNNNNNNNN`. `keep_lines`: line breaks and
    tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return _UNPRINTABLE.sub(
        lambda match: match[0] if keep_lines and match[0] in _LINE_BREAKS else _code(match[0]), text
    )


def escape_block(text: str, *, indent: str = "") -> str:
    """The same over several lines: where the text has a line break it is written out, and the line ends there, too.
    `indent` stands before each line but the first."""
    return f"\\x0a\n{indent}".join(map(escape, text.split("\n")))


def escape_json(text: str) -> str:
    """A JSON document that means the same and holds no unprintable character but line breaks between its values."""
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in _LINE_BREAKS else _json_code(match[0]), text)


def escape_name(name: str) -> str:
    """A name that is no Unicode, as Python has it from a disk, with the bytes that are none as `\\xNN`."""
    return "".join(_code(char) if "\ud800" <= char <= "\udfff" else char for char in name)


def as_file_name(text: str) -> str:
    """A text of others as a part of the name of a file that is made: no folder, nothing odd, and not too long."""
    return _ODD_IN_NAME.sub("_", text)[:_MAX_NAME].lstrip(".") or "_"


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
    if number > 0xFFFF:
        return f"\\U{number:08x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _json_code(char: str) -> str:
    """JSON has no escape beyond U+FFFF: there it takes the two halves of a surrogate pair."""
    number = ord(char)
    if number <= 0xFFFF:
        return f"\\u{number:04x}"
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
