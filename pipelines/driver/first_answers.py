"""How a run sees to it that first answers come first, by `gate.defer`.

    auto     under a budget or a deadline rows think at a pace that leaves a first answer to every row
    always   no row thinks before all have their first answers
    never    rows think as the gate has it

Whatever is deferred is taken up at the end, as a deepening does. Why `auto` is the default: infra/adr/0011-budget.md.
"""

from __future__ import annotations

import time
from dataclasses import replace

from framegate.pipelines.driver.budget import Budget
from framegate.pipelines.driver.pacemaker import Horizon
from framegate.pipelines.driver.run import Run
from framegate.pipelines.plan.forecast import forecast
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.config.gate import GatePart
from framegate.schemas.job import Job
from framegate.schemas.run import Plan, Shard


def defer_all(job: Job, strategy: Strategy) -> Strategy:
    """The strategy, under which nothing thinks where `gate.defer` is always."""
    gate = job.config.gate
    if isinstance(strategy, Gated) and isinstance(gate, GatePart) and gate.defer == "always":
        return replace(strategy, defers=True)
    return strategy


def budget_of_first_answers(run: Run, planned: Plan, strategy: Strategy, shard: Shard | None) -> Budget | None:
    """What bounds a run before it takes up what is deferred; None: nothing does. May read headers of some videos."""
    gate = run.job.config.gate
    if not isinstance(strategy, Gated) or not isinstance(gate, GatePart):
        return None
    if gate.defer == "always":  # nothing is thought about, and of a budget the engine's time alone is spent
        is_of_engine = gate.budget is not None and gate.budget.engine_hours is not None
        return Budget.of(run.job, shard) if is_of_engine else None
    seconds_left = run.stopping.deadline_seconds
    if gate.defer == "never" or (gate.budget is None and seconds_left is None):
        return None
    over_at = None if seconds_left is None else time.time() + seconds_left - run.stopping.reserve_seconds()
    # With nothing left to ask there is still what earlier runs have deferred, which a run with a budget takes up.
    has_work = planned.videos.num_rows > 0 and run.stopping.reason is None
    num_rows = forecast(run.job, planned, strategy).estimated_rows if has_work else 0
    return Budget.of(run.job, shard, horizon=Horizon(num_rows=num_rows, over_at=over_at))
