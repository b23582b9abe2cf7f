"""AuditSample: rows that think although the gate would let them go, so that the archive itself says what it loses.

Each row has a rank u in [0, 1): a hash of the salt, the clip and the question, as a number. A row is in the sample
where u < rate. So the sample

    is the same whichever process asks, and after a kill      no draw is kept anywhere
    grows with the rate                                       each sample holds every smaller one
    is a uniform draw of rows                                 as far as SHA-256 knows nothing of videos

With `unit: clip` the question is left out of the hash: all questions of a clip are in it together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

AuditUnit = Literal["row", "clip"]


def clip_key(video_id: str, clip_index: int) -> str:
    """A clip's name in the ranks of an audit sample."""
    return f"{video_id}/{clip_index}"


@dataclass(frozen=True, kw_only=True)
class AuditSample:
    """Rows whose rank is below `rate`, from 0 to 1."""

    rate: float
    unit: AuditUnit = "row"
    salt: str = ""

    def rank(self, clip: str, question_hash: str) -> float:
        """u of one row, a multiple of 2^-53 in [0, 1). `clip` is its `clip_key`."""
        of_row = (question_hash,) if self.unit == "row" else ()
        digest = hashlib.sha256("\0".join((self.salt, clip, *of_row)).encode()).digest()
        return (int.from_bytes(digest[:8]) >> 11) / 2**53

    def rank_if_in(self, clip: str, question_hash: str) -> float | None:
        """u of a row of the sample; None of every other one."""
        rank = self.rank(clip, question_hash)
        return rank if rank < self.rate else None
