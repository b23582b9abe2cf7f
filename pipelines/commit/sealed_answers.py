"""What a seal brings into results/ that no sum over its files or its runs can tell: new videos, new clips, questions.

A video's clips may be asked in several runs, and its rows may lie in several files. To count it once takes the keys of
all rows, which a sealer compares anyway, to leave out those that are sealed already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.sealed_keys import KeyIndex

TOLD_OF: Final = ("question_hash", "model", "strategy")
"""The columns of the rows that are looked at, beside those of the key."""


@dataclass(frozen=True, kw_only=True)
class SealedAnswers:
    """Of the answers of one seal, those that an erasure has taken since included.

    num_new_videos, num_new_clips   of which no earlier seal had an answer
    question_hashes                 of the questions that were answered, in order
    model, strategy                 of one of them; None where there is none
    """

    num_new_videos: int = 0
    num_new_clips: int = 0
    question_hashes: tuple[str, ...] = ()
    model: str | None = None
    strategy: str | None = None

    @staticmethod
    def of(rows: pa.Table, keys: KeyIndex, new: np.ndarray, sealed: Sequence[np.ndarray]) -> SealedAnswers:
        """`new` are the positions, among `rows`, of those that are sealed now. `keys` and `sealed` (`SealedKeys.find`)
        are of all rows."""
        if not len(new):
            return SealedAnswers()
        videos, clips = (_num_new(keys.numbers(depth)[new], sealed[depth]) for depth in (0, 1))
        texts = {name: rows.column(name).take(pa.array(new)) for name in TOLD_OF}
        return SealedAnswers(
            num_new_videos=videos,
            num_new_clips=clips,
            question_hashes=tuple(sorted(texts["question_hash"].unique().to_pylist())),
            model=texts["model"][0].as_py(),
            strategy=texts["strategy"][0].as_py(),
        )

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_document(document: Mapping[str, Any] | None) -> SealedAnswers | None:
        """None where there is none. Raises KeyError, TypeError where it is no such document."""
        if document is None:
            return None
        return SealedAnswers(**{**document, "question_hashes": tuple(document["question_hashes"])})


def _num_new(numbers: np.ndarray, is_sealed: np.ndarray) -> int:
    return int(np.count_nonzero(~is_sealed[np.unique(numbers)]))
