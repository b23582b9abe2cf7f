"""Value controls: exact where nothing is added, right in direction and length, and of one row alone."""

from __future__ import annotations

import pytest
import torch

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.packed import can_pack
from framegate.pipelines.reason.engines.own.value_control import (
    ControlledPass,
    Controller,
    Controllers,
    measure_entropy,
)
from framegate.pipelines.reason.strategies.protocol import ValueControl
from tests.reason.engines.own.asks import make_clip, run_asks
from tests.reason.engines.own.steering import LARGE, SMALL, clips_of_each_length, ids, plain, steered, tokens
from tests.reason.engines.own.test_engine_equality import capture_by_running_again


class Steps:
    """The steps that controllers take: their slots and pass, and what each had added before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[tuple[list[int], ControlledPass, list[torch.Tensor | None]]] = []
        move = Controllers._move

        def record(controllers, slots, controlled_pass):
            added = [controlled_pass.controllers[slot].added_KVD for slot in slots]
            self.taken.append((list(slots), controlled_pass, [None if one is None else one.clone() for one in added]))
            return move(controllers, slots, controlled_pass)

        monkeypatch.setattr(Controllers, "_move", record)


@pytest.mark.parametrize(("sign", "rate"), [(1, 0.0), (-1, 0.0), (0, 0.1)])
def test_where_nothing_is_added_nothing_changes_by_a_bit(bench, random_checkpoint, sign, rate):
    expected = run_asks(bench.engine(random_checkpoint), asks := [plain(clip) for clip in clips_of_each_length()])
    control = ValueControl(rate=rate)
    again = [steered(clip, sign=sign, control=control) for clip in clips_of_each_length()]
    outcome = run_asks(bench.engine(random_checkpoint), again)
    assert [tokens(outcome, ask) for ask in again] == [tokens(expected, ask) for ask in asks]


def test_zeros_that_are_added_change_nothing_by_a_bit(bench, random_checkpoint, monkeypatch):
    expected = run_asks(bench.engine(random_checkpoint), asks := [plain(clip) for clip in clips_of_each_length()])
    found = Controllers._find

    def add_zeros(controllers, row, slot):
        controller = found(controllers, row, slot)
        values = controllers._cache.clip_store.values[-1]
        controller.added_KVD = torch.zeros(values.shape[1], len(controller.kept_V), values.shape[3])
        return controller

    monkeypatch.setattr(Controllers, "_find", add_zeros)
    again = [steered(clip, sign=0) for clip in clips_of_each_length()]
    outcome = run_asks(bench.engine(random_checkpoint), again)
    assert [tokens(outcome, ask) for ask in again] == [tokens(expected, ask) for ask in asks]


def test_what_is_added_is_added_to_the_values_in_the_cache(bench, random_checkpoint, monkeypatch):
    """Into the cache itself, once for a row that is alone, and as a controller's."""
    clip = make_clip(0, num_frames=8)
    torch.manual_seed(0)
    found, added = Controllers._find, {}

    def in_cache(controllers, row, slot):
        controller = found(controllers, row, slot)
        if not added:
            values = controllers._cache.clip_store.values[-1][controllers._cache.clip_slots[slot]]
            added["values"] = 4 * torch.randn(values.shape[0], len(controller.kept_V), values.shape[2])
            values[:, controller.kept_V] += added["values"]
        return controller

    def beside(controllers, row, slot):
        controller = found(controllers, row, slot)
        controller.added_KVD = added["values"]
        return controller

    outcomes = []
    for find in (in_cache, beside):
        monkeypatch.setattr(Controllers, "_find", find)
        ask = steered(clip, sign=0)
        outcomes.append(tokens(run_asks(bench.engine(random_checkpoint), [ask]), ask))
    entropies = [torch.tensor([token.entropy for token in written]) for written in outcomes]
    assert [token.id for token in outcomes[0]] == [token.id for token in outcomes[1]]
    torch.testing.assert_close(entropies[0], entropies[1], rtol=1e-4, atol=1e-5)
    ask = plain(clip)
    assert ids(run_asks(bench.engine(random_checkpoint), [ask]), ask) != [token.id for token in outcomes[0]]


def test_steps_go_along_the_gradient_of_the_entropy(random_checkpoint, bench, monkeypatch):
    """By finite differences in float64, of what is added; not first of all, but when something is added already."""
    checkpoint = Checkpoint(str(random_checkpoint), revision=None, dtype="float64", device="cpu")
    steps = Steps(monkeypatch)
    run_asks(bench.engine(checkpoint), [steered(make_clip(0, num_frames=4), sign=-1, control=LARGE, num_tokens=4)])
    assert len(steps.taken) == 3
    for place, ((slot,), controlled_pass, (before_KVD,)) in enumerate(steps.taken[:2]):
        one, controller = controlled_pass.attended[slot], controlled_pass.controllers[slot]
        assert (before_KVD is None) == (place == 0)
        after_KVD = steps.taken[place + 1][2][0]
        assert controller.added_KVD is not None
        assert after_KVD is not None
        assert after_KVD.dtype == torch.float64
        if before_KVD is None:
            before_KVD = torch.zeros_like(after_KVD)
        hidden_1D = controlled_pass.hidden_ND[[slot]].clone()

        def entropy(added_KVD, one=one, hidden_1D=hidden_1D):
            attended_KGD = one.plain_KGD.clone() + one.weights_KGV.clone() @ added_KVD
            return measure_entropy(checkpoint.finish_rows(attended_KGD.reshape(1, -1), hidden_1D))[0]

        leaf_KVD = before_KVD.clone().requires_grad_()
        (grad_KVD,) = torch.autograd.grad(entropy(leaf_KVD), leaf_KVD)
        assert grad_KVD.norm() > 0
        torch.manual_seed(place)
        with torch.no_grad():
            for _ in range(8):
                along_KVD = torch.randn_like(before_KVD)
                along_KVD *= 1e-5 / along_KVD.norm()
                difference = (entropy(before_KVD + along_KVD) - entropy(before_KVD - along_KVD)) / 2
                torch.testing.assert_close(difference, (grad_KVD * along_KVD).sum(), rtol=1e-5, atol=1e-13)
        step_KVD = after_KVD - before_KVD
        expected_KVD = -grad_KVD / grad_KVD.norm() * controller._step_norm
        torch.testing.assert_close(step_KVD, expected_KVD, rtol=1e-9, atol=1e-12)


