"""Values of the columns `gate_reason` and `strategy` that more than the gate itself goes by."""

from __future__ import annotations

from typing import Final

AUDIT: Final = "audit"
"""The row thinks for the audit sample alone, and its first answer is its answer."""

DEFERRED: Final = "deferred"
"""The row is to think, and later. Its first answer is its answer until then."""

GATED_STRATEGIES: Final = ("gated", "entropy_switch", "bounded_thinking")
"""Strategies that let rows go by the confidence of their first answers."""

IS_GATED: Final = f"strategy IN {GATED_STRATEGIES}"
"""In SQL: of a row of such a strategy."""
