"""What can be named in a statement: tables with their columns, and DuckDB's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from framegate.pipelines.results.terms import QueryTerms
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.results.views import open_views
from framegate.schemas.rules import Rules


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """`tables`: views, and tables of named files, with their columns. `words`: keywords in upper case; `functions`."""

    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Sequence[str] = ()
    functions: Sequence[str] = ()


def read_catalog(
    output_uri: str, storage_options: Mapping[str, object], terms: QueryTerms, rules: Rules | None = None
) -> Catalog:
    """Of an output as it is now. Raises FramegateError."""
    with open_views(output_uri, storage_options, terms=terms, rules=rules) as views:
        views.make_all()
        names = ", ".join(map(text_literal, (*views.makers, *terms.files)))
        columns = views.connection.sql(f"""
            SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns()
            WHERE table_name IN ({names}) GROUP BY 1 ORDER BY 1""")
        words = views.connection.sql("SELECT upper(keyword_name) FROM duckdb_keywords() ORDER BY 1")
        functions = views.connection.sql(r"""
            SELECT DISTINCT function_name FROM duckdb_functions()
            WHERE regexp_full_match(function_name, '[a-z][a-z0-9_]{2,}') AND function_type <> 'pragma' ORDER BY 1""")
        return Catalog(
            tables=dict(columns.fetchall()),
            words=[word for (word,) in words.fetchall()],
            functions=[name for (name,) in functions.fetchall()],
        )
