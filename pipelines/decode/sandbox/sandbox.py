"""A decoder process and its replacements: one process serves many videos, until it dies or has grown too large."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from framegate.pipelines.decode.readers.reader import Source, find_decoder
from framegate.pipelines.decode.sandbox import wire
from framegate.pipelines.decode.sandbox.deadlines import FixedDeadline
from framegate.pipelines.decode.sandbox.process import ChildProcess
from framegate.pipelines.decode.sandbox.remote_reader import SandboxedReader
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import ConfigError, SandboxError, VideoError

START_SECONDS = 120.0  # to import numpy and the decoders; half a second where nobody else wants the machine
START_ATTEMPTS = 3  # a machine short of memory or processes may have some again in a moment


class Sandbox:
    """Opens videos in a confined process of its own, one at a time. Not thread-safe: each thread needs its own.

    isolation   which confinements are in force, of: life_pipe, rlimits, no_new_privileges, seccomp. The process reports
                them when it starts; empty before the first start.
    """

    def __init__(
        self,
        limits: DecodeConfig,
        decoders: Sequence[str] = ("pyav",),
        *,
        start_process: Callable[[Mapping[str, Any]], ChildProcess] = ChildProcess,
    ) -> None:
        """Starts nothing yet. `decoders` are the names that will be asked for. Raises ConfigError for unknown ones."""
        self.isolation: tuple[str, ...] = ()
        self._limits = limits
        self._start_process = start_process
        self._entries = {name: dataclasses.asdict(find_decoder(name)) for name in decoders}
        self._child: ChildProcess | None = None
        self._reader: SandboxedReader | None = None
        self._num_videos = 0
        self._idle_bytes: int | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    def open(self, decoder: str, source: Source) -> SandboxedReader:
        """Sniffs and opens a video; one that is still open is closed first. `source` stays the caller's to close.

        Raises VideoError; what `source` raises, as it is; ConfigError for a decoder that this sandbox was not made for;
        SandboxError where no process can be started, which no video has caused.
        """
        if decoder not in self._entries:
            raise ConfigError(
                f"this sandbox was not made for the decoder '{decoder}', only for: {', '.join(self._entries)}"
            )
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._child is not None and self._child.is_alive and self._is_worn_out(self._child):
            self._child.end()
        if self._child is None or not self._child.is_alive:
            if self._child is not None:
                self._child.kill()  # it may have died while nobody looked, such as of the system's lack of memory
            self._child = self._start(START_ATTEMPTS)
        self._num_videos += 1
        self._reader = SandboxedReader(self._child, decoder, source, self._limits)
        return self._reader

    def close(self) -> None:
        """Ends the process; an open reader is closed. A later `open` starts anew."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._child is not None:
            self._child.end()
            self._child = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _is_worn_out(self, child: ChildProcess) -> bool:
        if self._num_videos >= self._limits.recycle_videos:
            return True
        now_bytes = child.private_bytes()
        if now_bytes is None or self._idle_bytes is None:
            return False
        return now_bytes - self._idle_bytes > self._limits.recycle_rss_mib << 20

    def _start(self, num_attempts: int) -> ChildProcess:
        try:
            return self._start_once()
        except (OSError, VideoError) as error:
            if num_attempts == 1:
                raise SandboxError(
                    f"the decoder's process cannot be started on this machine ({str(error).rstrip('.')})"
                ) from error
        return self._start(num_attempts - 1)

    def _start_once(self) -> ChildProcess:
        child = self._start_process({"decoders": self._entries, "limits": self._limits.model_dump()})
        with child.talking():
            answer = child.receive(deadline=FixedDeadline(START_SECONDS, to_do="start"))
            kind = wire.take_text(answer, "kind")
            if kind == "refused":
                raise ConfigError(wire.take_text(answer, "message"))
            isolation = answer.get("isolation")
            if kind != "ready" or not isinstance(isolation, list):
                raise wire.Malformed("it does not begin with what confines it")
            self.isolation = tuple(map(str, isolation))
        self._num_videos, self._idle_bytes = 0, child.private_bytes()
        return child
