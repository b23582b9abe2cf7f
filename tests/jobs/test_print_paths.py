"""Whatever is printed goes through a few functions, which write out what a terminal obeys and hide what opens a URL."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "pipelines" / "lab"  # processes of benchmarks print JSON for the process that started them
FILES = sorted(
    path
    for package in ("jobs", "pipelines", "schemas")
    for path in (ROOT / package).rglob("*.py")
    if not path.is_relative_to(LAB)
)
# The functions that print, by file and by the function that calls: each escapes what it is given.
PRINTERS = {
    ("jobs/printing.py", "print_table"),
    ("jobs/printing.py", "say"),
    ("jobs/printing.py", "print_line"),
    ("jobs/log.py", "_write"),
    ("jobs/row_screen.py", "print"),
    ("jobs/row_screen.py", "_print_blocks"),
    ("pipelines/driver/sealing.py", "main"),
    ("pipelines/driver/ask_for_token.py", ""),  # these two print JSON for the process that started them
    ("pipelines/reason/models/tokenizer_child.py", "main"),
}
PRINTING = {"print", "echo", "secho", "write_stdout", "rule", "log_exception"}


def printing_calls(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Calls that print, each with the function that it stands in: `print`, `console.print`, `typer.echo`, and writes to
    a standard stream."""
    for node in ast.iter_child_nodes(tree):
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(node, ast.Call) and _prints(node.func):
            yield inner, node
        yield from printing_calls(node, inner)


def _prints(called: ast.expr) -> bool:
    if isinstance(called, ast.Name):
        return called.id == "print"
    if not isinstance(called, ast.Attribute):
        return False
    owner = ast.unparse(called.value)
    if called.attr in ("write", "writelines"):
        return owner in ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__")
    return called.attr in PRINTING and owner in ("console", "typer", "click", "rich", "self._console", "bars.console")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_prints_through_them_alone(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = {(name, function) for function, _ in printing_calls(ast.parse(path.read_text(encoding="utf-8")))}
    assert found <= PRINTERS, "use framegate.jobs.printing.say or print_line, or a Log"


def test_each_of_them_is_there() -> None:
    found = {
        (str(path.relative_to(ROOT)), function)
        for path in FILES
        for function, _ in printing_calls(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == PRINTERS


def test_a_print_is_seen() -> None:
    source = "def f():\n  console.print('x')\n  print(1)\n  typer.echo(2)\n  sys.stderr.write('3')\n  file.write('4')\n"
    assert len(list(printing_calls(ast.parse(source)))) == 4
