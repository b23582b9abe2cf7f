"""Keys of S3 as they are asked for: slashes, question marks and backslashes are parts of a name. The server that other
tests use takes a key for a path, so requests are looked at in place of answers."""

from __future__ import annotations

from typing import Any

import pytest
from fsspec.asyn import get_loop
from s3fs import S3FileSystem

from framegate.pipelines.store.globs import matching
from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.s3 import S3Objects

KEYS = ["a//b.mp4", "a///d.mp4", "a/c.mp4", "/first.mp4", "a/?versionId=1.mp4", "a/b\\c.mp4", "a/::x.mp4", "out/1.json"]


class RecordingS3:
    """What `S3Objects` needs of s3fs, over keys in memory."""

    loop = get_loop()

    def __init__(self) -> None:
        self.heads: list[str] = []

    def _find_bucket_key(self, path: str) -> tuple[str, str]:
        return S3FileSystem._find_bucket_key(self, path)  # type: ignore[arg-type]

    async def _call_s3(self, method: str, **asked: Any) -> dict[str, Any]:
        if method == "head_object":
            self.heads.append(asked["Key"])
            if asked["Key"] not in KEYS:
                raise FileNotFoundError(asked["Key"])
            return {"ContentLength": 1, "ETag": '"1"'}
        below = [key for key in sorted(KEYS) if key.startswith(asked["Prefix"])]
        if asked.get("Delimiter"):
            below = [key for key in below if "/" not in key[len(asked["Prefix"]) :]]
        return {"Contents": [{"Key": key, "Size": 1, "ETag": '"1"'} for key in below]}


@pytest.fixture
def objects() -> S3Objects:
    return S3Objects(RecordingS3(), single_writer=False, patience_seconds=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_asked_for_as_it_is(objects: S3Objects, key: str) -> None:
    info = objects.stat(objects.path(f"s3://bucket/{key}"))
    assert info.uri == f"s3://bucket/{key}"
    assert objects._fs.heads == [key]


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [
        ("s3://bucket/a//", ["a///d.mp4", "a//b.mp4"]),
        ("s3://bucket/a///", ["a///d.mp4"]),
        ("s3://bucket//", ["/first.mp4"]),
        ("s3://bucket/", sorted(KEYS)),
        ("s3://bucket", sorted(KEYS)),
        ("s3://bucket/out", ["out/1.json"]),
    ],
)
def test_a_prefix_lists_what_begins_with_it(objects: S3Objects, prefix: str, keys: list[str]) -> None:
    assert [info.uri.removeprefix("s3://bucket/") for info in objects.list(objects.path(prefix))] == keys


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [("s3://bucket/a//*.mp4", ["a//b.mp4"]), ("s3://bucket/a//**", ["a///d.mp4", "a//b.mp4"]),
     ("s3://bucket/*/*.json", ["out/1.json"])],
)  # fmt: skip
def test_a_glob_begins_at_its_own_slashes(objects: S3Objects, pattern: str, keys: list[str]) -> None:
    assert [info.uri.removeprefix("s3://bucket/") for info in matching(objects, objects.path(pattern))] == keys


@pytest.mark.parametrize("output", ["s3://bucket/out", "s3a://bucket/out/"])
def test_a_folder_that_is_left_out_is_not_listed(objects: S3Objects, output: str) -> None:
    listing = Listing(leave_out=output)
    assert "out/1.json" not in [
        info.uri.removeprefix("s3://bucket/") for info in objects.list("bucket", listing=listing)
    ]
    assert listing.has_left_out
    for other in ("s3://other/out", "/bucket/out", "s3://bucket/ou"):
        assert len(list(objects.list("bucket", listing=Listing(leave_out=other)))) == len(KEYS)
    assert [info.uri for info in objects.list("bucket/out", listing=Listing(leave_out=output))] == [
        "s3://bucket/out/1.json"
    ]
