"""Packed linear layers give the same bits as plain ones, and stand in for every bf16 one of a model."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from framegate.pipelines.reason.engines.own import packed
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.packed import PackedLinear, can_pack, fuse_linears, pack_linears
from framegate.pipelines.reason.strategies.always_think import AlwaysThink

needs_kernels = pytest.mark.skipif(not can_pack(), reason="oneDNN has no bf16 kernels for this processor")


def linear(num_in: int, num_out: int, *, bias: bool = True, dtype: torch.dtype = torch.bfloat16) -> nn.Linear:
    torch.manual_seed(num_in * num_out)
    return nn.Linear(num_in, num_out, bias=bias).to(dtype)


@needs_kernels
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("num_in", "num_out"), [(64, 96), (96, 33), (7, 5)])
def test_results_are_the_same_bit_for_bit(num_in, num_out, bias):
    plain = linear(num_in, num_out, bias=bias)
    packed = PackedLinear(plain)
    with torch.inference_mode():
        for sizes in [(1,), (2,), (31,), (32,), (33,), (300,), (1, 5), (3, 1, 7), (2, 17)]:
            rows = torch.randn(*sizes, num_in, dtype=torch.bfloat16)
            result = packed(rows)
            assert result.shape == (*sizes, num_out)
            assert torch.equal(result, F.linear(rows, plain.weight, plain.bias)), sizes


@needs_kernels
def test_rows_that_do_not_lie_one_after_the_other_are_read_right():
    plain = linear(64, 48)
    rows = torch.randn(64, 10, dtype=torch.bfloat16).T
    with torch.inference_mode():
        assert torch.equal(PackedLinear(plain)(rows), plain(rows.contiguous()))


@needs_kernels
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_a_gradient_by_the_rows_is_that_of_a_plain_layer(bias):
    plain = linear(96, 33, bias=bias)
    packed = PackedLinear(plain)
    rows = torch.randn(5, 96, dtype=torch.bfloat16, requires_grad=True)
    weights = torch.randn(5, 33, dtype=torch.bfloat16)
    grads = [torch.autograd.grad((layer(rows) * weights).sum(), rows)[0] for layer in (plain, packed)]
    assert torch.equal(packed.unpack(), plain.weight)
    torch.testing.assert_close(grads[1], grads[0])
    with torch.no_grad():
        assert not packed(rows).requires_grad


def small_model(dtype: torch.dtype) -> nn.Module:
    model = nn.Sequential(
        linear(16, 24, dtype=dtype),
        nn.GELU(),
        nn.ModuleDict({"inner": nn.Sequential(nn.LayerNorm(24, dtype=dtype), linear(24, 8, bias=False, dtype=dtype))}),
    )
    return model.eval()


def kinds(model: nn.Module) -> list[type]:
    return [type(module) for module in model.modules() if type(module) in (nn.Linear, PackedLinear)]


@needs_kernels
def test_every_bf16_layer_of_a_model_is_packed_and_none_twice():
    model = small_model(torch.bfloat16)
    assert pack_linears(model) == 2
    assert kinds(model) == [PackedLinear, PackedLinear]
    assert pack_linears(model) == 0
    assert list(model.parameters()) != []  # the norm's
    assert not any(parameter.dim() == 2 for parameter in model.parameters()), "a plain weight is kept beside a packed"


def test_fp32_layers_are_left_alone():
    model = small_model(torch.float32)
    assert pack_linears(model) == 0
    assert kinds(model) == [nn.Linear, nn.Linear]


def test_where_there_are_no_kernels_nothing_is_packed(monkeypatch):
    monkeypatch.setattr("framegate.pipelines.reason.engines.own.packed.can_pack", lambda: False)
    model = small_model(torch.bfloat16)
    assert pack_linears(model) == 0
    assert kinds(model) == [nn.Linear, nn.Linear]


@needs_kernels
def test_an_engine_in_bf16_writes_the_same_with_packed_weights_and_without(bench, random_checkpoint, monkeypatch):
    """The whole model: attention layers, the vision tower and the output layer.

    Activations are kept out of the products here: within them there is one rounding less.
    """
    monkeypatch.setattr(PackedLinear, "silu", lambda layer, rows: F.silu(layer(rows)))
    monkeypatch.setattr(PackedLinear, "multiply", lambda layer, rows, factor: factor * layer(rows))

    def write() -> tuple[Checkpoint, dict]:
        checkpoint = Checkpoint(str(random_checkpoint), revision=None, dtype="bfloat16", device="cpu")
        gate = AlwaysThink(max_answer_tokens=4, max_thinking_tokens=8)
        return checkpoint, bench.run(bench.runner(checkpoint, gate), [bench.make_request(0, (bench.sure,))]).token_ids

    packed, written = write()
    assert set(kinds(packed._model) + kinds(packed._text_model)) == {PackedLinear}
    monkeypatch.setattr("framegate.pipelines.reason.engines.own.checkpoint.pack_linears", lambda model: 0)
    plain, written_plainly = write()
    assert set(kinds(plain._model) + kinds(plain._text_model)) == {nn.Linear}
    assert written == written_plainly


@pytest.mark.parametrize("with_bias", [(True, True), (False, False), (True, False)])
def test_a_fused_layer_gives_what_its_parts_give_side_by_side(with_bias):
    torch.manual_seed(0)
    parts = [nn.Linear(24, size, bias=bias) for size, bias in zip((40, 8), with_bias, strict=True)]
    rows = torch.randn(5, 24)
    fused = fuse_linears(*parts)
    assert (fused.in_features, fused.out_features, fused.bias is None) == (24, 48, not any(with_bias))
    torch.testing.assert_close(fused(rows), torch.cat([part(rows) for part in parts], dim=-1))


@pytest.mark.parametrize(("has_kernels", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_the_dock_model_is_asked_in_what_this_machine_computes_in(
    has_kernels: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "can_pack", lambda: has_kernels)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert packed.quick_dtype() == dtype
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert packed.quick_dtype() == "bfloat16"


@pytest.mark.parametrize(("dtype", "is_slow"), [("bfloat16", True), ("float32", False)])
def test_a_dtype_without_kernels_is_told_of(
    random_checkpoints, dtype: str, is_slow: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(packed, "can_pack", lambda: False)
    Checkpoint(str(random_checkpoints["qwen3_vl"]), revision=None, dtype=dtype, device="cpu")
    assert ("no kernels for bfloat16" in caplog.text) == is_slow


@needs_kernels
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_silu_and_a_factor_within_a_product_are_what_they_are_behind_it(bias):
    """Within a product there is one rounding less."""
    plain = linear(96, 33, bias=bias)
    packed = PackedLinear(plain)
    with torch.inference_mode():
        for sizes in [(1,), (31,), (300,), (2, 17)]:
            rows = torch.randn(*sizes, 96, dtype=torch.bfloat16)
            wide = F.linear(rows.double(), plain.weight.double(), None if plain.bias is None else plain.bias.double())
            factor = torch.randn(*sizes, 33, dtype=torch.bfloat16)
            for result, expected in [
                (packed.silu(rows), F.silu(wide)),
                (packed.multiply(rows, factor), wide * factor.double()),
            ]:
                assert result.dtype == torch.bfloat16
                torch.testing.assert_close(result.double(), expected, rtol=2**-8, atol=1e-3)
