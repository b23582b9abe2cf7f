"""OutputConfig: where the rows of a job go, and how they are laid out there."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import Field, model_validator

from framegate.schemas.config.part import Part
from framegate.schemas.config.storage_options import check_options
from framegate.schemas.escape import escape
from framegate.schemas.uris import KINDS, claimed_protocol, holds_password, kind_of, protocol_of, public

_NO_OUTPUT: Final = {
    "memory": "keeps nothing once its process ends, and each worker has one of its own",
    "http": "is an address to read from",
    "https": "is an address to read from",
}


# What a client or a person takes for a protocol, and we for the beginning of a folder's name: `memory:/x`, `s3:x`.
_HALF_PROTOCOL: Final = re.compile(rf"(?:{'|'.join(KINDS)}):(?!//)|[\w+.-]+::", re.IGNORECASE)
_LOCAL: Final = re.compile(r"(?:file|local)://(?=/)", re.IGNORECASE)
_BUCKET: Final = re.compile(r"[\w+.-]+://[^/?#\\]+")


def _check_name(uri: str) -> None:
    """Raises ValueError for a name that is read as another one than it looks like."""
    if uri != uri.strip() or escape(uri) != uri:
        raise ValueError(f"'{escape(uri)}' has white space around it, or characters that nobody sees; leave them out")
    inside = _LOCAL.sub("", uri, count=1)
    if "://" in inside and kind_of(uri) == "file" and KINDS.get(claimed_protocol(inside), "") == "file":
        raise ValueError(
            f"{uri} has :// in the name of a folder; write the folder's path alone, or file:///path, or s3://bucket/prefix"
        )
    if _HALF_PROTOCOL.match(uri) and "://" not in uri:
        raise ValueError(
            f"{uri} would be a folder of that name on this machine; write ./{uri} if it is meant so, or with"
            " two slashes, such as s3://bucket/prefix"
        )
    if kind_of(uri) in ("s3", "gs", "az") and not _BUCKET.match(uri):
        raise ValueError(f"{uri} names no bucket; write it as s3://bucket/prefix")


class OutputConfig(Part):
    """Where the rows go."""

    uri: str = Field(min_length=1, description="a folder or a prefix; made where it is missing, a bucket is not")
    storage_options: dict[str, Any] = Field(
        default={}, description="options of the storage, such as endpoint_url: see use.md; no secrets"
    )
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

    @model_validator(mode="after")
    def _can_be_written_to(self) -> OutputConfig:
        if holds_password(self.uri):
            raise ValueError(f"{protocol_of(self.uri)}:// holds a password; take it out, and use the environment")
        _check_name(self.uri)
        protocol = claimed_protocol(self.uri)
        kind = kind_of(self.uri)
        if protocol_of(self.uri) != protocol or protocol not in KINDS:
            raise ValueError(
                f"{protocol}:// is no kind of storage that an output may lie in; name a folder, or s3://, gs:// or az://"
            )
        if kind in _NO_OUTPUT:
            raise ValueError(f"{public(self.uri)} {_NO_OUTPUT[kind]}; name a folder or a bucket to write to")
        try:
            check_options(self.storage_options, (kind,))
        except ValueError as error:
            raise ValueError(f"storage_options: {error}") from None
        return self
