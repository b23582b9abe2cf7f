"""What a job is refused for before anything is done: by `plan` and by `run`, in the same words.

Nothing is written. What can only be told by writing, such as whether the credentials allow it, a run finds out before
its first object.
"""

from __future__ import annotations

from framegate.pipelines.commit.migrate import check_is_migrated
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import check_partitioning
from framegate.pipelines.plan.model_check import check_job_model
from framegate.pipelines.plan.plan import make_policy
from framegate.pipelines.reason.engines.build import check_engine, check_requirements
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.job import Job


def check_job(job: Job, strategy: Strategy, *, has_engine: bool) -> None:
    """Raises FramegateError for the first thing that is wrong. `has_engine`: an engine is given, and the job's own,
    its arguments and its weights do not matter."""
    config = job.config
    make_policy(config).check()
    if not has_engine:
        check_engine(config.model.engine, strategy)
        check_requirements(config)
        check_job_model(config, job.questions)
    output = Output.open(config.output)
    output.store.check_reachable(output.root)
    check_partitioning(output, config.output.partition_by, config.input.time_zone)
    check_is_migrated(output)
