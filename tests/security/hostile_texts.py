"""Texts that fool who reads them, and ways to show one."""

from __future__ import annotations

import io
import re

import pytest
from typer.testing import CliRunner, Result

from framegate.jobs.cli import app
from framegate.jobs.log import Log, LogFormat, refusals_logged
from framegate.schemas.errors import InputError
from framegate.schemas.escape import escape

CANARY = "c4n4ry"
# A name of the attack, what it writes, and what a person sees of it.
CHARACTERS = [
    pytest.param("a\x1b[2Jb", r"a\x1b[2Jb", id="ansi-clears-the-screen"),
    pytest.param("a\x1b[31;1mb\x1b[0m", r"a\x1b[31;1mb\x1b[0m", id="ansi-colours"),
    pytest.param("a\x1b]0;owned\x07b", r"a\x1b]0;owned\x07b", id="osc-sets-the-title"),
    pytest.param("a\x1b]8;;https://evil\x1b\\b", "a\\x1b]8;;https://evil\\x1b\\b", id="osc-8-makes-a-link"),
    pytest.param("a\x1b]52;c;cm0=\x07b", r"a\x1b]52;c;cm0=\x07b", id="osc-52-writes-the-clipboard"),
    pytest.param("a\x1bP+q544e\x1b\\b", "a\\x1bP+q544e\\x1b\\b", id="dcs-asks-the-terminal"),
    pytest.param("a\x9b31mb", r"a\x9b31mb", id="c1-csi-of-one-byte"),
    pytest.param("a\x9d0;x\x9cb", r"a\x9d0;x\x9cb", id="c1-osc-of-one-byte"),
    pytest.param("a\x08\x08\x08b\x7f", r"a\x08\x08\x08b\x7f", id="backspace-and-delete"),
    pytest.param("a\x00b", r"a\x00b", id="nul"),
    pytest.param("a\x0eb\x0f", r"a\x0eb\x0f", id="shift-out-changes-the-font"),
    pytest.param("a\rerror", r"a\x0derror", id="carriage-return-overwrites"),
    pytest.param("a\nerror: forged", r"a\x0aerror: forged", id="newline-forges-a-line"),
    pytest.param("a\u0085b\x0bc\x0cd", r"a\x85b\x0bc\x0cd", id="other-ends-of-lines"),
    pytest.param("a\u2028b\u2029c", r"a\u2028b\u2029c", id="line-and-paragraph-separator"),
    pytest.param("a\u202egpj.exe", r"a\u202egpj.exe", id="bidi-override"),
    pytest.param("a\u202ab\u202bc\u202cd", r"a\u202ab\u202bc\u202cd", id="bidi-embedding"),
    pytest.param("a\u2066b\u2067c\u2068d\u2069", r"a\u2066b\u2067c\u2068d\u2069", id="bidi-isolates"),
    pytest.param("a\u200eb\u200fc\u061cd", r"a\u200eb\u200fc\u061cd", id="bidi-marks"),
    pytest.param("a\u200bb", r"a\u200bb", id="zero-width-space"),
    pytest.param("a\u200cb\u200dc\u2060d", r"a\u200cb\u200dc\u2060d", id="zero-width-joiners"),
    pytest.param("a\ufeffb", r"a\ufeffb", id="byte-order-mark-inside"),
    pytest.param("a\xadb\u034fc\u180ed", r"a\xadb\u034fc\u180ed", id="soft-hyphen-and-the-like"),
    pytest.param("a\u3164b\u115fc\uffa0d", r"a\u3164b\u115fc\uffa0d", id="hangul-fillers"),
    pytest.param("a\ufe0fb\U000e0101c", r"a\ufe0fb\U000e0101c", id="variation-selectors"),
    pytest.param("a\U000e0041\U000e007fb", r"a\U000e0041\U000e007fb", id="tags-smuggle-a-text"),
    pytest.param("a\u206ab\ufff9c\ufffbd", r"a\u206ab\ufff9c\ufffbd", id="annotations"),
]
MARKUP = [
    pytest.param("[bold red]x[/]", id="rich-style"),
    pytest.param("[link=https://evil]x[/link]", id="rich-link"),
    pytest.param("[/bold]", id="rich-tag-that-closes-nothing"),
    pytest.param(":boom:", id="rich-emoji"),
    pytest.param("\\[bold]", id="rich-escape"),
    pytest.param("<script>alert(1)</script>", id="html-script"),
    pytest.param("\"'><img src=x onerror=alert(1)>", id="html-out-of-an-attribute"),
    pytest.param("</title></style><svg onload=alert(1)>", id="html-out-of-the-title"),
    pytest.param("{{ 7 * 7 }}{% raw %}", id="jinja-template"),
    pytest.param("&#x202e;&lt;b&gt;", id="html-entities"),
]


def is_harmless(text: str) -> bool:
    """Nothing in it but characters that are seen, and line breaks of ours."""
    return not re.search(r"[^\n]", text) or escape(text.replace("\n", "")) == text.replace("\n", "")


def run(*arguments: str, width: int = 2000) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(width)}, catch_exceptions=False)


def logged(text: str, *, format: LogFormat = LogFormat.text, event: str = "warning") -> str:
    stream = io.StringIO()
    Log(format, stream=stream).write(event, text, uri=text)
    return stream.getvalue()


def raised(text: str) -> str:
    stream = io.StringIO()
    with pytest.raises(BaseException), refusals_logged(Log(stream=stream)):  # noqa: B017, PT011
        raise InputError(text)
    return stream.getvalue()
