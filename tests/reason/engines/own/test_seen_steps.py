"""What the vision tower has seen is not run again, and no row shows it: bit for bit, in float32, in both families."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.seen_steps import KEPT_CLIPS, SeenSteps
from framegate.pipelines.reason.models.preprocess import ScaledVideo
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import ClipFrames
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import FramesConfig
from tests.reason.engines.own.asks import make_ask, run_asks
from tests.small_checkpoints import LIMITS

GATE = Gated(threshold=0.7, max_answer_tokens=6, max_thinking_tokens=12)
SIZES = ((64, 64), (64, 96), (56, 56), (100, 80))  # the last two are resized by a family or by both


def make_film(num_frames: int, size: tuple[int, int], *, still: slice = slice(0, 0)) -> np.ndarray:
    frames = np.random.default_rng(5).integers(0, 256, (num_frames, *size, 3), dtype=np.uint8)
    frames[still] = frames[still.start or 0]
    return frames


def cut_clips(frames: np.ndarray, *, num_frames: int, stride: int) -> list[ClipFrames]:
    """At 2 frames a second."""
    clips = []
    for start in range(0, len(frames) - num_frames + 1, stride):
        batch = FrameBatch(
            frames_THWC=frames[start : start + num_frames].copy(),
            pts_seconds=(start + np.arange(num_frames)) / 2,
            duration_seconds=num_frames / 2,
        )
        clips.append(ClipFrames(id=f"unit-0/{start}", frames=batch, start_seconds=start / 2))
    return clips


def rows_of(engine, clips: list[ClipFrames]) -> list[tuple]:
    """All that comes back of two asks of each clip: tokens with their probabilities, and the clip's embedding."""
    asks = [make_ask(clip, 5, suffix=suffix) for clip in clips for suffix in ("look again", "Where is the parcel?")]
    finished = run_asks(engine, asks)
    assert not any(finished[ask].failure_message for ask in asks)
    return [(finished[ask].course.tokens, finished[ask].clip_embedding.tobytes()) for ask in asks]


@pytest.fixture
def engine(bench, random_checkpoint):
    """`engine(reuses_steps=..., same_within=...)` of a small checkpoint of each family."""

    def make(*, same_within: int = 0, **settings):
        limits = LIMITS.model_copy(update={"same_within": same_within})
        return bench.engine(random_checkpoint, frames=limits, **settings)

    return make


@pytest.fixture
def fitting_size(bench, random_checkpoint) -> tuple[int, int]:
    """Of frames that are not resized: resizing can make differences larger."""
    side = 2 * bench.load(random_checkpoint).prompt_format.grid.factor
    return side, side


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("num_slots", [1, 5, 64])
def test_rows_of_overlapping_clips_are_bit_for_bit_those_without_reuse(engine, size, num_slots):
    clips = cut_clips(make_film(44, size), num_frames=8, stride=4)
    reusing = engine(num_slots=num_slots)
    plain = engine(num_slots=num_slots, reuses_steps=False)
    assert rows_of(reusing, clips) == rows_of(plain, clips)
    times = reusing.times
    assert times.num_video_steps == plain.times.num_video_steps == 4 * len(clips) == 40
    assert times.num_reused_video_steps == 2 * (len(clips) - 1)
    assert plain.times.num_reused_video_steps == 0
    assert times.num_patches * 40 == plain.times.num_patches * 22


@pytest.mark.parametrize("num_frames", [7, 8])
def test_rows_of_a_still_film_are_bit_for_bit_those_without_reuse(engine, num_frames):
    """7 frames: the last step of a clip is filled up with its last frame."""
    clips = cut_clips(make_film(32, (64, 64), still=slice(6, 26)), num_frames=num_frames, stride=8)
    reusing = engine()
    assert rows_of(reusing, clips) == rows_of(engine(reuses_steps=False), clips)
    assert reusing.times.num_reused_video_steps == 20 // 2 - 1  # the still steps, but for the first of them


def test_clips_that_overlap_by_half_a_step_share_nothing(engine):
    clips = cut_clips(make_film(24, (64, 64)), num_frames=8, stride=3)
    reusing = engine()
    assert rows_of(reusing, clips) == rows_of(engine(reuses_steps=False), clips)
    shared = sum(
        1 for one in range(len(clips)) for other in range(one) if (one - other) * 3 < 8 and (one - other) % 2 == 0
    )
    assert reusing.times.num_reused_video_steps == shared  # clips two strides apart are 3 steps apart


