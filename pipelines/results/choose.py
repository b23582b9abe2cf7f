"""What a command is about, chosen from what an output holds: videos by a condition in SQL, or its config_ids."""

from __future__ import annotations

import duckdb

from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.views import Views, one_sentence, select
from framegate.schemas.errors import QueryError

_VIEWS = ("answers", "failure_history")


def choose_videos(views: Views, condition: str) -> list[str]:
    """The URIs of videos with an answer or a failure for which the condition is true, in order.

    A condition with a column that only one of the two views has is applied to that view alone. Raises QueryError where
    it is not one boolean expression, or where no view has its columns.
    """
    found: set[str] = set()
    refusals: list[str] = []
    views.make_mentioned(f"{condition} {' '.join(_VIEWS)}")
    for view in _VIEWS:
        try:
            # As a projection it is parsed as an expression: no second statement, no UNION, no LIMIT gets through.
            types = [str(data_type) for data_type in views.connection.table(view).project(condition).types]
        except duckdb.BinderException as error:
            refusals.append(one_sentence(error))
            continue
        except duckdb.Error as error:
            raise QueryError(f"{_rule(condition)}: {one_sentence(error)}") from error
        if types != ["BOOLEAN"]:
            raise QueryError(f"{_rule(condition)}; it gives {', '.join(types)}")
        rows = select(views, f"SELECT DISTINCT video_uri FROM {view} WHERE (\n{condition}\n)")
        found |= set(rows.column("video_uri").to_pylist())
    if len(refusals) == len(_VIEWS):
        raise QueryError(f"{_rule(condition)}: {refusals[0]}")
    return sorted(found)


def list_config_ids(output: Output) -> list[str]:
    """Every config_id that a run has recorded, which it does before its first unit, or that has seals; in order."""
    recorded = {info.uri.rpartition("/")[2].removesuffix(".yaml") for info in output.list("configs")}
    sealed = {
        info.uri.rpartition("/config_id=")[2].partition("/")[0]
        for info in output.list("seals")
        if "/config_id=" in info.uri
    }
    return sorted(recorded | sealed)


def _rule(condition: str) -> str:
    return (
        f"--where {condition!r} must be one condition that is true or false for a row, such as input_camera = 'north'"
    )
