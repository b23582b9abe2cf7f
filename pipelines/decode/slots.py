"""Where a video is decoded: in a confined process of its own, or, for debugging, in this one.

A slot decodes one video at a time and serves thousands. Knows nothing of storage: it is handed a source of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import Reader, open_reader
from framegate.schemas.decoding import DecodeConfig

# Reasons that another decoder may not meet. The others lie in the file or in storage, whoever decodes.
TRY_NEXT_DECODER = {"unsupported_codec", "decode_error", "decode_timeout", "decoder_crash", "memory_limit"}


class Source(Protocol):
    """Bytes [0, size_bytes) of one version of one video; `pipelines.store.pinned.PinnedObject` is one."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def bytes_read(self) -> int:
        """Fetched from storage so far."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Raises StorageError."""
        ...


class Slot(Protocol):
    def open(self, decoder: str, source: Source) -> Reader:
        """Raises VideoError, StorageError, ConfigError."""
        ...

    def close(self) -> None: ...


class InProcess:
    """Decodes in this process: nothing ends a decoder that hangs, and a crash takes the worker with it."""

    def __init__(self, limits: DecodeConfig) -> None:
        self._limits = limits

    def open(self, decoder: str, source: Source) -> Reader:
        return open_reader(decoder, RangeFile(source.read, source.size_bytes), self._limits)

    def close(self) -> None:
        """Nothing is held."""


def make_slot(limits: DecodeConfig, decoders: Sequence[str]) -> Slot:
    """`decoders` are the names that will be asked for."""
    if not limits.sandbox:
        return InProcess(limits)
    from framegate.pipelines.decode.sandbox.slot import Sandbox

    return Sandbox(limits, decoders)
