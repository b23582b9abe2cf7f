"""What a run may spend by `gate.budget` and by its deadline: what is left of it, and the stop once it is spent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Final

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.ledger import Limit, LocalLedger
from framegate.pipelines.driver.pacemaker import Horizon, Pacemaker
from framegate.pipelines.driver.stopping import TICK_SECONDS, Stopping
from framegate.schemas.config.cost import SECONDS_PER_HOUR
from framegate.schemas.config.gate import GatePart
from framegate.schemas.job import Job
from framegate.schemas.run import Shard, Stop
from framegate.schemas.spending import Ledger

CLOSING_TOKENS: Final = 16  # of the text that ends a thought which takes too long, at most


class Budget:
    """The limits of a run, and what it has spent of them over its rounds."""

    def __init__(self, limit: Limit | None, said: str = "", horizon: Horizon | None = None) -> None:
        """`limit`: None where the deadline alone bounds the run. `said`: the limit in words. `horizon`: None where all
        that is asked thinks."""
        self.said, self.horizon = said, horizon
        self._limit = limit
        self._num_tokens, self._engine_seconds = 0, 0.0

    @staticmethod
    def of(
        job: Job,
        shard: Shard | None,
        *,
        num_tokens: int = 0,
        engine_seconds: float = 0.0,
        horizon: Horizon | None = None,
    ) -> Budget | None:
        """The job's, of which the runs of an array have equal parts, less what is spent already; None where neither it
        nor a `horizon` bounds the run."""
        gate, parts = job.config.gate, 1 if shard is None else shard.of
        config = gate.budget if isinstance(gate, GatePart) else None
        if config is None:
            return None if horizon is None else Budget(None, horizon=horizon)
        share = "" if parts == 1 else f", one of {parts} parts of gate.budget,"
        if config.thinking_tokens is not None:
            row_tokens = gate.max_thinking_tokens + gate.max_answer_tokens + CLOSING_TOKENS
            tokens = max(1, config.thinking_tokens // parts)
            limit = Limit(thinking_tokens=tokens, row_tokens=row_tokens).less(num_tokens, engine_seconds)
            return Budget(limit, f"{tokens:,} thinking tokens{share}", horizon)
        assert config.engine_hours is not None
        hours = config.engine_hours / parts
        limit = Limit(engine_seconds=hours * SECONDS_PER_HOUR).less(num_tokens, engine_seconds)
        return Budget(limit, f"{hours:g} engine hours{share}", horizon)

    @property
    def limit(self) -> Limit | None:
        """What is left of it."""
        return None if self._limit is None else self._limit.less(self._num_tokens, self._engine_seconds)

    def hear(self, receipts: Generator[Receipt]) -> Generator[Receipt]:
        """The same receipts. What they took is spent, for the rounds to come."""
        try:
            for receipt in receipts:
                self._num_tokens += receipt.num_thinking_tokens + receipt.num_deepened_tokens
                self._engine_seconds += receipt.engine_seconds
                yield receipt
        finally:
            receipts.close()

    def ledger_maker(self) -> Callable[[], Ledger]:
        """What makes the ledger of a round. Picklable."""
        return partial(_make_ledger, self.limit, self.horizon)

    def watching(self, ledger: Ledger, stopping: Stopping) -> AbstractContextManager[None]:
        """Inside of it the run is told to stop soon after the ledger has turned a unit away."""
        return nullcontext() if self.limit is None else self._watching(ledger, stopping)

    @contextmanager
    def _watching(self, ledger: Ledger, stopping: Stopping) -> Iterator[None]:
        is_over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ledger, stopping, is_over), name="budget", daemon=True)
        watch.start()
        try:
            yield
        finally:
            is_over.set()
            watch.join()

    def _watch(self, ledger: Ledger, stopping: Stopping, is_over: threading.Event) -> None:
        was_last = False
        while not was_last:
            was_last = is_over.wait(TICK_SECONDS)
            if (refusal := ledger.refusal()) is not None:
                lost = "what keeps its budget was lost with its process, and nothing more is spent"
                sentence = lost if refusal == "lost" else f"its budget of {self.said} is spent"
                stopping.ask(Stop(code="budget", sentence=sentence))
                return


def _make_ledger(limit: Limit | None, horizon: Horizon | None) -> Ledger:
    ledger = None if limit is None else LocalLedger(limit)
    if horizon is not None:
        return Pacemaker(horizon, ledger)
    assert ledger is not None
    return ledger
