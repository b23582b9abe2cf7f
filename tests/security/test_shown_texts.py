"""What names, answers and messages of others may do to a terminal, a browser or a reader of a log: nothing."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from rich.console import Console

from framegate.jobs import erase, printing
from framegate.jobs.log import LIBRARY, LogFormat
from framegate.pipelines.report.label_form import render_label_form
from tests.outputs import CONFIG_ID
from tests.security.hostile_texts import CHARACTERS, MARKUP, is_harmless, logged, raised, run

# All characters together: what is shown of it has each of them written out, wherever it stands.
ALL = "".join(str(each.values[0]) for each in CHARACTERS) + "".join(str(each.values[0]) for each in MARKUP)
SURFACES = (
    "table", "table-of-blocks", "csv-on-a-screen", "json-on-a-screen", "json-file", "markdown", "report", "labels-page",
    "log", "log-of-a-library", "json-log", "error", "erase", "audit",
)  # fmt: skip


@pytest.fixture(scope="module")
def surfaces(hostile_index: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each surface shows of all the texts, each command called once."""
    folder = tmp_path_factory.mktemp("shown")
    sql = "SELECT DISTINCT video_uri, answer, thinking_text, question, input_camera FROM answers"
    shown: dict[str, str] = {}

    def query(name: str, *options: str, width: int = 4000) -> None:
        result = run("query", sql, "-o", hostile_index, "--full", *options, width=width)
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
        result = run("report", hostile_index, "--out", str(folder / "night.html"), "--by", "camera")
        assert result.exit_code == 0, result.output
        shown["report"] = (folder / "night.html").read_text()
        patch.setattr(erase, "MAX_SHOWN", 1000)
        shown["erase"] = run("erase", hostile_index, "--prefix", "s3://c/").output
        shown["audit"] = run("audit", hostile_index, "--quick").output
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
