"""What the engine is given is asks: their prefixes, frames, sampling, distributions, forced texts and times."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.models.clip_prefix import select_frames
from framegate.pipelines.reason.strategies.protocol import ClipFrames, Sampling
from tests.reason.engines.own.asks import make_ask, make_clip, run_asks
from tests.reason.engines.own.model_oracle import logprobs_along, write


@pytest.fixture
def checkpoint(bench, random_checkpoints):
    return bench.load(random_checkpoints["qwen3_vl"])


def token_ids(outcome, ask) -> list[int]:
    assert outcome[ask].failure_reason is None, outcome[ask].failure_message
    return outcome[ask].course.token_ids


class CountingCheckpoint(Checkpoint):
    """Counts how often a clip's prefix is run."""

    num_prefixes = 0

    def prefill_prefixes(self, prefixes, *args, **kwargs):
        self.num_prefixes += len(prefixes)
        return super().prefill_prefixes(prefixes, *args, **kwargs)


def test_asks_of_one_clip_share_its_prefix_while_it_is_in_a_slot(bench, random_checkpoints):
    counting = CountingCheckpoint(str(random_checkpoints["qwen3_vl"]), revision=None, dtype="float32", device="cpu")
    engine, clip = bench.engine(counting), make_clip(0)
    long, short = make_ask(clip, 8), make_ask(clip, 2)
    engine.add(long)
    engine.add(short)
    finished = engine.step()
    assert [one.ask for one in finished] == [short]
    late = make_ask(clip, 3)
    outcome = run_asks(engine, [late])
    assert counting.num_prefixes == 1
    assert token_ids(outcome, late) == token_ids(outcome, long)[:3]
    assert engine.step() == []  # nothing followed, and the clip goes
    again = make_ask(clip, 8)
    assert token_ids(run_asks(engine, [again]), again) == token_ids(outcome, long)
    assert counting.num_prefixes == 2
    engine.step()
    twin = ClipFrames(id=clip.id, frames=clip.frames, start_seconds=clip.start_seconds)
    run_asks(engine, [make_ask(clip, 2), make_ask(twin, 2)])
    assert counting.num_prefixes == 4


def test_an_ask_sees_the_frames_that_it_names(bench, random_checkpoint):
    checkpoint = bench.load(random_checkpoint)
    clip = make_clip(0, num_frames=8)
    every, some = make_ask(clip, 6), make_ask(clip, 6, frames=(1, 2, 5, 6))
    outcome = run_asks(bench.engine(checkpoint), [every, some])
    frames = select_frames(clip.frames, (1, 2, 5, 6))
    alone = make_ask(ClipFrames(id="alone", frames=frames, start_seconds=clip.start_seconds), 6)
    assert token_ids(outcome, some) == token_ids(run_asks(bench.engine(checkpoint), [alone]), alone)
    assert outcome[some].num_video_tokens == outcome[every].num_video_tokens // 2
    prefix = bench.make_prefix(checkpoint, frames=frames, clip_start_seconds=clip.start_seconds)
    assert outcome[some].num_prompt_tokens == len(prefix.token_ids) + len(checkpoint.encode(some.suffix))


@pytest.mark.parametrize("frames", [(0, 99), (-1, 0), (2, 1), ()])
def test_frames_that_are_none_fail_their_ask_alone(bench, checkpoint, frames):
    clip = make_clip(0, num_frames=4)
    good, bad = make_ask(clip, 3), make_ask(clip, 3, frames=frames)
    outcome = run_asks(bench.engine(checkpoint), [bad, good])
    assert outcome[bad].failure_reason == "engine_error"
    assert outcome[good].failure_reason is None


def test_the_length_of_a_prefix_is_known_before_any_pixel_is_touched(bench, random_checkpoint):
    checkpoint = bench.load(random_checkpoint)
    for num_frames in (1, 2, 5, 8):
        frames = make_clip(0, num_frames=num_frames, size=(64, 96)).frames
        length = checkpoint.measure(frames, 0.0, system_prompt="Look.", limits=bench.limits)
        prefix = bench.make_prefix(checkpoint, frames=frames, system_prompt="Look.")
        assert length == (len(prefix.token_ids), prefix.num_video_tokens, prefix.next_position)