def test_a_clip_says_the_same_beside_any_others(engine):
    """What a step is run with does not show in it."""
    clips = cut_clips(make_film(44, (64, 96)), num_frames=8, stride=4)
    together = rows_of(engine(), clips)
    for place, clip in enumerate(clips):
        alone = rows_of(engine(), [clip])
        assert [embedding for _, embedding in alone] == [
            embedding for _, embedding in together[2 * place : 2 * place + 2]
        ]


def test_answers_of_a_gate_are_those_without_reuse(bench, taught_checkpoint):
    questions = (bench.sure, bench.unsure)
    requests = [
        replace(bench.make_request(number, questions), frames=clip.frames)
        for number, clip in enumerate(cut_clips(make_film(28, (64, 64), still=slice(0, 9)), num_frames=8, stride=4))
    ]
    checkpoint = bench.load(taught_checkpoint)
    with_reuse, without = (
        bench.run(bench.runner(checkpoint, GATE, reuses_steps=reuses), requests) for reuses in (True, False)
    )
    assert with_reuse.answers.keys() == without.answers.keys()
    for key, answer in with_reuse.answers.items():
        other = without.answers[key]
        assert replace(answer, **_seconds(other)) == other


def _seconds(answer) -> dict:
    return {name: value for name, value in vars(answer).items() if name.endswith("seconds")}


def noisy(frames: np.ndarray, levels: int, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, levels + 1, frames.shape)
    return np.minimum(frames, 255 - levels).astype(np.uint8) + noise.astype(np.uint8)


def test_steps_that_differ_by_noise_are_one_where_the_job_says_so(engine, fitting_size):
    frames = noisy(make_film(8, fitting_size, still=slice(0, 8)), 2)
    [clip] = cut_clips(frames, num_frames=8, stride=8)
    first = np.tile(frames[:2], (4, 1, 1, 1))
    [frozen] = cut_clips(first, num_frames=8, stride=8)
    near = engine(same_within=2)
    assert rows_of(near, [clip]) == rows_of(engine(), [frozen])
    assert near.times.num_reused_video_steps == 3
    exact = engine(same_within=1)
    assert rows_of(exact, [clip]) == rows_of(engine(), [clip])
    assert exact.times.num_reused_video_steps == 0


