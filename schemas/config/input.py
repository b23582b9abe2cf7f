"""InputConfig: which videos a job is about."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from framegate.schemas.clock import find_zone
from framegate.schemas.config.part import Part
from framegate.schemas.errors import ConfigError
from framegate.schemas.start_time import CONTAINER_TIME

ColumnWord = Literal["string", "integer", "number", "boolean", "timestamp", "date"]
"""A type of the manifest's columns; `schemas.column_types` says what each stands for."""


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
    storage_options: dict[str, Any] = Field(default={}, description="fsspec options such as endpoint_url; no secrets")

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
