"""Reports in an output: stored as a run ends, known to the audit, and gone with any erasure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import set_tombstones
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.erase.preview import list_objects
from framegate.pipelines.erase.search import find_matches
from framegate.pipelines.erase.targets import Targets
from framegate.pipelines.report import stored
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.report.figures import Report
from framegate.pipelines.report.page import render_page
from framegate.pipelines.report.stored import store_report
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import StorageError
from framegate.schemas.keys import uri_digest
from tests.outputs import video as other_video
from tests.report.nights import LAST, uri_of

URI = uri_of(12)


@pytest.fixture(params=["local", "s3"])
def audited(request: pytest.FixtureRequest, fill_output: Callable[..., None], tmp_path: object) -> Output:
    """An output that an audit finds nothing in."""
    root = f"{tmp_path}/index" if request.param == "local" else request.getfixturevalue("s3_root")
    fill_output(root)
    return Output.at(root)


def reports(output: Output) -> list[str]:
    return [info.uri.rpartition("/")[2] for info in output.list("reports")]


def put_report(output: Output) -> str:
    return store_report(OutputConfig(uri=output.root), Request(), "run-2")


def test_it_is_stored_whole_and_the_audit_knows_it(audited: Output) -> None:
    uri = put_report(audited)
    assert reports(audited) == ["run-2.html"]
    page = audited.store.read(uri).decode()
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert audit(audited).is_clean


def test_a_later_report_of_a_run_takes_its_place(audited: Output) -> None:
    uri = put_report(audited)
    before = audited.store.stat(uri).version
    audited.store.replace(uri, b"an earlier page", if_match=before)
    assert put_report(audited) == uri
    assert audited.store.read(uri).startswith(b"<!doctype html>")
    assert reports(audited) == ["run-2.html"]


def test_any_erasure_takes_all_reports_and_says_how_many(audited: Output) -> None:
    put_report(audited)
    gone = other_video(1)["video_uri"]
    assert {"action": "delete", "table": "reports"}.items() <= next(
        row for row in list_objects(find_matches(audited, Targets.of([gone]))) if row["table"] == "reports"
    ).items()
    receipt = erase(audited, [gone])
    assert receipt.num_reports == 1
    assert reports(audited) == []
    assert audit(audited).is_clean
    put_report(audited)  # what is left may be shown again
    assert gone.encode() not in b"".join(audited.store.read(info.uri) for info in audited.list("reports"))
    assert audit(audited).is_clean


def test_no_page_shows_a_video_that_was_erased(index: Output) -> None:
    uri = store_report(OutputConfig(uri=index.root), Request(), LAST.run_id)
    with_it = build_report(OutputConfig(uri=index.root), Request())
    shown = with_it.attention.rows[-1].video_uri
    assert shown.encode() in index.store.read(uri) or "&lt;" in index.store.read(uri).decode()
    erase(index, [shown, URI])
    assert reports(index) == []
    again = render_page(build_report(OutputConfig(uri=index.root), Request()))
    assert shown not in again
    assert URI not in again


def test_a_report_that_was_read_before_an_erasure_is_not_kept(index: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """The erasure comes between reading and writing: it meets no report, so that the writer must see the tombstone."""
    built: list[Report] = []

    def build_then_erase(config: OutputConfig, request: Request) -> Report:
        built.append(build_report(config, request))
        if len(built) == 1:
            erase(index, [URI])
        return built[-1]

    monkeypatch.setattr(stored, "build_report", build_then_erase)
    uri = store_report(OutputConfig(uri=index.root), Request(), LAST.run_id)
    assert [report.num_erased for report in built] == [0, 1]
    assert b'name="framegate-erased" content="1"' in index.store.read(uri)


def test_erasures_without_end_leave_no_report(index: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_then_erase(config: OutputConfig, request: Request) -> Report:
        report = build_report(config, request)
        set_tombstones(index, [uri_digest(f"{report.made_at}")], "e")
        return report

    monkeypatch.setattr(stored, "build_report", build_then_erase)
    with pytest.raises(StorageError, match="videos were erased 3 times"):
        store_report(OutputConfig(uri=index.root), Request(), LAST.run_id)
    assert reports(index) == []


def test_a_report_of_before_an_erasure_and_a_page_of_somebody_else_are_found(audited: Output) -> None:
    """As a writer leaves it that is killed before it looks at the tombstones again."""
    data = audited.store.read(put_report(audited))
    erase(audited, [other_video(1)["video_uri"]])
    audited.store.put_once(audited.layout.report("run-2"), data)
    audited.store.put_once(audited.layout.report("run-9"), b"<html>mine</html>")
    for is_quick in (False, True):
        found = audit(audited, is_quick=is_quick)
        sentences = found["erased"].findings
        assert any("run-2.html was made before videos were erased" in sentence for sentence in sentences)
        assert any("run-9.html is no report that Framegate made" in sentence for sentence in sentences)
