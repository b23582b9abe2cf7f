"""InputConfig: which videos a job is about."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from framegate.schemas.config.part import Part


class InputConfig(Part):
    """Which videos."""

    videos: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="a prefix, a glob, a list of URIs, or a .parquet/.csv/.jsonl manifest with a `uri` column; "
        "what ends in .tar is a shard whose members are the videos, and {0000..0099} counts"
    )
    storage_options: dict[str, Any] = Field(default={}, description="fsspec options such as endpoint_url; no secrets")
