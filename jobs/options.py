"""Options that several commands take, with one wording each; and what turns options into values."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from framegate.schemas.errors import ConfigError

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.", show_default=False)]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="At most N videos that have work left.", show_default="all"),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="Also try again what failed, whatever the reason, however often, however lately."
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help='Also write {"command": ..., "rows": [...]} to FILE.', show_default=False
    ),
]


def takes_options(command: Callable[[Any], None]) -> Callable[..., None]:
    """A command whose only parameter is a dataclass, for typer: each field of the dataclass is an option.

    A field is annotated as a parameter of a command would be, with its `typer.Option`, and has a default.
    """
    (parameter,) = inspect.signature(command, eval_str=True).parameters.values()
    hints = get_type_hints(parameter.annotation, include_extras=True)
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(parameter.annotation)
    ]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        command(parameter.annotation(**values))

    call.__annotations__ = {option.name: option.annotation for option in options}
    setattr(call, "__signature__", inspect.Signature(options))  # noqa: B010 (no attribute that a function declares)
    return call


def choose_names(option: str, text: str | None, allowed: Iterable[str]) -> list[str]:
    """The names in "A,B", each once and in that order, or all that are allowed. Raises ConfigError for others."""
    known = list(allowed)
    if text is None:
        return known
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"{option}: '{', '.join(unknown)}' is unknown; use some of: {', '.join(known)}")
    return names


def cache_folder() -> Path:
    """Where benchmarks keep what they make, for the next time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "framegate" / "bench"
