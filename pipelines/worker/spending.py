"""How a worker spends of a run's budget: it takes what a block may need, and tells what it took."""

from __future__ import annotations

import time
from typing import Final, Protocol

from framegate.schemas.run import Admission

WAIT_SECONDS: Final = 0.2


class Purse(Protocol):
    """`pipelines.driver.purse.LocalPurse` is one. Shared by all workers of a run."""

    def take(self, unit: str, num_rows: int) -> Admission: ...

    def settle(self, unit: str, num_tokens: int, engine_seconds: float) -> None: ...


def wait_for_admission(purse: Purse, unit: str, num_rows: int) -> bool:
    """False where the budget is spent. May wait for others as long as they take."""
    while (said := purse.take(unit, num_rows)) == "wait":
        time.sleep(WAIT_SECONDS)
    return said == "granted"
