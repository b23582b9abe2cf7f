"""A run that meets a damaged object in the journal goes on, exits with 1, and says what a person should do."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from framegate.jobs.run_end import EXIT_DEADLINE, EXIT_INCOMPLETE, EXIT_SIGNALLED, end_of, end_of_deepening
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.counts import Counts
from framegate.schemas.run import RunSummary, Stop
from tests.docs.conftest import run

SUMMARY = RunSummary(
    run_id="r",
    config_id="c" * 16,
    num_videos_planned=9,
    num_videos_answered=9,
    num_videos_failed=0,
    num_videos_skipped=0,
    num_videos_left=0,
    counts=Counts(num_answers=18),
    elapsed_seconds=5.0,
    phase_seconds={"working": 4.0},
    num_set_aside=2,
)


@pytest.mark.usefixtures("ray_cluster")
def test_the_command_exits_with_1_and_the_next_one_with_0(
    tmp_path: Path,
    model_folder: Path,
    make_video: Callable[..., Path],
    framegate: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow, "make_engine_factory", lambda *_args, **_options: ScriptedEngine)
    for number in range(2):
        make_video(tmp_path / "videos" / f"{number}.mp4", seconds=4, shade=40 * number)
    job = {
        "input": {"videos": "videos/"},
        "clips": {"seconds": 2},
        "frames": {"fps": 1, "max_frames": 2},
        "questions": [{"id": "anyone", "text": "Is anyone there", "type": "yes_no"}],
        "model": {"name": str(model_folder)},
        "output": {"uri": "index"},
        "decode": {"sandbox": False},
        "ray": {"decode_workers": 1},
    }
    path, index, record = tmp_path / "job.yaml", tmp_path / "index", tmp_path / "run.json"
    path.write_text(yaml.safe_dump(job))
    assert run(tmp_path, FRAMEGATE_FAIL_AT="commit.after:1") == -signal.SIGKILL
    [unit] = index.glob("journal/*/*/*.zst")
    unit.write_bytes(unit.read_bytes()[:-20])

    first = framegate("run", str(path), "--json", str(record))
    assert first.exit_code == EXIT_INCOMPLETE
    [aside] = index.glob("quarantine/*/*/*")
    [told] = json.loads(record.read_text())["rows"]
    assert (told["state"], told["is_complete"], told["num_set_aside"]) == ("complete", True, 1)
    said = " ".join(first.stderr.split())
    assert (
        f"error: 1 object of the journal was no unit and is set aside in {aside.parents[1].relative_to(index)}/" in said
    )
    assert "move it out of the output: until then 'framegate audit' finds fault with it" in said
    sql = "SELECT count(*) AS rows, count(DISTINCT (video_id, clip_index, question_hash)) AS keys FROM answers"
    document = json.loads(framegate("query", sql, "--job", str(path), "-f", "json").stdout)
    assert document["rows"] == [{"rows": 4, "keys": 4}]

    second = framegate("run", str(path), "--json", str(record))
    assert second.exit_code == 0, second.output
    assert "set aside" not in second.output
    assert json.loads(record.read_text())["rows"][0]["num_set_aside"] == 0
    audited = framegate("audit", str(path))
    assert audited.exit_code == 1
    assert "was set aside" in " ".join(audited.output.split())
    shutil.move(index / "quarantine", tmp_path / "looked-at")
    audited = framegate("audit", str(path))
    assert audited.exit_code == 0, audited.output


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (Stop(code="deadline", sentence="the deadline of 6 s is near"), EXIT_DEADLINE),
        (Stop(code="signal", sentence="signal SIGTERM", signal_number=15), EXIT_SIGNALLED + 15),
        (Stop(code="breaker", sentence="9 of 10 videos failed"), EXIT_INCOMPLETE),
        (None, EXIT_INCOMPLETE),
    ],
)
def test_a_stopped_run_says_so_as_well(stop: Stop | None, code: int) -> None:
    end = end_of(replace(SUMMARY, stop=stop), max_unparsed_share=0.5, again="run it again")
    assert (end.exit_code, end.is_error) == (code, True)
    assert end.sentence.startswith("stopped" if stop else "2 objects of the journal were no units")
    assert "move them out of the output" in end.sentence


def test_a_deepening_that_spent_its_budget_is_no_success_either() -> None:
    spent = replace(SUMMARY, stop=Stop(code="budget", sentence="the budget is spent"))
    end = end_of_deepening(spent, num_deferred=3, again="run it again")
    assert (end.exit_code, end.is_error) == (EXIT_INCOMPLETE, True)
    assert "the budget is spent; 3 answers stay deferred; run it again; 2 objects" in end.sentence
    assert end_of_deepening(replace(spent, num_set_aside=0), num_deferred=3, again="run it again").exit_code == 0
