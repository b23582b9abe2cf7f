"""Something of Ray replaced for a while, where Ray has no option that leaves it out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
