"""A sealed file is replaced while an engine is in the middle of it: what DuckDB, pyarrow, Polars and s3fs do then."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from framegate.pipelines.commit.sealed_parquet import encode_sealed
from framegate.pipelines.store import Store, join
from framegate.pipelines.store.append import append_row_groups
from framegate.pipelines.store.parquet import read_columns
from tests.s3_faults import S3Faults

SCHEMA = pa.schema([(name, pa.string()) for name in ("video_id", "clip_index", "question_id", "question_hash", "text")])
NUM_OLD, NUM_NEW = 4_000, 1_000


def rows(first: int, last: int) -> pa.Table:
    chance = random.Random(first)
    ids = [f"{n:016x}" for n in range(first, last)]
    texts = [chance.randbytes(400).hex() for _ in ids]
    return pa.table(
        {"video_id": ids, "clip_index": ids, "question_id": ids, "question_hash": ids, "text": texts}, SCHEMA
    )


@pytest.fixture(scope="module")
def versions() -> dict[str, bytes]:
    """The old file; the next one that begins with it; and one with the same rows and more that was written anew."""
    old, new = rows(0, NUM_OLD), rows(NUM_OLD, NUM_OLD + NUM_NEW)
    encoded = encode_sealed([old.slice(n, 1000) for n in range(0, NUM_OLD, 1000)], SCHEMA)
    anew = [*(old.slice(n, 800).take(list(range(799, -1, -1))) for n in range(0, NUM_OLD, 800)), new]
    return {
        "old": encoded,
        "grown": append_row_groups(encoded, encode_sealed([new], SCHEMA), num_kept=4),
        "anew": encode_sealed(anew, SCHEMA),
    }


def with_s3fs(uri: str, endpoint: str) -> list[str]:
    """Whole rows by pyarrow's reader, over a file of s3fs that asks for each range by itself."""
    fs = s3fs.S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True)
    with fs.open(uri, "rb", block_size=64 * 1024, cache_type="readahead") as file:
        return _ids(pq.ParquetFile(file).read())


def with_pyarrow(uri: str, endpoint: str) -> list[str]:
    from pyarrow.fs import S3FileSystem

    fs = S3FileSystem(
        endpoint_override=endpoint.removeprefix("http://"),
        scheme="http",
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region="us-east-1",
    )
    return _ids(pq.read_table(uri.removeprefix("s3://"), filesystem=fs, partitioning=None, pre_buffer=False))


def with_duckdb(uri: str, endpoint: str) -> list[str]:
    fs = s3fs.S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True)
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        found = connection.execute("SELECT video_id, text FROM read_parquet(?)", [uri]).fetchall()
    return sorted(f"{video_id} {text[:16]}" for video_id, text in found)


def with_polars(uri: str, endpoint: str) -> list[str]:
    options = {
        "aws_endpoint_url": endpoint,
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    return _ids(pl.scan_parquet(uri, storage_options=options).collect().to_arrow())


def with_ours(uri: str, endpoint: str) -> list[str]:
    return _ids(read_columns(Store({"endpoint_url": endpoint}), uri, SCHEMA.names))


def _ids(table: pa.Table) -> list[str]:
    return sorted(f"{row['video_id']} {row['text'][:16]}" for row in table.select(["video_id", "text"]).to_pylist())


READERS: dict[str, Callable[[str, str], list[str]]] = {
    "ours": with_ours, "s3fs": with_s3fs, "pyarrow": with_pyarrow, "duckdb": with_duckdb, "polars": with_polars,
}  # fmt: skip


OLD = _ids(rows(0, NUM_OLD))
BOTH = sorted(OLD + _ids(rows(NUM_OLD, NUM_OLD + NUM_NEW)))
NEVER_FAIL = {("ours", "grown"), ("ours", "anew"), ("pyarrow", "grown"), ("polars", "grown")}
"""Ours begins again. The others do not look whether the object is still the same: a version that grew at its end is
none the worse for that. s3fs, and DuckDB over it, look, and say that the file has expired."""


@pytest.mark.parametrize("kind", ["grown", "anew"])
@pytest.mark.parametrize("name", READERS)
def test_an_engine_reads_one_version_or_fails_and_never_mixes_them(
    name: str, kind: str, versions: dict[str, bytes], s3_root: str, s3_endpoint: str, s3_faults: S3Faults
) -> None:
    direct = Store({"endpoint_url": s3_endpoint})
    read: list[list[str]] = []
    errors: list[Exception] = []
    for swap_at in range(1, 7):
        uri = join(s3_root, f"{name}-{kind}-{swap_at}.parquet")
        direct.put_once(uri, versions["old"])
        s3_faults.script(_swapping(direct, uri, versions[kind], swap_at), method="GET HEAD", target=uri[-20:], times=99)
        try:
            read.append(READERS[name](uri, s3_faults.endpoint))
        except Exception as error:
            errors.append(error)
        s3_faults.clear()
    assert all(found in (OLD, BOTH) for found in read)
    assert BOTH in read, "the first request met the new version"
    if (name, kind) in NEVER_FAIL:
        assert errors == []
    else:
        assert errors, "this engine has become better: say so in docs/output.md"


def _swapping(store: Store, uri: str, data: bytes, swap_at: int) -> Callable[[Any, Callable[[], Any]], Any]:
    """Replaces the object before its n-th request, from 1, is served."""
    version, lock, seen = store.stat(uri).version, threading.Lock(), [0]

    def swap(request: Any, serve: Callable[[], Any]) -> Any:
        with lock:
            seen[0] += 1
            if seen[0] == swap_at:
                store.replace(uri, data, if_match=version)
        return serve()

    return swap
