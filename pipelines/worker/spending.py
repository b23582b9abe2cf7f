"""How a worker spends of a run's budget: it takes what a block may need, and tells what it took."""

from __future__ import annotations

import time
from typing import Final

from framegate.schemas.qa import Answer
from framegate.schemas.spending import Grant, Ledger, RowCost

WAIT_SECONDS: Final = 0.2


def wait_for_grant(ledger: Ledger, unit: str, num_rows: int) -> Grant | None:
    """None where all is spent. May wait for others as long as they take."""
    while (said := ledger.reserve(unit, num_rows)) == "wait":
        time.sleep(WAIT_SECONDS)
    return None if said == "refused" else said


def cost_of(answer: Answer) -> RowCost:
    return RowCost(
        confidence=answer.confidence_first,
        first_seconds=answer.engine_seconds - answer.thinking_seconds,
        think_seconds=answer.thinking_seconds,
        thinking_tokens=answer.num_thinking_tokens,
    )
