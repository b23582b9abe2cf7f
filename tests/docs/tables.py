"""Tables of the pages that are made from the code. `python -m tests.docs.tables` writes them anew."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

import pyarrow as pa

from framegate.pipelines.audit.report import CHECKS
from framegate.schemas.config.engine_args import ENGINE_ARGS_OF_ANSWERS, ENGINE_ARGS_OF_THE_MACHINE, REFUSED
from framegate.schemas.config.reference import Key, list_keys
from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.retries import RETRY_AFTER, STOPS_RUN
from framegate.schemas.tables import CLIPS, FAILURES, RESULTS, meaning, with_config_id
from tests.docs.pages import PAGES, ROOT


def columns(schema: pa.Schema) -> str:
    return _table(
        ("column", "type", "null", "meaning"),
        ((f"`{field.name}`", _type(field.type), "yes" if field.nullable else "", meaning(field)) for field in schema),
    )


def reasons() -> str:
    return _table(
        ("reason", "meaning", "first tried again", "stops a run"),
        (
            (f"`{reason}`", text, _pause(RETRY_AFTER[reason]), "yes" if reason in STOPS_RUN else "")
            for reason, text in REASON_MEANINGS.items()
        ),
    )


def checks() -> str:
    return _table(("check", "what holds"), ((f"`{name}`", holds) for name, holds in CHECKS.items()))


def keys() -> str:
    """One section for each part of a job."""
    head = ("key", "type", "default", "allowed", "meaning")
    sections = []
    for group in list_keys():
        about = "".join(f"{line}\n" for line in textwrap.wrap(group.about, 120))
        table = _table(head, map(_key_row, group.keys))
        sections.append("\n".join(["", f"## {group.name}\n", *([about] if about else []), table]))
    return "".join(sections)


def engine_args() -> str:
    """Two columns: a line has one of each, as long as there are."""
    columns = (sorted(ENGINE_ARGS_OF_ANSWERS), sorted(ENGINE_ARGS_OF_THE_MACHINE))
    return _table(
        ("changes answers: part of config_id", "where and how fast: not part of it"),
        (tuple(f"`{name}`" if name else "" for name in pair) for pair in itertools.zip_longest(*columns, fillvalue="")),
    )


def refused_engine_args() -> str:
    reasons: dict[str, list[str]] = {}
    for name, reason in REFUSED.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    return _table(("refused", "because"), ((", ".join(names), reason) for reason, names in reasons.items()))


def _key_row(key: Key) -> tuple[str, ...]:
    return (f"`{key.name}`", key.type, _code(key.default), key.allowed, key.meaning)


def _code(default: str) -> str:
    return default if default in ("required", "none") else f"`{default}`"


TABLES: Final[dict[str, Callable[[], str]]] = {
    "results": lambda: columns(with_config_id(RESULTS)),
    "failures": lambda: columns(with_config_id(FAILURES)),
    "clips": lambda: columns(with_config_id(CLIPS)),
    "reasons": reasons,
    "checks": checks,
    "keys": keys,
    "engine_args": engine_args,
    "refused_engine_args": refused_engine_args,
}
MARKED: Final = re.compile(r"(?<=<!-- table: )(\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def rewrite(page: str) -> str:
    """The page with its tables as the code has them now."""
    return MARKED.sub(lambda match: f"{match[1]} -->\n{TABLES[match[1]]()}<!-- end -->", page)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _type(data_type: pa.DataType) -> str:
    return str(data_type.value_type) if pa.types.is_dictionary(data_type) else str(data_type)


def _pause(pause: timedelta | None) -> str:
    if pause is None:
        return "never"
    minutes = int(pause.total_seconds() // 60)
    number, unit = (minutes // 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    return f"after {number} {unit}" if number == 1 else f"after {number} {unit}s"


if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / name).write_text(rewrite(page), encoding="utf-8")
