"""What an erasure would change, as rows that a command prints or writes: of videos, of objects, of tables."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from framegate.pipelines.commit.output import Output
from framegate.pipelines.erase.records import config_id_of
from framegate.pipelines.erase.search import Matches, find_matches
from framegate.pipelines.erase.targets import Targets
from framegate.schemas.uris import public

VIDEO_COLUMNS = ("video_uri", "results", "failures", "clips", "plans", "journal", "attempts", "labels")


def as_stored(uri: str) -> str:
    """The URI under which a video is stored: a local file by its absolute path, a web address without its query."""
    path = public(uri).removeprefix("file://")
    if "://" in path:
        return path
    return os.path.abspath(path) + ("/" if path.endswith("/") else "")


def find_videos_below(output: Output, prefix: str) -> list[str]:
    """URIs of all videos that the output names and that begin with `prefix`, in order. Raises StorageError."""
    found = find_matches(output, Targets(prefix=as_stored(prefix)))
    return sorted({*found.video_ids, *found.members})


def count_by_video(uris: Iterable[str], matches: Matches) -> list[dict[str, Any]]:
    """VIDEO_COLUMNS of each video: rows in each table, objects in journal, attempts and labels."""
    return [_count(uri, matches) for uri in uris]


def _count(uri: str, matches: Matches) -> dict[str, Any]:
    ids = matches.video_ids.get(uri, frozenset())
    counts: Counter[str] = Counter()
    for file in matches.files:
        counts[file.table] += sum(num_rows for (found, _), num_rows in file.rows.items() if found == uri)
    counts["journal"] = sum(each.video_id in ids for each in matches.journal)
    counts["attempts"] = sum(each.video_id in ids for each in matches.attempts)
    counts["labels"] = sum(each.video_id in ids for each in matches.labels)
    return {"video_uri": uri, **{name: counts[name] for name in VIDEO_COLUMNS[1:]}}


def list_objects(matches: Matches) -> list[dict[str, Any]]:
    """Every object that would be replaced or deleted; `rows` is how many it loses, None where it is no table."""
    files = [("replace", file.info, file.table, sum(file.rows.values())) for file in matches.files]
    named = [("replace", info, "runs", None) for info in matches.records]
    gone = [
        *(("delete", each.info, "journal", None) for each in matches.journal),
        *(("delete", each.info, "attempts", None) for each in matches.attempts),
        *(("delete", each.info, "labels", None) for each in matches.labels),
        *(("delete", each.info, "quarantine", None) for each in matches.set_aside),
        *(("delete", info, "indexes", None) for info in matches.indexes),
        *(("delete", info, "reports", None) for info in matches.reports),
    ]
    return [
        {"action": action, "object": info.uri, "config_id": config_id_of(info.uri), "table": table, "rows": num_rows}
        for action, info, table, num_rows in (*files, *named, *gone)
    ]


def sum_by_table(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `list_objects` added up by config_id and table."""
    groups: dict[tuple[str, str], list[int]] = {}
    for row in objects:
        groups.setdefault((row["config_id"] or "", row["table"]), []).append(row["rows"] or 0)
    return [
        {"config_id": config_id or None, "table": table, "objects": len(rows), "rows": sum(rows) or None}
        for (config_id, table), rows in sorted(groups.items())
    ]
