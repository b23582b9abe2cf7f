"""Two values of the column `gate_reason` that more than the gate itself goes by."""

from __future__ import annotations

from typing import Final

AUDIT: Final = "audit"
"""The row thinks for the audit sample alone, and its first answer is its answer."""

DEFERRED: Final = "deferred"
"""The row is to think, and later. Its first answer is its answer until then."""
