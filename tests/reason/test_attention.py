"""Attention as transformers calls it for vision: windows of mixed lengths see themselves alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pipelines.reason.engines.attention import attend
from tests.reason.plain_attention import HEAD_SIZE, SCALING, draw


@settings(max_examples=40, deadline=None)
@given(
    num_heads=st.sampled_from([1, 2, 5]),
    lengths=st.lists(st.sampled_from([1, 4, 16, 24, 64, 100]), min_size=1, max_size=9),
    seed=st.integers(0, 99),
)
def test_vision_windows_see_themselves_alone(num_heads, lengths, seed):
    torch.manual_seed(seed)
    total = sum(lengths)
    query, key, value = (draw(1, num_heads, total, HEAD_SIZE) for _ in range(3))
    borders = torch.tensor([0, *lengths]).cumsum(0)
    output, _ = attend(torch.nn.Identity(), query, key, value, None, scaling=SCALING, cu_seq_lens_q=borders)
    expected = torch.cat(
        [
            F.scaled_dot_product_attention(*(part[:, :, start:end] for part in (query, key, value)), scale=SCALING)
            for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
        ],
        dim=2,
    )
    torch.testing.assert_close(output, expected.transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_scores", [1 << 13, 1 << 14, 16], ids=["some at a time", "all at once", "too long"])
def test_vision_windows_are_the_same_however_many_go_at_a_time(monkeypatch, num_scores):
    torch.manual_seed(0)
    query, key, value = (draw(1, 2, 5 * 36, HEAD_SIZE) for _ in range(3))
    borders = torch.arange(0, 5 * 36 + 1, 36)
    expected, _ = attend(torch.nn.Identity(), query, key, value, None, scaling=SCALING, cu_seq_lens_q=borders)
    monkeypatch.setattr("pipelines.reason.engines.attention._MAX_SCORES", num_scores)
    output, _ = attend(torch.nn.Identity(), query, key, value, None, scaling=SCALING, cu_seq_lens_q=borders)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_a_whole_image_in_one_window_sees_all_of_itself():
    torch.manual_seed(0)
    query, key, value = (draw(1, 2, 30, HEAD_SIZE) for _ in range(3))
    output, _ = attend(torch.nn.Identity(), query, key, value, None, scaling=SCALING)
    expected = F.scaled_dot_product_attention(query, key, value, scale=SCALING).transpose(1, 2)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
