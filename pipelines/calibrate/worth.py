"""What is known of thinking, so that it can be spent where it changes most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from framegate.pipelines.calibrate.audited import Floats
from framegate.pipelines.calibrate.change_rate import ChangeRate


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What is known of thinking, from rows that thought.

    tokens              by question_hash, what a thought takes on average
    seconds_per_token   of the engine, with all that such a row takes; None: none is known
    rate                how often thinking changes an answer, by its confidence; None: too few rows tell
    """

    tokens: Mapping[str, float] = field(default_factory=dict)
    seconds_per_token: float | None = None
    rate: ChangeRate | None = None

    def tokens_of(self, question_hashes: Sequence[str]) -> Floats:
        """What the thought of each row is expected to take, shape (rows,); of a new question what others take."""
        known = list(self.tokens.values())
        overall = float(np.mean(known)) if known else 1.0
        return np.array([self.tokens.get(hash, overall) for hash in question_hashes], np.float64)
