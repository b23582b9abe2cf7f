"""Names with braces: `shard-{0000..0099}.tar` counts, `{day,night}.tar` names both."""

from __future__ import annotations

import re
from itertools import product

from framegate.schemas.errors import InputError

MAX_NAMES = 100_000

_GROUP = re.compile(r"\{(?:([0-9]{1,18})\.\.([0-9]{1,18})|([^{},]*(?:,[^{},]*)+))\}")


def has_braces(name: str) -> bool:
    """Whether a name would stand for others, were it not the name of something that is there."""
    return _GROUP.search(name) is not None


def expand_braces(name: str) -> list[str]:
    """The names that a name with braces stands for, in order; a name without such braces stands for itself.

    A range counts up or down, and is padded with zeros where one of its ends is. Braces that hold neither a range nor a
    comma stay as they are. Raises InputError above `MAX_NAMES` names.
    """
    fixed, choices, num_names, position = [], [], 1, 0
    for match in _GROUP.finditer(name):
        first, last, listed = match.groups()
        if listed is None:
            num_names *= abs(int(last) - int(first)) + 1
        else:
            num_names *= listed.count(",") + 1
        if num_names > MAX_NAMES:  # before anything is made of them
            raise InputError(f"{name} stands for more than {MAX_NAMES:,} names; use a prefix, a glob or a manifest")
        fixed.append(name[position : match.start()])
        choices.append(_count(first, last) if listed is None else listed.split(","))
        position = match.end()
    return ["".join(map("".join, zip(fixed, chosen, strict=True))) + name[position:] for chosen in product(*choices)]


def _count(first: str, last: str) -> list[str]:
    is_padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    width = max(len(first), len(last)) if is_padded else 0
    step = 1 if int(first) <= int(last) else -1
    return [f"{number:0{width}d}" for number in range(int(first), int(last) + step, step)]
