"""Vision's attention: windows of mixed lengths see themselves alone, and are rotated as in transformers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from framegate.pipelines.reason.engines.own.vision_attention import attend_windows, group_windows
from tests.reason.engines.own.plain_attention import HEAD_SIZE, SCALING, draw


@settings(max_examples=40, deadline=None)
@given(
    num_heads=st.sampled_from([1, 2, 5]),
    lengths=st.lists(st.sampled_from([1, 4, 16, 24, 64, 100]), min_size=1, max_size=9),
    at_once=st.booleans(),
    seed=st.integers(0, 99),
)
def test_windows_see_themselves_alone(num_heads, lengths, at_once, seed):
    """`at_once`: by torch's own attention, as where that is quicker."""
    torch.manual_seed(seed)
    query, key, value = (draw(sum(lengths), num_heads, HEAD_SIZE) for _ in range(3))
    borders = torch.tensor([0, *lengths]).cumsum(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("framegate.pipelines.reason.engines.own.vision_attention.attends_at_once", lambda like: at_once)
        output = attend_windows(query, key, value, group_windows(borders), SCALING)
    expected = torch.cat(
        [
            _attend_plainly(*(part[start:end] for part in (query, key, value)))
            for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
        ]
    )
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_scores", [1 << 13, 1 << 14, 16], ids=["some at a time", "all at once", "too long"])
def test_windows_are_the_same_however_many_go_at_a_time(monkeypatch, num_scores):
    torch.manual_seed(0)
    query, key, value = (draw(5 * 36, 2, HEAD_SIZE) for _ in range(3))
    windows = group_windows(torch.arange(0, 5 * 36 + 1, 36))
    expected = attend_windows(query, key, value, windows, SCALING)
    monkeypatch.setattr("framegate.pipelines.reason.engines.own.vision_attention._MAX_SCORES", num_scores)
    output = attend_windows(query, key, value, windows, SCALING)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def _attend_plainly(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    parts = (part.transpose(0, 1)[None] for part in (query, key, value))
    return F.scaled_dot_product_attention(*parts, scale=SCALING)[0].transpose(0, 1)
