"""A model is known by its content: not by its folder, its commit or settings that nothing reads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest

from framegate.pipelines.reason.models import file_digests
from framegate.pipelines.reason.models.file_digests import digest_file
from framegate.pipelines.reason.models.fingerprint import fingerprint_model
from framegate.schemas.errors import EngineError

COMMITS = ("a" * 40, "b" * 40)


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_checkpoint: Path) -> Path:
    """The cache of the hub with one model in two commits of the same files: snapshots of links to blobs."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    model = cache / "models--org--model"
    (model / "blobs").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMITS[0])
    for path in Path(random_checkpoint).iterdir():
        data = path.read_bytes()
        is_large = path.suffix == ".safetensors"
        name = hashlib.sha256(data).hexdigest() if is_large else hashlib.sha1(data).hexdigest()
        (model / "blobs" / name).write_bytes(data)
        for commit in COMMITS:
            (model / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
            (model / "snapshots" / commit / path.name).symlink_to(Path("..") / ".." / "blobs" / name)
    return model


def test_what_nothing_reads_changes_nothing(copied: Path) -> None:
    before = fingerprint_model(str(copied))
    edit(copied / "config.json", _name_or_path="elsewhere", transformers_version="9.9", torch_dtype="float32")
    generation = copied / "generation_config.json"
    values = json.loads(generation.read_text()) if generation.exists() else {}
    generation.write_text(json.dumps({**values, "temperature": 0.1, "top_p": 0.5, "transformers_version": "9.9"}))
    known = fingerprint_model(str(copied))
    edit(generation, temperature=0.9, top_k=3, repetition_penalty=1.1)
    assert fingerprint_model(str(copied)) == known
    assert known == before or not values  # a file that was missing says where answers end
    shutil.move(copied, copied.with_name("renamed"))
    assert fingerprint_model(str(copied.with_name("renamed"))) == known


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"rope_theta": 7.0}),
        ("config.json", {"what_a_later_release_reads": 1}),
        ("generation_config.json", {"eos_token_id": [1, 2]}),
        ("tokenizer_config.json", {"added_tokens_decoder": {}}),
        ("tokenizer.json", {"added": 1}),
    ],
)
def test_what_is_read_changes_the_fingerprint(copied: Path, file: str, values: dict) -> None:
    before = fingerprint_model(str(copied))
    path = copied / file
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))
    assert fingerprint_model(str(copied)) != before


def test_a_hub_model_is_what_a_folder_with_its_files_is_whatever_the_commit(
    hub: Path, random_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fingerprint_model(str(random_checkpoint))
    monkeypatch.setattr(file_digests, "REMEMBERED_BYTES", 0)
    for path in (hub / "blobs").iterdir():
        if len(path.name) == 64:
            path.write_bytes(b"not read: the name says what it is")
    assert {fingerprint_model("org/model", commit) for commit in (None, *COMMITS)} == {expected}


class _Hub(BaseHTTPRequestHandler):
    """Names the content of weights and has no other file."""

    etags: dict[str, str]

    def do_HEAD(self) -> None:
        etag = self.etags.get(self.path.rpartition("/")[2])
        self.send_response(200 if etag else 404)
        if etag:
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMITS[0])
            self.send_header("X-Linked-Size", "15000000000")
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Hub]]:
    handler = type("Hub", (_Hub,), {"etags": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield handler
        server.shutdown()


def test_weights_that_are_not_here_are_named_by_the_hub_and_not_fetched(
    hub: Path, hub_server: type[_Hub], random_checkpoint: Path
) -> None:
    expected = fingerprint_model(str(random_checkpoint))
    weights = hub / "snapshots" / COMMITS[0] / "model.safetensors"
    hub_server.etags["model.safetensors"] = weights.resolve().name
    weights.resolve().unlink()
    weights.unlink()
    assert fingerprint_model("org/model", COMMITS[0]) == expected
    hub_server.etags["model.safetensors"] = "0" * 64
    assert fingerprint_model("org/model", COMMITS[0]) != expected
    hub_server.etags.clear()
    with pytest.raises(EngineError, match="neither cached nor found on the hub"):
        fingerprint_model("org/model", COMMITS[0])


def test_a_shard_that_an_index_names_and_the_folder_lacks_is_refused(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (copied / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(EngineError, match=r"holds no model-00002-of-00002\.safetensors, which its"):
        fingerprint_model(str(copied))


def test_a_large_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_digests, "REMEMBERED_BYTES", 4)
    reads: list[str] = []
    plain = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: (reads.append(file.name), plain(file, name))[1])
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    first = [digest_file(path) for _ in range(3)]
    assert (set(first), len(reads)) == ({hashlib.sha256(b"first").hexdigest()}, 1)
    times = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time of change still tells
    assert digest_file(path) == hashlib.sha256(b"other").hexdigest()
    for note in (tmp_path / "cache" / "framegate" / "digests").iterdir():
        note.write_text("rubbish")
    assert digest_file(path) == hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize("home", ["", "~", "here"])
def test_a_home_that_is_no_absolute_path_gets_no_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    """A user without a home would find folders called `~` or `.cache` wherever a run is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(file_digests, "REMEMBERED_BYTES", 4)
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    assert digest_file(path) == digest_file(path) == hashlib.sha256(b"first").hexdigest()
    assert [found.name for found in tmp_path.iterdir()] == ["weights"]


def test_a_home_that_cannot_be_written_costs_reading_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(file_digests, "REMEMBERED_BYTES", 4)
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    assert digest_file(path) == digest_file(path) == hashlib.sha256(b"first").hexdigest()
