"""Listings come page by page, in one order, and say what is there now; patterns match what fsspec says they match."""

from __future__ import annotations

import os
import secrets
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pytest
import s3fs
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.store import ObjectInfo, Store, join
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged
from tests import s3_faults as faults
from tests.s3_faults import S3Faults

NAMES = st.lists(st.text("ab.-/!é", min_size=1, max_size=8), max_size=12)
PARTS = st.sampled_from(["a", "b", "*", "?", "**", "a*", "[ab]", "*.b", "[!a]*", "-*"])


def is_path(name: str) -> bool:
    """Whether a text is a name that every kind of storage takes."""
    return all(part.strip(".") for part in name.split("/"))


@pytest.fixture(scope="module")
def many(s3_bucket: str) -> Iterator[tuple[str, list[str]]]:
    """A prefix with one object more than a page of S3 holds."""
    root = join(s3_bucket, secrets.token_hex(6))
    uris = [join(root, f"{n // 500}", f"{n:05d}") for n in range(1001)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda uri: Store().put_once(uri, uri[-5:].encode()), uris))
    yield root, uris
    Store().delete(uris)


def test_a_listing_on_s3_asks_for_a_page_when_it_is_wanted(many: tuple[str, list[str]], s3_faults: S3Faults) -> None:
    root, uris = many
    listing = Store({"endpoint_url": s3_faults.endpoint}).list(root)
    assert [info.uri for info in islice(listing, 1000)] == uris[:1000]
    assert s3_faults.count("GET", "list-type=2") == 1
    assert [info.uri for info in listing] == uris[1000:]
    assert s3_faults.count("GET", "list-type=2") == 2


def test_a_page_that_was_refused_is_asked_for_again(many: tuple[str, list[str]], s3_faults: S3Faults) -> None:
    root, uris = many
    s3_faults.script(faults.SLOW_DOWN, target="continuation-token", times=2)
    assert [info.uri for info in Store({"endpoint_url": s3_faults.endpoint}).list(root)] == uris


def test_many_objects_are_read_in_order_and_while_they_are_listed(many: tuple[str, list[str]]) -> None:
    root, uris = many
    assert list(Store().read_many(Store().list(root))) == [(uri, uri[-5:].encode()) for uri in uris]


def test_reading_that_is_given_up_leaves_nothing_under_way(many: tuple[str, list[str]], s3_faults: S3Faults) -> None:
    reading = Store({"endpoint_url": s3_faults.endpoint}).read_many(many[1])
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert s3_faults.count("GET") < 200


def test_s3_deletes_a_thousand_in_one_request(s3_root: str, s3_faults: S3Faults) -> None:
    store = Store({"endpoint_url": s3_faults.endpoint})
    uris = [join(s3_root, str(n)) for n in range(1001)]
    for uri in uris[:2] + uris[-1:]:
        store.put_once(uri, b"x")
    store.delete(iter(uris))
    assert list(store.list(s3_root)) == []
    assert s3_faults.count("POST", "delete") == 2


def test_a_listing_may_be_older_than_the_last_object(s3_root: str, s3_faults: S3Faults) -> None:
    """Not of S3 any more, but of servers behind a cache: whoever lists must be able to bear it."""
    store = Store({"endpoint_url": s3_faults.endpoint})
    for name in "ab":
        store.put_once(join(s3_root, name), b"x")
    s3_faults.script(faults.stale_listing(), target="list-type=2")
    assert len(list(store.list(s3_root))) == 1
    assert len(list(store.list(s3_root))) == 2


def test_a_listing_of_a_disk_holds_no_more_than_the_names_of_a_folder(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02d}").mkdir()
        for name in range(500):
            os.close(os.open(tmp_path / f"{number:02d}" / f"{name:04d}-{'x' * 60}", os.O_CREAT))
    tracemalloc.start()
    try:
        assert sum(1 for _ in Store().list(str(tmp_path))) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_links_to_files_are_objects_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept" / "there").mkdir(parents=True)
    (tmp_path / "kept" / "there" / "film").write_bytes(b"film")
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "film").symlink_to(tmp_path / "kept" / "there" / "film")
    (tmp_path / "seen" / "loop").symlink_to(tmp_path)
    (tmp_path / "seen" / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "seen" / "pipe")
    assert list(Store().read_many(Store().list(str(tmp_path / "seen")))) == [(str(tmp_path / "seen/film"), b"film")]


