"""Attempts: a marker in storage for each piece of work that was begun. A process that dies of the work leaves it there.

A marker is one small object, numbered by put_once: two processes never mark the same attempt. It is deleted when the
work is committed. So a marker that is there means work in progress, or work that killed its process. A failure that
was reported is a row in failures instead.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from framegate.pipelines.commit.output import Output
from framegate.pipelines.failpoints import reach
from framegate.schemas.clock import now
from framegate.schemas.errors import EngineTimeout, StorageError
from framegate.schemas.unit import Failure

STALE_AFTER = timedelta(hours=1)
"""A marker of another run counts as a death when it is older. Until then that run may be alive and at work on it."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One beginning of a piece of work.

    num_deaths   how often it was begun before and never finished
    uris         of this run's markers for it
    """

    num_deaths: int
    uris: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The markers of one run. `deaths` says how often earlier runs died, by `video_id/scope` (see `read_deaths`)."""

    output: Output
    config_id: str
    run_id: str
    deaths: Mapping[str, int] = field(default_factory=dict)

    def begin(self, video_id: str, scope: str) -> Attempt:
        """Marks that work on `scope` of a video begins. Raises StorageError.

        Within one run a marker that was left there means that a worker died on this unit: Ray gives a unit to a second
        process only after the first one died.
        """
        marker = {"run_id": self.run_id, "begun_at": now().isoformat(), "by": secrets.token_hex(8)}
        data = json.dumps(marker).encode()
        uris: list[str] = []
        is_marked = False
        reach("attempt.before")
        while not is_marked:
            uris.append(self.output.layout.attempt(self.config_id, video_id, scope, self.run_id, len(uris) + 1))
            put = self.output.store.put_once(uris[-1], data)
            is_marked = put.is_ours
        reach("attempt.after")
        return Attempt(num_deaths=len(uris) - 1 + self.deaths.get(f"{video_id}/{scope}", 0), uris=tuple(uris))

    def end(self, attempt: Attempt) -> None:
        """The work is committed, as answers or as failures: deletes this run's markers of it."""
        self.output.store.delete(attempt.uris)

    def retract(self, attempt: Attempt) -> None:
        """The work was not begun after all: deletes the last marker, and leaves the earlier ones."""
        self.output.store.delete(attempt.uris[-1:])

    @contextmanager
    def no_death(self, *attempts: Attempt) -> Iterator[None]:
        """Deletes the markers where an error is raised in here: it ends the run and says why, which is not a death."""
        try:
            yield
        except Exception:
            with suppress(StorageError):  # the error itself may be that storage refuses us; that one is reported
                self.output.store.delete(attempt.uris[-1] for attempt in attempts)
            raise

    def forget(self) -> None:
        """Deletes all markers of this run: what its workers left undone was left on purpose.

        Called when its workers have ended: one that is still at work could mark an attempt afterwards, which would
        count as a death, of which a unit may have several.
        """
        markers = self.output.list("attempts", self.config_id)
        uris = [info.uri for info in markers if info.uri.rpartition("/")[2].startswith(f"{self.run_id}-")]
        self.output.store.delete(uris)


def crash_failure(stage: str, num_deaths: int) -> Failure:
    """The failure of work that killed its process each time."""
    times = "once" if num_deaths == 1 else f"{num_deaths} times"
    message = f"The process that worked on it died {times} before it was done; it is not tried again."
    return Failure(stage=stage, reason="actor_crash", message=message)


def timeout_failure(error: EngineTimeout, num_times: int) -> Failure:
    """The failure of work at which the engine did not come back each time, the last time with nothing beside it."""
    times = "once" if num_times == 1 else f"{num_times} times"
    text = str(error)
    message = f"{text[:1].upper()}{text[1:]}; work on it ended its process {times}, and it is not tried again."
    return Failure(stage="reason", reason=error.reason, message=message)


def read_deaths(output: Output, config_id: str, *, now: datetime) -> dict[str, int]:
    """How often earlier runs died at something, by `video_id/scope`: counts markers older than STALE_AFTER."""
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
