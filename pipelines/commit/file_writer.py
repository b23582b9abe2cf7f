"""Writing one file of a seal: its next version takes the place of the one that was read, or the seal is in it already.

This is the heart of step 2 of the protocol in `pipelines.commit.seal`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.growth import Mark, encode_marked, groups_of_last_seal, grow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import FileName, SealPlan
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.commit.sealed_parquet import counted_columns, sealed_schema, take_sealed
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import ObjectInfo, join
from framegate.pipelines.store.parquet import one_of_ours
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged


class SealedMeanwhile(Exception):
    """Others have recorded the seal: there is nothing left to write."""


class FileWriter:
    """Writes files of seals of one config_id."""

    def __init__(self, output: Output, config_id: str) -> None:
        self._output = output
        self._config_id = config_id

    def add(
        self, plan: SealPlan, target: FileName, rows: pa.Table, positions: np.ndarray
    ) -> tuple[SealedFile, pa.Table]:
        """Adds rows of the journal at these positions, in sealed order, to one file of a plan, and marks it.

        Returns the file that is there in the end, and the counted columns of the rows that this seal added to it: those
        of another sealer, where that one was first. Raises SealedMeanwhile, StorageError.
        """
        schema = sealed_schema(target.table, rows.schema)

        def added(to: pa.Schema) -> list[pa.Table]:
            return list(take_sealed(rows, positions, to, self._config_id))

        uri = self.uri(target)
        while True:
            found = self._read(plan, target, uri, schema)
            if found is None:
                continue
            info, data = found
            with one_of_ours(uri, cure="bring it back from a copy"):
                file = pq.ParquetFile(pa.BufferReader(data))
                mark = Mark.of(file.metadata, number=target.number)
                if mark.seal > plan.seal:
                    raise SealedMeanwhile
                if mark.seal == plan.seal:
                    return self._describe(uri, data, mark), _last_rows(file, mark, counted_columns(target.table))
                if mark.is_reservation:
                    self._stop_if_recorded(plan, uri)
                    new_mark = Mark(seal=plan.seal, num_new_rows=len(positions))
                    new = encode_marked(added(schema), schema, new_mark)
                else:
                    to = file.schema_arrow
                    before = hashlib.sha256(data).hexdigest()
                    new_mark = Mark(seal=plan.seal, num_new_rows=len(positions), sha256_before=before)
                    new = grow(target.table, data, added(to), to, new_mark, file_bytes=plan.file_bytes)
            try:
                self._output.store.replace(uri, new, if_match=info.version)
            except (VersionChanged, ObjectNotFound):
                continue  # another sealer was first, or an erasure
            reach("seal.file")
            return self._describe(uri, new, new_mark), rows.select(counted_columns(target.table)).take(
                pa.array(positions)
            )

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
        try:
            self._output.store.stat(self._output.layout.seal_record(self._config_id, plan.seal))
        except ObjectNotFound:
            return False
        return True

    def _describe(self, uri: str, data: bytes, mark: Mark) -> SealedFile:
        return SealedFile.of(uri.removeprefix(join(self._output.root, "")), data, mark)


def _last_rows(file: pq.ParquetFile, mark: Mark, columns: Sequence[str]) -> pa.Table:
    """Columns of the rows that the last seal added."""
    numbers = groups_of_last_seal(file.metadata, mark)
    return file.read_row_groups(list(numbers), columns=list(columns))
