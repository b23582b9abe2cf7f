"""Refreshing what an output knows of its videos: the manifest's columns as they are now, and which videos are there.

No video is opened, no question is asked, and no row of results is changed: those keep the columns of the night that
wrote them, and views join what is known now.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from framegate.pipelines.commit.fixed import fix
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import read_tombstones, without_erased
from framegate.pipelines.commit.video_log import (
    CURRENT,
    GONE,
    NOT_LISTED,
    SUPERSEDED,
    VideoLog,
    change_video_log,
    read_video_log,
)
from framegate.pipelines.plan.columns import read_columns
from framegate.pipelines.plan.look import Look
from framegate.pipelines.plan.plan import own_place
from framegate.pipelines.source.find import find_input
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.schemas.clock import now
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job
from framegate.schemas.keys import id_numbers


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What a refresh found and stored.

    num_videos      that the input names
    num_new         that the output had not seen
    num_corrected   of which the input says something else than before, or that are back
    num_superseded, num_gone, num_not_listed   that went away since the output last looked
    """

    num_videos: int
    num_new: int
    num_corrected: int
    num_superseded: int
    num_gone: int
    num_not_listed: int


def refresh(job: Job) -> Refreshed:
    """Brings the log of videos up to date. Any number of processes may do this at once, beside runs, seals, erasures.

    Raises ConfigError where no run has begun the log yet, or the input has other types than the output; InputError,
    StorageError.
    """
    output = Output.open(job.config.output)
    if not read_video_log(output).is_begun:
        raise ConfigError(
            f"{output.root} knows of no videos yet: 'framegate run' of this version begins the list of them, and"
            " refresh brings it up to date"
        )
    columns = read_columns(job.config, output, _any_config_id(output))
    indexes = ShardIndexCache.of(job.config.output)
    found = find_input(job.config.input, indexes, types=columns.types, own=own_place(output))
    columns.check(found)
    known = {**columns.types.fixed, **found.columns}
    fix(output, job.config.output.partition_by, known, job.config.input.time_zone)
    look, counts = Look.of(job, found, now()), Counter[str]()

    def changes(log: VideoLog) -> pa.Table:
        rows = without_erased(look.changes(output, log, with_texts=True), read_tombstones(output))
        counts.clear()
        counts.update(rows.column("state").to_pylist())
        ids = set(id_numbers(rows.column("video_id")).tolist())
        counts["new"] = len(ids.difference(log.ids.tolist()))
        return rows

    change_video_log(output, changes)
    return Refreshed(
        num_videos=found.videos.num_rows,
        num_new=counts["new"],
        num_corrected=counts[CURRENT] - counts["new"],
        num_superseded=counts[SUPERSEDED],
        num_gone=counts[GONE],
        num_not_listed=counts[NOT_LISTED],
    )


def _any_config_id(output: Output) -> str:
    """One that has rows: of its files, outputs without fixed types tell those of the manifest's columns."""
    folders = (info.uri.rsplit("/", 2)[-2] for info in output.list("seals"))
    return next((folder.removeprefix("config_id=") for folder in folders), "")
