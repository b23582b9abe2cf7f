"""The fsspec file system behind a URI: one of the name's protocol, and no more than that.

fsspec's own `url_to_fs` takes `::` in a name for a chain of file systems, and `?versionId=` for a version. It makes any
file system that it knows: some open other addresses, load libraries or run work elsewhere. Here those of `KINDS` alone
are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import fsspec
from fsspec import AbstractFileSystem
from fsspec.registry import known_implementations

from framegate.schemas.errors import StorageError
from framegate.schemas.uris import KINDS, protocol_of

LOCAL: Final = ("file", "local")
S3: Final = ("s3", "s3a")
HTTP: Final = ("http", "https")
_EXTRAS: Final = {
    "gs": "gs", "gcs": "gs",
    "az": "az", "abfs": "az", "abfss": "az", "adl": "az",
}  # fmt: skip


def make_filesystem(uri: str, options: Mapping[str, Any]) -> AbstractFileSystem:
    """Raises StorageError where there is no such kind of storage, or the package for it is missing."""
    protocol = protocol_of(uri)
    if protocol not in KINDS:
        raise StorageError(
            f"{protocol}:// is no kind of storage that is known; give a local path, s3://, gs://, az:// or https://"
        )
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise StorageError(f"{protocol}:// {_missing(protocol)}") from error
    named = kind._get_kwargs_from_urls(uri)  # such as the host of sftp://host/a.mp4
    named.pop("version_aware", None)  # `?versionId=` and `#` are a part of a name
    return kind(**{**named, **options})


def _missing(protocol: str) -> str:
    extra = _EXTRAS.get(protocol)
    if extra is not None:
        return f"needs a package that is not installed; install it with: pip install 'framegate[{extra}]'"
    return f"needs a package that is not installed: {known_implementations[protocol].get('err') or 'see fsspec'}"


def kind_of(uri: str) -> str:
    """One word for all protocols of a kind of storage."""
    protocol = protocol_of(uri)
    return "file" if protocol in LOCAL else "s3" if protocol in S3 else protocol
