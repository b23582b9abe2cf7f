"""Which video tokens stay: worked by hand, against vLLM's own arithmetic, and for any arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.nn import functional as F

from framegate.pipelines.reason.models.pruning import (
    count_kept,
    find_kept,
    keep_changed,
    keep_largest,
    most_kept,
)
from framegate.schemas.config.pruning import PruneByChange, PruneByRate


def turned(*degrees: float) -> torch.Tensor:
    """Vectors of two values, each of its own length, that point there."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1) * torch.arange(1.0, len(degrees) + 1)[:, None]


def distance(degrees: float) -> float:
    return 1 - float(np.cos(np.deg2rad(degrees)))


def test_slow_changes_add_up_until_a_token_stays():
    """One place that turns by 10 degrees a step: every third one is 30 degrees from the last that stayed."""
    tokens = turned(*range(0, 100, 10))
    is_kept = keep_changed([tokens], 10, distance(29))
    assert is_kept.tolist() == [step % 3 == 0 for step in range(10)]
    assert keep_changed([tokens], 10, distance(11)).tolist() == [step % 2 == 0 for step in range(10)]


def test_a_place_that_turns_back_is_held_against_what_stayed():
    """0 stays, 40 stays, and 0 is 40 from that; 20 is near to both."""
    assert keep_changed([turned(0, 20, 40, 20, 0)], 5, distance(30)).tolist() == [True, False, True, False, True]


def test_places_are_compared_each_with_itself():
    """Two places, three steps: the first turns at once, the second never."""
    is_kept = keep_changed([turned(0, 90, 90, 90, 180, 90)], 3, 0.5)
    assert is_kept.tolist() == [True, True, True, False, True, False]


def test_a_distance_at_the_threshold_stays():
    right_angle = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    assert keep_changed([right_angle], 2, 1.0).tolist() == [True, True]
    assert keep_changed([right_angle], 2, 1.0001).tolist() == [True, False]


def test_the_largest_distances_stay_and_the_first_step_whole():
    """Places a and b over four steps, in degrees: a 0 5 50 51, b 0 30 30 0. From step to step a 5 45 1, b 30 0 30."""
    tokens = turned(0, 0, 5, 30, 50, 30, 51, 0)
    assert keep_largest([tokens], 4, 0.5).tolist() == [True, True, False, True, True, False, False, False]
    assert keep_largest([tokens], 4, 0.375).tolist() == [True, True, False, True, True, False, False, True]


@pytest.mark.parametrize(
    ("tokens_per_step", "num_steps", "rate", "expected"),
    [
        (4, 5, 0.0, 20),
        (4, 5, 0.5, 10),
        (4, 5, 0.51, 9),
        (4, 5, 0.9, 4),
        (3, 4, 0.7, 3),
        (7, 10, 0.8, 13),
        (6, 1, 0.9, 6),
    ],
)
def test_how_many_stay(tokens_per_step: int, num_steps: int, rate: float, expected: int):
    """7 x 10 x (1 - 0.8) is 13.999 in binary, and rounded down, as vLLM does."""
    assert count_kept(tokens_per_step, num_steps, rate) == expected
    prune = PruneByRate(method="evs", rate=rate)
    assert most_kept(tokens_per_step * num_steps, num_steps, prune) == expected
    tokens = torch.randn(tokens_per_step * num_steps, 5, generator=torch.Generator().manual_seed(0))
    is_kept = find_kept([tokens], num_steps, prune)
    assert int(is_kept.sum()) == expected
    assert is_kept[:tokens_per_step].all()


def vllm_mask(embeddings: torch.Tensor, num_steps: int, rate: float) -> torch.Tensor:
    """As in vllm/multimodal/video_prune/evs.py, `compute_retention_mask`, of release 0.32."""
    steps = embeddings.reshape(num_steps, -1, embeddings.shape[-1])
    dissimilarity = 1 - F.cosine_similarity(steps[1:], steps[:-1], dim=-1)
    dissimilarity = torch.cat([255 * torch.ones_like(steps[:1, :, 0]), dissimilarity])
    order = torch.argsort(dissimilarity.view(-1), dim=-1, descending=True, stable=True)
    num_kept = max(steps.shape[1], int(steps.shape[1] * num_steps * (1 - rate)))
    return torch.zeros(len(embeddings), dtype=torch.bool).index_fill_(0, order[:num_kept], True)


