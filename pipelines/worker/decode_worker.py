"""DecodeWorker: marks the attempt at videos, decodes them, and gives one up where it keeps killing the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

import pyarrow as pa

from framegate.pipelines.commit.journal import commit_unit, read_receipt
from framegate.pipelines.commit.team import Team
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.failpoints import reach
from framegate.pipelines.worker.attempts import Attempts, EndedAttempts, Work, crash_failure
from framegate.schemas.blocks import MAX_BLOCK_FRAME_BYTES, MAX_BLOCK_UNITS, sizes_bytes, together
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

    Small videos are begun together, up to `max_together` with one marker, and their units leave together. After a death
    each is decoded with a marker of its own, and none is given up that has not killed its worker alone.

    Giving up is committed here as well as handed on. After a crash Ray reruns the task and matches its outputs to those
    of the first attempt by position, so that a unit which is only handed on could be dropped. For the same reason what
    leaves together depends on sizes alone, and on no clock.
    """

    def __init__(
        self,
        *,
        make_stage: Callable[..., DecodingStage],
        attempts: Attempts,
        facts: RunFacts,
        max_attempts: int,
        max_together: int = 1,
        board: object = None,
        team: Team | None = None,
    ) -> None:
        """`board` is what `make_stage` makes the stage with, where workers share one. `team`: what is another run's is
        passed over; None: everything is this run's."""
        self._stage = make_stage() if board is None else make_stage(board=board)
        self._attempts = attempts
        self._ended = EndedAttempts(attempts)
        self._facts = facts
        self._max_attempts = max_attempts
        self._max_together = max_together
        self._team = team

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """As Ray calls it: rows in PARTS to tables in DECODED, each a block."""
        batch = batch.filter(pa.array([self._is_ours(id) for id in batch.column("video_id").to_pylist()], pa.bool_()))
        planned = [*PlannedVideo.from_table(batch)]
        for rows in together(sizes_bytes(batch), self._max_together):
            if len(rows) == 1:
                yield from (to_table([unit], DECODED) for unit in self.decode(planned[rows.start]))
            else:
                yield from _gather(self._decode_block(planned[rows.start : rows.stop]))

    def decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
        """The video's units, each as soon as it is full. Raises StorageError, and what the stage raises."""
        return self._decode_alone(planned) if self._is_ours(planned.video.video_id) else iter(())

    def _is_ours(self, video_id: str) -> bool:
        return self._team is None or self._team.is_mine_now(video_id)

    def _decode_block(self, block: Sequence[PlannedVideo]) -> Iterator[DecodedUnit]:
        works = [_work(planned) for planned in block]
        if any(map(self._attempts.has_died, works)):
            for planned in block:
                yield from self._decode_alone(planned)
            return
        attempt = self._attempts.begin_first(works)
        if attempt.deaths.total:
            for planned in block:
                yield from self._decode_alone(planned, together=attempt.deaths.together)
            self._attempts.end(attempt)
            return
        with self._attempts.no_death(attempt):
            for planned in block:
                yield from self._decode(planned)
        self._ended.add(attempt)

    def _decode_alone(self, planned: PlannedVideo, *, together: int = 0) -> Iterator[DecodedUnit]:
        """`together`: deaths of its block, of which this video may be guilty or not."""
        if together and self._is_given_up(planned):
            yield _given_up(planned, together)
            return
        attempt = self._attempts.begin(_work(planned), together=together)
        with self._attempts.no_death(attempt):
            if attempt.deaths.total >= max(self._max_attempts, attempt.deaths.together + 1):
                unit = _given_up(planned, attempt.deaths.total)
                commit_unit(self._attempts.output, unit.answered(()), self._facts, written_at=now())
                yield unit
            else:
                yield from self._decode(planned)
        self._attempts.end(attempt)

    def _decode(self, planned: PlannedVideo) -> Iterator[DecodedUnit]:
        reach("decode.before")
        for unit in self._stage.decode(planned):
            reach("decode.unit")
            yield unit
        reach("decode.after")

    def _is_given_up(self, planned: PlannedVideo) -> bool:
        """Whether it was given up in this run, before another one of its block killed the process again."""
        return read_receipt(self._attempts.output, _given_up(planned, 1), self._facts) is not None


def _given_up(planned: PlannedVideo, num_deaths: int) -> DecodedUnit:
    return DecodedUnit(
        video=planned.video,
        question_hashes=planned.question_hashes,
        attempts=(),
        decoder="",
        failure=crash_failure("decode", num_deaths),
        failed_attempt=planned.undecoded_attempts + 1,
        wanted=planned.wanted,
    )


def _work(planned: PlannedVideo) -> Work:
    return Work(planned.video.video_id, decode_scope(planned))


def _gather(units: Iterable[DecodedUnit]) -> Iterator[pa.Table]:
    """Units as blocks, each as large as it may be."""
    block: list[DecodedUnit] = []
    num_bytes = 0
    for unit in units:
        more = unit.frame_bytes
        if block and (num_bytes + more > MAX_BLOCK_FRAME_BYTES or len(block) == MAX_BLOCK_UNITS):
            yield to_table(block, DECODED)
            block, num_bytes = [], 0
        block.append(unit)
        num_bytes += more
    if block:
        yield to_table(block, DECODED)
