"""A run tells what it is at, in order, and how long each phase took."""

from __future__ import annotations

import time

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.phases import Phases
from framegate.pipelines.driver.tally import Tally
from framegate.schemas.keys import id_text
from framegate.schemas.run import Phase, Plan, Progress
from framegate.schemas.tables import VIDEO_STATES
from tests.planned import planned


def receipt(number: int) -> Receipt:
    return Receipt(
        video_id=id_text(number), created=True, num_clips=1, num_answers=2, num_failures=0, num_thinking=1,
        num_answer_tokens=3, num_thinking_tokens=4, decode_seconds=0.0, engine_seconds=0.0, undecoded=False,
        failure_reason=None,
    )  # fmt: skip


def test_each_phase_and_each_receipt_is_told_with_what_is_known_by_then() -> None:
    told: list[tuple[str, Progress]] = []
    phases = Phases(
        "run-1",
        on_phase=lambda progress: told.append(("phase", progress)),
        on_progress=lambda progress: told.append(("unit", progress)),
    )
    phases.enter(Phase.PLANNING)
    videos = planned([1, 2])
    phases.begin_work(
        Plan(
            config_id="a" * 16,
            num_videos=3,
            num_skipped=1,
            num_erased=0,
            num_settled=0,
            videos=videos,
            questions=(),
            changes=VIDEO_STATES.empty_table(),
        )
    )
    tally = Tally(videos)
    for number in (1, 1):
        tally.add(receipt(number))
        phases.hear(tally)
    phases.enter(Phase.SEALING)
    seen = [
        (kind, progress.phase.value, progress.config_id, progress.num_videos_planned, progress.counts.num_answers)
        for kind, progress in told
    ]
    id = "a" * 16
    assert seen == [
        ("phase", "starting", None, 0, 0),
        ("phase", "planning", None, 0, 0),
        ("phase", "loading", id, 2, 0),
        ("phase", "working", id, 2, 2),
        ("unit", "working", id, 2, 2),
        ("unit", "working", id, 2, 4),
        ("phase", "sealing", id, 2, 4),
    ]
    assert {progress.run_id for _, progress in told} == {"run-1"}
    assert phases.latest is told[-1][1]


def test_the_seconds_of_all_phases_are_those_of_the_run() -> None:
    began = time.monotonic()
    phases = Phases("run-1")
    phases.enter(Phase.PLANNING)
    time.sleep(0.05)
    phases.enter(Phase.SEALING)
    seconds = phases.seconds()
    assert list(seconds) == ["starting", "planning", "sealing"]
    assert seconds["planning"] >= 0.05
    assert sum(seconds.values()) <= time.monotonic() - began + 0.005
