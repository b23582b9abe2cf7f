"""Our own engine with `frames.prune`: the same as ever where all tokens stay, and what stays stands where it stood."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from framegate.pipelines.reason.engines.own.seen_steps import SeenSteps
from framegate.pipelines.reason.models.clip_prefix import prune_prefix
from framegate.pipelines.reason.models.pruning import find_kept
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import ClipFrames
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config.many_asks import LookAgainConfig
from framegate.schemas.config.pruning import PruneByChange, PruneByRate
from tests.reason.engines.own.asks import make_ask, run_asks
from tests.small_checkpoints import LIMITS

GATE = Gated(threshold=0.7, max_answer_tokens=6, max_thinking_tokens=12)
NOTHING = (PruneByChange(method="change", threshold=0.0), PruneByRate(method="evs", rate=0.0))
SUFFIXES = ("look again", "Where is the parcel?")


def make_frames(num_frames: int = 12, *, fps: float = 2.0, start: float = 0.0, still: bool = False) -> FrameBatch:
    """A picture of noise; without `still` a part of it is another one in each frame."""
    chance = np.random.default_rng(3)
    frames = np.repeat(chance.integers(0, 256, (1, 64, 96, 3), dtype=np.uint8), num_frames, axis=0)
    if not still:
        frames[:, :32, :32] = chance.integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)
    pts = start + np.arange(num_frames) / fps
    return FrameBatch(frames_THWC=frames, pts_seconds=pts, duration_seconds=num_frames / fps)


def make_clips(*frames: FrameBatch) -> list[ClipFrames]:
    return [
        ClipFrames(id=f"unit-0/{number}", frames=batch, start_seconds=float(batch.pts_seconds[0]))
        for number, batch in enumerate(frames)
    ]


def ask_all(engine, clips, **settings):
    """What comes back of two asks of each clip."""
    asks = [make_ask(clip, 6, suffix=suffix, **settings) for clip in clips for suffix in SUFFIXES]
    finished = run_asks(engine, asks)
    assert not [finished[ask].failure_message for ask in asks if finished[ask].failure_message]
    return [finished[ask] for ask in asks]


@pytest.fixture
def engine(bench, random_checkpoint):
    """`engine(prune)` of a small checkpoint of each family."""

    def make(prune=None, **settings):
        return bench.engine(random_checkpoint, frames=LIMITS.model_copy(update={"prune": prune}), **settings)

    return make


@pytest.mark.parametrize("prune", NOTHING, ids=lambda prune: prune.method)
@pytest.mark.parametrize("num_slots", [1, 3, 64])
def test_with_all_tokens_kept_rows_are_bit_for_bit_those_without_pruning(engine, prune, num_slots):
    clips = make_clips(make_frames(), make_frames(7, start=3), make_frames(10, still=True), make_frames(1))
    plain, pruning = (ask_all(engine(each, num_slots=num_slots), clips) for each in (None, prune))
    for one, other in zip(plain, pruning, strict=True):
        assert one.course.tokens == other.course.tokens
        assert one.num_prompt_tokens == other.num_prompt_tokens
        assert other.num_video_tokens_full == one.num_video_tokens == other.num_video_tokens
        assert one.num_video_tokens_full is None
        assert one.clip_embedding.tobytes() == other.clip_embedding.tobytes()


@pytest.mark.parametrize("prune", NOTHING, ids=lambda prune: prune.method)
def test_with_all_tokens_kept_a_gate_answers_the_same(bench, taught_checkpoint, prune):
    requests = [
        replace(bench.make_request(number, (bench.sure, bench.unsure)), frames=make_frames(8, start=4.0 * number))
        for number in range(3)
    ]
    checkpoint = bench.load(taught_checkpoint)
    plain, pruning = (
        bench.run(bench.runner(checkpoint, GATE, frames=LIMITS.model_copy(update={"prune": each})), requests)
        for each in (None, prune)
    )
    assert plain.token_ids == pruning.token_ids
    assert not plain.failures
    assert {key: answer.answer for key, answer in plain.answers.items()} == {
        key: answer.answer for key, answer in pruning.answers.items()
    }
    for key, answer in pruning.answers.items():
        assert answer.num_video_tokens_full == answer.num_video_tokens == plain.answers[key].num_video_tokens
        assert plain.answers[key].num_video_tokens_full is None


def test_rows_of_several_asks_have_the_sum(bench, taught_checkpoint):
    """Two frames of eight first, and all of them where that is unsure."""
    look = make_strategy(
        LookAgainConfig(
            sparse_share=0.25, sparse_threshold=0.7, threshold=0.7, max_answer_tokens=6, max_thinking_tokens=12
        )
    )
    request = replace(bench.make_request(0, (bench.sure, bench.unsure)), frames=make_frames(8))
    checkpoint = bench.load(taught_checkpoint)
    plain, pruning = (
        bench.run(bench.runner(checkpoint, look, frames=LIMITS.model_copy(update={"prune": each})), [request])
        for each in (None, NOTHING[0])
    )
    for key, answer in pruning.answers.items():
        assert answer.num_video_tokens_full == answer.num_video_tokens == plain.answers[key].num_video_tokens
        assert plain.answers[key].num_video_tokens_full is None
    assert len({answer.num_video_tokens for answer in pruning.answers.values()}) == 2


def test_a_still_clip_has_one_step_left(engine):
    """In tokens of the prompt and of the cache. Its embedding is that of the whole clip."""
    [clip] = make_clips(make_frames(still=True))
    pruning = engine(PruneByChange(method="change", threshold=0.05))
    one = ask_all(pruning, [clip])[0]
    plain = engine()
    full = ask_all(plain, [clip])[0]
    assert full.num_video_tokens == one.num_video_tokens_full
    assert one.num_video_tokens * 6 == one.num_video_tokens_full
    assert full.num_prompt_tokens - one.num_prompt_tokens == full.num_video_tokens - one.num_video_tokens
    assert one.clip_embedding.tobytes() == full.clip_embedding.tobytes()
    saved = plain.times.num_prefill_tokens - pruning.times.num_prefill_tokens
    assert saved == one.num_video_tokens_full - one.num_video_tokens


def test_a_rate_is_that_share(engine):
    clips = make_clips(make_frames(), make_frames(8, start=6))
    for one in ask_all(engine(PruneByRate(method="evs", rate=0.5)), clips):
        assert one.num_video_tokens == one.num_video_tokens_full // 2


PRUNES = (PruneByChange(method="change", threshold=0.05), PruneByRate(method="evs", rate=0.5))


@pytest.mark.parametrize("prune", PRUNES, ids=lambda prune: prune.method)
def test_rows_do_not_depend_on_what_runs_beside_them(engine, prune):
    clips = make_clips(make_frames(), make_frames(7, start=3), make_frames(10, still=True), make_frames(4))
    together = ask_all(engine(prune, num_slots=64), clips)
    for number, clip in enumerate(clips):
        for one, other in zip(ask_all(engine(prune, num_slots=1), [clip]), together[2 * number :], strict=False):
            assert one.course.token_ids == other.course.token_ids
            assert one.num_prompt_tokens == other.num_prompt_tokens
            assert [token.logprob for token in one.course.tokens] == pytest.approx(
                [token.logprob for token in other.course.tokens], abs=1e-5
            )


@pytest.mark.parametrize("prune", PRUNES, ids=lambda prune: prune.method)
def test_rows_with_pruning_are_those_of_a_plain_model_that_is_given_the_same_tokens(bench, random_checkpoint, prune):
    """transformers' own model, a token after the other without any cache: embeddings of the tokens that stay, at the
    positions that they have in the whole prompt."""
    checkpoint = bench.load(random_checkpoint)
    [clip] = make_clips(make_frames())
    limits = LIMITS.model_copy(update={"prune": prune})
    [one, *_] = ask_all(bench.engine(random_checkpoint, frames=limits), [clip])
    prefix = bench.make_prefix(checkpoint, frames=clip.frames)
    [video] = checkpoint.see([prefix.video], SeenSteps())
    is_kept = find_kept((video.features_VD, *video.deepstack_LVD), prefix.video.grid_thw[0], prune)
    assert 0 < int(is_kept.sum()) < len(is_kept)
    pruned = prune_prefix(prefix, is_kept)
    token_ids = [*pruned.token_ids, *checkpoint.encode(SUFFIXES[0])]
    positions = [pruned.positions_3P, prefix.next_position + torch.arange(64).expand(3, -1)]
    model = AutoModelForImageTextToText.from_pretrained(random_checkpoint).eval()
    language_model = model.model.language_model
    for token in one.course.tokens:
        ids = torch.tensor([token_ids])
        with torch.inference_mode():
            embedded = language_model.embed_tokens(ids)
            is_video = ids == checkpoint.prompt_format.video_token_id
            embedded[is_video] = video.features_VD[is_kept]
            deepstack = {}
            if video.deepstack_LVD:
                deepstack = {
                    "visual_pos_masks": is_video,
                    "deepstack_visual_embeds": [level[is_kept] for level in video.deepstack_LVD],
                }
            hidden = language_model(
                inputs_embeds=embedded,
                position_ids=torch.cat(positions, dim=1)[:, None, : len(token_ids)],
                use_cache=False,
                **deepstack,
            ).last_hidden_state
            logprobs = model.lm_head(hidden[0, -1]).float().log_softmax(dim=-1)
        assert int(logprobs.argmax()) == token.id
        assert float(logprobs[token.id]) == pytest.approx(token.logprob, abs=1e-4)
        token_ids.append(token.id)


@pytest.mark.parametrize(
    ("fps", "times"),
    [(1.0, [0, 4, 8, 12]), (1.5, [0, 2, 5, 7]), (2.0, [0, 2, 4, 6]), (4.0, [0, 1, 2, 3])],
)
def test_kept_tokens_of_a_block_stand_at_the_places_of_the_full_grid(bench, random_checkpoints, fps, times):
    """Two frames a step, two positions a second: 2 / fps x 2 positions a step, 2.66 at 1.5 fps, rounded down each."""
    checkpoint = bench.load(random_checkpoints["qwen2_5_vl"])
    prefix = bench.make_prefix(checkpoint, frames=make_frames(8, fps=fps))
    num_steps, rows, columns = prefix.video.grid_thw[0], *(size // 2 for size in prefix.video.grid_thw[1:])
    start = prefix.token_ids.index(checkpoint.prompt_format.video_token_id)
    is_kept = torch.zeros(num_steps, rows, columns, dtype=torch.bool)
    is_kept[0] = True
    is_kept[1, 0, 1] = is_kept[3, rows - 1, columns - 1] = True
    pruned = prune_prefix(prefix, is_kept.flatten())
    assert pruned.positions_3P[:, start : start + rows * columns].tolist() == [
        [start] * rows * columns,
        [start + row for row in range(rows) for _ in range(columns)],
        [start + column for _ in range(rows) for column in range(columns)],
    ]
    assert pruned.positions_3P[:, start + rows * columns : -1].T.tolist() == [
        [start + times[1], start, start + 1],
        [start + times[3], start + rows - 1, start + columns - 1],
    ]
    after = start + max(times[3], rows - 1, columns - 1) + 1
    assert pruned.positions_3P[:, -1].tolist() == [after] * 3, "the marker behind the video"
    assert pruned.next_position == prefix.next_position == after + 1
    assert pruned.num_video_tokens == rows * columns + 2


@pytest.mark.parametrize("fps", [1.0, 1.5, 2.0, 4.0])
def test_stamps_stay_and_kept_tokens_stand_behind_them_as_in_the_full_grid(bench, random_checkpoints, fps):
    """Also those of a step that has no token left. Each step begins where the text before it ends, and the text after
    it goes on after the largest side of the whole grid."""
    checkpoint = bench.load(random_checkpoints["qwen3_vl"])
    prefix = bench.make_prefix(checkpoint, frames=make_frames(8, fps=fps))
    num_steps, rows, columns = prefix.video.grid_thw[0], *(size // 2 for size in prefix.video.grid_thw[1:])
    is_kept = torch.zeros(num_steps, rows, columns, dtype=torch.bool)
    is_kept[0] = True
    is_kept[1, 0, 1] = is_kept[3, rows - 1, columns - 1] = True  # and none of step 2
    pruned = prune_prefix(prefix, is_kept.flatten())
    video_id, text_ids = checkpoint.prompt_format.video_token_id, []
    expected, position, step = [], 0, -1
    for place, token_id in enumerate(prefix.token_ids):
        if token_id != video_id:
            expected.append([position] * 3)
            text_ids.append(token_id)
            position += 1
            continue
        if prefix.token_ids[place - 1] != video_id:
            step += 1
            expected += [
                [position, position + row, position + column]
                for row in range(rows)
                for column in range(columns)
                if is_kept[step, row, column]
            ]
            position += max(rows, columns)
    assert pruned.positions_3P.T.tolist() == expected
    assert pruned.next_position == position
    assert [token_id for token_id in pruned.token_ids if token_id != video_id] == text_ids
    seconds = [(2 * step + 0.5) / fps for step in range(num_steps)]
    text = checkpoint.tokenizer.decode(pruned.token_ids)
    assert all(f"<{time:.1f} seconds>" in text for time in seconds)


@pytest.mark.parametrize("prune", PRUNES, ids=lambda prune: prune.method)
def test_memory_is_that_of_the_tokens_that_stay(engine, prune):
    [clip] = make_clips(make_frames(still=True))
    pruning = engine(prune)
    for suffix in SUFFIXES:
        pruning.add(make_ask(clip, 6, suffix=suffix))
    pruning.step()
    [held] = {request.clip for request in pruning.running}
    assert pruning.runner.cache.prefix_tokens == [held.num_prefix_tokens]
    assert held.num_video_tokens < held.num_video_tokens_full
    run_asks(pruning)


@pytest.mark.parametrize("prune", PRUNES, ids=lambda prune: prune.method)
def test_asks_of_some_frames_are_pruned_as_well(engine, prune):
    [clip] = make_clips(make_frames())
    for one in ask_all(engine(prune), [clip], frames=(0, 2, 4, 6, 8, 10)):
        assert one.num_video_tokens < one.num_video_tokens_full


@pytest.mark.parametrize("prune", PRUNES, ids=lambda prune: prune.method)
@pytest.mark.parametrize("num_slots", [1, 64])
def test_a_clip_may_be_pruned_otherwise_than_the_job_says_beside_others(engine, prune, num_slots):
    """Each as an engine of that job would, token for token, whatever runs beside it; their prefixes are not shared."""
    frames = make_frames()
    others = [prune.at(0.0), prune.at(0.8)]
    clips = make_clips(frames, frames, frames)
    clips[1:] = [replace(clip, prune=other) for clip, other in zip(clips[1:], others, strict=True)]
    together = ask_all(engine(prune, num_slots=num_slots), clips)
    for number, each in enumerate((prune, *others)):
        alone = ask_all(engine(each, num_slots=num_slots), make_clips(frames))
        for one, other in zip(alone, together[2 * number :], strict=False):
            assert one.course.token_ids == other.course.token_ids
            assert (one.num_prompt_tokens, one.num_video_tokens) == (other.num_prompt_tokens, other.num_video_tokens)
    plain = ask_all(engine(), make_clips(frames))
    for one, other in zip(plain, together[2:], strict=False):
        assert one.course.token_ids == other.course.token_ids, "without pruning, as an engine that never prunes"
    assert len({one.num_video_tokens for one in together}) > 1


def test_a_clip_may_be_pruned_where_the_job_does_not(engine):
    prune = PruneByRate(method="evs", rate=0.5)
    [clip] = make_clips(make_frames())
    [one, *_] = ask_all(engine(), [replace(clip, prune=prune)])
    [other, *_] = ask_all(engine(prune), [clip])
    assert one.course.token_ids == other.course.token_ids
    assert one.num_video_tokens * 2 == one.num_video_tokens_full
