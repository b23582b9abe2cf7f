"""How fuzz tests with hypothesis are run: few examples in every run, many on demand, always from a known seed.

    FRAMEGATE_FUZZ=5000 .venv/bin/pytest tests/security/test_fuzz_inputs.py tests/security/test_fuzz_sql.py
    FRAMEGATE_FUZZ=5000 FRAMEGATE_FUZZ_SEED=4 ...          # other examples

What ever failed stands as an example in its test, and is tried first. Where many are run, examples that fail are kept
in `.hypothesis/framegate` as well, and are tried again by the next run there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

NUM_EXAMPLES: Final = int(os.environ.get("FRAMEGATE_FUZZ", "0"))
SEED: Final = int(os.environ.get("FRAMEGATE_FUZZ_SEED", "17"))


def fuzzed(usual: int) -> Callable[[Any], Any]:
    """A decorator below `given`: `usual` examples, or as many as FRAMEGATE_FUZZ says."""
    chosen = settings(
        max_examples=NUM_EXAMPLES or usual,
        derandomize=False,
        deadline=None,
        database=DirectoryBasedExampleDatabase(".hypothesis/framegate") if NUM_EXAMPLES else None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        print_blob=True,
    )
    return lambda test: seed(SEED)(chosen(test))
