"""Work that was begun: noted in storage before it starts, so that a process that dies of it leaves a trace.

A note is one small object, numbered by put_once: two processes never note the same attempt. It goes when the work is
committed, so that those which stand are work in progress, or work that killed its process. A failure that was told (a
row in failures) is no matter of this module. Knows nothing of what the work is.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from framegate.pipelines.commit.output import Output
from framegate.pipelines.failpoints import reach
from framegate.schemas.errors import StorageError

STALE_AFTER = timedelta(hours=1)
"""A note of another run counts as a death from then on; before, that run may be alive and at work on it."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One beginning. `num_deaths`: how often it was begun before and nothing came of it; `uris`: this run's notes."""

    num_deaths: int
    uris: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The notes of one run. `deaths` says how often earlier runs died, by `video_id/scope` (see `read_deaths`)."""

    output: Output
    config_id: str
    run_id: str
    deaths: Mapping[str, int] = field(default_factory=dict)

    def begin(self, video_id: str, scope: str) -> Attempt:
        """Notes that work on it begins. Raises StorageError.

        Within a run each note that stands is a death: nobody takes up a unit again but the process after the one that
        had it.
        """
        note = {"run_id": self.run_id, "begun_at": datetime.now(UTC).isoformat(), "by": secrets.token_hex(8)}
        data = json.dumps(note).encode()
        uris: list[str] = []
        is_noted = False
        reach("attempt.before")
        while not is_noted:
            uris.append(self.output.layout.attempt(self.config_id, video_id, scope, self.run_id, len(uris) + 1))
            put = self.output.store.put_once(uris[-1], data)
            is_noted = put.is_ours
        reach("attempt.after")
        return Attempt(num_deaths=len(uris) - 1 + self.deaths.get(f"{video_id}/{scope}", 0), uris=tuple(uris))

    def end(self, attempt: Attempt) -> None:
        """The work is committed, or failed in words: this run's notes on it go."""
        self.output.store.delete(attempt.uris)

    def retract(self, attempt: Attempt) -> None:
        """It was not begun after all: its last note goes, the earlier ones stay."""
        self.output.store.delete(attempt.uris[-1:])

    @contextmanager
    def no_death(self, *attempts: Attempt) -> Iterator[None]:
        """An error that is raised in here ends the run and tells why: it is no death, and counts for nothing."""
        try:
            yield
        except Exception:
            with suppress(StorageError):  # the error itself may be that storage refuses us; it is the one to tell
                self.output.store.delete(attempt.uris[-1] for attempt in attempts)
            raise

    def forget(self) -> None:
        """The run is over and nothing of it at work: what notes of it stand are of work that it left on purpose."""
        notes = self.output.list("attempts", self.config_id)
        self.output.store.delete(
            info.uri for info in notes if info.uri.rpartition("/")[2].startswith(f"{self.run_id}-")
        )


def read_deaths(output: Output, config_id: str, *, now: datetime) -> dict[str, int]:
    """How often runs before this one died at something, by `video_id/scope`: notes older than STALE_AFTER."""
    deaths: Counter[str] = Counter()
    for uri, data in output.store.read_present(info.uri for info in output.list("attempts", config_id)):
        if data is not None and _begun_at(uri, data) < now - STALE_AFTER:
            deaths["/".join(uri.rsplit("/", 3)[1:3])] += 1
    return dict(deaths)


def _begun_at(uri: str, data: bytes) -> datetime:
    try:
        return datetime.fromisoformat(json.loads(data)["begun_at"])
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{uri} is no note of an attempt ({error}); was it written by something else?") from error
