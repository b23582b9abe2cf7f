"""The prompt of `framegate sql` on a terminal: lines with a history, and names that Tab completes."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from framegate.jobs import printing
from framegate.jobs.log import Log
from framegate.jobs.sql_session import Quit, Session, is_command, read_statements
from framegate.pipelines.results.catalog import Catalog
from framegate.pipelines.results.statements import has_words, split_statements
from framegate.schemas.errors import FramegateError
from framegate.schemas.escape import escape

PROMPT, CONTINUED = "framegate> ", "      ...> "
COMMANDS = (".columns", ".format", ".full", ".help", ".quit", ".rows", ".views")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\.[a-z]*")


def run_prompt(session: Session, load_catalog: Callable[[], Catalog]) -> None:
    """Asks for statements until there are no more. What is wrong with one is said, and the next one is asked for."""
    completer = NameCompleter()
    threading.Thread(target=completer.load, args=(load_catalog,), name="catalog", daemon=True).start()
    prompt: PromptSession[str] = PromptSession(
        PROMPT,
        multiline=True,
        prompt_continuation=CONTINUED,
        history=open_history(),
        completer=completer,
        complete_while_typing=False,
        lexer=PygmentsLexer(SqlLexer),
        key_bindings=_bindings(),
    )
    printing.say("Statements end with a semicolon. .help says more, Ctrl-D ends this.")
    while True:
        try:
            _run(session, prompt.prompt())
        except KeyboardInterrupt:  # while a line was written: it is forgotten
            continue
        except (EOFError, Quit):
            return


def _run(session: Session, text: str) -> None:
    for statement in read_statements(text.splitlines(keepends=True)):
        try:
            session.run(statement)
        except FramegateError as error:
            Log().say(str(error), is_error=True)
            return
        except KeyboardInterrupt:
            printing.say("interrupted")
            return


def is_whole(text: str) -> bool:
    """Whether Enter gives it to DuckDB: a command, or statements of which each has its semicolon."""
    return is_command(text) or not has_words(split_statements(text)[1])


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_whole(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return bindings


def history_path() -> Path:
    """Below the folder that XDG has for what outlasts a program and is no configuration."""
    folder = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(folder) / "framegate" / "sql_history"


def open_history() -> History:
    """A file that its owner alone can read, as statements may hold names; in memory where there can be none."""
    path = history_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        printing.say(f"note: {path} cannot be written ({error.strerror}); this history ends with the session", err=True)
        return InMemoryHistory()
    return FileHistory(str(path))


class NameCompleter(Completer):
    """Columns of the views that stand in the text come first, then views, keywords and functions."""

    def __init__(self, catalog: Catalog | None = None) -> None:
        self.catalog = catalog or Catalog()

    def load(self, load_catalog: Callable[[], Catalog]) -> None:
        """Until this has come to its end nothing is completed; where it cannot, nothing is, and statements say why."""
        with suppress(FramegateError):
            self.catalog = load_catalog()

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before = document.text_before_cursor
        typed = next((found[0] for found in _NAME.finditer(before) if found.end() == len(before)), "")
        if before.lstrip().startswith(".") and before.lstrip() == typed:
            yield from _starting(typed, COMMANDS)
            return
        owner = re.search(r"([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_0-9]*)$", before)
        if owner and owner[1] in self.catalog.tables:
            yield from _starting(owner[2], self.catalog.tables[owner[1]])
            return
        yield from _starting(typed, self._names(document.text))

    def _names(self, text: str) -> Iterable[str]:
        words = set(re.findall(r"\w+", text.lower()))
        tables = self.catalog.tables
        mentioned = [column for table, columns in tables.items() if table.lower() in words for column in columns]
        others = [] if mentioned else [column for columns in tables.values() for column in columns]
        return dict.fromkeys([*mentioned, *tables, *self.catalog.words, *self.catalog.functions, *others])


def _starting(typed: str, names: Iterable[str]) -> Iterator[Completion]:
    for name in names:
        if typed and name.lower().startswith(typed.lower()):
            quoted = name if re.fullmatch(r"\.?[A-Za-z_]\w*", name) else '"' + name.replace('"', '""') + '"'
            yield Completion(quoted, start_position=-len(typed), display=escape(name))
