"""Evaluation of a checkpoint on held-out dock clips: encode, decode with the real decoder, ask, score.

Clips go through the decode stage and the engine of a real run, but not through Ray. Every strategy answers the same
decoded clips in one process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.lab.dock.scoring import Scored
from framegate.pipelines.lab.dock.training.checkpoint import SYSTEM_PROMPT
from framegate.pipelines.lab.dock.world.asking import Asked, ask_multi_step, ask_perception
from framegate.pipelines.lab.dock.world.film import draw_film, encode_mp4
from framegate.pipelines.lab.dock.world.scene import MAX_CRATES, MIN_CRATES, Scene, draw_scene
from framegate.pipelines.plan.plan import make_policy
from framegate.pipelines.reason.asking.answers import parse_answer
from framegate.pipelines.reason.engines.build import make_engine_factory
from framegate.pipelines.reason.engines.own.packed import quick_dtype
from framegate.pipelines.reason.questions import ClipRequest, QuestionRunner
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.store import Store
from framegate.schemas.clip import FrameBatch, Video
from framegate.schemas.config import DecodeConfig, RunConfig
from framegate.schemas.errors import FramegateError
from framegate.schemas.qa import Answer, Question
from framegate.schemas.unit import PlannedVideo

STRATEGIES = ("direct", "gated", "always_think")
EVALUATION_SEED = 20_260_000  # no training clip is drawn from it
CLIPS_IN_ENGINE = 16


@dataclass(frozen=True)
class HeldOutClip:
    """A decoded clip with one perception and one multi-step question in held-out wording."""

    number: int
    scene: Scene
    frames: FrameBatch
    asked: tuple[Asked, ...]


def dock_settings(
    *, strategy: str, threshold: float = 0.97, model: Path | None = None, more: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The parts of a job file that the dock model was trained for: short prompt, 2 frames a second, 32 x 32 pixels.
    `more` of `gate` is the strategy's own."""
    return {
        "model": {"name": "dock" if model is None else str(model.resolve()), "dtype": quick_dtype()},
        "prompt": {"system": SYSTEM_PROMPT},
        "clips": {"whole_video": True},
        "frames": {"fps": 2, "max_frames": 64, "min_frame_pixels": 1024, "max_frame_pixels": 1024},
        "gate": {
            "strategy": strategy,
            "threshold": threshold,
            "max_answer_tokens": 16,
            "max_thinking_tokens": 224,
            **(more or {}),
        },
    }


def make_clips(folder: Path, *, num_clips: int, seed: int, config: RunConfig) -> Iterator[HeldOutClip]:
    """Draw, encode to H.264 in `folder`, and decode again by the decode stage, one clip at a time."""
    # Two threads share the stage, which a sandbox does not allow; nobody else wrote these files.
    own = DecodeConfig(sandbox=False)
    stage = DecodeStage(policy=make_policy(config), decode=own, storage_options={})
    rng = random.Random(seed)
    drawn = []
    for number in range(num_clips):
        scene = draw_scene(rng, rng.randint(MIN_CRATES, MAX_CRATES))
        asked = (ask_perception(rng, scene, "held_out"), ask_multi_step(rng, scene, "held_out"))
        drawn.append((number, scene, asked, random.Random(rng.getrandbits(64))))

    def film(item: tuple[int, Scene, tuple[Asked, ...], random.Random]) -> HeldOutClip:
        number, scene, asked, own_rng = item
        path = folder / f"dock-{number:05d}.mp4"
        path.write_bytes(encode_mp4(draw_film(scene, own_rng)))
        return HeldOutClip(number, scene, _decode(stage, path), asked)

    with ThreadPoolExecutor(max_workers=2) as pool:
        yield from pool.map(film, drawn)


def _decode(stage: DecodeStage, path: Path) -> FrameBatch:
    found = Store().stat(str(path))
    video = Video(uri=found.uri, version=found.version, size_bytes=found.size_bytes)
    planned = PlannedVideo(video=video, question_hashes=("any",))
    for unit in stage.decode(planned):
        if unit.failure is not None:
            raise FramegateError(f"a clip that was just made cannot be decoded: {unit.failure.message}")
        return unit.clips[0].frames
    raise FramegateError(f"nothing came out of {path.name}, a clip that was just made")


def evaluate(
    clips: list[HeldOutClip], *, strategy: str, config: RunConfig, on_answer: Callable[[int], None] | None = None
) -> list[Scored]:
    """Ask every clip its questions under one strategy."""
    questions = [asked.question for clip in clips for asked in clip.asked]
    make_engine = make_engine_factory(config, make_strategy(config.gate), questions)
    runner = QuestionRunner(make_engine(), make_strategy(config.gate))
    waiting = iter(clips)
    by_id: dict[str, HeldOutClip] = {}
    scored: list[Scored] = []
    num_open = 0
    while True:
        while num_open < 2 * CLIPS_IN_ENGINE and (clip := next(waiting, None)) is not None:
            by_id[str(clip.number)] = clip
            questions = tuple(asked.question for asked in clip.asked)
            runner.add(
                ClipRequest(id=str(clip.number), frames=clip.frames, clip_start_seconds=0.0, questions=questions)
            )
            num_open += len(questions)
        if num_open == 0:
            return scored
        for finished in runner.step():
            num_open -= 1
            if finished.answer is None:
                raise FramegateError(f"the engine failed on a dock clip: {finished.failure_message}")
            clip = by_id[finished.request_id]
            asked = next(asked for asked in clip.asked if asked.question == finished.question)
            scored.append(score_answer(strategy, asked, clip.scene, finished.answer))
            if on_answer is not None:
                on_answer(len(scored))


def score_answer(strategy: str, asked: Asked, scene: Scene, answer: Answer) -> Scored:
    truth = read(asked.answer, asked.question)
    first = read(answer.answer_first, asked.question)
    return Scored(
        strategy=strategy,
        kind=asked.kind,
        num_swaps=scene.num_swaps(),
        right=answer.answer is not None and answer.answer == truth,
        first_right=None if first is None else first == truth,
        confidence_first=answer.confidence_first,
        thinking=answer.thinking,
        num_generated_tokens=answer.num_answer_tokens + answer.num_thinking_tokens,
    )


def read(content: str | None, question: Question) -> str | None:
    """A box's content in normal form; None where it is missing or cannot be read."""
    parsed = None if content is None else parse_answer(content, question, clip_start_seconds=0.0)
    return None if parsed is None else parsed.value
