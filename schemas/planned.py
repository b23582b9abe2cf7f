"""A video on its way from plan to decode: PlannedVideo, as a dataclass and as a row of PLANNED.

Knows nothing of how work is found; `source.plan` makes whole tables of it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

import pyarrow as pa

from framegate.schemas.clip import Refusal, Video
from framegate.schemas.rows import video_of, video_row


@dataclass(frozen=True, kw_only=True)
class PlannedVideo:
    """A video that has work left: the questions that are missing somewhere in it, and what of them is stored.

    attempts             how often a (clip_index, question_hash) that is tried again has failed
    undecoded_attempts   how often the video, or the rest of it, gave no frames
    """

    video: Video
    question_hashes: tuple[str, ...]
    done: frozenset[tuple[int, str]] = frozenset()
    attempts: Mapping[tuple[int, str], int] = field(default_factory=dict)
    undecoded_attempts: int = 0

    def missing(self, clip_index: int) -> tuple[str, ...]:
        """The questions still to be asked of one clip; empty: the clip need not be decoded."""
        return tuple(hash for hash in self.question_hashes if (clip_index, hash) not in self.done)

    def attempts_at(self, clip_index: int, question_hashes: Iterable[str]) -> tuple[int, ...]:
        """Which attempt, from 1, the next one is, for each of these questions of one clip."""
        return tuple(1 + self.attempts.get((clip_index, hash), 0) for hash in question_hashes)

    @staticmethod
    def from_table(table: pa.Table) -> Iterator[PlannedVideo]:
        for row in table.to_pylist():
            done = frozenset((key["clip_index"], key["question_hash"]) for key in row["done"])
            refusal = None if row["refusal"] is None else Refusal(**row["refusal"])
            yield PlannedVideo(
                video=replace(video_of(row), refusal=refusal),
                question_hashes=tuple(row["question_hashes"]),
                done=done,
                attempts={(key["clip_index"], key["question_hash"]): key["attempts"] for key in row["attempts"]},
                undecoded_attempts=row["undecoded_attempts"],
            )

    def to_row(self) -> dict[str, object]:
        done = [{"clip_index": index, "question_hash": hash} for index, hash in sorted(self.done)]
        attempts = [
            {"clip_index": index, "question_hash": hash, "attempts": number}
            for (index, hash), number in sorted(self.attempts.items())
        ]
        refusal = None if self.video.refusal is None else asdict(self.video.refusal)
        return {
            **video_row(self.video),
            "refusal": refusal,
            "question_hashes": list(self.question_hashes),
            "done": done,
            "attempts": attempts,
            "undecoded_attempts": self.undecoded_attempts,
        }