def test_a_drawn_ask_writes_the_same_whatever_runs_beside_it(bench, checkpoint):
    clip = make_clip(0)
    drawn = [make_ask(clip, 12, sampling=Sampling(temperature=1.5, seed=seed)) for seed in (1, 2, 3)]
    plain = make_ask(clip, 12)
    alone = [token_ids(run_asks(bench.engine(checkpoint), [ask]), ask) for ask in (*drawn, plain)]
    together = run_asks(bench.engine(checkpoint), [make_ask(make_clip(1), 4), drawn[2], plain, drawn[0], drawn[1]])
    assert [token_ids(together, ask) for ask in (*drawn, plain)] == alone
    assert len({tuple(written) for written in alone}) == 4


def test_a_drawn_ask_that_begins_anew_draws_the_same(bench, random_checkpoints):
    from tests.reason.engines.own.faulty_checkpoint import OUT_OF_MEMORY, FaultyCheckpoint, raise_at

    faulty = FaultyCheckpoint(random_checkpoints["qwen3_vl"])
    asks = [make_ask(make_clip(0), 9, sampling=Sampling(temperature=1.0, seed=seed)) for seed in (1, 2)]
    expected = run_asks(bench.engine(faulty), asks)
    faulty.after_rows = raise_at(5, OUT_OF_MEMORY)
    outcome = run_asks(bench.engine(faulty), asks)
    assert [token_ids(outcome, ask) for ask in asks] == [token_ids(expected, ask) for ask in asks]


def test_tokens_carry_entropy_and_margin_of_the_raw_distribution_where_the_ask_needs_it(bench, random_checkpoint):
    checkpoint = bench.load(random_checkpoint)
    clip = make_clip(0)
    asks = [
        make_ask(clip, 5),
        make_ask(clip, 5, needs_distribution=True),
        make_ask(clip, 5, needs_distribution=True, sampling=Sampling(temperature=2.0, seed=3)),
    ]
    outcome = run_asks(bench.engine(checkpoint), asks)
    assert [(token.entropy, token.margin) for token in outcome[asks[0]].course.tokens] == [(None, None)] * 5
    prefix = bench.make_prefix(checkpoint, frames=clip.frames, clip_start_seconds=clip.start_seconds)
    for ask in asks[1:]:
        tokens = outcome[ask].course.tokens
        written = [token.id for token in tokens]
        logprobs = logprobs_along(random_checkpoint, prefix, checkpoint.encode(ask.suffix), written)
        expected = -(logprobs.exp() * logprobs).sum(dim=-1)
        torch.testing.assert_close(torch.tensor([token.entropy for token in tokens]), expected, rtol=1e-3, atol=1e-4)
        margins = [_margin(row.exp(), token_id) for row, token_id in zip(logprobs, written, strict=True)]
        assert [token.margin for token in tokens] == pytest.approx(margins, rel=1e-3, abs=1e-5)
        of_written = logprobs.gather(1, torch.tensor(written)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor([token.logprob for token in tokens]), of_written, rtol=1e-3, atol=1e-4)
    assert token_ids(outcome, asks[0]) == token_ids(outcome, asks[1])


def _margin(probabilities: torch.Tensor, token_id: int) -> float:
    others = [float(each) for place, each in enumerate(probabilities) if place != token_id]
    return float(probabilities[token_id]) - max(others)


def test_the_distribution_may_be_told_until_thinking_alone(bench, random_checkpoints):
    """And each row is told its own, wherever it stands when others begin to think."""
    checkpoint = bench.load(random_checkpoints["qwen3_vl"])
    clips = [make_clip(number) for number in range(3)]
    asks = [make_ask(clip, 6, needs_distribution=True) for clip in clips]
    told = run_asks(bench.engine(checkpoint), asks)
    starts = (3, 1, 5)
    short = [
        make_ask(clip, 6, needs_distribution=True, until_thinking=True, course={"thinks_from": start})
        for clip, start in zip(clips, starts, strict=True)
    ]
    outcome = run_asks(bench.engine(checkpoint), short)
    for ask, other, start in zip(asks, short, starts, strict=True):
        whole, part = told[ask].course.tokens, outcome[other].course.tokens
        assert [token.id for token in part] == [token.id for token in whole]
        for name in ("entropy", "margin"):
            values = [getattr(token, name) for token in part]
            assert values[:start] == pytest.approx([getattr(token, name) for token in whole[:start]], rel=1e-4)
            assert values[start:] == [None] * (6 - start)


