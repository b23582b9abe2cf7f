"""The audit sample of a run. A job may name its rate by a number of rows: so many of those that the output will have.

As an archive grows, the rate falls. Rows that were audited at a higher one stay audited. Those whose rank is below the
lowest rate are a uniform draw of all rows.

A gate draws from the rows that it decides about. Of still clips, rows are drawn whatever the strategy is.
"""

from __future__ import annotations

from dataclasses import replace

from framegate.pipelines.plan.forecast import forecast
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.job import Job
from framegate.schemas.run import Plan


def settle_audit(job: Job, planned: Plan, strategy: Strategy) -> tuple[Plan, Strategy]:
    """Both with the run's sample, the strategy where it is a gate. Reads headers of some videos, where
    `gate.audit.rows` asks for a rate. A gate's own sample goes before the job's."""
    audit = _sample(job, planned, strategy)
    settled = replace(strategy, audit=audit) if isinstance(strategy, Gated) else strategy
    return replace(planned, audit=audit), settled


def _sample(job: Job, planned: Plan, strategy: Strategy) -> AuditSample | None:
    audit = job.config.gate.audit
    if audit.rows is None or planned.videos.num_rows == 0:
        of_job = None if audit.rate is None else audit.sample(audit.rate)
        return strategy.audit if isinstance(strategy, Gated) else of_job
    if not isinstance(strategy, Gated) and job.config.clips.same_within is None:
        return None
    num_rows = planned.num_stored_rows + forecast(job, planned, strategy).estimated_rows
    return audit.sample(min(1.0, audit.rows / max(num_rows, 1)))