@settings(max_examples=60)
@given(names=NAMES)
def test_a_disk_lists_as_memory_does(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    roots = [str(tmp_path_factory.mktemp("listing")), f"memory://{secrets.token_hex(6)}"]
    kept: list[str] = []
    for name in filter(is_path, names):
        # A disk has no file below a file.
        if not any(name == other or name.startswith(f"{other}/") or other.startswith(f"{name}/") for other in kept):
            kept.append(name)
            for root in roots:
                Store().put_once(join(root, name), name.encode())
    wanted = sorted(name.encode() for name in kept if not any(part.startswith(".") for part in name.split("/")))
    for root in roots:
        assert [data for _, data in Store().read_many(Store().list(root))] == wanted


@settings(max_examples=100)
@given(names=NAMES, parts=st.lists(PARTS, min_size=1, max_size=3))
def test_a_pattern_matches_what_fsspec_says_it_does(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], parts: list[str]
) -> None:
    root = tmp_path_factory.mktemp("glob")
    for name in filter(is_path, names):
        path = root / name
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    pattern = str(root / "/".join(parts))
    found = fsspec.filesystem("file").glob(pattern)
    visible = [name for name in found if "/." not in name[len(str(root)) :] and Path(name).is_file()]
    assert [info.uri for info in Store().glob(pattern)] == sorted(visible)


def test_a_pattern_goes_no_deeper_than_it_has_to(root: str, s3_faults: S3Faults) -> None:
    store = Store({"endpoint_url": s3_faults.endpoint} if root.startswith("s3") else {})
    for name in ("1.mp4", "2.mp4", "a/3.mp4", "a/b/4.mp4", ".5.mp4", "x[1].mp4"):
        store.put_once(join(root, name), b"x")

    def names(pattern: str) -> list[str]:
        return [info.uri.rsplit("/", 1)[1] for info in store.glob(join(root, pattern))]

    assert names("*.mp4") == ["1.mp4", "2.mp4", "x[1].mp4"]
    assert names("*/*.mp4") == ["3.mp4"]
    assert sorted(names("**/*.mp4")) == ["1.mp4", "2.mp4", "3.mp4", "4.mp4", "x[1].mp4"]
    assert names(".*.mp4") == [".5.mp4"]
    assert names("1.mp4") == ["1.mp4"]
    assert names("nothing.mp4") == []
    assert dict(store.read_many([join(root, "x[1].mp4")])) == {join(root, "x[1].mp4"): b"x"}


def test_what_is_gone_is_none_in_its_place(root: str) -> None:
    store, uris = Store(), [join(root, name) for name in "abc"]
    for uri in uris:
        store.put_once(uri, uri[-1:].encode())
    infos = list(store.list(root))
    store.delete([uris[1]])
    assert [data for _, data in store.read_present(uris)] == [b"a", None, b"c"]
    assert [data for _, data in store.read_present(infos)] == [b"a", None, b"c"]
    assert list(store.read_present([])) == []
    with pytest.raises(ObjectNotFound, match=r"cannot read \S*/b: "):
        list(store.read_many(uris))


def test_what_has_another_size_than_was_listed_has_changed(root: str) -> None:
    uri = join(root, "a")
    Store().put_once(uri, b"0123")
    with pytest.raises(VersionChanged, match=r"/a has changed"):
        list(Store().read_many([ObjectInfo(uri=Store().stat(uri).uri, size_bytes=3, version="before")]))


def test_a_range_that_the_object_does_not_have_is_an_error(root: str) -> None:
    uri = join(root, "a")
    Store().put_once(uri, b"0123")
    assert Store().read(uri, 1) == b"123"
    assert Store().read(uri, end=2) == b"01"
    assert Store().read(uri, 4) == b""
    for start, end in ((2, 5), (4, 5), (9, 12)):
        with pytest.raises(StorageError, match=f"of bytes {start} to {end}"):
            Store().read(uri, start, end)
    for start, end in ((-1, None), (3, 2)):
        with pytest.raises(ValueError, match="0 <= start <= end"):
            Store().read(uri, start, end)
    Store().put_once(join(root, "empty"), b"")
    assert Store().read(join(root, "empty")) == b""


def test_an_object_that_is_replaced_while_it_is_open_is_never_a_mix(root: str) -> None:
    uri = join(root, "a")
    Store().put_once(uri, b"0" * 4_000_000)
    with Store().open_read(uri) as file:
        assert file.read(10) == b"0" * 10
        Store().replace(uri, b"1" * 4_000_000, if_match=Store().stat(uri).version)
        file.seek(-10, os.SEEK_END)
        if "://" not in root:
            assert file.read() == b"0" * 10  # the file that was opened
        else:
            with pytest.raises(OSError, match="has changed"):
                file.read()


def test_an_upload_that_nobody_finished_is_seen(s3_root: str, s3_endpoint: str) -> None:
    fs = s3fs.S3FileSystem(endpoint_url=s3_endpoint)
    uri = join(s3_root, "half.bin")
    bucket, key, _ = fs.split_path(uri)
    begun: Any = fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    [upload] = Store().open_uploads(s3_root)
    assert (upload.uri, upload.upload_id) == (uri, begun["UploadId"])
    assert list(Store().list(s3_root)) == []
    fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun["UploadId"])
    assert list(Store().open_uploads(s3_root)) == []
