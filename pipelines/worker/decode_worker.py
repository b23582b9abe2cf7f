"""DecodeWorker: notes the attempt at a video, decodes it, and gives it up where that keeps killing the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

import pyarrow as pa

from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.failpoints import reach
from framegate.pipelines.worker.attempts import Attempt, Attempts, crash_failure
from framegate.schemas.clock import now
from framegate.schemas.tables import DECODED
from framegate.schemas.unit import DecodedUnit, PlannedVideo, to_table

DECODE_SCOPE: Final = "decode"


def decode_scope(planned: PlannedVideo) -> str:
    """What an attempt at decoding is counted under: parts of a video are tried and given up each for itself."""
    return DECODE_SCOPE if planned.num_parts == 1 else f"{DECODE_SCOPE}-{planned.part}-of-{planned.num_parts}"


class DecodingStage(Protocol):
    """`pipelines.decode.stage.DecodeStage` is one."""

    def decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]: ...


class DecodeWorker:
    """Turns planned videos, and parts of them, into decoded units. One that killed its worker `max_attempts` times is
    given up.

    Giving up is committed here as well as handed on. After a crash Ray reruns the task and matches its outputs to those
    of the first attempt by position, so that a unit which is only handed on could be dropped.
    """

    def __init__(
        self, *, make_stage: Callable[[], DecodingStage], attempts: Attempts, facts: RunFacts, max_attempts: int
    ) -> None:
        self._stage = make_stage()
        self._attempts = attempts
        self._facts = facts
        self._max_attempts = max_attempts

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """As Ray calls it: rows in PARTS to tables of one row in DECODED."""
        for planned in PlannedVideo.from_table(batch):
            for unit in self.decode(planned):
                yield to_table([unit], DECODED)

    def decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
        """The video's units, each as soon as it is full. Raises StorageError, and what the stage raises."""
        attempt = self._attempts.begin(planned.video.video_id, decode_scope(planned))
        reach("decode.before")
        with self._attempts.no_death(attempt):
            if attempt.num_deaths >= self._max_attempts:
                yield self._give_up(planned, attempt)
            else:
                for unit in self._stage.decode(planned):
                    reach("decode.unit")
                    yield unit
        reach("decode.after")
        self._attempts.end(attempt)

    def _give_up(self, planned: PlannedVideo, attempt: Attempt) -> DecodedUnit:
        unit = DecodedUnit(
            video=planned.video,
            question_hashes=planned.question_hashes,
            attempts=(),
            decoder="",
            failure=crash_failure("decode", attempt.num_deaths),
            failed_attempt=planned.undecoded_attempts + 1,
        )
        commit_unit(self._attempts.output, unit.answered(()), self._facts, written_at=now())
        return unit
