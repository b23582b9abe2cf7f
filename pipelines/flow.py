"""The whole flow on one screen: plan -> decode -> reason -> commit as one streaming Ray Dataset, then seal.

The only module that knows all rooms. Frames cross the object store once, from decode to reason, one unit at a time;
what comes after is small. Whatever goes wrong with one video is a row by the time it gets here.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pipelines.cluster import Shares, start_ray, unwrap
from pipelines.commit.journal import read_done
from pipelines.commit.records import record_config, record_run
from pipelines.commit.rows import RunFacts
from pipelines.commit.seal import seal
from pipelines.commit.stage import CommitStage
from pipelines.decode.policy import Policy
from pipelines.decode.reader import decoder_version
from pipelines.decode.stage import DecodeStage
from pipelines.reason.engines.build import EngineFactory, make_engine_factory
from pipelines.reason.engines.fingerprint import fingerprint_model
from pipelines.reason.engines.grid import read_vision_grid
from pipelines.reason.prompt import DEFAULT_SYSTEM_PROMPT, FORCED_CLOSING, prefix_before_video, suffix_after_video
from pipelines.reason.stage import ReasonStage
from pipelines.source.find import find_videos
from pipelines.source.indexes import Indexes
from pipelines.source.plan import plan_videos
from pipelines.store import Store
from schemas.config import RunConfig, answer_document, config_id
from schemas.job import Job
from schemas.qa import ANSWER_TYPES, Question
from schemas.run import Counts, Plan, Progress, RunSummary
from schemas.tables import PLANNED
from schemas.work import PlannedVideo, to_table

UNITS_PER_BATCH = 8  # in one engine at once; also what a killed actor loses
MAX_PLAN_BLOCKS = 4096  # a block is a decode task; more of them only cost the driver


def plan(job: Job, *, limit: int | None = None) -> Plan:
    """What `run` would do. Changes nothing. `limit`: at most so many videos with work left."""
    return _plan(job, _identity(job.config), limit, keep_indexes=False)


def run(
    job: Job,
    *,
    limit: int | None = None,
    run_id: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    engine_factory: EngineFactory | None = None,
) -> RunSummary:
    """Does what is left to do and seals it. Ctrl-C ends it early with everything committed so far kept.

    `engine_factory` takes the place of the job's own engine. Raises FramegateError (one sentence) where the run cannot
    start or storage fails; what was committed until then stays, and the next run goes on from there.
    """
    started = time.monotonic()
    started_at = datetime.now(UTC)
    run_id = run_id or f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    root, store = job.config.output.uri, Store(job.config.output.storage_options)
    store.check_writable(root)
    identity = _identity(job.config)
    planned = _plan(job, identity, limit, keep_indexes=True)
    record_config(store, root, planned.config_id, answer_document(job.config, **identity))

    receipts = _receipts(job, planned, run_id, engine_factory)
    counts, begun, failed, is_stopped = Counts(), set(), set(), False
    try:
        for receipt in receipts:
            begun.add(receipt["video_id"])
            if receipt["undecoded"]:
                failed.add(receipt["video_id"])
            if receipt["created"]:  # else another run was first, and counts it
                counts = counts.plus(**{name: receipt[name] for name in Counts.__dataclass_fields__})
            if on_progress:
                on_progress(
                    Progress(
                        num_videos_planned=len(planned.videos),
                        num_videos_begun=len(begun),
                        counts=counts,
                        elapsed_seconds=time.monotonic() - started,
                    )
                )
    except KeyboardInterrupt:
        is_stopped = True
    finally:
        receipts.close()  # ends what still runs, so that nothing is committed behind the back of seal
    seal(store, root, planned.config_id)

    # What is left is read from storage and not from our own counters: a row that was lost on the way shows up here.
    videos = [work.video for work in planned.videos]
    left = {
        work.video.video_id for work in plan_videos(videos, job.questions, read_done(store, root, planned.config_id))
    }
    summary = RunSummary(
        run_id=run_id,
        config_id=planned.config_id,
        num_videos_planned=planned.num_skipped + len(videos),
        num_videos_answered=len({video.video_id for video in videos} - left - failed),
        num_videos_failed=len(failed - left),
        num_videos_skipped=planned.num_skipped,
        num_videos_left=len(left),
        counts=counts,
        elapsed_seconds=time.monotonic() - started,
        is_stopped=is_stopped,
    )
    record_run(store, root, run_id, _record(summary, started_at))
    return summary


def _receipts(
    job: Job, planned: Plan, run_id: str, engine_factory: EngineFactory | None
) -> Generator[dict[str, Any], None, None]:
    """One receipt for each unit as it is committed, in any order. Ray is not started where nothing is left to do."""
    if not planned.videos:
        return
    facts = RunFacts(
        run_id=run_id,
        config_id=planned.config_id,
        model=job.config.model.label,
        strategy=job.config.gate.strategy,
        engine=job.config.model.engine,
        threshold=job.config.gate.threshold if job.config.gate.strategy == "gated" else None,
        question_ids={question.hash: question.id for question in planned.questions},
    )
    shares = start_ray(job.config.ray)
    from ray.exceptions import RayError

    try:
        dataset = _dataset(job, planned.videos, facts, shares, engine_factory or make_engine_factory(job.config))
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from batch.to_pylist()
    except RayError as error:
        raise unwrap(error) from error


def _dataset(
    job: Job, videos: Sequence[PlannedVideo], facts: RunFacts, shares: Shares, engine_factory: EngineFactory
) -> Any:
    import ray.data
    from ray.data import ActorPoolStrategy

    config, actors = job.config, job.config.ray.reason_actors
    context = ray.data.DataContext.get_current()
    # Every unit is a block of its own: it moves on as soon as it is there, and no block is larger than one unit.
    context.target_max_block_size = 1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True
    per_block = -(-len(videos) // MAX_PLAN_BLOCKS)
    blocks = [to_table(videos[n : n + per_block], PLANNED) for n in range(0, len(videos), per_block)]
    return (
        ray.data.from_arrow(blocks)
        .map_batches(
            DecodeStage,
            fn_constructor_kwargs={
                "policy": _policy(config),
                "decode": config.decode,
                "storage_options": config.input.storage_options,
            },
            batch_size=1,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=min(config.ray.decode_workers, len(blocks))),
            num_cpus=shares.decode_cpus,
        )
        .map_batches(
            ReasonStage,
            fn_constructor_kwargs={"engine_factory": engine_factory, "questions": job.questions},
            batch_size=UNITS_PER_BATCH,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(min_size=actors.min, max_size=actors.max),
            num_cpus=shares.reason_cpus,
            num_gpus=config.ray.gpus_per_actor or None,
        )
        .map_batches(
            CommitStage,
            fn_constructor_kwargs={
                "root": config.output.uri,
                "storage_options": config.output.storage_options,
                "facts": facts,
            },
            batch_size=1,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=1),
            num_cpus=shares.commit_cpus,
        )
    )


def _policy(config: RunConfig) -> Policy:
    grid = read_vision_grid(config.model.name, config.model.revision)
    return Policy(frames=config.frames, clips=config.clips, factor=grid.factor, temporal_patch=grid.temporal_patch)


def _plan(job: Job, identity: dict[str, str], limit: int | None, *, keep_indexes: bool) -> Plan:
    _policy(job.config).check()
    id, root = config_id(job.config, **identity), job.config.output.uri
    store = Store(job.config.output.storage_options)
    done = read_done(store, root, id)
    indexes = Indexes(store=store, root=root, keep=keep_indexes)
    found = find_videos(job.config.input, indexes)
    ignored = sum((Counter(by_extension) for by_extension in indexes.num_ignored.values()), Counter())
    work = plan_videos(found, job.questions, done)
    return Plan(
        config_id=id,
        num_videos=len(found),
        num_skipped=len(found) - len(work),
        videos=tuple(work[:limit]),
        questions=job.questions,
        num_ignored_members=dict(ignored.most_common()),
    )


def _identity(config: RunConfig) -> dict[str, str]:
    """What `config_id` needs to know of rooms that schemas cannot see."""
    asked = [suffix_after_video(Question(id="", text="", type=answer_type)) for answer_type in ANSWER_TYPES]
    return {
        "wording": "\n".join(
            [prefix_before_video(config.prompt.system or DEFAULT_SYSTEM_PROMPT), *asked, FORCED_CLOSING]
        ),
        "model_fingerprint": fingerprint_model(config.model.name, config.model.revision),
        "decoder_version": ",".join(decoder_version(name) for name in config.frames.decoders),
    }


def _record(summary: RunSummary, started_at: datetime) -> dict[str, Any]:
    packages = ("framegate", "ray", "torch", "transformers", "av", "pyarrow")
    return {
        **asdict(summary),
        "started_at": started_at.isoformat(),
        "is_complete": summary.is_complete,
        "versions": {name: version(name) for name in packages},
    }
