"""The page is one file that runs nothing and asks for nothing, whatever stands in names, answers and messages."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from framegate.pipelines.audit.night_pages import HEAD_BYTES
from framegate.pipelines.certify.right_share import ConfidencePart, RightShare
from framegate.pipelines.commit.output import Output
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.report.figures import Report
from framegate.pipelines.report.links import link_to
from framegate.pipelines.report.page import render_page
from framegate.pipelines.report.say import say_length, say_money, say_number, say_second, say_share
from framegate.pipelines.report.truth import Truth
from framegate.schemas.config import OutputConfig
from tests.report.nights import EVENING, HOSTILE, LAST, Night, put_night

VOID = {"meta", "img"}
JPEG = b"\xff\xd8\xff\xe0 no picture"


class Seen(HTMLParser):
    """Tags with their attributes, and the text; tags that are closed in another order are an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def hostile_everywhere(report: Report, text: str) -> Report:
    """The report with `text` in place of each text that comes from videos, manifests, models or storage."""
    row = report.attention.rows[0]
    attention = replace(
        report.attention,
        failures=tuple(replace(each, example=text, cameras=text) for each in report.attention.failures),
        given_up=tuple(replace(each, video_uri=text, message=text) for each in report.attention.given_up),
        rows=(
            replace(
                row, video_uri=text, camera=text, question_id=text, question=text, answer=text, answer_first=text,
                link=link_to(f"https://host/{text}", 1.5, None), thumbnail=JPEG,
            ),
        ),
    )  # fmt: skip
    event = replace(report.timeline.events[0], camera=text, label=text)
    return replace(
        report,
        output_uri=text,
        job=text,
        note=text,
        ended=replace(report.ended, sentence=text, odd_shards=(text,)),
        coverage=replace(report.coverage, by=text, cameras=(replace(report.coverage.cameras[1], camera=text),)),
        saving=replace(
            report.saving, questions=tuple(replace(each, question_id=text) for each in report.saving.questions)
        ),
        trust=replace(
            report.trust,
            questions=tuple(replace(each, question_id=text, text=text) for each in report.trust.questions),
        ),
        truth=Truth(
            num_labels=1,
            questions=(
                RightShare(
                    question_id=text,
                    share=None,
                    num_rows=1,
                    num_labels=1,
                    num_counted=1,
                    num_videos=1,
                    until=None,
                    parts=(ConfidencePart(low=0.5, high=1.0, num_rows=1, num_labels=1, num_right=1),),
                ),
            ),
        ),
        timeline=replace(report.timeline, labels=(text,), events=(event,)),
        attention=attention,
    )


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        '"><svg onload=alert(1)>',
        "' onmouseover='alert(1)",
        "</style></title></textarea><script>alert(1)</script>",
        "{{ 7 * 7 }}{% raw %}",
        "javascript:alert(1)",
        "&lt;b&gt; &amp; ]]> -->",
    ],
)
def test_no_text_becomes_markup(report: Report, text: str) -> None:
    seen = Seen(render_page(hostile_everywhere(report, text)))
    plain = Seen(render_page(report))
    assert {tag for tag, _ in seen.tags} <= {tag for tag, _ in plain.tags} | {"img", "p"}
    assert "script" not in {tag for tag, _ in seen.tags}
    names = {name for _, attributes in seen.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert seen.text.count(text) > 20  # it is there, as it is written


def test_nothing_is_asked_of_a_network_and_no_link_runs_anything(report: Report) -> None:
    seen = Seen(render_page(hostile_everywhere(report, HOSTILE)))
    for tag, attributes in seen.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert (attributes.get("src") or "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
        assert (attributes.get("href") or "#").startswith(("#", "https://", "http://", "file://"))
    policy = next(a["content"] for tag, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    assert "url(" not in render_page(report)
    assert "@import" not in render_page(report)


def test_what_turns_the_direction_of_writing_is_written_out(report: Report) -> None:
    page = render_page(hostile_everywhere(report, "invoice\u202egpj.exe\x1b[31m\x00"))
    assert not {"\u202e", "\x1b", "\x00"} & set(page)
    assert "\\u202e" in page


def test_the_audit_finds_the_mark_at_the_beginning(report: Report) -> None:
    page = render_page(hostile_everywhere(report, HOSTILE * 20)).encode()
    assert b'<meta name="framegate-erased"' in page[:HEAD_BYTES]


def test_each_section_stands_in_the_order_of_the_questions(report: Report) -> None:
    page = render_page(report)
    places = [
        page.index(f'<section id="{name}">') for name in ("ended", "cost", "complete", "right", "needs", "events")
    ]
    assert places == sorted(places)
    seen = Seen(page)
    anchors = {attributes.get("id") for _, attributes in seen.tags}
    assert {verdict.anchor for verdict in report.verdicts} <= anchors
    for verdict in report.verdicts:
        assert verdict.sentence in seen.text


def test_thumbnails_stand_in_the_page_itself(report: Report) -> None:
    assert "data:image/jpeg;base64,/9j/4CBubyBwaWN0dXJl" in render_page(hostile_everywhere(report, "x"))


def test_an_output_with_a_run_and_nothing_else_has_a_page(tmp_path: object) -> None:
    output = Output.at(f"{tmp_path}/index")
    put_night(output, 0, Night(run_id=LAST.run_id, began=EVENING, videos=[]), rows=[])
    report = build_report(OutputConfig(uri=output.root), Request())
    text = Seen(render_page(report)).text
    for sentence in ("Nothing was answered", "No failure stands", "No row stands out", "No video is known to be there"):
        assert sentence in text


def test_a_page_of_many_events_and_questions_stays_small(report: Report) -> None:
    """2,000 events and 200 questions: a file that a mail takes."""
    event = report.timeline.events[0]
    question = report.trust.questions[0]
    large = replace(
        report,
        timeline=replace(report.timeline, events=(event,) * 2000),
        trust=replace(report.trust, questions=(question,) * 200),
    )
    assert len(render_page(large)) < 1_500_000


@pytest.mark.parametrize(
    ("uri", "template", "link"),
    [
        ("https://host/a.mp4", None, "https://host/a.mp4#t=12.5"),
        ("/data/a b#1.mp4", None, None),
        ("/data/a b.mp4", None, "file:///data/a%20b.mp4#t=12.5"),
        ("file:///data/a.mp4", None, "file:///data/a.mp4#t=12.5"),
        ("videos/a.mp4", None, None),
        ("s3://bucket/a.mp4", None, None),
        ("javascript:alert(1)", None, None),
        ("s3://b/a.tar#m.mp4", "https://p/?v={uri}&t={seconds}", "https://p/?v=s3%3A%2F%2Fb%2Fa.tar%23m.mp4&t=12.5"),
        ("s3://b/{seconds}", "https://p/{uri}", "https://p/s3%3A%2F%2Fb%2F%7Bseconds%7D"),
    ],
)
def test_links_open_a_video_at_its_second(uri: str, template: str | None, link: str | None) -> None:
    assert link_to(uri, 12.5, template) == link


def test_figures_are_said_as_people_say_them() -> None:
    assert [say_share(value) for value in (None, 0.0, 0.0001, 0.25, 0.9999, 1.0)] == [
        "–", "0 %", "< 0.1 %", "25 %", "> 99.9 %", "100 %",
    ]  # fmt: skip
    assert [say_number(value) for value in (None, 0, 1234567, 0.07142, 3.14159)] == [
        "–", "0", "1,234,567", "0.0714", "3.14",
    ]  # fmt: skip
    assert [say_length(value) for value in (None, 0, 0.5, 3.2, 90, 9000)] == [
        "–", "0 s", "500 ms", "3.2 s", "90 s", "2.5 h",
    ]  # fmt: skip
    assert [say_second(value) for value in (0, 65.25, 3723.5)] == ["0:00", "1:05.2", "1:02:03.5"]
    assert [say_money(value, "EUR") for value in (None, 0.0, 0.004, 1234.5)] == [
        "–", "0.00 EUR", "0.0040 EUR", "1,234.50 EUR",
    ]  # fmt: skip
