"""Whole videos, hours long: asked chunk after chunk, in memory that their length does not move."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from framegate.pipelines import flow
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.slices import SLICE_BYTES
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.deepen import gate_of
from framegate.pipelines.plan.forecast import forecast
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.models.clip_prefix import select_frames
from framegate.pipelines.reason.stage import ReasonStage
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.config.many_asks import StreamingConfig
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job, parse_job
from framegate.schemas.qa import Question
from tests.asking import boxed
from tests.decode.corpus_films import FASTSTART, film
from tests.decode.corpus_run import holdings, planned
from tests.own_process import in_own_process

HOURS = 2
SIDE = 64
QUESTION = Question(id="q", text="Did it?", type="yes_no")
MOST_GROWTH_MIB = 12
"""Of either process, from a film of 10 minutes to one of 2 hours, beside frames. All frames of the longer one, 7,200
instead of 600, take 77 for each copy."""


@dataclass(frozen=True)
class Watched:
    """What it took to decode and ask one film. Most memory of this process and of the decoder's, in MiB."""

    own_mib: float
    decoder_mib: float
    num_frames: int
    num_asks: int
    most_frames_asked: int
    last_seconds: float
    answer: str | None


def most_resident_mib(process: int | str) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def watch(path: Path, *, max_frames: int) -> Watched:
    """A process of its own decodes one film as one clip and asks about it."""
    frames = FramesConfig(
        fps=1,
        max_frames=max_frames,
        min_frame_pixels=SIDE * SIDE,
        max_frame_pixels=SIDE * SIDE,
        max_video_tokens=32_768,
    )
    policy = Policy(frames=frames, clips=ClipsConfig(whole_video=True), factor=32)
    decode = DecodeStage(policy=policy, storage_options={})
    sizes: list[int] = []

    def write(ask: Ask) -> Sequence[Written]:
        seen = select_frames(ask.clip.frames, ask.frames)  # as engines take them
        sizes.append(len(seen))
        return boxed("yes" if len(sizes) > 3 else "no")

    strategy = make_strategy(StreamingConfig(chunk_seconds=30, window_chunks=2))
    reason = ReasonStage(engine_factory=partial(ScriptedEngine, write), strategy=strategy, questions=(QUESTION,))
    before = holdings().children
    try:
        [unit] = decode.decode(replace(planned(path), question_hashes=(QUESTION.hash,)))
        [child] = holdings().children - before
        answered = reason.answer(unit)
        [clip] = answered.clips
        [row] = clip.answers
        return Watched(
            own_mib=most_resident_mib("self"),
            decoder_mib=most_resident_mib(child),
            num_frames=len(unit.clips[0].frames),
            num_asks=len(row.asks or ()),
            most_frames_asked=max(sizes),
            last_seconds=float(unit.clips[0].frames.pts_seconds[-1]),
            answer=row.answer,
        )
    finally:
        decode.close()
        reason.close()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """By hours: a frame a second."""
    folder = tmp_path_factory.mktemp("films")
    made: dict[float, Path] = {}
    for hours in (1 / 6, HOURS):
        times = [float(number) for number in range(round(hours * 3600))]
        made[hours] = folder / f"{len(times)}.mp4"
        made[hours].write_bytes(
            film(times_seconds=times, fps=1, height=SIDE, width=SIDE, gop_frames=60, muxer_options=FASTSTART)
        )
    return made


def test_hours_take_the_memory_of_minutes(films: dict[float, Path]) -> None:
    short, long = (in_own_process(watch, path, max_frames=480) for path in films.values())
    assert (short.num_frames, long.num_frames) == (480, 480)
    assert (short.last_seconds > 595, long.last_seconds > HOURS * 3600 - 20) == (True, True), "seen to the end"
    assert (short.num_asks, long.num_asks) == (20, 240)
    assert (short.answer, long.answer) == ("yes", "yes")
    assert long.most_frames_asked <= 4, "two frames every half minute"
    assert long.own_mib - short.own_mib < MOST_GROWTH_MIB
    assert long.decoder_mib - short.decoder_mib < MOST_GROWTH_MIB


def test_a_frame_every_second_for_hours_is_held_once_and_decoded_in_slices(films: dict[float, Path]) -> None:
    short, long = (in_own_process(watch, path, max_frames=HOURS * 3600) for path in films.values())
    assert (short.num_frames, long.num_frames) == (600, HOURS * 3600)
    assert (long.num_asks, long.most_frames_asked) == (HOURS * 120, 60), "each ask takes a window"
    frames_mib = (long.num_frames - short.num_frames) * 3 * SIDE * SIDE / 2**20
    assert frames_mib > 2 * SLICE_BYTES / 2**20
    assert long.own_mib - short.own_mib < frames_mib + MOST_GROWTH_MIB
    assert long.decoder_mib - short.decoder_mib < SLICE_BYTES / 2**20 + MOST_GROWTH_MIB


