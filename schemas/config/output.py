"""OutputConfig: where the rows of a job go, and how they are laid out there."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from framegate.schemas.config.part import Part


class OutputConfig(Part):
    """Where the rows go."""

    uri: str = Field(min_length=1, description="a folder or a prefix; made where it is missing, a bucket is not")
    storage_options: dict[str, Any] = Field(default={}, description="fsspec options such as endpoint_url; no secrets")
    single_writer: bool = Field(
        default=False, description="this job alone writes here: accept a store without conditional writes"
    )
    partition_by: tuple[str, ...] = Field(
        default=(),
        max_length=4,
        description="columns of the manifest, or a part of a time: camera, taken.date, written_at.date; "
        "folders below config_id, fixed with the first rows",
    )
    file_bytes: int = Field(default=128 * 2**20, ge=4096, le=2**32, description="of a sealed Parquet file, about")
