"""When a video began by the clock on the wall: what its manifest says, or what its file says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from framegate.schemas.clock import find_zone

if TYPE_CHECKING:
    from framegate.schemas.clip import VideoFacts

CONTAINER_TIME: Final = "file"
"""In `input.started_at`, in place of a column: the time at which the file says that it was made."""


@dataclass(frozen=True)
class WallClock:
    """`sources` are columns of the manifest and CONTAINER_TIME: the first that knows a time counts. `zone` is an IANA
    name, for texts that name no zone."""

    sources: tuple[str, ...] = ()
    zone: str = "UTC"

    def start_of(
        self, inputs: Mapping[str, object], facts: VideoFacts | None, *, before: datetime | None = None
    ) -> datetime | None:
        """When second 0 of a video was, in UTC; None where nothing says so.

        A file's own time that lies behind `before` is none: a clock that runs ahead was never set.
        """
        for source in self.sources:
            found = self._file_time(facts, before) if source == CONTAINER_TIME else self._time(inputs.get(source))
            if found is not None:
                return found
        return None

    def _time(self, value: object) -> datetime | None:
        """A side file's text may be anything: one that is no time says nothing. Manifests are held to times before."""
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip().upper())
            except ValueError:
                return None
        if not isinstance(value, datetime):
            return None
        return (value if value.tzinfo else value.replace(tzinfo=find_zone(self.zone))).astimezone(UTC)

    @staticmethod
    def _file_time(facts: VideoFacts | None, before: datetime | None) -> datetime | None:
        created = None if facts is None else facts.created_at
        return None if created is None or (before is not None and created > before) else created
