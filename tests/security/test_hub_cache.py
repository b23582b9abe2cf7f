"""Attacks by the hub's cache: bytes that are not those of their name, links out of it, revisions that are paths."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from framegate.pipelines.reason.models.check import check_model
from framegate.pipelines.reason.models.clean_folder import make_clean_folder
from framegate.pipelines.reason.models.fingerprint import fingerprint_model
from framegate.schemas.errors import EngineError
from tests.model_folders import safetensors
from tests.security.checkpoint_edits import TEXTS, WEIGHTS, refusal
from tests.security.refused_checkpoints import OUT


def test_other_bytes_have_another_fingerprint_wherever_a_link_says_they_lie(checkpoint: Path) -> None:
    """Names of the hub's cache are believed of the hub's cache alone."""
    before = fingerprint_model(str(checkpoint))
    snapshot = checkpoint.parent / "models--a--b" / "snapshots" / ("c" * 40)
    shutil.copytree(checkpoint, snapshot)
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir()
    claimed = blobs / ("a" * 64)
    (snapshot / WEIGHTS).rename(claimed)
    (snapshot / WEIGHTS).symlink_to(claimed)
    assert refusal(snapshot) is None
    assert fingerprint_model(str(snapshot)) == before
    claimed.write_bytes(safetensors(fill=b"\1"))
    assert fingerprint_model(str(snapshot)) != before


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with one model: its snapshot, of links to blobs that are named by their content."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "hub" / "models--org--model"
    snapshot = model / "snapshots" / ("c" * 40)
    for made in (snapshot, model / "blobs", model / "refs"):
        made.mkdir(parents=True)
    (model / "refs" / "main").write_text("c" * 40)
    for path in checkpoint.iterdir():
        name = hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, model / "blobs" / name)
        (snapshot / path.name).symlink_to(Path("..") / ".." / "blobs" / name)
    return snapshot


def test_a_model_in_the_hubs_cache_is_loaded_by_the_bytes_that_its_names_promise(hub: Path) -> None:
    assert refusal(hub) is None
    check_model("org/model", None, TEXTS)
    assert (make_clean_folder("org/model") / WEIGHTS).resolve() == (hub / WEIGHTS).resolve()
    (hub / WEIGHTS).resolve().write_bytes(safetensors(fill=b"\1"))
    with pytest.raises(EngineError, match=r"is not what the hub's cache says it is"):
        make_clean_folder("org/model")


def test_a_snapshot_that_links_out_of_the_hubs_cache_is_refused(hub: Path, checkpoint: Path) -> None:
    (hub / WEIGHTS).unlink()
    (hub / WEIGHTS).symlink_to(checkpoint / WEIGHTS)
    for ask in (lambda: check_model("org/model", None, TEXTS), lambda: fingerprint_model("org/model")):
        with pytest.raises(EngineError, match=OUT):
            ask()


@pytest.mark.parametrize("revision", ["../../../etc/passwd", "/etc/passwd", "a/../b", "main\0x", "", "a b", "-x"])
def test_a_revision_that_is_a_path_is_refused_before_the_cache_is_looked_at(revision: str, opened: list[str]) -> None:
    opened.clear()
    with pytest.raises(EngineError, match=r"must be a branch, a tag or a commit"):
        check_model("org/model", revision, TEXTS)
    assert opened == []