@pytest.fixture
def make_job(tmp_path: Path, make_video: Callable[..., Path], model_folder: Path) -> Callable[..., Job]:
    """One video of 4 s, 16 frames, two questions."""
    make_video(tmp_path / "videos" / "video.mp4", seconds=4)

    def make(gate: dict[str, Any] | None = None, *, clips: dict[str, Any] | None = None, **model: Any) -> Job:
        return parse_job(
            {
                "input": {"videos": str(tmp_path / "videos")},
                "clips": clips or {"whole_video": True},
                "frames": {"fps": 4, "max_frames": 64},
                "questions": [
                    {"id": "q", "text": "Did it?", "type": "yes_no"},
                    {"id": "n", "text": "How many?", "type": "number", "think": "never"},
                ],
                "model": {"name": str(model_folder), **model},
                "gate": {"strategy": "streaming", "chunk_seconds": 1, **(gate or {})},
                "output": {"uri": str(tmp_path / "index")},
            }
        )

    return make


def say(ask: Any) -> Any:
    return [*boxed("1" if ask.question.type == "number" else "yes", -0.5), ("hm", 0.0), *boxed("no", -0.01)]


def test_it_runs_in_the_flow(make_job: Callable[..., Job]) -> None:
    job = make_job({"max_chunks": 4})
    budgets = [budget for one in job.questions for budget in make_strategy(job.config.gate).budgets(one)]
    assert forecast(job, flow.plan(job)).max_generated_tokens >= sum(budget.num_tokens for budget in budgets)
    summary = flow.run(job, engine_factory=partial(ScriptedEngine, say), in_process=True)
    assert summary.is_complete
    rows = duckdb.sql(
        f"SELECT question_id, answer, answer_first, strategy, thinking, num_frames, num_video_tokens, asks FROM"
        f" '{job.config.output.uri}/results/**/*.parquet' ORDER BY ALL"
    ).fetchall()
    assert [row[:6] for row in rows] == [
        ("n", "1", "1", "streaming", False, 16), ("q", "no", "yes", "streaming", True, 16),
    ]  # fmt: skip
    for *_, num_video_tokens, asks in rows:
        assert [(ask["label"], ask["num_frames"]) for ask in asks] == [
            ("chunk 1", 4), ("chunk 2", 8), ("chunk 3", 8), ("chunk 4", 8),
        ]  # fmt: skip
        assert num_video_tokens == sum(ask["num_video_tokens"] for ask in asks) == 28
    assert flow.plan(job).videos.num_rows == 0, "all is answered"


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("audit", {"rate": 0.1}, "the strategy streaming draws no audit sample but of still clips"),
        ("budget", {"thinking_tokens": 9}, "gate: the strategy streaming keeps to no budget"),
        ("defer", "always", "gate: the strategy streaming defers no thinking"),
    ],
)
def test_what_is_the_gates_is_refused_in_a_sentence(
    make_job: Callable[..., Job], key: str, value: Any, why: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{why}.*: leave out gate.{key}, .*or say strategy: gated"):
        make_job({key: value})
    with pytest.raises(ConfigError, match="chunk_second is not a known key"):
        make_job({"chunk_second": 5})
    with pytest.raises(ConfigError, match=r"gate.strategy is streaming: only rows of a gated job can be deepened"):
        gate_of(make_job())


def test_vllm_streams_over_clips_and_not_over_whole_videos(make_job: Callable[..., Job]) -> None:
    sentence = "gate.strategy is streaming over whole videos, and vLLM makes room for all frames .* say engine: transf"
    with pytest.raises(ConfigError, match=sentence):
        make_job(engine="vllm")
    assert make_job(clips={"seconds": 600}, engine="vllm").config.model.engine == "vllm"


def test_what_an_ask_sees_and_reads_is_in_config_id_and_what_decides_who_thinks_is_not(
    make_job: Callable[..., Job],
) -> None:
    def config_id(**gate: Any) -> str:
        return flow.plan(make_job(gate)).config_id

    plain = config_id()
    assert config_id(threshold=0.5) == plain
    others = {"chunk_seconds": 2, "window_chunks": 3, "carry_bytes": 9, "max_chunks": 7}
    assert len({plain, *(config_id(**{key: value}) for key, value in others.items())}) == 5
