"""What a case of the corpus is: the bytes of a file, and how it must end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# A film of 4 seconds, 64 x 96 pixels and 10 frames a second is all that these let through.
TIGHT = {"max_pixels": 64 * 96, "max_total_pixels": 64 * 96 * 41, "max_duration_seconds": 4.5, "max_streams": 1}
UPRIGHT = ("top_left", "top_right", "bottom_left", "bottom_right")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file and its end.

    reason     code of the failure that comes last, None where there is none
    num_clips  how many clips of 2 seconds have frames before that: at least, at most
    quarters   where the colours of `corpus_films.QUARTERS` are seen, row by row; None: not looked at
    is_tight   under TIGHT limits instead of the defaults
    """

    name: str
    make: Callable[[], bytes]
    reason: str | None = None
    num_clips: tuple[int, int] = (0, 0)
    quarters: tuple[str, str, str, str] | None = None
    is_tight: bool = False


def ends_well(
    name: str,
    make: Callable[[], bytes],
    num_clips: int = 2,
    *,
    quarters: tuple[str, str, str, str] | None = UPRIGHT,
    is_tight: bool = False,
) -> Case:
    """Clips with frames, to the last."""
    return Case(name=name, make=make, num_clips=(num_clips, num_clips), quarters=quarters, is_tight=is_tight)


def ends_early(name: str, make: Callable[[], bytes], at_least: int, at_most: int) -> Case:
    """Some clips, then `truncated`."""
    return Case(name=name, make=make, reason="truncated", num_clips=(at_least, at_most), quarters=UPRIGHT)


def ends_at_once(reason: str, name: str, make: Callable[[], bytes], *, is_tight: bool = False) -> Case:
    """A failure alone."""
    return Case(name=name, make=make, reason=reason, is_tight=is_tight)
