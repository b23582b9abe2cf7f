"""All access to storage: list, stat, read, create once, replace a version, delete. Only this room imports fsspec.

Objects are named by URI: a local path, `file://`, `s3://`, `memory://` or any other protocol of fsspec. An object is
created whole or not at all, and only its known version is ever replaced. There is no stream into storage: a writer that
dies must leave nothing behind, and both `fs.open(uri, "wb")` and pyarrow's output streams then leave a valid, short
Parquet file. Our Parquet is encoded and read in `parquet.py`.
"""

from __future__ import annotations

from framegate.pipelines.store.file_names import LOCK_FILE
from framegate.pipelines.store.globs import is_glob
from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.object_info import (
    ObjectInfo,
    OpenUpload,
    Put,
    bucket_of,
    file_version,
    join,
    object_info,
)
from framegate.pipelines.store.store import Store

__all__ = [
    "LOCK_FILE",
    "Listing",
    "ObjectInfo",
    "OpenUpload",
    "Put",
    "Store",
    "bucket_of",
    "file_version",
    "is_glob",
    "join",
    "object_info",
]
