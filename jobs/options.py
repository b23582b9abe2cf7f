"""Options that several commands take, with one wording each; and what turns options into values."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from framegate.schemas.errors import ConfigError
from framegate.schemas.run import Shard

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.", show_default=False)]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="At most N videos that have work left.", show_default="all"),
]
ShardName = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="K/N", help="The K-th of N equal parts of the work, for job arrays.", show_default=False
    ),
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

    A field is annotated as a parameter of a command would be, with its `typer.Option`, and has a default where the
    parameter would.
    """
    (parameter,) = inspect.signature(command, eval_str=True).parameters.values()
    hints = get_type_hints(parameter.annotation, include_extras=True)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(parameter.annotation)
    ]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        command(parameter.annotation(**values))

    call.__annotations__ = {option.name: option.annotation for option in options}
    setattr(call, "__signature__", inspect.Signature(options))  # noqa: B010 (no attribute that a function declares)
    return call


_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d)")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def parse_span(option: str, text: str | None) -> float | None:
    """Seconds of `26h`, `90m`, `2d` or `30s`; None of None. Raises ConfigError."""
    if text is None:
        return None
    found = _SPAN.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise ConfigError(f"{option} {text}: give a length of time such as 30s, 90m, 26h or 2d")
    return float(found[1]) * _UNIT_SECONDS[found[2]]


def parse_share(option: str, text: str | None) -> float | None:
    """0.01 of `1%` or `0.01`; None of None. Raises ConfigError."""
    if text is None:
        return None
    try:
        share = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"{option} {text}: give a share from 0% to 100%, such as 1% or 0.01")
    return share


def parse_shard(text: str | None) -> Shard | None:
    """The third of eight parts of `3/8`; None of None. Raises ConfigError."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f"--shard {text}: give K/N with K from 1 to N, such as 3/8 for the third of eight parts")
    return Shard(number=int(found[1]), of=int(found[2]))


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
