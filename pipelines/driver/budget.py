"""What a run may spend by `gate.budget`: what is left of it, and the stop of the run once it is spent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.purse import Limit, LocalPurse
from framegate.pipelines.driver.stopping import TICK_SECONDS, Stopping
from framegate.schemas.config.cost import SECONDS_PER_HOUR
from framegate.schemas.config.gate import GatedConfig
from framegate.schemas.job import Job
from framegate.schemas.run import Shard, Stop

CLOSING_TOKENS: Final = 16  # of the text that ends a thought which takes too long, at most


class Budget:
    """The limit of a run, and what it has spent of it over all its rounds."""

    def __init__(self, limit: Limit, said: str) -> None:
        """`said`: the limit in words."""
        self._limit, self.said = limit, said
        self.num_tokens, self.engine_seconds = 0, 0.0

    @staticmethod
    def of(job: Job, shard: Shard | None) -> Budget | None:
        """The job's, of which the runs of an array have equal parts; None where there is none."""
        gate, parts = job.config.gate, 1 if shard is None else shard.of
        config = gate.budget if isinstance(gate, GatedConfig) else None
        if config is None:
            return None
        share = "" if parts == 1 else f", one of {parts} parts of gate.budget,"
        if config.thinking_tokens is not None:
            row_tokens = gate.max_thinking_tokens + gate.max_answer_tokens + CLOSING_TOKENS
            tokens = max(1, config.thinking_tokens // parts)
            return Budget(Limit(thinking_tokens=tokens, row_tokens=row_tokens), f"{tokens:,} thinking tokens{share}")
        assert config.engine_hours is not None
        hours = config.engine_hours / parts
        return Budget(Limit(engine_seconds=hours * SECONDS_PER_HOUR), f"{hours:g} engine hours{share}")

    @staticmethod
    def of_first_answers(job: Job, shard: Shard | None) -> Budget | None:
        """What first answers spend of it: the engine's time alone, as nothing is thought about."""
        budget = Budget.of(job, shard)
        return None if budget is None or budget.seconds_left is None else budget

    @property
    def tokens_left(self) -> int | None:
        """None where tokens are not what is bounded."""
        return None if self._limit.thinking_tokens is None else max(0, self._limit.thinking_tokens - self.num_tokens)

    @property
    def seconds_left(self) -> float | None:
        """None where the engine's time is not what is bounded."""
        limit = self._limit.engine_seconds
        return None if limit is None else max(0.0, limit - self.engine_seconds)

    def spend(self, *, num_tokens: int, engine_seconds: float) -> None:
        self.num_tokens += num_tokens
        self.engine_seconds += engine_seconds

    def hear(self, receipts: Generator[Receipt]) -> Generator[Receipt]:
        """The same receipts; what they took is spent."""
        try:
            for receipt in receipts:
                num_tokens = receipt.num_thinking_tokens + receipt.num_deepened_tokens
                self.spend(num_tokens=num_tokens, engine_seconds=receipt.engine_seconds)
                yield receipt
        finally:
            receipts.close()

    def make_purse(self) -> LocalPurse:
        """With what is left."""
        return LocalPurse(replace(self._limit, thinking_tokens=self.tokens_left, engine_seconds=self.seconds_left))

    @contextmanager
    def watching(self, has_refused: Callable[[], bool], stopping: Stopping) -> Iterator[None]:
        """Inside of it the run is told to stop soon after a purse has turned a unit away."""
        is_over = threading.Event()
        watch = threading.Thread(
            target=partial(self._watch, has_refused, stopping, is_over), name="budget", daemon=True
        )
        watch.start()
        try:
            yield
        finally:
            is_over.set()
            watch.join()

    def _watch(self, has_refused: Callable[[], bool], stopping: Stopping, is_over: threading.Event) -> None:
        was_last = False
        while not was_last:
            was_last = is_over.wait(TICK_SECONDS)
            if has_refused():
                stopping.ask(Stop(code="budget", sentence=f"its budget of {self.said} is spent"))
                return
