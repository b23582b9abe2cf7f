"""Films that mostly stand still: whole runs in this process, what they ask, and what their rows say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import duckdb
import numpy as np
import pytest

from framegate.pipelines import flow
from framegate.pipelines.certify.copies import CopyFindings
from framegate.pipelines.certify.of_output import Request, calibrate_output, certify_output
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.pipelines.results.views import query
from framegate.schemas.config import clip_policy
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job
from framegate.schemas.run import RunSummary
from tests.flow.conftest import QUESTIONS
from tests.flow.deepening import box, findings, go_on
from tests.flow.deepening import rows as all_rows
from tests.flow.deepening import run as run_deepenable

LEVELS = (60, 60, 60, 180, 180, 60)
"""Of a film's clips, two seconds each."""

TAKEN = {(0, None), (1, 0), (2, 0), (3, None), (4, 3), (5, None)}
"""By clip, the one whose answers it takes over."""

WHEN = {"id": "when", "text": "When does it happen?", "type": "span"}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two films of one camera: grey with the noise of a sensor, brighter for two clips."""
    folder = tmp_path / "still"
    folder.mkdir()
    for number in range(2):
        rng = np.random.default_rng(number)
        with av.open(str(folder / f"film{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=8, options={"crf": "23"})
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for level in LEVELS:
                for _ in range(16):
                    pixels = np.clip(level + rng.normal(0, 2, (64, 96, 3)), 0, 255).astype(np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
    return folder


@pytest.fixture
def still(at: Callable[..., Job], films: Path) -> Callable[..., Job]:
    def make(name: str = "index", *, within: float | None = 3, threshold: float = 0.9, **parts: Any) -> Job:
        clips = {"seconds": 2} if within is None else {"seconds": 2, "same_within": within}
        return at(threshold, name, **{"input": {"videos": str(films)}, "clips": clips, **parts})

    return make


class Engines:
    """Engines that answer by the picture, and what they were asked: (clip's start, question id)."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []

    def __call__(self) -> ScriptedEngine:
        return ScriptedEngine(self._write)

    def _write(self, ask: Ask) -> Sequence[Written]:
        self.asked.append((ask.clip.start_seconds, ask.question.id))
        level = float(ask.clip.frames.frames_THWC.mean())
        content = {"yes_no": "yes" if level > 120 else "no", "number": str(round(level / 60)), "span": "[0, 1]"}
        first = [("\\boxed{", -0.01), (content[ask.question.type], math.log(0.99)), ("}", -0.01)]
        return [*first, ("<think>", -0.1), ("</think>", -0.1), *box(content[ask.question.type], 0.9)]


def run(job: Job, engines: Engines | None = None, **options: Any) -> RunSummary:
    return flow.run(job, engine_factory=engines or Engines(), in_process=True, **options)


def rows(job: Job, columns: str = "video_uri, clip_index, question_id, answer, copied_from") -> list[tuple[Any, ...]]:
    uri = f"{job.config.output.uri}/results/**/*.parquet"
    return duckdb.sql(f"SELECT {columns} FROM read_parquet('{uri}', union_by_name = true) ORDER BY ALL").fetchall()


def test_still_clips_are_asked_once_and_answered_as_if_all_were_asked(still: Callable[..., Job]) -> None:
    plain, saving, everything, few = still("plain", within=None), still(), Engines(), Engines()
    run(plain, everything)
    summary = run(saving, few)
    answers = "video_uri, clip_index, question_id, answer, confidence_first, gate_reason, thinking, status"
    assert rows(saving, answers) == rows(plain, answers)
    assert len(everything.asked) == 2 * 6 * 2
    assert sorted({start for start, _ in few.asked}) == [0.0, 6.0, 10.0]
    assert len(few.asked) == 2 * 3 * 2
    assert summary.counts.num_answers == 24
    assert summary.counts.num_answer_tokens == 3 * len(few.asked)
    assert {(clip, one) for _, clip, _, _, one in rows(saving)} == TAKEN
    costs = "num_prompt_tokens + num_video_tokens + num_answer_tokens + num_thinking_tokens + engine_seconds"
    assert all((cost == 0) == (one is not None) for cost, one in rows(saving, f"{costs}, copied_from"))
    assert findings(saving) == {}
    assert run(saving, Engines()).counts.num_answers == 0, "nothing is left to ask"


def test_a_clip_that_takes_over_keeps_a_row_and_a_look_of_its_own(still: Callable[..., Job]) -> None:
    job = still()
    run(job)
    uri = f"{job.config.output.uri}/clips/**/*.parquet"
    found = duckdb.sql(
        f"SELECT clip_index, count(DISTINCT thumbnail), min(motion) IS NOT NULL FROM read_parquet('{uri}')"
        " GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert found == [(number, 2, True) for number in range(6)]


def test_with_zero_the_config_id_is_that_of_a_job_without_and_above_it_is_another(still: Callable[..., Job]) -> None:
    jobs = {within: still(str(within), within=within) for within in (None, 0, 2, 3)}
    found = {}
    for within, job in jobs.items():
        run(job)
        found[within] = _config_id(job)
    assert found[None] == found[0]
    assert len({*found.values()}) == 3
    assert len({clip_policy(job.config) for job in jobs.values()}) == 1, "videos are cut alike"


def test_a_question_about_time_is_asked_of_every_clip(still: Callable[..., Job]) -> None:
    job, engines = still(questions=[*QUESTIONS, WHEN]), Engines()
    run(job, engines)
    assert sorted(start for start, one in engines.asked if one == "when") == sorted(2 * [0.0, 2.0, 4.0, 6.0, 8.0, 10.0])
    told = [(clip, answer, one) for _, clip, question, answer, one in rows(job) if question == "when"]
    assert told == 2 * [(n, f"[{2 * n}, {2 * n + 1}]", None) for n in range(6)]
    assert len(engines.asked) == 2 * (6 + 3 * 2)


def test_questions_that_come_later_are_taken_over_among_themselves(still: Callable[..., Job]) -> None:
    job, engines = still(questions=QUESTIONS[:1]), Engines()
    run(job)
    before = rows(job)
    run(still(), engines)
    assert [one for _, one in engines.asked] == ["count"] * 6
    assert [row for row in rows(job) if row[2] == "red"] == before
    assert {(clip, one) for _, clip, question, _, one in rows(job) if question == "count"} == TAKEN


def test_after_a_kill_each_row_that_was_taken_over_has_its_source(still: Callable[..., Job]) -> None:
    job = still()

    def die(_: Any) -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        run(job, on_progress=die)
    run(job)
    found = rows(job)
    there = {row[:3] for row in found}
    assert len(found) == len(there) == 24
    assert all((uri, one, question) in there for uri, _, question, _, one in found if one is not None)
    assert findings(job) == {}


def test_a_stretch_of_them_is_one_event(still: Callable[..., Job]) -> None:
    job = still()
    run(job)
    found = query(
        job.config.output.uri,
        job.config.output.storage_options,
        "SELECT start_seconds, end_seconds, answer FROM events WHERE question_id = 'red' ORDER BY video_uri, 1",
    )
    assert [tuple(row.values()) for row in found.to_pylist()] == 2 * [(0, 6, "no"), (6, 10, "yes"), (10, 12, "no")]


def test_auditing_changes_no_answer_and_calibration_tells_what_was_lost(still: Callable[..., Job]) -> None:
    plain = still("plain")
    audited = still("audited", gate={"threshold": 0.9, "audit": {"rate": 1.0}})
    run(plain)
    run(audited)
    answers = "video_uri, clip_index, question_id, answer, copied_from"
    assert rows(audited, answers) == rows(plain, answers)
    told = rows(audited, "copied_from IS NOT NULL, answer_asked, answer, audit_rank IS NOT NULL, num_answer_tokens")
    assert all((own == answer and tokens > 0) if one else own is None for one, own, answer, _, tokens in told)
    request = Request(job=None, config_id=_config_id(audited), audit=AuditConfig(rate=1.0), epsilon=0.2)
    copies = calibrate_output(audited.config.output, request).copies
    assert copies is not None
    assert (copies.whole.population, copies.whole.num_audited, copies.whole.num_different) == (12, 12, 0)
    assert copies.whole.bound == 0.0, "all that took over were asked"
    assert {one.question_id: one.population for one in copies.questions} == {"red": 6, "count": 6}


@pytest.mark.parametrize("audit", [{"rate": 1.0}, {"rows": 24}])
@pytest.mark.parametrize("strategy", ["direct", "look_again"])
def test_what_a_job_without_a_gate_takes_over_is_audited_and_certified(
    still: Callable[..., Job], strategy: str, audit: dict[str, Any]
) -> None:
    plain = still("plain", gate={"strategy": strategy})
    audited = still("audited", gate={"strategy": strategy, "audit": audit})
    run(plain)
    run(audited)
    assert _config_id(audited) == _config_id(plain)
    answers = "video_uri, clip_index, question_id, answer, copied_from"
    assert rows(audited, answers) == rows(plain, answers)
    asked = rows(audited, "copied_from IS NOT NULL, answer_asked = answer, audit_rank IS NOT NULL, audit_rate")
    assert sorted(asked, key=str) == sorted([(True, True, True, 1.0)] * 12 + [(False, None, False, None)] * 12, key=str)
    request = Request(job=None, config_id=_config_id(audited), audit=AuditConfig.model_validate(audit))
    copies = certify_output(audited.config.output, request)
    assert isinstance(copies, CopyFindings)
    assert (copies.whole.population, copies.whole.num_audited, copies.whole.num_different) == (12, 12, 0)
    assert copies.is_within
    with pytest.raises(ConfigError, match="no row of this config_id was audited"):
        certify_output(audited.config.output, replace(request, claim="error"))
    with pytest.raises(ConfigError, match="no row of this config_id was audited"):
        certify_output(plain.config.output, replace(request, config_id=_config_id(plain)))
    with pytest.raises(ConfigError, match=r"12 of 12 audited rows were drawn by another gate\.audit\.unit or salt"):
        certify_output(audited.config.output, replace(request, audit=AuditConfig(rate=1.0, unit="clip")))


def test_deepening_takes_over_what_deepening_found(still: Callable[..., Job]) -> None:
    job, higher = still(threshold=0.5), still("higher", threshold=0.99)
    run_deepenable(job)
    run_deepenable(higher)
    summary = go_on(job)
    assert summary.is_complete
    told = [[{**row, "threshold": None} for row in all_rows(one)] for one in (job, higher)]
    assert told[0] == told[1]
    deep = [row for row in all_rows(job) if row["thinking"]]
    assert {row["copied_from"] is not None for row in deep} == {True, False}
    assert all((row["num_thinking_tokens"] == 0) == (row["copied_from"] is not None) for row in deep)
    assert findings(job) == {}


def _config_id(job: Job) -> str:
    uri = f"{job.config.output.uri}/results/**/*.parquet"
    (found,) = duckdb.sql(
        f"SELECT any_value(config_id) FROM read_parquet('{uri}', hive_partitioning = true)"
    ).fetchall()
    return found[0]
