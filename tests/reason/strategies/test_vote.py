"""A new strategy is one file, its config part and this: nothing that runs it knows of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from framegate.pipelines import flow
from framegate.pipelines.plan.forecast import forecast
from framegate.pipelines.reason.engines import build
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.questions import QuestionRunner
from framegate.pipelines.reason.strategies.protocol import Ask, Capability, FinishedAsk
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job, parse_job
from tests.asking import NUMBER, YES_NO, answer_all, ask_about, boxed, drain
from tests.reason.strategies.vote import Vote, VoteConfig

VOTE = Vote.from_part(VoteConfig(max_answer_tokens=8))


def say_by_seed(ask: Ask) -> Sequence[Any]:
    """Two of three say no; they differ in how much they write."""
    assert ask.sampling.temperature == 0.7
    words = [("word", 0.0)] * (2 - ask.sampling.seed)
    return [
        *words,
        *boxed({"yes_no": ["yes", "no", "no"], "number": ["1", "2", "3"]}[ask.question.type][ask.sampling.seed]),
    ]


def test_most_of_three_samples_win() -> None:
    finished, engine = answer_all(VOTE, ask_about("a", YES_NO, NUMBER), ask_about("b", YES_NO), script=say_by_seed)
    assert engine.num_asks == 3 * 3
    for clip in "ab":
        answer = finished[clip, "q"].answer
        assert answer is not None
        assert (answer.answer, answer.confidence_first, answer.verdict.reason) == ("no", pytest.approx(2 / 3), "vote")
        assert answer.num_answer_tokens == 5 + 4 + 3
    equal = finished["a", "n"].answer
    assert equal is not None
    assert (equal.answer, equal.confidence_first) == ("1", pytest.approx(1 / 3))


def test_samples_that_cannot_be_read_give_no_vote() -> None:
    def script(ask: Ask) -> Sequence[Any]:
        return [] if ask.sampling.seed else boxed("yes")

    finished, _ = answer_all(VOTE, ask_about("a", YES_NO), script=script)
    assert finished["a", "q"].answer is not None
    assert finished["a", "q"].answer.answer == "yes"
    finished, _ = answer_all(VOTE, ask_about("a", YES_NO), script=lambda ask: [])
    assert finished["a", "q"].answer is not None
    assert (finished["a", "q"].answer.answer, finished["a", "q"].answer.status) == (None, "unparsed")


def test_its_part_refuses_what_it_does_not_know() -> None:
    assert pickle.loads(pickle.dumps(VOTE)) == VOTE
    with pytest.raises(ValidationError, match="did you mean 'num_samples'"):
        VoteConfig(num_sampels=5)  # type: ignore[call-arg]


class Recorded(Vote):
    """Keeps the tokens of every sample."""

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Any:
        if not num_open:
            WRITTEN[finished[0].ask.clip.id, finished[0].ask.question.id] = {
                one.ask.sampling.seed: tuple(one.course.token_ids)  # type: ignore[union-attr]
                for one in finished
            }
        return super().after(finished, num_open)


WRITTEN: dict[tuple[str, str], dict[int, tuple[int, ...]]] = {}


def test_it_samples_on_our_own_engine_over_one_prefix(bench: Any, random_checkpoint: Path) -> None:
    strategy = Recorded(num_samples=3, temperature=1.5, max_answer_tokens=12)
    requests = [bench.make_request(number, (bench.sure, bench.unsure)) for number in range(2)]
    runs = []
    for num_slots in (2, 8):  # in whatever company: the same seed draws the same tokens
        WRITTEN.clear()
        engine = bench.engine(random_checkpoint, num_slots=num_slots)
        runner = QuestionRunner(engine, strategy)
        for request in requests:
            runner.add(request)
        finished = drain(runner)
        assert [one.failure_message for one in finished] == [None] * 4
        runs.append(dict(WRITTEN))
    assert runs[0] == runs[1]
    for samples in runs[0].values():
        assert len(set(samples.values())) == 3, "another seed draws other tokens"
    checkpoint = bench.load(random_checkpoint)
    prefixes = [
        bench.make_prefix(checkpoint, frames=request.frames, clip_start_seconds=request.clip_start_seconds)
        for request in requests
    ]
    num_tokens = [len(prefix.token_ids) for prefix in prefixes]
    num_tokens += [len(checkpoint.encode(ask.suffix)) for ask in _asks(strategy, requests)]
    assert engine.times.num_prefill_tokens == sum(num_tokens), "each clip's prefix was run once"


def _asks(strategy: Vote, requests: Sequence[Any]) -> list[Ask]:
    engine = ScriptedEngine()
    runner = QuestionRunner(engine, strategy)
    asks: list[Ask] = []
    engine.add = asks.append  # type: ignore[method-assign]
    for request in requests:
        runner.add(request)
    return asks


@pytest.fixture
def make_job(tmp_path: Path, make_video: Callable[..., Path], model_folder: Path) -> Callable[..., Job]:
    """Two videos of two and one clips, two questions."""
    for number, seconds in enumerate((4, 2)):
        make_video(tmp_path / "videos" / f"video{number}.mp4", seconds=seconds)

    def make(**model: Any) -> Job:
        return parse_job(
            {
                "input": {"videos": str(tmp_path / "videos")},
                "clips": {"seconds": 2},
                "frames": {"fps": 2, "max_frames": 4},
                "questions": [
                    {"id": "q", "text": "Did it?", "type": "yes_no"},
                    {"id": "n", "text": "How many?", "type": "number"},
                ],
                "model": {"name": str(model_folder), **model},
                "output": {"uri": str(tmp_path / "index")},
            }
        )

    return make


def test_it_runs_in_the_flow(make_job: Callable[..., Job]) -> None:
    job = make_job()
    planned = flow.plan(job, strategy=VOTE)
    assert planned.videos.num_rows == 2
    assert planned.config_id != flow.plan(job).config_id
    summary = flow.run(job, strategy=VOTE, engine_factory=partial(ScriptedEngine, say_by_seed), in_process=True)
    assert (summary.is_complete, summary.config_id) == (True, planned.config_id)
    rows = duckdb.sql(
        f"SELECT question_id, answer, confidence_first, num_answer_tokens, strategy, threshold, gate_reason"
        f" FROM '{job.config.output.uri}/results/**/*.parquet' ORDER BY ALL"
    ).fetchall()
    share = pytest.approx(1 / 3, rel=1e-6), pytest.approx(2 / 3, rel=1e-6)
    assert (
        rows
        == [("n", "1", share[0], 12, "vote", None, "vote")] * 3 + [("q", "no", share[1], 12, "vote", None, "vote")] * 3
    )
    assert flow.plan(job, strategy=VOTE).videos.num_rows == 0
    assert flow.plan(job).videos.num_rows == 2


def test_what_it_may_write_is_foreseen(make_job: Callable[..., Job]) -> None:
    job = make_job()
    foreseen = forecast(job, flow.plan(job, strategy=VOTE), VOTE)
    assert (foreseen.estimated_rows, foreseen.max_generated_tokens) == (6, 6 * 3 * 8)


class Weighed(Vote):
    """One that needs more than chance."""

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"sampling", "logits"})


def test_an_engine_that_lacks_what_it_needs_is_refused_before_anything_starts(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = {"transformers": frozenset({"sampling", "logits"}), "vllm": frozenset({"sampling"})}
    monkeypatch.setattr(build, "CAPABILITIES", offered)
    job = make_job(engine="vllm")
    weighed = Weighed(num_samples=3, temperature=0.7, max_answer_tokens=8)
    sentence = "the strategy vote needs logits, which the engine vllm does not offer; use engine: transformers"
    for start in (flow.plan, flow.run):
        with pytest.raises(ConfigError, match=sentence):
            start(job, strategy=weighed)
    there = [path for path in Path(job.config.output.uri).rglob("*") if path.is_file()]
    assert {path.parent.name for path in there} == {"runs"}, "a start that was refused leaves its record alone"
