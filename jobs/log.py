"""The log of a command: lines on standard error, each with the time, the run and its config_id, as text or as JSON.

Standard output has results alone, so that it can be read by another program while the log goes elsewhere.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Annotated, Any

import typer

from framegate.jobs.printing import dump_json
from framegate.schemas.clock import now
from framegate.schemas.errors import AnotherRun, FramegateError
from framegate.schemas.escape import escape, escape_block
from framegate.schemas.signatures import hide

LOG_EVERY_SECONDS = 60.0
LIBRARY = "library"  # the event of what libraries log, which may be several lines
CONTINUED = "    "  # before each of them but the first, so that none can be taken for a line of the log
OWN_LOGGER = "framegate"  # what the driver warns of while it works
EXIT_REFUSED = 2
EXIT_ANOTHER_RUN = 4


class LogFormat(StrEnum):
    text = "text"
    json = "json"


LogFormatOption = Annotated[
    LogFormat, typer.Option("--log-format", help="Of the lines on standard error: text, or one JSON object a line.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also show what Ray and other libraries log, and their warnings.")
]


class Log:
    """Writes events. `run_id` and `config_id` stand in every line from when they are set. Any thread may write."""

    def __init__(self, format: LogFormat = LogFormat.text, *, stream: IO[str] | None = None) -> None:
        self.format = format
        self.run_id: str | None = None
        self.config_id: str | None = None
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, event: str, message: str, *, level: str = "info", **values: Any) -> None:
        """One line: `2026-11-29T01:00:00Z RUN CONFIG_ID event: message`, or the same and `values` as JSON."""
        at = f"{now():%Y-%m-%dT%H:%M:%SZ}"
        if self.format is LogFormat.json:
            record = {
                "time": at,
                "level": level,
                "run_id": self.run_id,
                "config_id": self.config_id,
                "event": event,
                "message": message,
                **values,
            }
            line = dump_json(_hidden(record))
        else:
            line = f"{at} {self.run_id or '-'} {self.config_id or '-'} {event}: {message}"
            line = escape_block(hide(line), indent=CONTINUED) if event == LIBRARY else escape(hide(line))
        self._write(line)

    def say(self, sentence: str, *, is_error: bool = False) -> None:
        """A sentence for whoever gave the command: as it is, behind `error: ` where it is one; or as an event."""
        if self.format is LogFormat.json:
            event = "error" if is_error else "note"
            self.write(event, sentence, level=event.replace("note", "info"))
        else:
            self._write(escape(hide(f"error: {sentence}" if is_error else sentence)))

    def _write(self, line: str) -> None:
        with self._lock:
            typer.echo(line, file=self._stream or sys.stderr)


def _hidden(value: Any) -> Any:
    """The value with no signature of a URL in any text of it."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {name: _hidden(inner) for name, inner in value.items()}
    return [_hidden(inner) for inner in value] if isinstance(value, list | tuple) else value


class Ticker:
    """Calls `tick` every `seconds` in a thread of its own, between `start` and `stop`; never after `stop` returned."""

    def __init__(self, tick: Callable[[], None], *, seconds: float = LOG_EVERY_SECONDS) -> None:
        self._tick, self._seconds = tick, seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(self._seconds):
            self._tick()


@contextmanager
def logged_each_minute(
    doing: str, log: Log | None = None, *, every_seconds: float = LOG_EVERY_SECONDS
) -> Iterator[None]:
    """For a command that says nothing until it is done: a line a minute with what it is `doing`, and for how long."""
    log, began = log or Log(), time.monotonic()
    ticker = Ticker(
        lambda: log.write("progress", f"{doing} for {time.monotonic() - began:.0f} s"), seconds=every_seconds
    )
    ticker.start()
    try:
        yield
    finally:
        ticker.stop()


@contextmanager
def libraries_logged(log: Log, *, is_verbose: bool) -> Iterator[None]:
    """What libraries log and warn of in this process goes to the log where it `is_verbose`, and nowhere else.

    What this program itself warns of, such as a heartbeat that was not stored, goes to the log in any case.
    """
    root, own = logging.getLogger(), logging.getLogger(OWN_LOGGER)
    handler: logging.Handler = _LibraryHandler(log) if is_verbose else logging.NullHandler()
    own_handler = _OwnHandler(log)
    level, propagates = root.level, own.propagate
    root.addHandler(handler)
    own.addHandler(own_handler)
    own.propagate = False
    if is_verbose:
        root.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            if not is_verbose:
                warnings.simplefilter("ignore")
            logging.captureWarnings(is_verbose)
            yield
    finally:
        logging.captureWarnings(False)
        own.removeHandler(own_handler)
        own.propagate = propagates
        root.removeHandler(handler)
        root.setLevel(level)


@contextmanager
def refusals_logged(log: Log) -> Iterator[None]:
    """A command that could not do what it was told ends with its sentence in the log, and with EXIT_REFUSED, or with
    EXIT_ANOTHER_RUN where another run is in its way."""
    try:
        yield
    except FramegateError as error:
        log.say(str(error), is_error=True)
        raise typer.Exit(EXIT_ANOTHER_RUN if isinstance(error, AnotherRun) else EXIT_REFUSED) from error


@dataclass
class RayEnding:
    """Whether the folder with the logs of Ray's workers is kept: it is, unless something says that all is well."""

    keep: bool = True


@contextmanager
def ray_ended(log: Log) -> Iterator[RayEnding]:
    """Ends the Ray that was started inside, and says where the logs of its workers are, if they are kept."""
    from framegate.pipelines.driver.session import end_own_session, has_own_session

    ending, is_older = RayEnding(), has_own_session()
    try:
        yield ending
    finally:
        folder = None if is_older else end_own_session(keep=ending.keep)
        if folder is not None:
            log.say(f"the logs of the workers are in {folder}/logs")


class _OwnHandler(logging.Handler):
    """Of this program: a sentence for whoever gave the command."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write("warning", record.getMessage(), level=record.levelname.lower())


class _LibraryHandler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write(LIBRARY, f"{record.name}: {record.getMessage()}", level=record.levelname.lower())