@given(
    seed=st.integers(0, 2**32 - 1),
    num_steps=st.integers(1, 6),
    tokens_per_step=st.integers(1, 6),
    rate=st.floats(0, 0.999),
    num_levels=st.integers(1, 3),
)
def test_the_mask_is_that_of_vllm(seed: int, num_steps: int, tokens_per_step: int, rate: float, num_levels: int):
    """Which compares the levels of Qwen3-VL behind one another, too."""
    generator = torch.Generator().manual_seed(seed)
    levels = [torch.randn(num_steps * tokens_per_step, 8, generator=generator) for _ in range(num_levels)]
    expected = vllm_mask(torch.cat(levels, dim=1), num_steps, rate)
    assert torch.equal(keep_largest(levels, num_steps, rate), expected)


_NUMBERS = st.floats(-100, 100, width=32)


@given(data=st.data(), num_steps=st.integers(1, 5), tokens_per_step=st.integers(1, 4))
def test_what_holds_of_any_tokens(data: st.DataObject, num_steps: int, tokens_per_step: int):
    shape = (num_steps * tokens_per_step, 3)
    tokens = torch.from_numpy(data.draw(arrays.arrays(np.float32, shape, elements=_NUMBERS)))
    threshold = data.draw(st.floats(1e-3, 2))
    assert keep_changed([tokens], num_steps, 0.0).all()
    assert keep_largest([tokens], num_steps, 0.0).all()
    is_kept = keep_changed([tokens], num_steps, threshold)
    assert is_kept[:tokens_per_step].all()
    repeated = tokens.unflatten(0, (num_steps, -1)).repeat_interleave(2, dim=0).flatten(0, 1)
    twice = keep_changed([repeated], 2 * num_steps, threshold).unflatten(0, (num_steps, 2, -1))
    assert torch.equal(twice[:, 0].flatten(), is_kept), "a step that comes again takes nothing from the next one"
    assert not twice[:, 1].any()
    # What is left out is nearer to the last token of its place that stayed than the threshold.
    for place in range(tokens_per_step):
        last = tokens[place]
        for row in range(place, len(tokens), tokens_per_step):
            if is_kept[row]:
                last = tokens[row]
            else:
                same = torch.equal(last, tokens[row])
                assert same or 1 - float(F.cosine_similarity(last, tokens[row], dim=0)) < threshold + 1e-6


def test_what_is_no_number_stays():
    """A prompt without it would give an answer where the model computed none."""
    tokens = turned(0, 0, 0, 0)
    tokens[2] = float("nan")
    assert keep_changed([tokens], 4, 0.5).tolist()[2]
    assert keep_largest([tokens], 4, 0.5).tolist()[2]


def test_vectors_of_zeros_are_equal_to_each_other_alone():
    tokens = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert keep_changed([tokens], 4, 0.5).tolist() == [True, False, True, True]


def test_deeper_levels_count():
    """The same output twice, and another of a deeper layer."""
    same, other = turned(0, 0), torch.tensor([[5.0, 0.0], [0.0, 5.0]])
    assert keep_changed([same], 2, 0.1).tolist() == [True, False]
    assert keep_changed([same, other], 2, 0.1).tolist() == [True, True]


def test_bfloat16_is_compared_in_float32():
    """1 - cosine of nearly equal vectors is rounded to a multiple of 1/256 in bfloat16."""
    tokens = torch.tensor([[1.0, 0.0], [1.0, 0.0625]], dtype=torch.bfloat16)
    assert keep_changed([tokens], 2, 0.0019).tolist() == [True, True]
    assert keep_changed([tokens], 2, 0.0020).tolist() == [True, False]


@pytest.mark.parametrize("prune", [PruneByRate(method="evs", rate=0.5), PruneByChange(method="change", threshold=0.1)])
def test_tokens_that_are_no_steps_are_refused(prune: PruneByRate | PruneByChange):
    with pytest.raises(ValueError, match="7 video tokens cannot be 3 temporal steps of one size"):
        find_kept([torch.ones(7, 2)], 3, prune)
