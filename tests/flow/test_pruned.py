"""Jobs that prune and audit: whole runs in this process, what their rows say and what is certified of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from framegate.pipelines import flow
from framegate.pipelines.certify.of_output import Request, calibrate_output, store
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job
from tests.flow.deepening import box, findings, go_on, rows

PRUNE = {"method": "change", "threshold": 0.1, "audit_thresholds": [0.02, 0.3]}
ADDED = ("prune_levels", "prune_answers", "answer_whole")


def engine() -> ScriptedEngine:
    """Sure, and of another opinion where more than 0.2 is pruned; thinking agrees."""

    def write(ask: Ask) -> Sequence[Written]:
        level = 0.1 if ask.clip.prune is None else ask.clip.prune.level
        contents = ("yes", "no") if ask.question.type == "yes_no" else ("3", "4")
        content = contents[level > 0.2]
        return [*box(content, 0.98), ("<think>", -0.1), ("</think>", -0.1), *box(content, 0.9)]

    return ScriptedEngine(write)


@pytest.fixture
def pruned(at: Callable[..., Job]) -> Callable[..., Job]:
    def make(name: str = "index", *, prune: dict[str, Any] | None = PRUNE, rate: float | None = 1.0) -> Job:
        gate = {"threshold": 0.9, **({} if rate is None else {"audit": {"rate": rate}})}
        return at(0.9, name, gate=gate, frames={"fps": 2, "max_frames": 4, **({"prune": prune} if prune else {})})

    return make


def run(job: Job, **options: Any) -> Any:
    return flow.run(job, engine_factory=engine, in_process=True, **options)


def calibrate(job: Job, config_id: str, epsilon: float = 0.1) -> Any:
    request = Request(job=None, config_id=config_id, audit=AuditConfig(rate=1.0), epsilon=epsilon)
    return calibrate_output(job.config.output, request)


def test_rows_have_their_answers_at_each_level_and_are_else_as_without(pruned: Callable[..., Job]) -> None:
    audited, plain = pruned("audited"), pruned("plain", prune={"method": "change", "threshold": 0.1})
    first, second = run(audited), run(plain)
    assert first.config_id == second.config_id, "what is audited changes no answer"
    found = rows(audited)
    assert found
    for row in found:
        right, wrong = ("yes", "no") if row["answer_type"] == "yes_no" else ("3", "4")
        assert row["prune_levels"] == [0.0, 0.02, 0.1, 0.3]
        assert [one["answer"] for one in row["prune_answers"]] == [right, right, right, wrong]
        assert row["answer_whole"] == row["answer"] == right
    bare = [
        [{name: value for name, value in row.items() if name not in ADDED} for row in rows(one)]
        for one in (audited, plain)
    ]
    assert bare[0] == bare[1]
    assert findings(audited) == {}


def test_without_pruning_the_columns_are_null(pruned: Callable[..., Job]) -> None:
    job = pruned(prune=None)
    run(job)
    assert {tuple(row[name] for name in ADDED) for row in rows(job)} == {(None, None, None)}


def test_after_a_kill_no_row_lacks_its_answers(pruned: Callable[..., Job]) -> None:
    job = pruned()

    def die(_: Any) -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        run(job, on_progress=die)
    run(job)
    assert all(len(row["prune_answers"]) == 4 for row in rows(job))


def test_what_is_certified_lets_a_job_run_that_asks_for_it(pruned: Callable[..., Job]) -> None:
    job = pruned()
    config_id = run(job).config_id
    findings = calibrate(job, config_id)
    whole, *questions = findings.calibration.prunes
    assert (whole.level, [one.num_different for one in whole.levels]) == (0.1, [0, 0, 12])
    assert {one.question_id: one.level for one in questions} == {"red": 0.1, "count": 0.1}
    promised = pruned(prune={**PRUNE, "promise": {"certificate": "latest", "epsilon": 0.1}})
    with pytest.raises(ConfigError, match="no calibration of config_id"):
        flow.plan(promised)
    store(job.config.output, findings)
    assert flow.plan(promised).config_id == config_id
    assert run(promised).is_complete
    more = pruned(prune={**PRUNE, "threshold": 0.3, "audit_thresholds": [], "promise": {"certificate": "latest"}})
    with pytest.raises(ConfigError, match="no calibration of config_id"):
        run(more, accept_new_config=True)


def test_deepened_rows_keep_what_they_say_of_pruning(pruned: Callable[..., Job]) -> None:
    job = pruned(rate=0.5)
    config_id = run(job).config_id
    before = {(row["video_id"], row["clip_index"], row["question_id"]): row["answer_whole"] for row in rows(job)}
    certified = calibrate(job, config_id).prunes
    assert len(certified.certificates) == 3
    assert go_on(job, 0.99, engine_factory=engine).is_complete
    found = rows(job)
    assert {(row["video_id"], row["clip_index"], row["question_id"]): row["answer_whole"] for row in found} == before
    assert calibrate(job, config_id).prunes == certified, "of what they answered before"
