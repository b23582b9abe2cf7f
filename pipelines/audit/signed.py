"""What was signed against what is there: the records, and the rows that they vouch for.

What writers have added since is not signed yet, which is noted and no finding. What was signed must be there as it was.
Two things may change it all the same. An erasure takes rows out, and deletes labels. A seal adds rows to a file, or, as
do merges, deepenings and migrations, writes it anew. Where a file has grown, it begins with the bytes that were signed,
and their rows are looked for among its first ones. Where it was written anew, its rows cannot be compared with what was
signed: their number is noted, so that a person can tell whether such a thing was due, and signs again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.audit.file_history import Histories
from framegate.pipelines.audit.report import AuditReport, Check
from framegate.pipelines.audit.seals import Seals
from framegate.pipelines.audit.signature import (
    Signature,
    is_signed_by,
    list_signatures,
    put_signature,
    read_private_key,
    read_public_key,
    read_signature,
)
from framegate.pipelines.audit.statement import encode_statement, make_statement
from framegate.pipelines.audit.unknown_objects import OutputNames
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import files_of
from framegate.pipelines.erase.records import read_replacements
from framegate.pipelines.store import join
from framegate.pipelines.store.parquet import PARQUET_ERRORS
from framegate.schemas.errors import StorageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_BATCH_ROWS = 10_000


class Signer:
    """Signs an output that an audit has found clean. What is signed was read before that audit, so that what is changed
    meanwhile differs from it and is found by the next verification."""

    def __init__(self, output: Output, key_file: Path) -> None:
        """Raises ConfigError where the file holds no private key."""
        self._output = output
        self._key = read_private_key(key_file)
        self._statement: dict[str, Any] = {}

    @property
    def public_key(self) -> Ed25519PublicKey:
        return self._key.public_key()

    @property
    def has_signatures(self) -> bool:
        return bool(list_signatures(self._output))

    def read(self) -> None:
        """Reads what is to be signed. Raises StorageError."""
        signed = [read_signature(uri, self._output.store.read(uri)) for uri in list_signatures(self._output)]
        last = signed[-1] if signed else None
        previous = None if last is None else _digest(last.statement)
        number = 0 if last is None else last.number + 1
        self._statement = make_statement(self._output, number=number, previous=previous)

    def sign(self) -> str:
        """Signs what was read; gives back the URI of the signature. Raises StorageError."""
        number = self._statement["number"]
        return put_signature(self._output, self._key, number, encode_statement(self._statement))


def read_keys(paths: Sequence[Path]) -> list[Ed25519PublicKey]:
    """Raises ConfigError where one is no public key."""
    return [read_public_key(path) for path in paths]


def check_signed(
    report: AuditReport, output: Output, seals: Seals, keys: Sequence[Ed25519PublicKey], *, is_quick: bool
) -> None:
    """Every signature is one of `keys`, and what the last one says is still so."""
    check = report["signed"]
    signed = _read_signatures(check, output, keys)
    if not signed:
        check.find("nothing is signed with the key that was given: 'framegate audit --sign' does so")
        return
    for before, after in zip([None, *signed], signed, strict=False):
        statement = json.loads(after.statement)
        if statement["number"] != after.number or (before is None) != (after.number == 0):
            check.find(f"signatures/{after.number:08d}.json.gz is out of order: one before it is missing, or moved")
        elif before is not None and statement["previous"] != _digest(before.statement):
            check.find(f"signatures/{after.number:08d}.json.gz does not follow the one before it: that was replaced")
    statement = json.loads(signed[-1].statement)
    now = make_statement(output, number=0, previous=None)
    check.note(f"signed last at {statement['signed_at']}, number {statement['number']}: keep both elsewhere, since who"
               " writes here can put back all of an older state")  # fmt: skip
    below = OutputNames.of(output)
    steps = [(below.name(uri), step) for uri, step in read_replacements(output)]
    new_steps = [step for name, step in steps if name not in statement["objects"]]
    touched = {step.table for step in new_steps}
    has_erased = any(name.startswith("erasures/") for name in set(now["objects"]) - set(statement["objects"]))
    _check_seals(check, statement, now)
    _check_each(check, "runs", statement, now, is_excused="runs" in touched)
    _check_each(check, "plans", statement, now, is_excused="plans" in touched)
    _check_objects(check, statement, now, has_erased=has_erased)
    _check_layout(check, statement["layout"], now["layout"])
    if is_quick:
        check.note("the rows of files were not compared with what was signed: ask the whole audit for that")
        return
    known = Histories(step for name, step in steps if name in statement["objects"])
    _check_files(check, output, seals, statement, known)


def _read_signatures(check: Check, output: Output, keys: Sequence[Ed25519PublicKey]) -> list[Signature]:
    found = []
    for uri, data in output.store.read_present(list_signatures(output)):
        check.num_checked += 1
        try:
            signature = read_signature(uri, data or b"")
        except StorageError as error:
            check.find(f"{error}: move it elsewhere")
            continue
        if any(is_signed_by(signature, key) for key in keys):
            found.append(signature)
        else:
            check.find(
                f"{uri} is not signed with a key that was given, or was changed: give its public key with --verify, or"
                " move it elsewhere"
            )
    return found


def _check_seals(check: Check, statement: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    num_new = 0
    for config_id, digests in statement["seals"].items():
        there = now["seals"].get(config_id, [])
        check.num_checked += len(digests)
        for seal, digest in enumerate(digests):
            if seal >= len(there):
                check.find(f"the record of seal {seal} of config_id {config_id} was signed, and is missing")
            elif there[seal] != digest:
                check.find(f"the record of seal {seal} of config_id {config_id} was changed since it was signed")
    for config_id, there in now["seals"].items():
        num_new += max(0, len(there) - len(statement["seals"].get(config_id, ())))
    if num_new:
        check.note(f"{num_new:,} seals are not signed yet")


def _check_each(
    check: Check, what: str, statement: Mapping[str, Any], now: Mapping[str, Any], *, is_excused: bool
) -> None:
    """`is_excused`: an erasure that is not signed yet has taken something out of them."""
    check.num_checked += len(statement[what])
    changed = [run_id for run_id, digest in statement[what].items() if now[what].get(run_id) != digest]
    one = {"runs": "the record", "plans": "the plan"}[what]
    for run_id in changed:
        how = "is missing" if run_id not in now[what] else "was changed"
        if is_excused and run_id in now[what]:
            check.note(f"{one} of run {run_id} {how} by an erasure that is not signed yet")
        else:
            check.find(f"{one} of run {run_id} {how} since it was signed")
    if num_new := len(set(now[what]) - set(statement[what])):
        check.note(f"{num_new:,} {what} are not signed yet")


def _check_objects(check: Check, statement: Mapping[str, Any], now: Mapping[str, Any], *, has_erased: bool) -> None:
    there, num_erased = now["objects"], 0
    check.num_checked += len(statement["objects"])
    for name, digest in sorted(statement["objects"].items()):
        if name in there and there[name] != digest:
            check.find(f"{name} was changed since it was signed")
        elif name not in there and has_erased and name.startswith(("labels/", "indexes/")):
            num_erased += 1
        elif name not in there:
            check.find(f"{name} was signed, and is missing")
    if num_erased:
        check.note(f"{num_erased:,} labels and indexes that were signed are gone, as after an erasure")
    if num_new := len(set(there) - set(statement["objects"])):
        check.note(f"{num_new:,} other records are not signed yet")


def _check_layout(check: Check, signed: Mapping[str, Any] | None, there: Mapping[str, Any] | None) -> None:
    if signed is None:
        return
    check.num_checked += 1
    if there is None:
        check.find("layout.json was signed, and is missing")
        return
    for name in ("partition_by", "time_zone"):
        if signed[name] != there[name]:
            check.find(f"layout.json says {name} {there[name]}, and was signed with {signed[name]}")
    for column, data_type in (signed.get("columns") or {}).items():
        if (there.get("columns") or {}).get(column) != data_type:
            check.find(f"layout.json has another type for {column}, or none, than when it was signed")


def _check_files(check: Check, output: Output, seals: Seals, statement: Mapping[str, Any], known: Histories) -> None:
    """The rows of each file that a signed record describes, as far as they can be compared."""
    num_anew, num_rows = 0, 0
    for config_id, digests in statement["seals"].items():
        for name, file in sorted(files_of(seals.records.get(config_id, [])[: len(digests)]).items()):
            check.num_checked += 1
            sha256 = seals.digests.get(name)
            if sha256 is not None and known.between(name, file.sha256, sha256) is not None:
                continue
            holds = None if sha256 is None else _holds(output, name, file.size_bytes, file.sha256)
            if holds is None:
                num_anew, num_rows = num_anew + 1, num_rows + file.num_rows
            elif not holds:
                check.find(f"{name} has lost or changed rows that were signed, though it begins with their bytes")
    if num_anew:
        check.note(
            f"{num_anew:,} files with {num_rows:,} signed rows were written anew since, by a seal, a merge, a"
            " deepening, a migration or an erasure: what is in them is not signed yet. Where none of these was due,"
            " compare them with a copy"
        )


def _holds(output: Output, name: str, size_bytes: int, sha256: str) -> bool | None:
    """Whether a file that has grown still has the rows that its first bytes had; None where it was written anew."""
    data = output.store.read(join(output.root, name))
    prefix = data[:size_bytes]
    if hashlib.sha256(prefix).hexdigest() != sha256:
        return None
    try:
        signed = sorted(_row_digests(prefix, None))
        return sorted(_row_digests(data, len(signed))) == signed
    except PARQUET_ERRORS:
        return False


def _row_digests(data: bytes, num_rows: int | None) -> Iterator[bytes]:
    """Of all rows of a file, or of its first ones."""
    file = pq.ParquetFile(pa.BufferReader(data))
    left = file.metadata.num_rows if num_rows is None else num_rows
    names = sorted(file.schema_arrow.names)
    for batch in file.iter_batches(_BATCH_ROWS):
        columns = [batch.column(name).slice(0, left).to_pylist() for name in names]
        for values in zip(*columns, strict=True):
            yield hashlib.sha256(repr(values).encode()).digest()
        left -= min(left, batch.num_rows)
        if not left:
            return


def _digest(statement: str) -> str:
    return hashlib.sha256(statement.encode()).hexdigest()
