"""`--fail-on drift` changes the end of a run that would end well, and of no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from framegate.jobs.drift import EXIT_DRIFT, FailOn, end_by_drift, say_found_drift
from framegate.jobs.run_end import EXIT_DEADLINE, RunEnd
from framegate.schemas.counts import Counts
from framegate.schemas.drift import DriftRow
from framegate.schemas.run import RunSummary

Framegate = Callable[..., Result]
ROW = DriftRow(
    question_id=None,
    input="camera",
    value="north",
    measure="failure",
    detail="truncated",
    before=0.01,
    now=0.6,
    low=0.2,
    high=0.8,
    delta=1e-6,
    num_videos_before=1000,
    num_videos=20,
    num_nights_before=10,
    num_nights=3,
    alarm=True,
)
SUMMARY = RunSummary(
    run_id="r",
    config_id="c",
    num_videos_planned=9,
    num_videos_answered=9,
    num_videos_failed=0,
    num_videos_skipped=0,
    num_videos_left=0,
    counts=Counts(num_answers=3),
    elapsed_seconds=5.0,
    drift=(ROW,),
    drift_look=1,
)
QUIET = replace(SUMMARY, drift=(replace(ROW, alarm=False),))


def test_only_a_run_that_would_end_well_and_has_drifted_ends_otherwise() -> None:
    end = end_by_drift(RunEnd(exit_code=0), SUMMARY, [FailOn.drift])
    assert (end.exit_code, end.is_error) == (EXIT_DRIFT, False)
    assert end.sentence == "the night is complete, and has drifted: 1 alarm (--fail-on drift)"
    assert end_by_drift(RunEnd(exit_code=0), SUMMARY, []).exit_code == 0
    assert end_by_drift(RunEnd(exit_code=0), QUIET, [FailOn.drift]).exit_code == 0
    assert end_by_drift(RunEnd(exit_code=0), replace(SUMMARY, drift=None), [FailOn.drift]).exit_code == 0
    late = RunEnd(exit_code=EXIT_DEADLINE, sentence="stopped")
    assert end_by_drift(late, SUMMARY, [FailOn.drift]) is late


def test_alarms_are_said_and_why_there_are_none_where_it_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    say_found_drift(SUMMARY, is_asked=False)
    assert capsys.readouterr().out.split("\n")[:2] == [
        "drift: 1 alarm",
        "drift: videos that failed with truncated at camera=north, 1.0% before and 60.0% now, a change of +20.0% to"
        " +80.0% (20 videos of the last 3 nights against 1,000)",
    ]
    first = replace(SUMMARY, drift=None, drift_note="no complete night is before it")
    say_found_drift(first, is_asked=False)
    assert capsys.readouterr().out == ""
    say_found_drift(first, is_asked=True)
    assert capsys.readouterr().out == "note: drift: no complete night is before it\n"
    say_found_drift(replace(QUIET, drift_note="drift.by names dock"), is_asked=False)
    assert capsys.readouterr().out == "note: drift: drift.by names dock\n"


def test_what_it_does_not_know_is_refused(framegate: Framegate, tmp_path: Path) -> None:
    result = framegate("run", str(tmp_path / "job.yaml"), "--fail-on", "rain")
    assert result.exit_code == 2
    assert "'rain' is not" in result.stderr


def test_a_job_that_looks_for_none_cannot_fail_on_it(framegate: Framegate, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "input: {videos: videos/}\nmodel: {name: ./model}\noutput: {uri: index}\ndrift: {on_end: false}\n"
        "questions: [{id: q, text: Is anyone there, type: yes_no}]\n"
    )
    result = framegate("run", str(job), "--fail-on", "drift")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: --fail-on drift needs drift.on_end, which this job switches off; take one of them out\n"
    )
    assert not (tmp_path / "index").exists()
