"""Writing one file of a seal: its next version takes the place of the one that was read, or the seal is in it already.

This is the heart of step 2 of the protocol in `pipelines.commit.seal`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.completion import Changes, Completions
from framegate.pipelines.commit.growth import Mark, encode_marked, groups_of_last_seal, grow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.seal_plan import FileName, SealPlan
from framegate.pipelines.commit.sealed_columns import SCHEMAS, Inputs, bring_up, sealed_schema
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.commit.sealed_parquet import counted_columns, take_sealed
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import ObjectInfo, join
from framegate.pipelines.store.parquet import one_of_ours
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged


class SealedMeanwhile(Exception):
    """Others have recorded the seal: there is nothing left to write."""


@dataclass(frozen=True)
class Brought:
    """A file at the version of a seal, and its bytes. `is_ours`: this call has made that version."""

    file: SealedFile
    data: bytes
    is_ours: bool


class FileWriter:
    """Writes files of seals of one config_id."""

    def __init__(self, output: Output, config_id: str) -> None:
        self._output = output
        self._config_id = config_id

    def add(
        self, plan: SealPlan, target: FileName, rows: pa.Table, positions: np.ndarray, inputs: Inputs
    ) -> tuple[SealedFile, pa.Table]:
        """Adds rows of the journal at these positions, in sealed order, to one file of a plan, and marks it. The file
        has all of the output's `inputs` then.

        Returns the file that is there in the end, and the counted columns of the rows that this seal added to it: those
        of another sealer, where that one was first. Raises SealedMeanwhile, StorageError.
        """
        columns = list(counted_columns(target.table))
        brought = self.bring(
            plan,
            target,
            sealed_schema(target.table, rows.schema, inputs),
            lambda schema: list(take_sealed(target.table, rows, positions, schema)),
        )
        if brought.is_ours:
            return brought.file, rows.select(columns).take(pa.array(positions))
        with one_of_ours(brought.file.uri):
            file = pq.ParquetFile(pa.BufferReader(brought.data))
            last = groups_of_last_seal(file.metadata, Mark.of(file.metadata, number=target.number))
            return brought.file, file.read_row_groups(list(last), columns=columns)

    def bring(
        self,
        plan: SealPlan,
        target: FileName,
        schema: pa.Schema,
        added: Callable[[pa.Schema], Sequence[pa.Table]],
        *,
        brings_up: bool = True,
    ) -> Brought:
        """Brings one file to the version that a plan's seal makes of it: with what is `added`, as row groups.

        `schema` is that of a new file. One that is there gets the columns that it lacks (`bring_up`), unless
        `brings_up` is off; `added` is called with the columns that it has then. Raises SealedMeanwhile, StorageError.
        """
        uri = self.uri(target)
        while True:
            found = self._read(plan, target, uri, schema)
            if found is None:
                continue
            info, data = found
            with one_of_ours(uri, cure="bring it back from a copy"):
                metadata = pq.read_metadata(pa.BufferReader(data))
                mark = Mark.of(metadata, number=target.number)
                if mark.seal > plan.seal:
                    raise SealedMeanwhile
                if mark.seal == plan.seal:
                    return Brought(self._describe(uri, data, mark), data, is_ours=False)
                if mark.is_reservation:
                    self._stop_if_recorded(plan, uri)
                    groups = added(schema)
                    new_mark = Mark(seal=plan.seal, num_new_rows=_count(groups))
                    new = encode_marked(groups, schema, new_mark)
                else:
                    there = pq.read_schema(pa.BufferReader(data))
                    to = bring_up(target.table, there, schema, partial(_column, data)) if brings_up else there
                    groups = added(to)
                    before = hashlib.sha256(data).hexdigest()
                    new_mark = Mark(seal=plan.seal, num_new_rows=_count(groups), sha256_before=before)
                    new = grow(target.table, data, groups, to, new_mark, file_bytes=plan.file_bytes)
            try:
                self._output.store.replace(uri, new, if_match=info.version)
            except (VersionChanged, ObjectNotFound):
                continue  # another sealer was first, or an erasure
            reach("seal.file")
            return Brought(self._describe(uri, new, new_mark), new, is_ours=True)

    def complete(
        self, plan: SealPlan, target: FileName, completions: Completions, inputs: Inputs
    ) -> tuple[SealedFile, Changes]:
        """Brings one file to the version in which its rows are completed, and marks it. The file has all of the
        output's `inputs` then.

        Returns the file that is there in the end, and what this seal has changed in it, whoever did it. Raises
        SealedMeanwhile, StorageError.
        """
        uri = self.uri(target)
        while True:
            if (found := self._read(plan, target, uri, SCHEMAS[target.table])) is None:
                continue
            info, data = found
            with one_of_ours(uri, cure="bring it back from a copy"):
                mark = Mark.of(pq.read_metadata(pa.BufferReader(data)), number=target.number)
                if mark.seal > plan.seal:
                    raise SealedMeanwhile
                if mark.seal == plan.seal:
                    return self._describe(uri, data, mark), Changes.of(mark.completed)
                there = pq.read_schema(pa.BufferReader(data))
                wanted = sealed_schema(target.table, there, inputs)
                schema = bring_up(target.table, there, wanted, partial(_column, data)).remove_metadata()
                changes = completions.changes(data)
                before = hashlib.sha256(data).hexdigest()
                mark = Mark(seal=plan.seal, num_new_rows=0, sha256_before=before, completed=changes.to_mark())
                new = encode_marked(completions.row_groups(data, schema), schema, mark)
            try:
                self._output.store.replace(uri, new, if_match=info.version)
            except (VersionChanged, ObjectNotFound):
                continue  # another sealer was first, or an erasure
            reach("deepen.file")
            return self._describe(uri, new, mark), changes

    def uri(self, target: FileName) -> str:
        return self._output.layout.sealed(target.table, self._config_id, target.partition, target.number)

    def _read(self, plan: SealPlan, target: FileName, uri: str, schema: pa.Schema) -> tuple[ObjectInfo, bytes] | None:
        """The file that is there; None where this call has reserved its name, so that it can be read now."""
        try:
            return self._output.store.read_version(uri)
        except ObjectNotFound:
            if target.number < plan.seal:
                if self._is_recorded(plan):
                    raise SealedMeanwhile from None
                raise StorageError(
                    f"{uri} is missing, to which seal {plan.seal} adds rows: bring it back from a copy"
                ) from None
        reserved = encode_marked([], schema, Mark.reservation(secrets.token_hex(8)))
        self._output.store.put_once(uri, reserved)
        reach("seal.reserved")
        return None

    def _stop_if_recorded(self, plan: SealPlan, uri: str) -> None:
        """A name that is reserved after its seal was recorded is that of a merged file, and nobody writes to it."""
        if not self._is_recorded(plan):
            return
        with suppress(ObjectNotFound):
            data = self._output.store.read(uri)  # the one that was seen may have been written since
            if Mark.of(pq.read_metadata(pa.BufferReader(data)), number=plan.seal).is_reservation:
                self._output.store.delete([uri])
        raise SealedMeanwhile

    def _is_recorded(self, plan: SealPlan) -> bool:
        return SealLog(self._output, self._config_id).read_record(plan.seal) is not None

    def _describe(self, uri: str, data: bytes, mark: Mark) -> SealedFile:
        return SealedFile.of(uri.removeprefix(join(self._output.root, "")), data, mark)


def _column(data: bytes, name: str) -> pa.ChunkedArray:
    return pq.read_table(pa.BufferReader(data), columns=[name]).column(name)


def _count(groups: Sequence[pa.Table]) -> int:
    return sum(rows.num_rows for rows in groups)
