"""A run's turn: what a run does where another one is at work on the same output and config_id."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from framegate.pipelines.commit.lease import Member, enter
from framegate.pipelines.commit.team import LOOK_SECONDS as TEAM_LOOK_SECONDS
from framegate.pipelines.commit.team import Team
from framegate.pipelines.driver.run import Run
from framegate.schemas.clock import now
from framegate.schemas.errors import AnotherRun
from framegate.schemas.run import Shard

LOOK_SECONDS: Final = 5.0  # between two looks at the run that is waited for
_TICK_SECONDS: Final = 0.2


def take_turn(run: Run, config_id: str, shard: Shard | None, check: Callable[[], None] = lambda: None) -> Team:
    """Returns when the run may begin, as `run.second` of its job says, with the team of runs that it is in.

    `check` is called several times a second while it waits, and may raise. Raises AnotherRun where the run is refused.
    """
    second, every_seconds = run.job.config.run.second, run.job.config.run.heartbeat_seconds
    me = Member(run_id=run.run_id, shard=None if shard is None else str(shard), is_beside=second == "beside")
    run.record.update(config_id=config_id)
    is_let_in = second in ("beside", "join")
    while (holder := enter(run.output, config_id, me, now=now(), is_beside=is_let_in)) is not None:
        if second == "refuse":
            raise AnotherRun(_refusal(holder, config_id))
        look_at = time.monotonic() + min(LOOK_SECONDS, every_seconds)
        while time.monotonic() < look_at:
            check()
            time.sleep(_TICK_SECONDS)
    team = Team(run.output, config_id, me, look_seconds=min(TEAM_LOOK_SECONDS, every_seconds))
    team.look()
    return team


def _refusal(holder: Mapping[str, Any], config_id: str) -> str:
    heartbeat = holder.get("heartbeat") or {}
    shard = f", shard {holder['shard']}," if holder.get("shard") else ""
    return (
        f"run {holder['run_id']}{shard} is at work on this output and config_id {config_id}: process"
        f" {holder.get('pid')} on {holder.get('host')}, since {_minute(holder.get('started_at'))} UTC, last heard of"
        f" at {_minute(heartbeat.get('at'))} UTC; run this one when that has ended, or set run.second: wait or join"
    )


def _minute(text: Any) -> str:
    return str(text)[:19].replace("T", " ")
