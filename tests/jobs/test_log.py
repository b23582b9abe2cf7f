"""The log of a run: a line for each phase and one a minute, with the time, the run and its config_id; text or JSON."""

from __future__ import annotations

import io
import json
import logging
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import Result

from framegate.jobs.log import Log, LogFormat, libraries_logged, logged_each_minute
from framegate.jobs.progress import ProgressDisplay, Shown, describe
from framegate.schemas.clock import CLOCK_OFFSET
from framegate.schemas.counts import Counts
from framegate.schemas.run import Pace, Phase, Progress

Framegate = Callable[..., Result]
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
JOB = (
    "input: {videos: nowhere/}\nmodel: {name: dock}\noutput: {uri: index}\n"
    "questions: [{id: q, text: Is anyone there, type: yes_no}]\n"
)
WORKING = Progress(
    run_id="run-1",
    config_id="c" * 16,
    phase=Phase.WORKING,
    num_videos_planned=4,
    num_videos_begun=1,
    counts=Counts(num_clips=3, num_answers=6),
    elapsed_seconds=2,
    pace=Pace(num_rows=3, seconds=1, num_rows_left=18),
)


def wait_for_lines(stream: io.StringIO, number: int) -> list[str]:
    deadline = time.monotonic() + 30
    while stream.getvalue().count("\n") < number:
        assert time.monotonic() < deadline, stream.getvalue()
        time.sleep(0.01)
    return stream.getvalue().splitlines()


def test_lines_come_although_nothing_moves_and_say_the_phase() -> None:
    stream = io.StringIO()
    display = ProgressDisplay(Console(file=stream), Log(stream=stream), every_seconds=0.02)
    with display:
        before_any = wait_for_lines(stream, 2)
        display.begin_phase(WORKING.at(phase=Phase.LOADING))
        lines = wait_for_lines(stream, len(before_any) + 10)
    after = stream.getvalue()
    time.sleep(0.1)
    assert stream.getvalue() == after, "no line comes after its end"
    assert all(re.fullmatch(rf"{TIME} - - progress: starting, 0 s: .+", line) for line in before_any)
    loading = [line for line in lines if re.fullmatch(rf"{TIME} run-1 {'c' * 16} progress: loading, \d+ s: .+", line)]
    assert len(loading) >= 5


def test_a_command_that_says_nothing_until_it_is_done_is_heard_of_each_minute() -> None:
    stream = io.StringIO()
    with logged_each_minute("sealing", Log(stream=stream), every_seconds=0.02):
        lines = wait_for_lines(stream, 3)
    assert all(re.fullmatch(rf"{TIME} - - progress: sealing for \d+ s", line) for line in lines)
    with logged_each_minute("sealing", Log(stream=stream)):
        said = stream.getvalue()
    assert stream.getvalue() == said


def test_a_run_with_nothing_to_do_does_not_say_that_it_loads_a_model() -> None:
    assert "loading the model" in describe(Shown(WORKING.at(phase=Phase.LOADING)))
    assert (
        describe(Shown(WORKING.at(phase=Phase.LOADING, num_videos_planned=0))) == "loading, 2 s: nothing is left to do"
    )


def test_a_phase_is_logged_as_it_begins_and_units_are_not() -> None:
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream), Log(stream=stream)) as display:
        display.begin_phase(WORKING.at(phase=Phase.PLANNING, config_id=None))  # and may still be refused
        display.begin_phase(WORKING.at(phase=Phase.LOADING))
        for _ in range(100):
            display.update(WORKING)
        display.begin_phase(WORKING.at(phase=Phase.SEALING))
    loading, sealing = stream.getvalue().splitlines()
    assert re.match(rf"{TIME} run-1 {'c' * 16} progress: loading, 2 s: ", loading)
    assert re.match(rf"{TIME} run-1 {'c' * 16} progress: sealing, 2 s: ", sealing)


def test_json_has_the_same_and_every_figure() -> None:
    stream = io.StringIO()
    log = Log(LogFormat.json, stream=stream)
    # A terminal, too, gets lines where they are asked for as JSON.
    with ProgressDisplay(Console(file=stream, force_terminal=True), log) as display:
        display.begin_phase(WORKING)
    [line] = map(json.loads, stream.getvalue().splitlines())
    assert re.fullmatch(TIME, line["time"])
    told = {name: line[name] for name in ("run_id", "config_id", "event", "level", "phase", "num_answers")}
    assert told == {
        "run_id": "run-1",
        "config_id": "c" * 16,
        "event": "progress",
        "level": "info",
        "phase": "working",
        "num_answers": 6,
    }
    assert line["seconds_left"] == pytest.approx(6, abs=0.5)
    assert (line["rows_per_second"], line["cost"], line["currency"]) == (3, None, None)
    assert re.fullmatch(r"videos 1/4  ETA \d s  clips 3  rows 6  3.0 rows/s  think 0%.*", line["message"])


def test_lines_have_the_time_of_the_one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setenv(CLOCK_OFFSET, str(400 * 365 * 86_400))
    Log(stream=stream).write("progress", "later")
    assert re.match(r"24\d\d-", stream.getvalue())


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_refusal_is_one_line_on_standard_error(format: str, framegate: Framegate, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    result = framegate("run", str(tmp_path / "job.yaml"), "--log-format", format)
    assert (result.exit_code, result.stdout) == (2, "")
    [last] = result.stderr.splitlines()
    if format == "json":
        assert {"event": "error", "level": "error"}.items() <= json.loads(last).items()
        assert "nowhere" in json.loads(last)["message"]
    else:
        assert last.startswith("error: ")
        assert "nowhere" in last


def _noise() -> None:
    logging.getLogger("some.library").warning("a note")
    warnings.warn("soon gone", FutureWarning, stacklevel=1)


def test_what_libraries_say_is_logged_only_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    log = Log(stream=stream)
    before = logging.getLogger().handlers[:]
    with libraries_logged(log, is_verbose=False):
        _noise()
    assert (stream.getvalue(), capsys.readouterr()) == ("", ("", ""))
    with libraries_logged(log, is_verbose=True), warnings.catch_warnings():
        warnings.simplefilter("always")
        _noise()
    note, warning = [line for line in stream.getvalue().splitlines() if " library: " in line]
    assert note.endswith("library: some.library: a note")
    assert "FutureWarning: soon gone" in warning
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize("is_verbose", [False, True])
def test_what_the_driver_warns_of_is_logged_once_in_any_case(is_verbose: bool) -> None:
    stream = io.StringIO()
    with libraries_logged(Log(stream=stream), is_verbose=is_verbose):
        logging.getLogger("framegate").warning("the run goes on, and its heartbeat was not stored: %s", "no room")
    [line] = stream.getvalue().splitlines()
    assert line.endswith("warning: the run goes on, and its heartbeat was not stored: no room")
