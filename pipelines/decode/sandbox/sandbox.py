"""A decoder process and its replacements: one process serves many videos, until it dies or has grown too large."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

from framegate.pipelines.decode.readers.reader import Source, find_decoder
from framegate.pipelines.decode.sandbox import wire
from framegate.pipelines.decode.sandbox.deadlines import FixedDeadline
from framegate.pipelines.decode.sandbox.process import ChildProcess
from framegate.pipelines.decode.sandbox.promise import MECHANISMS, Confinement, check_promise
from framegate.pipelines.decode.sandbox.remote_reader import SandboxedReader
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import ConfigError, SandboxError, VideoError

START_SECONDS = 120.0  # to import numpy and the decoders; half a second where nobody else wants the machine
START_ATTEMPTS = 3  # a machine short of memory or processes may have some again in a moment


class Sandbox:
    """Opens videos in a confined process of its own, one at a time. Not thread-safe: each thread needs its own.

    isolation   which of `promise.MECHANISMS` are in force. The process reports them when it starts; empty before the
                first start.
    """

    def __init__(
        self,
        limits: DecodeConfig,
        decoders: Sequence[str] = ("pyav",),
        *,
        start_process: Callable[[Mapping[str, Any]], ChildProcess] = ChildProcess,
        without: Collection[str] = (),
    ) -> None:
        """Starts nothing yet. `decoders` are the names that will be asked for. `without`: as if the machine had not
        these of `promise.MECHANISMS`. Raises ConfigError for unknown ones."""
        if unknown := set(without) - MECHANISMS.keys():
            raise ConfigError(f"no mechanism is called {', '.join(sorted(unknown))}; known: {', '.join(MECHANISMS)}")
        self.isolation: tuple[str, ...] = ()
        self._limits, self._without = limits, sorted(without)
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
        SandboxError where no process can be started, or where the machine cannot confine it, which no video has caused.
        """
        if decoder not in self._entries:
            raise ConfigError(
                f"this sandbox was not made for the decoder '{decoder}', only for: {', '.join(self._entries)}"
            )
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        child = self._ready_child()
        self._num_videos += 1
        self._reader = SandboxedReader(child, decoder, source, self._limits)
        return self._reader

    def start(self) -> tuple[str, ...]:
        """Starts the process, if none is there, and gives back its `isolation`. Raises ConfigError, SandboxError."""
        self._ready_child()
        return self.isolation

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

    def _ready_child(self) -> ChildProcess:
        if self._child is not None and self._child.is_alive and self._is_worn_out(self._child):
            self._child.end()
        if self._child is None or not self._child.is_alive:
            if self._child is not None:
                self._child.kill()  # it may have died while nobody looked, such as of the system's lack of memory
            self._child = self._start(START_ATTEMPTS)
        return self._child

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
        told = {"decoders": self._entries, "limits": self._limits.model_dump(), "without": self._without}
        child = self._start_process(told)
        with child.talking():
            answer = child.receive(deadline=FixedDeadline(START_SECONDS, to_do="start"))
            kind = wire.take_text(answer, "kind")
            if kind == "refused":
                raise ConfigError(wire.take_text(answer, "message"))
            confinement = _take_confinement(answer)
            self.isolation = confinement.in_force
            if self._limits.sandbox != "weak":
                check_promise(confinement)
        self._num_videos, self._idle_bytes = 0, child.private_bytes()
        return child


def measure_isolation(limits: DecodeConfig, decoders: tuple[str, ...]) -> tuple[str, ...]:
    """Which of `promise.MECHANISMS` confine decoders on this machine, as a process of theirs finds it; none where the
    sandbox is off. Raises SandboxError where that is not enough, ConfigError where a decoder is not here."""
    return _measure(limits.model_dump_json(), decoders) if limits.sandbox else ()


@cache
def _measure(limits_json: str, decoders: tuple[str, ...]) -> tuple[str, ...]:
    with Sandbox(DecodeConfig.model_validate_json(limits_json), decoders) as sandbox:
        return sandbox.start()


def _take_confinement(answer: wire.Message) -> Confinement:
    in_force, missing = answer.get("in_force"), answer.get("missing")
    if answer.get("kind") != "ready" or not isinstance(in_force, list) or not isinstance(missing, dict):
        raise wire.Malformed("it does not begin with what confines it")
    named = tuple(name for name in MECHANISMS if name in in_force)
    return Confinement(named, {name: str(missing[name])[:200] for name in MECHANISMS if name in missing})
