"""The `framegate` program: the names of its commands, and how all of them fail.

A FramegateError becomes one sentence on standard error and exit code 2. A command that had begun and broke off exits
with 1 (see its own file). Any other exception is a defect of this program and shows its traceback. Whatever they say
of names and answers, a terminal finds nothing in it to obey, and nobody a signature of a URL.
"""

from __future__ import annotations

import inspect
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from framegate.jobs.audit import audit
from framegate.jobs.calibrate import calibrate_command
from framegate.jobs.compact import compact_command
from framegate.jobs.compare import compare_command
from framegate.jobs.deepen import deepen_command
from framegate.jobs.erase import erase_command
from framegate.jobs.init import init
from framegate.jobs.lab import bench, evaluate, train
from framegate.jobs.lab.demo import demo
from framegate.jobs.label import label_command
from framegate.jobs.log import Log, refusals_logged
from framegate.jobs.migrate import migrate_command
from framegate.jobs.plan import plan
from framegate.jobs.printing import say
from framegate.jobs.probe import probe
from framegate.jobs.query import query
from framegate.jobs.refresh import refresh_command
from framegate.jobs.report import report_command
from framegate.jobs.run import run
from framegate.jobs.seal import seal_command
from framegate.jobs.sql import sql
from framegate.jobs.status import status
from framegate.jobs.views import views
from framegate.schemas.escape import escape
from framegate.schemas.signatures import hide

_UsageError: Any = typer.BadParameter.__mro__[1]  # of the click that typer brings along, which it does not name


class _Commands(TyperGroup):
    """Turns a FramegateError into a sentence and an exit code, and fills the terminal's width with help."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.help:
            command.help = re.sub(r"(?<=\S)\n(?=\S)", " ", inspect.cleandoc(command.help))
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _usage_errors_escaped():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with refusals_logged(Log()), _usage_errors_escaped():
            return super().invoke(ctx)


@contextmanager
def _usage_errors_escaped() -> Iterator[None]:
    """An option or an argument that is wrong is repeated as what it is, whoever put a command line together."""
    try:
        yield
    except _UsageError as error:
        error.message = escape(hide(error.message))
        raise


def show_defect(error: BaseException) -> None:
    """A traceback on standard error, as Python prints it, but for what is in its texts."""
    say("".join(traceback.format_exception(error)).rstrip(), err=True, keep_lines=True)


app = typer.Typer(
    name="framegate",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Ask questions of every clip of a video archive; think only where the first answer is unsure.",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        say(f"framegate {version('framegate')}")
        raise typer.Exit


@app.callback()
def framegate(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options of the program as a whole."""


app.command()(init)
app.command()(demo)
app.command()(plan)
app.command()(probe)
app.command()(run)
app.command(name="deepen")(deepen_command)
app.command()(status)
app.command()(query)
app.command()(sql)
app.command()(views)
app.command(name="report")(report_command)
app.command(name="calibrate")(calibrate_command)
app.command(name="label")(label_command)
app.command(name="compare")(compare_command)
app.command()(audit)
app.command(name="seal")(seal_command)
app.command(name="compact")(compact_command)
app.command(name="migrate")(migrate_command)
app.command(name="refresh")(refresh_command)
app.command(name="erase")(erase_command)
app.add_typer(train.app, name="train", cls=_Commands)
app.add_typer(evaluate.app, name="eval", cls=_Commands)
app.add_typer(bench.app, name="bench", cls=_Commands)


def main() -> None:
    """The entry point of the console command."""
    threading.excepthook = lambda found: show_defect(found.exc_value) if found.exc_value is not None else None
    try:
        app()  # typer has a hook of its own for what is raised out of here
    except Exception as error:
        show_defect(error)
        sys.exit(1)
