"""Local files that DuckDB may open itself, and what is said when they changed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from framegate.pipelines.store import Store
from framegate.pipelines.store.sealed_filesystem import SealedFilesystem
from framegate.schemas.errors import ObjectNotFound, VersionChanged


def make_files(root: Path, name: str = "results/config_id=a/00000000.parquet") -> SealedFilesystem:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"rows")
    store = Store({})
    return SealedFilesystem(store, {name: store.stat(str(path))})


def test_files_of_this_machine_are_opened_where_they_lie(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    assert files.direct_paths() == {name: str(tmp_path / name) for name in files.names}


@pytest.mark.parametrize("root", ["site=north", "a[1]", "what?", "all*"])
def test_a_folder_that_looks_like_a_pattern_or_a_partition_is_read_by_name(tmp_path: Path, root: str) -> None:
    assert make_files(tmp_path / root).direct_paths() == {}


def test_a_partition_that_looks_like_a_pattern_is_read_by_name(tmp_path: Path) -> None:
    assert make_files(tmp_path, "results/config_id=a/camera=[1]/00000000.parquet").direct_paths() == {}


def test_a_file_that_was_replaced_or_deleted_is_told(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    files.check_versions()
    (name,) = files.names
    (tmp_path / name).write_bytes(b"more rows")
    with pytest.raises(VersionChanged, match=r"00000000\.parquet has changed"):
        files.check_versions()
    (tmp_path / name).unlink()
    with pytest.raises(ObjectNotFound):
        files.check_versions()
