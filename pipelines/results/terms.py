"""On what terms a query runs: its time zone, how long it may take, how much memory it may use, and what joins it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import duckdb

from framegate.pipelines.results.view_sql import text_literal
from framegate.schemas.clock import find_zone
from framegate.schemas.errors import ConfigError, QueryError

_MEMORY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", re.IGNORECASE)
_UNIT_BYTES: Final = {"k": 1, "m": 2, "g": 3, "t": 4}
OUTPUT_ZONE: Final = "output"
MIN_MEMORY_BYTES: Final = 32 * 2**20  # with less, DuckDB cannot read a row group of ours


@dataclass(frozen=True, kw_only=True)
class QueryTerms:
    """
    time_zone      IANA name: of the times that a query shows, and of those that it writes without one; OUTPUT_ZONE: the
                   zone that the output's partitions are in; None: the machine's
    max_seconds    from when the statement begins to run; None: any time
    memory_bytes   what DuckDB may use, beyond which it goes to disk or gives up; None: DuckDB's own limit, 80 % of what
                   the process may use
    files          by the name of a table, the file that it is read from
    """

    time_zone: str | None = None
    max_seconds: float | None = None
    memory_bytes: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def settings(self, output_zone: Callable[[], str]) -> dict[str, str]:
        """DuckDB's settings with their values as SQL. `output_zone` tells the output's, which takes a request."""
        zone = output_zone() if self.time_zone == OUTPUT_ZONE else self.time_zone
        found = {} if zone is None else {"TimeZone": text_literal(zone)}
        if self.max_seconds is not None:
            found["max_execution_time"] = str(max(1, round(self.max_seconds * 1000)))
        if self.memory_bytes is not None:
            found["memory_limit"] = f"'{self.memory_bytes}B'"
        return found

    def explain(self, error: Exception, sentence: str) -> QueryError:
        """What a statement was refused for or broke off with, in terms of what was asked for."""
        if "exceeded maximum execution time" in sentence:
            return QueryError(
                f"the query was not done after {self.max_seconds:g} s, which --timeout allows: ask for less, or allow"
                " more"
            )
        if isinstance(error, duckdb.OutOfMemoryException) or sentence.startswith("Out of Memory"):
            limit = "what is there" if self.memory_bytes is None else f"the {self.memory_bytes:,} bytes of --memory"
            said = sentence.partition(" Possible solutions")[0]  # which are settings that nobody may change here
            return QueryError(f"the query needs more memory than {limit}: ask for less, or allow more. {said}")
        return QueryError(sentence)


def check_time_zone(name: str) -> str:
    """The name, where it is that of a zone, or OUTPUT_ZONE. Raises ConfigError."""
    try:
        if name != OUTPUT_ZONE:
            find_zone(name)
    except ConfigError as error:
        raise ConfigError(f"--time-zone: {error}") from error
    return name


def parse_memory(text: str | None) -> int | None:
    """Bytes of `4GB`, `512MB` or `1.5GiB`; None of None. Raises ConfigError."""
    if text is None:
        return None
    found = _MEMORY.fullmatch(text)
    number = (
        float(found[1]) * (1024 if "i" in found[2].lower() else 1000) ** _UNIT_BYTES[found[2][0].lower()]
        if found
        else 0
    )
    if number < MIN_MEMORY_BYTES:
        raise ConfigError(f"--memory {text}: give at least 32MiB, with a unit, such as 512MB or 4GB")
    return int(number)
