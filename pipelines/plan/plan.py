"""The plan of a job: the input as it is now, minus what its output holds.

Nothing in storage is changed.
"""

from __future__ import annotations

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import read_tombstones, without_erased
from framegate.pipelines.commit.video_log import read_video_log
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.plan.absent import recall_absent
from framegate.pipelines.plan.certified_pruning import check_pruning
from framegate.pipelines.plan.columns import read_columns
from framegate.pipelines.plan.config_choice import ConfigChoice
from framegate.pipelines.plan.coverage import Retries
from framegate.pipelines.plan.left_out import first_refused, tell_left_out, tell_refused
from framegate.pipelines.plan.look import Look
from framegate.pipelines.plan.remaining import remaining
from framegate.pipelines.plan.stored import read_stored
from framegate.pipelines.plan.video_changes import tell_changes
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.pipelines.source.find import find_input
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.source.names import OwnPlace
from framegate.schemas.clock import now
from framegate.schemas.config import RunConfig
from framegate.schemas.errors import FramegateError
from framegate.schemas.job import Job
from framegate.schemas.run import Plan


def make_policy(config: RunConfig) -> Policy:
    """How videos are cut and frames chosen for the job's model."""
    grid = read_vision_grid(config.model.name, config.model.revision)
    return Policy(frames=config.frames, clips=config.clips, factor=grid.factor, temporal_patch=grid.temporal_patch)


def make_plan(
    job: Job, choice: ConfigChoice, indexes: ShardIndexCache, *, limit: int | None, retry_failed: bool
) -> Plan:
    """The videos with work left, at most `limit` of them. `retry_failed` tries all failures again.

    `choice` is what `choose_config` gave. `indexes` come to know those of shards that storage has no index of.
    Raises FramegateError where the job cannot start: no videos, a column to partition by that is none,
    pruning that is not certified and should be.
    """
    id = choice.config_id
    output, time = Output.open(job.config.output), now()
    check_pruning(job, output, id)
    columns = read_columns(job.config, output, id)
    found = find_input(job.config.input, indexes, types=columns.types, own=own_place(output))
    columns.check(found)
    log, look = read_video_log(output), Look.of(job, found, time)
    changes = look.changes(output, log)
    videos = recall_absent(found.videos, look.is_absent | look.is_unreadable, log)
    stored = read_stored(output, id)
    left = remaining(
        videos,
        [question.hash for question in job.questions],
        stored,
        retries=Retries(now=time, max_attempts=job.config.failures.max_attempts, everything=retry_failed),
        erased=read_tombstones(output),
    )
    return Plan(
        config_id=id,
        num_videos=left.num_found,
        num_skipped=left.num_found - left.num_left,
        num_erased=left.num_erased,
        num_settled=left.num_settled,
        num_gone=left.num_gone,
        videos=left.videos(limit),
        changes=changes,
        questions=job.questions,
        columns={**columns.types.fixed, **found.columns},
        notices=(
            *choice.notices,
            *tell_changes(changes, log),
            *columns.notices(found),
            *tell_left_out(found.listing),
            *tell_refused(videos),
            *_tell_damaged(stored.damaged),
        ),
        damaged=stored.damaged,
        first_refused=first_refused(videos),
        num_ignored_members=indexes.count_ignored(),
        num_stored_rows=stored.answered.num_rows,
    )


def _tell_damaged(uris: tuple[str, ...]) -> list[str]:
    if not uris:
        return []
    return [
        f"{len(uris):,} objects of the journal are no units, such as {uris[0]}: a run sets them aside and asks again"
    ]


def refuse_erased(output: Output, run_id: str, planned: Plan) -> None:
    """Where the plan that was just stored names a video that was erased meanwhile: deletes it, raises FramegateError.

    That erasure may have looked for plans before this one was there.
    """
    kept = without_erased(planned.videos, read_tombstones(output))
    if kept.num_rows < planned.videos.num_rows:
        output.store.delete([output.layout.plan(run_id)])
        raise FramegateError("videos of this run were erased while it was planned; nothing was done, run it again")


def own_place(output: Output) -> OwnPlace:
    """The output, which is no input, even where it lies below the videos or is their own folder."""
    return OwnPlace(uri=output.root, holds=output.holds)