def test_a_text_can_be_forced_from_the_first_token_on(bench, random_checkpoint):
    checkpoint = bench.load(random_checkpoint)
    clip, opening = make_clip(0), "yes or no"
    ask = make_ask(clip, 12, course={"opening": opening})
    forced = checkpoint.encode(opening)
    written = token_ids(run_asks(bench.engine(checkpoint), [ask]), ask)
    assert written[: len(forced)] == forced
    prefix = bench.make_prefix(checkpoint, frames=clip.frames, clip_start_seconds=clip.start_seconds)
    suffix = [*checkpoint.encode(ask.suffix), *forced]
    assert written[len(forced) :] == write(random_checkpoint, prefix, suffix, 12 - len(forced))


def test_what_thinks_pauses_for_a_step_and_then_stands_in_front(bench, checkpoint):
    clip = make_clip(0)
    asks = [
        make_ask(clip, 6),
        make_ask(clip, 6, course={"thinks_from": 0}),
        make_ask(clip, 6, course={"thinks_from": 3}),
    ]
    engine = bench.engine(checkpoint)
    for ask in asks:
        engine.add(ask)
    engine.step()
    assert [request.ask for request in engine.running] == [asks[0], asks[2]]
    engine.step()
    assert [request.ask for request in engine.running] == [asks[1], asks[0]]
    engine.step()
    assert [request.ask for request in engine.running] == [asks[1], asks[2], asks[0]]
    outcome = run_asks(engine)
    assert len({tuple(token_ids(outcome, ask)) for ask in asks}) == 1


def test_seconds_of_all_asks_are_the_engines_own(bench, checkpoint):
    """As far as it did something for an ask: what it does beside that is less than a tenth. Each holds in one of three
    rounds, on clips of its own: a machine with other work takes the processor away at any place."""
    engine = bench.engine(checkpoint, num_slots=3)
    enough, alike = [], []
    for round_number in range(3):
        clips = [make_clip(3 * round_number + number, num_frames=8, size=(96, 96)) for number in range(3)]
        asks = [make_ask(clip, 6, suffix=suffix) for clip in clips for suffix in ("look", "look again")]
        started = time.perf_counter()
        outcome = run_asks(engine, asks)
        busy_seconds = time.perf_counter() - started
        total = sum(finished.engine_seconds for finished in outcome.values())
        assert total <= busy_seconds
        enough.append(total > 0.9 * busy_seconds)
        first, second = outcome[asks[4]], outcome[asks[5]]
        alike.append(first.engine_seconds == pytest.approx(second.engine_seconds, rel=0.5))
    assert any(enough)
    assert any(alike), "the prefix is paid by both"


def test_an_engine_says_what_it_can(bench, checkpoint):
    assert bench.engine(checkpoint).capabilities == {"sampling", "distribution", "value_cache", "pruning"}


def test_a_failed_ask_does_not_run_again_and_its_clip_can_be_asked_anew(bench, checkpoint):
    clip = make_clip(0)
    engine = bench.engine(checkpoint)
    bad = make_ask(clip, 3, suffix="\ud800")
    good = replace(bad, suffix="look")
    outcome = run_asks(engine, [bad, good])
    assert outcome[bad].failure_reason == "engine_error"
    assert outcome[good].failure_reason is None
    assert engine.step() == []
    assert engine.scheduler.clips == []


def test_what_follows_from_a_clips_last_ask_finds_its_prefix(bench, checkpoint):
    clip = make_clip(0)
    engine = bench.engine(checkpoint)
    run_asks(engine, [make_ask(clip, 3)])
    num_patches, num_tokens = engine.times.num_patches, engine.times.num_prefill_tokens
    carried = (5, 7, 5)
    again = make_ask(clip, 3, carried=carried)
    run_asks(engine, [again])
    assert engine.times.num_patches == num_patches > 0
    assert engine.times.num_prefill_tokens - num_tokens == len(checkpoint.encode(again.suffix)) + len(carried)
    engine.step()
    before = engine.times.num_prefill_tokens
    run_asks(engine, [make_ask(clip, 3)])
    assert engine.times.num_prefill_tokens - before == num_tokens, "the clip was forgotten: its prefix is run again"


@pytest.mark.parametrize("num_carried", [1, 4])
def test_carried_tokens_are_read_as_if_they_had_been_written(bench, checkpoint, num_carried):
    clip = make_clip(0)
    whole = make_ask(clip, 12)
    [first] = run_asks(bench.engine(checkpoint), [whole]).values()
    written = first.course.token_ids
    rest = make_ask(clip, 12 - num_carried, carried=tuple(written[:num_carried]))
    [found] = run_asks(bench.engine(checkpoint), [rest]).values()
    assert found.course.token_ids == written[num_carried:]
    assert found.num_prompt_tokens == first.num_prompt_tokens + num_carried
