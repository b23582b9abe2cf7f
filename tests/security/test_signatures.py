"""Signatures of an output: what was forged together with its hashes is found."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from tests.audit.conftest import Archive
from tests.security.damaging import (
    CALIBRATION,
    CONFIG,
    LABELS,
    LAYOUT,
    PLANS,
    RESULTS,
    RUNS,
    SEALS,
    STEP,
    Damage,
    double,
    edit,
    empty,
    one,
    put,
    remove,
    rename,
    rewrite,
    root,
    set_column,
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """`keys(name)`: the files of a private and a public key."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives import serialization as form

    folder = tmp_path_factory.mktemp("keys")

    def make(name: str) -> tuple[Path, Path]:
        key, private, public = ed25519.Ed25519PrivateKey.generate(), folder / f"{name}.pem", folder / f"{name}.pub"
        none = form.NoEncryption()
        private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, none))
        whole = form.PublicFormat.SubjectPublicKeyInfo
        public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, whole))
        return private, public

    return make


def call(archive: Archive, *options: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", archive.output.root, *map(str, options)], env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.fixture
def signed(archive: Archive, keys: Callable[[str], tuple[Path, Path]]) -> tuple[Archive, Path, Path]:
    private, public = keys("signer")
    code, text = call(archive, "--sign", private)
    assert (code, "signatures/00000000.json.gz" in text) == (0, True), text
    return archive, private, public


def forge_rows(archive: Archive) -> None:
    """Other answers, with the file's new hash in its record and its plan left as it was."""
    path = one(archive, RESULTS)
    table = pq.ParquetFile(path).read()
    metadata = pq.read_metadata(path).metadata
    forged = set_column("answer", "no")(table).replace_schema_metadata(
        {key: value for key, value in (metadata or {}).items() if key.startswith(b"framegate")}
    )
    pq.write_table(forged, path)
    name, data = str(path.relative_to(root(archive))), path.read_bytes()
    record_path = one(archive, SEALS, -1)
    record = json.loads(record_path.read_text())
    (file,) = [file for file in record["files"] if file["uri"] == name]
    sha256 = hashlib.sha256(data).hexdigest()
    file.update(sha256=sha256, sha256_sealed=sha256, size_bytes=len(data))
    record_path.write_text(json.dumps(record))
    step_paths = root(archive).glob(STEP)
    for step in step_paths:
        if json.loads(step.read_text())["file"] == name:
            step.write_text(json.dumps({**json.loads(step.read_text()), "file": "results/none"}))


FORGED = [
    pytest.param(forge_rows, "was changed since it was signed", id="rows-with-their-hashes"),
    pytest.param(
        edit(RUNS, lambda r: r.update(job="other")), "the record of run run-1 was changed", id="field-of-a-run"
    ),
    pytest.param(edit(LAYOUT, lambda d: d.update(time_zone="Asia/Tokyo")), "time_zone Asia/Tokyo", id="time-zone"),
    pytest.param(
        lambda a: rename(a, LABELS, lambda name: name[:25] + "20270101T000000Z" + name[41:]) or None,
        "was signed, and is missing",
        id="time-of-a-label",
    ),
    pytest.param(
        edit(CALIBRATION, lambda d: d["whole"].update(threshold=0.1)),
        "was changed since it was signed",
        id="certificate",
    ),
    pytest.param(rewrite(PLANS, lambda t: pa.concat_tables([t, t.slice(0, 1)])), "the plan of run run-1", id="plan"),
    pytest.param(
        put(CONFIG, b"model: other\n"), "was changed since it was signed", id="configuration-without-a-version"
    ),
    pytest.param(remove("signatures/*.gz"), "nothing is signed with the key", id="signature-removed"),
    pytest.param(empty("signatures/*.gz"), "is no signature", id="signature-emptied"),
    pytest.param(double("signatures/*.gz", "00000007.json.gz"), "is out of order", id="signature-copied"),
]


@pytest.mark.parametrize(("forge", "words"), FORGED)
def test_what_was_forged_after_signing_is_found(signed: tuple[Archive, Path, Path], forge: Damage, words: str) -> None:
    archive, private, public = signed
    assert call(archive, "--verify", public)[0] == 0
    forge(archive)
    code, text = call(archive, "--verify", public)
    assert code == 1
    assert words in " ".join(text.split()), text
    if not any(
        part in words for part in ("signature", "nothing is signed", "out of order")
    ):  # who signs again does not vouch for it
        assert call(archive, "--sign", private)[0] == 1
        assert len(list(root(archive).glob("signatures/*"))) == 1


def test_a_changed_statement_is_no_signature(signed: tuple[Archive, Path, Path]) -> None:
    archive, _, public = signed
    path = one(archive, "signatures/*.gz")
    told = json.loads(gzip.decompress(path.read_bytes()))
    statement = {**json.loads(told["statement"]), "seals": {}}
    path.write_bytes(gzip.compress(json.dumps({**told, "statement": json.dumps(statement)}).encode()))
    code, text = call(archive, "--verify", public)
    assert code == 1
    assert "is not signed with a key that was given" in " ".join(text.split())


def test_another_key_is_none(signed: tuple[Archive, Path, Path], keys: Callable[[str], tuple[Path, Path]]) -> None:
    archive, _, public = signed
    other, other_public = keys("other")
    assert call(archive, "--verify", other_public)[0] == 1
    assert call(archive, "--sign", other)[0] == 1  # what the first key signed is not verified by it
    assert call(archive, "--sign", other, "--verify", public)[0] == 0
    assert call(archive, "--verify", public, "--verify", other_public)[0] == 0


def test_what_writers_add_is_not_signed_yet_and_no_finding(signed: tuple[Archive, Path, Path], facts: RunFacts) -> None:
    archive, private, public = signed
    archive.run("run-4", "e")
    code, text = call(archive, "--verify", public)
    assert code == 0, text
    assert "1 seals are not signed yet" in text
    assert "1 plans are not signed yet" in text
    assert call(archive, "--sign", private)[0] == 0
    assert "not signed yet" not in call(archive, "--verify", public)[1].replace("what is in them is not signed yet", "")


def test_an_erasure_after_signing_is_a_note(signed: tuple[Archive, Path, Path]) -> None:
    archive, _, public = signed
    erase(archive.output, ["c.mp4"])
    code, text = call(archive, "--verify", public)
    assert code == 0, text
    assert "were written anew since" in " ".join(text.split())


def test_a_key_that_is_none_and_a_quick_audit_are_refused(archive: Archive, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = tmp_path / "key"
    key.write_text("secret words")
    for options in (("--sign", key), ("--verify", key), ("--sign", key, "--quick"), ("--sign", tmp_path / "none")):
        code, text = call(archive, *options)
        assert code != 0
        assert "secret words" not in text
    assert not list(root(archive).glob("signatures"))
