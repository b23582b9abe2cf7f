"""The feed-forward part of a layer gives what transformers' module does, in each way in which it is computed."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2MLP

from framegate.pipelines.reason.engines.own.gated_mlp import GatedMlp
from framegate.pipelines.reason.engines.own.packed import can_pack, pack_linears


def make(dtype: torch.dtype, *, packed: bool) -> tuple[torch.nn.Module, GatedMlp]:
    torch.manual_seed(0)
    plain = Qwen2MLP(Qwen2_5_VLTextConfig(hidden_size=48, intermediate_size=80)).to(dtype).eval()
    taken = copy.deepcopy(plain)
    mlp = GatedMlp(taken.gate_proj, taken.up_proj, taken.down_proj)
    if packed:
        assert pack_linears(mlp) == 3
    return plain, mlp


@pytest.mark.parametrize(
    ("dtype", "packed"),
    [
        (torch.float32, False),
        (torch.bfloat16, False),
        pytest.param(
            torch.bfloat16, True, marks=pytest.mark.skipif(not can_pack(), reason="no bf16 kernels on this processor")
        ),
    ],
)
def test_results_are_those_of_the_module_that_it_stands_for(dtype: torch.dtype, packed: bool) -> None:
    plain, mlp = make(dtype, packed=packed)
    tolerance = 1e-6 if dtype == torch.float32 else 2**-7
    with torch.inference_mode():
        for num_rows in (1, 8, 57, 300):
            rows = torch.randn(num_rows, 48, dtype=dtype)
            before = rows.clone()
            expected = plain(rows)
            torch.testing.assert_close(mlp(rows), expected, rtol=tolerance, atol=tolerance)
            torch.testing.assert_close(mlp.differentiable(rows), expected, rtol=tolerance, atol=tolerance)
            assert torch.equal(rows, before)


@pytest.mark.parametrize(
    "packed", [False, pytest.param(True, marks=pytest.mark.skipif(not can_pack(), reason="as above"))]
)
def test_a_gradient_by_the_rows_is_that_of_the_module(packed: bool) -> None:
    dtype = torch.bfloat16 if packed else torch.float32
    plain, mlp = make(dtype, packed=packed)
    rows = torch.randn(5, 48, dtype=dtype, requires_grad=True)
    expected, found = (torch.autograd.grad(run(rows).sum(), rows)[0] for run in (plain, mlp.differentiable))
    tolerance = 2e-2 if packed else 1e-6
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
