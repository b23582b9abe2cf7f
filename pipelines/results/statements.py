"""What a person writes as SQL: where a statement ends, and whether it is one that only reads."""

from __future__ import annotations

from typing import Final

import duckdb

from framegate.schemas.errors import QueryError
from framegate.schemas.escape import is_unicode

_ALLOWED: Final = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_BEGINS_PIVOT: Final = ("pivot", "pivot_wider", "with", "from", "select", "(", "explain")
"""A PIVOT that finds its columns itself is several statements to DuckDB, and so are those that make a table of one."""
_CLOSED_BY: Final = {"'": "'", '"': '"'}


def check_statement(sql: str) -> str:
    """The one statement in a text. It is a SELECT or an EXPLAIN; PIVOT, UNPIVOT, SUMMARIZE, DESCRIBE, SHOW, FROM,
    VALUES and TABLE are SELECTs. Raises QueryError for anything else."""
    if not is_unicode(sql):
        raise QueryError("the statement holds bytes that are no UTF-8")
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(one_sentence(error)) from error
    if len(statements) == 1 and (statements[0].type in _ALLOWED or _is_pivot(statements[0])):
        return statements[0].query
    kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
    raise QueryError(f"the query must be exactly one SELECT or EXPLAIN statement, got: {kinds}")


def split_statements(text: str) -> tuple[list[str], str]:
    """The statements that a semicolon ends, each without it, and what stands behind the last one.

    A semicolon inside of a literal, a quoted name or a comment ends nothing. Statements without a word are left out.
    """
    statements, begin = list[str](), 0
    tokens = [(offset, kind.name) for offset, kind in duckdb.tokenize(text)]
    encoded = text.encode()  # offsets count bytes
    for offset, kind in tokens:
        if kind == "operator" and encoded[offset : offset + 1] == b";":
            statements.append(encoded[begin:offset].decode())
            begin = offset + 1
    return [one.strip() for one in statements if has_words(one)], encoded[begin:].decode()


def has_words(text: str) -> bool:
    """Whether there is more than comments and semicolons in a text."""
    encoded = text.encode()
    return any(
        kind.name != "comment" and encoded[offset : offset + 1] not in (b";", b"")
        for offset, kind in duckdb.tokenize(text)
    )


def one_sentence(error: Exception) -> str:
    """DuckDB's message and hint, without the lines that quote the statement."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("LINE ", "^"))]
    return " ".join(kept) or type(error).__name__


def _is_pivot(statement: duckdb.Statement) -> bool:
    if statement.type != duckdb.StatementType.MULTI:
        return False
    encoded = statement.query.encode()
    words = [(offset, kind.name) for offset, kind in duckdb.tokenize(statement.query) if kind.name != "comment"]
    first = encoded[words[0][0] :].lstrip().decode().lower() if words else ""
    return first.startswith(_BEGINS_PIVOT)
