"""In which order rows think that are to, and which of them are planned at all, where not all can.

Rows of the audit sample come first, by their rank: whenever it stops, those that have thought are a uniform draw. Then
rows that think in any case, and those without a confidence, which have no answer to fall back on. Then all others, by
the change that is expected per token (`calibrate.change_rate`).

Rows are chosen one by one, and done video by video, as a video is opened once: videos come in the order of their first
row. So no more rows are planned than the budget may reach.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.calibrate.change_rate import spending_order
from framegate.pipelines.calibrate.worth import Worth

ReadWorth = Callable[[str], Worth]
"""What is known of thinking under a config_id, fresh from storage."""

MARGIN: Final = 2.0
"""How many times what the budget is expected to reach is planned: what thoughts take is known as a mean of others."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far a deepening can go; None: nothing bounds it.

    tokens           left of a budget
    engine_seconds   left of a budget, or of the time to a deadline, summed over engines
    """

    tokens: float | None = None
    engine_seconds: float | None = None

    def in_tokens(self, worth: Worth) -> float:
        """Thinking tokens that it may come to, with MARGIN; infinite where nothing bounds it, or nobody knows."""
        bounds = [np.inf]
        if self.tokens is not None and worth.tokens:
            bounds.append(MARGIN * self.tokens)
        if self.engine_seconds is not None and worth.seconds_per_token:
            bounds.append(MARGIN * self.engine_seconds / worth.seconds_per_token)
        return float(min(bounds))


def arrange(rows: pa.Table, worth: Worth, reach: Reach, always: Collection[str]) -> pa.Table:
    """Of `rows` (DEEPENABLE) those within reach, in the order of spending; at least the first one. `always`: hashes of
    questions that are thought about whatever the confidence."""
    hashes = rows.column("question_hash").to_pylist()
    tokens = worth.tokens_of(hashes)
    order = _order(rows, worth, tokens, np.isin(hashes, list(always)))
    before = np.cumsum(tokens[order]) - tokens[order]
    return rows.take(pa.array(order[(before < reach.in_tokens(worth)) | (before == 0)]))


def _order(rows: pa.Table, worth: Worth, tokens: np.ndarray, is_always: np.ndarray) -> np.ndarray:
    confidence = rows.column("confidence_first").to_numpy().astype(np.float64)
    rank = rows.column("audit_rank").to_numpy().astype(np.float64)
    by_worth = np.empty(rows.num_rows, np.int64)
    by_worth[spending_order(confidence, tokens, worth.rate)] = np.arange(rows.num_rows)
    is_audited = ~np.isnan(rank)
    return np.lexsort((by_worth, ~is_always, np.where(is_audited, rank, 2.0)))
