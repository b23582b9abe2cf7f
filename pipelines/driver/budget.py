"""What a run may spend by `gate.budget` and by its deadline: what is left of it, and the stop once it is spent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Final

from framegate.pipelines.driver.pacemaker import Course, Pacemaker
from framegate.pipelines.driver.purse import Limit, LocalPurse
from framegate.pipelines.driver.stopping import TICK_SECONDS, Stopping
from framegate.schemas.config.cost import SECONDS_PER_HOUR
from framegate.schemas.config.gate import GatedConfig
from framegate.schemas.job import Job
from framegate.schemas.run import Shard, Stop
from framegate.schemas.spending import Purse

CLOSING_TOKENS: Final = 16  # of the text that ends a thought which takes too long, at most


class Budget:
    """The limits of a run. `limit`: None where its deadline alone bounds it; `said`: the limit in words; `course`: None
    where all that is asked thinks."""

    def __init__(self, limit: Limit | None, said: str = "", course: Course | None = None) -> None:
        self.limit, self.said, self.course = limit, said, course

    @staticmethod
    def of(
        job: Job, shard: Shard | None, *, num_tokens: int = 0, engine_seconds: float = 0.0, course: Course | None = None
    ) -> Budget | None:
        """The job's, of which the runs of an array have equal parts, less what is spent already; None where neither it
        nor a `course` bounds the run."""
        gate, parts = job.config.gate, 1 if shard is None else shard.of
        config = gate.budget if isinstance(gate, GatedConfig) else None
        if config is None:
            return None if course is None else Budget(None, course=course)
        share = "" if parts == 1 else f", one of {parts} parts of gate.budget,"
        if config.thinking_tokens is not None:
            row_tokens = gate.max_thinking_tokens + gate.max_answer_tokens + CLOSING_TOKENS
            tokens = max(1, config.thinking_tokens // parts)
            limit = Limit(thinking_tokens=max(0, tokens - num_tokens), row_tokens=row_tokens)
            return Budget(limit, f"{tokens:,} thinking tokens{share}", course)
        assert config.engine_hours is not None
        hours = config.engine_hours / parts
        limit = Limit(engine_seconds=max(0.0, hours * SECONDS_PER_HOUR - engine_seconds))
        return Budget(limit, f"{hours:g} engine hours{share}", course)

    def purse_maker(self) -> Callable[[], Purse]:
        """What makes the purse of a round: what rounds before it have spent is spent anew. Picklable."""
        return partial(_make_purse, self.limit, self.course)

    def watching(self, purse: Purse, stopping: Stopping) -> AbstractContextManager[None]:
        """Inside of it the run is told to stop soon after the purse has turned a unit away."""
        return nullcontext() if self.limit is None else self._watching(purse, stopping)

    @contextmanager
    def _watching(self, purse: Purse, stopping: Stopping) -> Iterator[None]:
        is_over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(purse, stopping, is_over), name="budget", daemon=True)
        watch.start()
        try:
            yield
        finally:
            is_over.set()
            watch.join()

    def _watch(self, purse: Purse, stopping: Stopping, is_over: threading.Event) -> None:
        was_last = False
        while not was_last:
            was_last = is_over.wait(TICK_SECONDS)
            if purse.has_refused():
                stopping.ask(Stop(code="budget", sentence=f"its budget of {self.said} is spent"))
                return


def _make_purse(limit: Limit | None, course: Course | None) -> Purse:
    purse = None if limit is None else LocalPurse(limit)
    if course is not None:
        return Pacemaker(course, purse)
    assert purse is not None
    return purse
