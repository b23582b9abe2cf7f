"""Attempts: a marker in storage for work that was begun. A process that dies of the work leaves it there.

A marker is one small object, numbered by put_once: two processes never mark the same attempt. It is deleted when the
work is committed. So a marker that is there means work in progress, or work that killed its process. A failure that
was reported is a row in failures instead.

Small pieces of work are begun together, under one marker that lists them. Where the process dies of one of them, the
marker tells of all: each is then begun again alone, with a marker of its own, and the death that they share counts as
one of each. So one of them is given up only after it has killed a process alone.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from framegate.pipelines.commit.layout import TOGETHER
from framegate.pipelines.commit.output import Output
from framegate.pipelines.failpoints import reach
from framegate.schemas.clock import now
from framegate.schemas.errors import EngineTimeout, StorageError
from framegate.schemas.unanswered import Failure

STALE_AFTER = timedelta(hours=1)
"""A marker of another run counts as a death when it is older. Until then that run may be alive and at work on it."""

MAX_ENDED: Final = 16  # markers that wait to be deleted with one request


class Work(NamedTuple):
    """A piece of work: `scope` is `decode`, or the name of a unit."""

    video_id: str
    scope: str

    def __str__(self) -> str:
        return f"{self.video_id}/{self.scope}"


class Deaths(NamedTuple):
    """How often a piece of work was begun and never finished: alone, and together with others."""

    alone: int = 0
    together: int = 0

    @property
    def total(self) -> int:
        return self.alone + self.together

    def plus(self, other: Deaths) -> Deaths:
        return Deaths(self.alone + other.alone, self.together + other.together)


NO_DEATHS: Final = Deaths()


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One beginning of some work.

    deaths          how often it was begun before and never finished
    uris            of this run's markers for it
    is_of_several   pieces of work, with one marker
    """

    deaths: Deaths
    uris: tuple[str, ...]
    is_of_several: bool = False


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The markers of one run. `deaths` says how often earlier runs died (see `read_deaths`)."""

    output: Output
    config_id: str
    run_id: str
    deaths: Mapping[Work, Deaths] = field(default_factory=dict)

    def begin(self, work: Work, *, together: int = 0) -> Attempt:
        """Marks that a piece of work begins, once more if it was begun before. Raises StorageError.

        Within one run a marker that was left there means that a worker died on this work: Ray gives work to a second
        process only after the first one died. `together`: deaths of this run that it shared with others.
        """
        data = self._marker([work])
        uris: list[str] = []
        is_marked = False
        reach("attempt.before")
        while not is_marked:
            uris.append(self._uri([work], len(uris) + 1))
            is_marked = self.output.store.put_once(uris[-1], data).is_ours
        reach("attempt.after")
        earlier = self.deaths.get(work, NO_DEATHS)
        deaths = Deaths(earlier.alone + len(uris) - 1, earlier.together + together)
        return Attempt(deaths=deaths, uris=tuple(uris))

    def begin_first(self, works: Sequence[Work]) -> Attempt:
        """Marks with one marker that some work begins for the first time in this run. Raises StorageError.

        Where it was begun before, nothing is marked: the attempt is the earlier one, with its death. Each piece must
        then be begun alone.
        """
        uri = self._uri(works, 1)
        reach("attempt.before")
        is_first = self.output.store.put_once(uri, self._marker(works)).is_ours
        reach("attempt.after")
        is_of_several = len(works) > 1
        died = Deaths(together=1) if is_of_several else Deaths(alone=1)
        return Attempt(deaths=NO_DEATHS if is_first else died, uris=(uri,), is_of_several=is_of_several)

    def has_died(self, work: Work) -> bool:
        """Whether an earlier run died at it."""
        return work in self.deaths

    def end(self, *attempts: Attempt) -> None:
        """The work is committed, as answers or as failures: deletes this run's markers of it."""
        self.output.store.delete(uri for attempt in attempts for uri in attempt.uris)

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

    def _uri(self, works: Sequence[Work], number: int) -> str:
        video_id, scope = works[0]
        if len(works) > 1:
            digest = hashlib.sha256("\n".join(map(str, works)).encode()).hexdigest()[:12]
            scope = f"{TOGETHER}{len(works)}-{digest}"
        return self.output.layout.attempt(self.config_id, video_id, scope, self.run_id, number)

    def _marker(self, works: Sequence[Work]) -> bytes:
        marker: dict[str, object] = {
            "run_id": self.run_id, "begun_at": now().isoformat(), "by": secrets.token_hex(8),
        }  # fmt: skip
        return json.dumps({**marker, "works": [str(work) for work in works]}).encode()


class EndedAttempts:
    """Attempts that are over, whose markers are deleted some at a time: one request of S3 takes a thousand.

    Markers that are left here when the process ends go with `Attempts.forget`. Where the whole run is killed, they
    count as deaths of work that is done, and is not planned again.
    """

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._lock = threading.Lock()
        self._waiting: list[Attempt] = []

    def add(self, ended: Attempt) -> None:
        """Those of a single piece of work go at once. Raises StorageError."""
        if not ended.is_of_several:
            self._attempts.end(ended)
            return
        with self._lock:
            self._waiting.append(ended)
            if len(self._waiting) < MAX_ENDED:
                return
            due, self._waiting = self._waiting, []
        self._attempts.end(*due)


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


def read_deaths(output: Output, config_id: str, *, now: datetime) -> dict[Work, Deaths]:
    """How often earlier runs died at something: counts markers older than STALE_AFTER."""
    deaths: dict[Work, Deaths] = {}
    for uri, data in output.store.read_present(info.uri for info in output.list("attempts", config_id)):
        if data is None:
            continue
        begun_at, works = _parse(uri, data)
        if begun_at < now - STALE_AFTER:
            one = Deaths(together=1) if len(works) > 1 else Deaths(alone=1)
            for work in works:
                deaths[work] = deaths.get(work, NO_DEATHS).plus(one)
    return deaths


def _parse(uri: str, data: bytes) -> tuple[datetime, list[Work]]:
    """When a marker was put, and for which work."""
    try:
        marker = json.loads(data)
        works = [Work(*name.split("/")) for name in marker.get("works", ())]
        return datetime.fromisoformat(marker["begun_at"]), works or [Work(*uri.rsplit("/", 3)[1:3])]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{uri} is no note of an attempt ({error}); was it written by something else?") from error
