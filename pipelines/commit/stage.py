"""What surrounds decoding and reasoning in a worker: attempts are noted before, answers are committed after.

Both stages are plain callables over Arrow tables around another one. Commit happens in the process that has the
answers: what Ray does with its output, should a worker die, can then lose no row. Knows nothing of Ray, decoders or
engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipelines.commit.attempts import Attempt, Attempts
from pipelines.commit.journal import Receipt, commit_unit, read_receipt, unit_uri
from pipelines.commit.rows import RunFacts
from pipelines.failpoints import reach
from schemas.planned import PlannedVideo
from schemas.rows import Failure
from schemas.tables import ANSWERED, DECODED
from schemas.work import DecodedUnit, to_table

DECODE_SCOPE = "decode"
COMMIT_THREADS = 4  # requests to storage of one worker at a time, while its engine works on

Stage = Callable[[pa.Table], Iterator[pa.Table]]


def crash_failure(stage: str, num_deaths: int) -> Failure:
    """The failure of what killed its process each time."""
    times = "once" if num_deaths == 1 else f"{num_deaths} times"
    message = f"The process that worked on it died {times} before it was done; it is not tried again."
    return Failure(stage=stage, reason="actor_crash", message=message)


class NotedDecode:
    """PLANNED rows to DECODED rows. A video that killed its worker `max_attempts` times is given up.

    Giving up is committed here, and not only handed on: Ray runs a stage again whose process died, and takes what it
    hands on for what it had handed on before, place by place.
    """

    def __init__(
        self, *, make_stage: Callable[[], Stage], attempts: Attempts, facts: RunFacts, max_attempts: int
    ) -> None:
        self._stage = make_stage()
        self._attempts = attempts
        self._facts = facts
        self._max_attempts = max_attempts

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for row, planned in enumerate(PlannedVideo.from_table(batch)):
            attempt = self._attempts.begin(planned.video.video_id, DECODE_SCOPE)
            reach("decode.before")
            with self._attempts.no_death(attempt):
                if attempt.num_deaths >= self._max_attempts:
                    yield self._give_up(planned, attempt)
                else:
                    for unit in self._stage(batch.slice(row, 1)):
                        reach("decode.unit")
                        yield unit
            reach("decode.after")
            self._attempts.end(attempt)

    def _give_up(self, planned: PlannedVideo, attempt: Attempt) -> pa.Table:
        given_up = _given_up(planned, attempt)
        [row] = to_table([given_up.answered(())], ANSWERED).to_pylist()
        commit_unit(self._attempts.store, self._attempts.layout, row, self._facts, written_at=datetime.now(UTC))
        return to_table([given_up], DECODED)


class CommitStage:
    """DECODED rows to one table of receipts for each batch, with `make_stage()` giving the answers.

    What the journal has already is not asked again. A unit that was begun before and did not come back is asked alone,
    so that it takes no other one with it, and is committed as failed once it has killed its worker `max_attempts`
    times. Raises what storage raises.
    """

    def __init__(
        self, *, make_stage: Callable[[], Stage], attempts: Attempts, facts: RunFacts, max_attempts: int
    ) -> None:
        self._stage = make_stage()
        self._attempts = attempts
        self._facts = facts
        self._max_attempts = max_attempts

    def __call__(self, batch: pa.Table) -> pa.Table:
        receipts: list[Receipt] = []
        fresh: dict[str, Attempt | None] = {}
        places: list[int] = []
        suspects: list[tuple[int, str]] = []
        for place, unit in enumerate(batch.drop_columns(["frames"]).to_pylist()):
            uri = unit_uri(self._attempts.layout, unit, self._facts.config_id)
            known = read_receipt(self._attempts.store, self._attempts.layout, unit, self._facts)
            if known is not None:
                receipts.append(known)
                continue
            attempt = None if unit["failure"] is not None else self._begin(uri)
            if attempt is not None and attempt.num_deaths:
                self._attempts.retract(attempt)
                suspects.append((place, uri))
                continue
            fresh[uri] = attempt
            places.append(place)
        if places:
            some = batch if len(places) == batch.num_rows else batch.take(places)
            receipts += self._answer(some, fresh)
        for place, uri in suspects:
            receipts += self._answer_alone(batch.slice(place, 1), uri)
        return pa.Table.from_pylist([asdict(receipt) for receipt in receipts])

    def _begin(self, uri: str) -> Attempt:
        _, video_id, name = uri.rsplit("/", 2)
        return self._attempts.begin(video_id, name.removesuffix(".parquet"))

    def _answer_alone(self, unit: pa.Table, uri: str) -> list[Receipt]:
        attempt = self._begin(uri)
        if attempt.num_deaths < self._max_attempts:
            return self._answer(unit, {uri: attempt})
        [decoded] = DecodedUnit.from_table(unit)
        given_up = decoded.all_failed(crash_failure("reason", attempt.num_deaths))
        [row] = to_table([given_up], ANSWERED).to_pylist()
        return [self._commit(row, attempt)]

    def _answer(self, units: pa.Table, attempts: Mapping[str, Attempt | None]) -> list[Receipt]:
        """Commits each unit as it comes back, while the engine goes on with the others."""
        futures: list[Future[Receipt]] = []
        reach("reason.before")
        with self._attempts.no_death(*filter(None, attempts.values())):
            with ThreadPoolExecutor(COMMIT_THREADS) as threads:
                for table in self._stage(units):
                    for unit in table.to_pylist():
                        reach("reason.after")
                        uri = unit_uri(self._attempts.layout, unit, self._facts.config_id)
                        futures.append(threads.submit(self._commit, unit, attempts[uri]))
            return [future.result() for future in futures]

    def _commit(self, unit: Mapping[str, Any], attempt: Attempt | None) -> Receipt:
        store, layout = self._attempts.store, self._attempts.layout
        receipt = commit_unit(store, layout, unit, self._facts, written_at=datetime.now(UTC))
        if attempt is not None:
            self._attempts.end(attempt)
        return receipt


def _given_up(planned: PlannedVideo, attempt: Attempt) -> DecodedUnit:
    return DecodedUnit(
        video=planned.video,
        question_hashes=planned.question_hashes,
        attempts=(),
        decoder="",
        failure=crash_failure("decode", attempt.num_deaths),
        failed_attempt=planned.undecoded_attempts + 1,
    )