def test_small_differences_do_not_add_up(engine):
    """Steps that brighten by 1 each: within 2 of the first are the next two, and the fourth is seen again."""
    frames = np.full((16, 64, 64, 3), 100, np.uint8) + (np.arange(16) // 2).astype(np.uint8)[:, None, None, None]
    [clip] = cut_clips(frames, num_frames=16, stride=16)
    near = engine(same_within=2)
    rows_of(near, [clip])
    assert near.times.num_reused_video_steps == 8 - 3


def test_near_steps_of_a_clip_follow_from_it_alone(engine):
    """Whichever clips of its video were asked before, and though some of its steps are near to theirs."""
    frames = noisy(make_film(32, (64, 64), still=slice(0, 32)), 2)
    clips = cut_clips(frames, num_frames=8, stride=4)
    together = rows_of(engine(same_within=2), clips)
    later = rows_of(engine(same_within=2), clips[3:])
    assert [row[1] for row in later] == [row[1] for row in together[6:]]


class Tower:
    """Counts the steps that it is given; features are the mean of a step, on two levels."""

    def __init__(self) -> None:
        self.num_run = 0

    def __call__(self, steps_SFHWC: np.ndarray) -> tuple[torch.Tensor, ...]:
        self.num_run += len(steps_SFHWC)
        means = torch.from_numpy(steps_SFHWC.reshape(len(steps_SFHWC), -1).mean(axis=1, dtype=np.float64))
        return means[:, None, None].expand(-1, 4, 8), -means[:, None, None].expand(-1, 4, 8)


def make_video(*contents: int, size: int = 32) -> ScaledVideo:
    """A step for each content."""
    steps = np.stack([np.random.default_rng(seed).integers(0, 256, (2, size, size, 3), np.uint8) for seed in contents])
    return ScaledVideo(steps_SFHWC=steps, grid_thw=(len(contents), size // 14, size // 14))


def test_steps_are_forgotten_after_some_clips():
    seen, tower = SeenSteps(), Tower()
    seen.see([make_video(0)], tower)
    for number in range(1, KEPT_CLIPS):
        seen.see([make_video(number)], tower)
    assert seen.see([make_video(0)], tower)[0].num_reused == 1
    for number in range(100, 100 + KEPT_CLIPS):
        seen.see([make_video(number)], tower)
    assert seen.see([make_video(0)], tower)[0].num_reused == 0
    assert seen.num_bytes <= (KEPT_CLIPS + 1) * (2 * 32 * 32 * 3 + 2 * 4 * 8 * 8)


def test_what_is_kept_stays_within_its_bound():
    step_bytes = 2 * 32 * 32 * 3 + 2 * 4 * 8 * 8
    seen, tower = SeenSteps(max_bytes=3 * step_bytes), Tower()
    [features] = seen.see([make_video(*range(6), *range(6))], tower)
    assert (features.num_reused, tower.num_run) == (6, 6)
    assert seen.num_bytes == 3 * step_bytes
    assert seen.see([make_video(3, 4, 5)], tower)[0].num_reused == 3
    assert seen.see([make_video(0)], tower)[0].num_reused == 0
    seen.clear()
    assert seen.num_bytes == 0
    assert seen.see([make_video(4)], tower)[0].num_reused == 0


def test_what_is_kept_does_not_hold_the_frames_of_clips():
    video = make_video(0, 1)
    seen = SeenSteps()
    seen.see([video], Tower())
    video.steps_SFHWC[:] = 0  # as when the memory of a unit is used anew
    assert seen.see([make_video(0, 1)], Tower())[0].num_reused == 2


def test_steps_are_the_same_only_if_every_pixel_is(monkeypatch):
    """Also where the numbers that stand for two contents are the same."""
    monkeypatch.setattr("framegate.pipelines.reason.engines.own.seen_steps._sum_up", lambda pixels: 1)
    seen, tower = SeenSteps(), Tower()
    first, second = seen.see([make_video(0), make_video(1)], tower)
    assert tower.num_run == 2
    assert not torch.equal(first.features_VD, second.features_VD)
    assert seen.see([make_video(1)], tower)[0].num_reused == 1
    assert seen.see([make_video(0)], tower)[0].num_reused == 0


def test_videos_of_several_sizes_are_seen_together():
    seen, tower = SeenSteps(), Tower()
    videos = [make_video(0, 1), make_video(0, size=64), make_video(1, 2)]
    features = seen.see(videos, tower)
    assert [each.num_reused for each in features] == [0, 0, 1]
    for video, each in zip(videos, features, strict=True):
        alone = SeenSteps().see([video], tower)[0]
        assert torch.equal(each.features_VD, alone.features_VD)
        assert torch.equal(each.deepstack_LVD[0], alone.deepstack_LVD[0])


def test_the_key_is_in_the_config_id_only_where_it_says_something():
    assert "same_within" not in FramesConfig().document()
    assert FramesConfig().document() == FramesConfig(same_within=0).document()
    assert FramesConfig(same_within=2).document() == FramesConfig().document() | {"same_within": 2}


@pytest.fixture
def num_threads():
    """Sets torch's threads, and gives them back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_features_of_a_step_do_not_depend_on_what_it_is_run_with(random_checkpoint, num_threads, threads, dtype):
    """Nor on its place in a pass, with as many threads as an engine may have."""
    num_threads(threads)
    checkpoint = Checkpoint(str(random_checkpoint), revision=None, dtype=dtype, device="cpu")
    factor = checkpoint.prompt_format.grid.factor
    chance = np.random.default_rng(3)
    for rows, columns in ((2, 2), (2, 3), (7, 10)):
        shape = (2, rows * factor, columns * factor, 3)
        steps = [chance.integers(0, 256, shape, dtype=np.uint8) for _ in range(12)]
        expected = checkpoint._run_tower(np.stack(steps))
        for num_steps in (1, 5):
            order = chance.permutation(len(steps))[:num_steps]
            found = checkpoint._run_tower(np.stack([steps[place] for place in order]))
            assert len(found) == len(expected)
            for level, all_levels in zip(found, expected, strict=True):
                assert torch.equal(level, all_levels[order])
