"""SQL of views in the words of other engines. `sqlglot` translates; what it does not know is here.

The views are written for DuckDB. Two things have other names everywhere: a time some seconds later, and the local time
of a moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from sqlglot import exp

DIALECTS: Final = ("duckdb", "spark", "trino")


def translate(sql: str, dialect: str) -> str:
    """A SELECT of DuckDB in another dialect, laid out in lines. Raises ConfigError where sqlglot is not installed."""
    try:
        from sqlglot import parse_one
    except ImportError:
        raise ConfigError("SQL for other engines is translated by sqlglot: pip install 'framegate[sql]'") from None
    parsed = parse_one(sql, read="duckdb")
    return parsed.transform(lambda node: _own_words(node, dialect)).sql(dialect, pretty=True)


def _own_words(node: exp.Expr, dialect: str) -> exp.Expr:
    from sqlglot import exp

    if isinstance(node, exp.Anonymous) and node.name.lower() == "seconds_after":
        moment, seconds = node.expressions
        return _seconds_after(moment, seconds, dialect)
    if isinstance(node, exp.Anonymous) and node.name.lower() == "timezone":
        zone, moment = node.expressions
        return _local_time(zone, moment, dialect)
    return node


def _seconds_after(moment: exp.Expr, seconds: exp.Expr, dialect: str) -> exp.Expr:
    from sqlglot import exp, parse_one

    micros = exp.cast(exp.Mul(this=exp.paren(seconds), expression=exp.Literal.number(1000000)), "BIGINT")
    if dialect == "spark":
        return exp.Anonymous(this="TIMESTAMPADD", expressions=[exp.var("MICROSECOND"), micros, moment])
    if dialect == "trino":  # which has times to the millisecond in such sums
        second = parse_one("INTERVAL '1' SECOND", read="trino")
        return exp.paren(exp.Add(this=moment, expression=exp.Mul(this=second, expression=exp.paren(seconds))))
    return exp.paren(exp.Add(this=moment, expression=exp.Anonymous(this="TO_MICROSECONDS", expressions=[micros])))


def _local_time(zone: exp.Expr, moment: exp.Expr, dialect: str) -> exp.Expr:
    from sqlglot import exp

    if dialect == "spark":  # in a session whose time zone is UTC
        return exp.Anonymous(this="FROM_UTC_TIMESTAMP", expressions=[moment, zone])
    if dialect == "trino":
        return exp.cast(exp.AtTimeZone(this=moment, zone=zone), "TIMESTAMP")
    return exp.Anonymous(this="TIMEZONE", expressions=[zone, moment])
