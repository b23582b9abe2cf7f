"""How rows are taken up that are to think, where not all of them can be: in the order of spending, within a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from framegate.pipelines.driver.budget import Budget
from framegate.pipelines.driver.run import Run
from framegate.pipelines.plan.shard import take_rows_of
from framegate.pipelines.plan.spending import Reach, ReadWorth, arrange
from framegate.schemas.job import Job
from framegate.schemas.run import Shard


@dataclass(frozen=True, kw_only=True)
class Spending:
    """
    read_worth      what is known of thinking
    shard           one of several runs that share the budget, and the rows by their videos; None: this one alone
    num_tokens, engine_seconds   of the budget, spent already
    """

    read_worth: ReadWorth
    shard: Shard | None = None
    num_tokens: int = 0
    engine_seconds: float = 0.0

    def budget_left(self, job: Job) -> Budget | None:
        """None where the job has none."""
        return Budget.of(job, self.shard, num_tokens=self.num_tokens, engine_seconds=self.engine_seconds)

    def arranging(self, run: Run, config_id: str, budget: Budget | None) -> Callable[[pa.Table], pa.Table]:
        """What takes, of rows in DEEPENABLE, those of this run that are within reach, in the order of spending."""
        always = {question.hash for question in run.job.questions if question.think == "always"}

        def take(rows: pa.Table) -> pa.Table:
            mine = take_rows_of(rows, self.shard)
            return arrange(mine, self.read_worth(config_id), _reach(run, budget), always)

        return take


def _reach(run: Run, budget: Budget | None) -> Reach:
    """The engines have the time to the deadline each."""
    limit = None if budget is None else budget.limit
    seconds = []
    if limit is not None and limit.engine_seconds is not None:
        seconds.append(limit.engine_seconds)
    if (until := run.stopping.deadline_seconds) is not None:
        seconds.append(until * run.job.config.ray.reason_actors.max)
    return Reach(tokens=None if limit is None else limit.thinking_tokens, engine_seconds=min(seconds, default=None))
