"""Something of Ray replaced for a while, where Ray has no option that leaves it out.

What is replaced to spare time is replaced in the versions that were looked at and tested alone (`is_known_ray`). In
another one Ray does all that it does, and a run takes some seconds longer to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

KNOWN_RAY: Final = "2.60."


def is_known_ray() -> bool:
    """Whether the installed Ray is one whose insides these replacements were made for."""
    import ray

    return ray.__version__.startswith(KNOWN_RAY)


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """In here `owner.name` is `value`. Raises AttributeError where Ray has no such name."""
    before = vars(owner)[name] if name in vars(owner) else getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def nothing(*_args: object, **_options: object) -> None:
    """Takes the place of what is not to be done."""