def test_a_step_is_as_long_as_its_share_of_the_values(bench, random_checkpoint, monkeypatch):
    engine, clip = bench.engine(random_checkpoint), make_clip(0, num_frames=8)
    steps = Steps(monkeypatch)
    ask = steered(clip, sign=1, control=ValueControl(rate=0.02), num_tokens=40)
    engine.add(ask)
    for _ in range(3):
        engine.step()
    request = engine.running[0]
    values = engine.runner.cache.clip_store.values[-1][0][:, torch.from_numpy(request.clip.video_places)]
    assert values.shape[1] == request.clip.num_video_tokens
    _, _, (before,) = steps.taken[1]
    assert before is not None
    torch.testing.assert_close(before.norm(), 0.02 * values.norm(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_next_distribution_has_less_or_more_entropy(bench, random_checkpoint, sign):
    clips = clips_of_each_length()
    asks, again = [plain(clip, 2) for clip in clips], [steered(clip, sign=sign, num_tokens=2) for clip in clips]
    expected, outcome = (
        run_asks(bench.engine(random_checkpoint), asks),
        run_asks(bench.engine(random_checkpoint), again),
    )
    for one, other in zip(asks, again, strict=True):
        before, after = tokens(expected, one), tokens(outcome, other)
        assert before[0] == after[0], "the first token is none of a thought"
        assert sign * (after[1].entropy - before[1].entropy) > 1e-5
        assert after[1].logprob != before[1].logprob


def test_many_steps_lower_or_raise_it_further(bench, random_checkpoint):
    clip = make_clip(0, num_frames=8)
    asks = [steered(clip, sign=-1, control=LARGE), plain(clip), steered(clip, sign=1, control=LARGE)]
    outcome = run_asks(bench.engine(random_checkpoint), asks)
    low, middle, high = (sum(token.entropy for token in tokens(outcome, ask)[1:]) for ask in asks)
    assert low < middle - 1
    assert high > middle + 1


def test_a_gradient_of_nothing_moves_nothing_and_a_tiny_one_a_whole_step():
    controller = Controller(SMALL, torch.randn(2, 6, 4), torch.arange(6))
    controller.move(torch.rand(2, 3, 6), torch.zeros(2, 3, 4), 1)
    assert controller.added_KVD is not None
    assert torch.equal(controller.added_KVD, torch.zeros(2, 6, 4))
    controller.move(torch.rand(2, 3, 6), torch.full((2, 3, 4), 1e-30), 1)
    torch.testing.assert_close(controller.added_KVD.norm(), controller._step_norm)


@pytest.mark.parametrize("control", [LARGE, ValueControl(rate=0.3, keep=0.5)])
def test_rows_beside_it_are_the_same_bit_for_bit(bench, random_checkpoint, control):
    """Of its own clip, which share the values, and of others."""
    clips = clips_of_each_length()
    others = [plain(clip, suffix=suffix) for clip in clips for suffix in ("look", "think again")]
    expected = run_asks(bench.engine(random_checkpoint, num_slots=16), [*others, *(plain(clip) for clip in clips)])
    mine = [steered(clip, sign=1, control=control) for clip in clips]
    outcome = run_asks(bench.engine(random_checkpoint, num_slots=16), [*others, *mine])
    assert [tokens(outcome, ask) for ask in others] == [tokens(expected, ask) for ask in others]
    assert len({tuple(ids(outcome, ask)) for ask in mine}) > 1


def test_it_writes_the_same_whatever_runs_beside_it(bench, random_checkpoint):
    clips = clips_of_each_length()
    mine = [steered(clip, sign=sign, control=LARGE) for clip in clips for sign in (-1, 1)]
    alone = [ids(run_asks(bench.engine(random_checkpoint), [ask]), ask) for ask in mine]
    more = [plain(clip, num_tokens) for clip in clips for num_tokens in (3, 20)]
    together = run_asks(bench.engine(random_checkpoint, num_slots=16), [*more, *mine])
    assert [ids(together, ask) for ask in mine] == alone
    graphs = bench.engine(random_checkpoint, num_slots=16, capture=capture_by_running_again)
    captured = run_asks(graphs, [*more, *mine])
    assert [ids(captured, ask) for ask in mine] == alone
    assert [ids(captured, ask) for ask in more] == [ids(together, ask) for ask in more]


@pytest.mark.skipif(not can_pack(), reason="oneDNN has no bf16 kernels for this processor")
def test_packed_weights_are_differentiated_too(bench, random_checkpoint):
    checkpoint = Checkpoint(str(random_checkpoint), revision=None, dtype="bfloat16", device="cpu")
    clip = make_clip(0, num_frames=8)
    asks = [steered(clip, sign=-1, control=LARGE), plain(clip), steered(clip, sign=1, control=LARGE)]
    outcome = run_asks(bench.engine(checkpoint), asks)
    low, middle, high = (sum(token.entropy for token in tokens(outcome, ask)[1:]) for ask in asks)
    assert low < middle - 1
    assert high > middle + 1
