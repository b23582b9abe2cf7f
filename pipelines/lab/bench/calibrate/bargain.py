"""BARGAIN (Zeighami et al. 2025) as its authors publish it, `pip install bargain==0.1.3`, on an archive in memory.

It is installed for this benchmark alone. Its models are handed arrays: the cheap one's answer is 0 with the confidence
as its score, the expensive one's is 1 where the second answer differs. Its promise is claim 1's: of all rows at most a
share 1 - target differs from what the expensive model says, with probability 1 - delta.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from framegate.pipelines.lab.bench.calibrate.worlds import Bools, Floats

INSTALL = "pip install bargain==0.1.3"


@dataclass(frozen=True, kw_only=True)
class BargainRun:
    """exits: rows that the cheap model kept. num_choosing: calls of the expensive one before a threshold was chosen."""

    exits: Bools
    num_choosing: int

    @property
    def num_calls(self) -> int:
        """All calls: every row below the threshold is one, too."""
        return int((~self.exits).sum())


def is_installed() -> bool:
    return importlib.util.find_spec("BARGAIN") is not None


def run_bargain(confidence: Floats, differs: Bools, *, epsilon: float, delta: float, seed: int) -> BargainRun:
    """One run. Raises ImportError where it is not installed."""
    library = importlib.import_module("BARGAIN")
    called: set[int] = set()

    class Cheap(library.Proxy):
        def get_preds_and_scores(self, indxs: Any, data_records: Any) -> tuple[np.ndarray, np.ndarray]:
            rows = np.asarray(indxs, np.int64)
            return np.zeros(rows.size), np.nan_to_num(confidence[rows])

    class Expensive(library.Oracle):
        def is_answer_correct(self, data_indxs: Any, data_records: Any, proxy_output_at_indxs: Any) -> np.ndarray:
            rows = np.asarray(data_indxs, np.int64)
            called.update(rows.tolist())
            return (~differs[rows]).astype(np.float64)

        def get_pred(self, data_records: Any, indxs: Any = None) -> np.ndarray:
            return differs[np.asarray(indxs, np.int64)].astype(np.float64)

    state = np.random.get_state()  # it seeds numpy's own
    try:
        chooser = library.BARGAIN_A(
            Cheap(False), Expensive(False), target=1 - epsilon, delta=delta, verbose=False, seed=seed
        )
        _, used = chooser.process(np.arange(confidence.size), return_oracle_usage=True)
    finally:
        np.random.set_state(state)
    return BargainRun(exits=~np.asarray(used, np.bool_), num_choosing=len(called))
