"""The rate of an audit sample that a job names by its number of rows: so many of those that the output will have.

As an archive grows, the rate falls. Rows that were audited at a higher one stay audited. Those whose rank is below the
lowest rate are a uniform draw of all rows.
"""

from __future__ import annotations

from dataclasses import replace

from framegate.pipelines.plan.forecast import forecast
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.job import Job
from framegate.schemas.run import Plan


def settle_audit_rate(job: Job, planned: Plan, strategy: Strategy) -> Strategy:
    """The strategy with the rate that `gate.audit.rows` comes to. Reads headers of some videos, where that is asked."""
    audit = job.config.gate.audit
    if audit.rows is None or not isinstance(strategy, Gated) or planned.videos.num_rows == 0:
        return strategy
    num_rows = planned.num_stored_rows + forecast(job, planned, strategy).estimated_rows
    return replace(strategy, audit=audit.sample(min(1.0, audit.rows / max(num_rows, 1))))
