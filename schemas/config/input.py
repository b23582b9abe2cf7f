"""InputConfig: which videos a job is about."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from framegate.schemas.clock import find_zone
from framegate.schemas.config.part import Part
from framegate.schemas.config.storage_options import check_options
from framegate.schemas.errors import ConfigError
from framegate.schemas.start_time import CONTAINER_TIME
from framegate.schemas.uris import KINDS, claimed_protocol, holds_password, kind_of, protocol_of, public

ColumnWord = Literal["string", "integer", "number", "boolean", "timestamp", "date"]
"""A type of the manifest's columns; `schemas.column_types` says what each stands for."""

Protocol = Literal["file", "s3", "gs", "az", "http", "https", "ftp", "sftp", "webhdfs", "memory"]
USUAL_PROTOCOLS: Final[tuple[Protocol, ...]] = ("file", "s3", "gs", "az")


class InputConfig(Part):
    """Which videos."""

    videos: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="a prefix, a glob, a list of URIs, or a .parquet/.csv/.tsv/.jsonl manifest with a `uri` column; "
        "what ends in .tar is a shard whose members are the videos, and {0000..0099} counts"
    )
    columns: dict[str, ColumnWord] = Field(
        default={},
        description="types of columns of the manifest: string, integer, number, boolean, timestamp or date; "
        "what is not declared is told by the first manifest's values",
    )
    time_zone: str = Field(
        default="UTC",
        description="IANA name: the zone of times in the manifest that say none, and of dates and hours of partitions",
    )
    started_at: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="when each video began: the manifest's column that says so, or `file` for the time that the file "
        "says it was made; of a list the first that knows a time counts",
    )
    follow_links: bool = Field(
        default=True, description="list what linked folders hold, where that lies outside the folder that is listed"
    )
    protocols: tuple[Protocol, ...] | None = Field(
        default=None,
        min_length=1,
        description="what videos may be read by; without it file, s3, gs and az, and what the job's own names begin "
        "with. Another one in a manifest is a failure, and is not looked up",
    )
    roots: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="folders: local videos lie below one of them, wherever links lead; others are failures",
    )
    storage_options: dict[str, Any] = Field(
        default={}, description="options of the storage, such as endpoint_url: see use.md; no secrets"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """What the job names itself: one place, or a list."""
        return (self.videos,) if isinstance(self.videos, str) else self.videos

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of storage that videos may lie in."""
        if self.protocols is not None:
            return frozenset(self.protocols)
        return frozenset((*USUAL_PROTOCOLS, *map(kind_of, self.names)))

    @property
    def starts(self) -> tuple[str, ...]:
        """What says when a video began, in order: columns of the manifest, and CONTAINER_TIME."""
        if self.started_at is None:
            return ()
        return (self.started_at,) if isinstance(self.started_at, str) else self.started_at

    @property
    def start_columns(self) -> tuple[str, ...]:
        """The columns of the manifest among them."""
        return tuple(name for name in self.starts if name != CONTAINER_TIME)

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            find_zone(name)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return name

    @model_validator(mode="after")
    def _can_be_read(self) -> InputConfig:
        for name in self.names:
            if holds_password(name):
                continue  # refused where the name is looked up, in words of its own
            protocol = claimed_protocol(name)
            if protocol_of(name) != protocol or protocol not in KINDS:
                raise ValueError(f"{_shown(protocol)}:// is no kind of storage that is read; {_KNOWN}")
            is_manifest = public(name).lower().endswith((".parquet", ".csv", ".tsv", ".jsonl"))
            if self.protocols is not None and not is_manifest and kind_of(name) not in self.protocols:
                raise ValueError(
                    f"the videos lie in {protocol}://, and protocols allows {', '.join(self.protocols)}; add it there"
                )
        try:
            check_options(self.storage_options, self.kinds)
        except ValueError as error:
            raise ValueError(f"storage_options: {error}") from None
        return self


_KNOWN: Final = "give a local path, s3://, gs://, az:// or https://"


def _shown(protocol: str) -> str:
    return protocol[:40]
