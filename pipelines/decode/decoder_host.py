"""Where decoders run: in a confined process of their own or, for debugging, in this process.

A host decodes one video at a time, and thousands one after the other. It reads a video's bytes from a `Source`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import Reader, Source, open_reader
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig

# Reasons that another decoder may not meet. The others lie in the file or in storage, whoever decodes.
TRY_NEXT_DECODER = {"unsupported_codec", "decode_error", "decode_timeout", "decoder_crash", "memory_limit"}


class DecoderHost(Protocol):
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


def make_host(limits: DecodeConfig, decoders: Sequence[str]) -> DecoderHost:
    """`decoders` are the names that will be asked for."""
    return Sandbox(limits, decoders) if limits.sandbox else InProcess(limits)
