"""The record of the run of this process, kept up to date: with each step that the run takes, and by heartbeats."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.run_history import MARK, replace_folded
from framegate.pipelines.commit.runs import ENDED, create_run, encode_record
from framegate.schemas.clock import now
from framegate.schemas.errors import FramegateError, ObjectNotFound, StorageError, VersionChanged

MAX_TRIES: Final = 10  # at replacing a record that something else keeps replacing; an erasure does it once
_PATIENCE_SECONDS: Final = 10.0  # a heartbeat that storage does not take is followed by another one

RecordListener = Callable[[Mapping[str, Any]], None]
"""Is given the run's record each time that it changes, and with each heartbeat; from a thread of its own, too."""


class RunRecord:
    """The record of one run, which this process alone writes. Threads may share it; a reader meets it whole."""

    def __init__(
        self, output: Output, facts: Mapping[str, Any], *, every_seconds: float, on_record: RecordListener | None = None
    ) -> None:
        """`facts` are the fields as they are first, `run_id` among them. Nothing is stored yet."""
        self._output, self._on_record, self._every_seconds = output, on_record, every_seconds
        self._lock = threading.RLock()
        self._fields = {**facts, "heartbeat": self._heartbeat(0)}
        self._version: str | None = None
        self._measure: Callable[[], Mapping[str, Any]] = dict

    @property
    def fields(self) -> dict[str, Any]:
        """The fields as they are now."""
        with self._lock:
            return dict(self._fields)

    @property
    def has_ended(self) -> bool:
        return self._fields["state"] in ENDED

    def create(self) -> None:
        """Stores the record for the first time. Raises FramegateError where a run of that name is there."""
        with self._lock:
            self._tell()
            self._version = create_run(self._output, self._fields["run_id"], self._fields)

    def measure_by(self, measure: Callable[[], Mapping[str, Any]]) -> None:
        """From now on each heartbeat stores the fields that `measure` gives. It is called from another thread."""
        self._measure = measure

    def note(self, **fields: Any) -> None:
        """Changes fields, which are stored with what comes next."""
        with self._lock:
            self._fields |= fields

    def update(self, **fields: Any) -> None:
        """Changes fields and stores the record. Raises StorageError."""
        with self._lock:
            self._fields |= {**self._measure(), **fields, "heartbeat": self._heartbeat()}
            self._tell()
            self._store(self._output)

    def beat(self) -> None:
        """Stores one more heartbeat, unless the run has ended. Raises StorageError."""
        with self._lock:
            if not self.has_ended:
                self._fields |= {**self._measure(), "heartbeat": self._heartbeat()}
                self._tell()
                store = dataclasses.replace(self._output.store, patience_seconds=_PATIENCE_SECONDS)
                self._store(dataclasses.replace(self._output, store=store))

    def _heartbeat(self, number: int | None = None) -> dict[str, Any]:
        number = self._fields["heartbeat"]["number"] + 1 if number is None else number
        return {"at": now().isoformat(), "number": number, "every_seconds": self._every_seconds}

    def _tell(self) -> None:
        if self._on_record is not None:
            self._on_record(dict(self._fields))

    def _store(self, output: Output) -> None:
        """What this process says of its run stays: it is stored again where something else has come in between.

        That is an erasure, which takes names out; an interrupted request of ours that was applied; or a run that slept
        for so long that its record was folded: it goes on in the history.
        """
        uri, data = output.layout.run(self._fields["run_id"]), encode_record(self._fields)
        for _ in range(MAX_TRIES):
            try:
                if (version := self._version) is None:
                    info, there = output.store.read_version(uri)
                    if there == MARK:
                        raise ObjectNotFound(f"{uri} was folded")
                    version = info.version
                self._version = None  # until the request is answered
                self._version = output.store.replace(uri, data, if_match=version).version
                return
            except VersionChanged:
                continue
            except ObjectNotFound:
                if replace_folded(output, self._fields):
                    return
                output.store.put_once(uri, data)
        raise StorageError(f"{uri} was replaced {MAX_TRIES} times by something else; a run's record is its own")


@contextmanager
def beating(record: RunRecord, every_seconds: float) -> Iterator[None]:
    """Inside of it the record has a heartbeat every so many seconds, from a thread.

    A heartbeat that storage does not take is a warning: the run goes on, and readers take it for dead meanwhile.
    """
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(every_seconds):
            try:
                record.beat()
            except FramegateError as error:
                logging.getLogger("framegate").warning("the run goes on, and its heartbeat was not stored: %s", error)

    thread = threading.Thread(target=beat, name="framegate-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
