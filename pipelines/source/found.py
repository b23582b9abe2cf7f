"""What the input's names lead to before shards are opened: objects, and members of shards that are named one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pipelines.store import ObjectInfo

ABSENT: Final = "absent"
"""The version of an object that a list or manifest names and storage does not have; it fails when it is decoded, and
is a new video as soon as it is there."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """An object with the manifest's other columns, or with `member` the one member of a shard that was named."""

    info: ObjectInfo
    inputs: Mapping[str, object] = field(default_factory=dict)
    member: str | None = None

    @property
    def uri(self) -> str:
        return self.info.uri if self.member is None else f"{self.info.uri}#{self.member}"
