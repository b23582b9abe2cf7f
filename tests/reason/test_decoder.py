"""The decoder says what transformers' own layers say over the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from pipelines.reason.engines.decoder import Deepstack, TextDecoder, normalise
from schemas.errors import EngineError

NUM_TOKENS = 23


class CausalPass:
    """One sequence that sees itself, kept nowhere."""

    def attend(
        self, layer: int, query_NHD: torch.Tensor, key_NKD: torch.Tensor, value_NKD: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        group = query_NHD.shape[1] // key_NKD.shape[1]
        keys, values = (each.repeat_interleave(group, dim=1) for each in (key_NKD, value_NKD))
        scores = torch.einsum("nhd,mhd->hnm", query_NHD, keys) * scaling
        hidden = torch.ones(len(query_NHD), len(query_NHD), dtype=torch.bool).triu(1)
        return torch.einsum("hnm,mhd->nhd", scores.masked_fill(hidden, -torch.inf).softmax(dim=-1), values)


def load(folder: Path) -> Any:
    """transformers' text model, with norms that do something."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval().model.language_model
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 2.0)
    return model


def draw_input(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Embedded tokens, and positions whose three axes differ."""
    torch.manual_seed(1)
    positions_3N = torch.stack([torch.arange(NUM_TOKENS) // step for step in (1, 2, 3)])
    return torch.randn(NUM_TOKENS, model.config.hidden_size), positions_3N


@torch.inference_mode()
def test_layers_say_what_they_say_in_transformers(random_checkpoint):
    model = load(random_checkpoint)
    embedded_ND, positions_3N = draw_input(model)
    expected = model(inputs_embeds=embedded_ND[None], position_ids=positions_3N[:, None], use_cache=False)
    output = TextDecoder(model)(embedded_ND.clone(), positions_3N, CausalPass())
    torch.testing.assert_close(output, expected.last_hidden_state[0], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_deepstack_is_added_after_the_first_layers(random_checkpoints):
    model = load(random_checkpoints["qwen3_vl"])
    embedded_ND, positions_3N = draw_input(model)
    is_video_N = torch.arange(NUM_TOKENS) % 3 == 1
    levels = [torch.randn(int(is_video_N.sum()), model.config.hidden_size) for _ in range(2)]
    expected = model(
        inputs_embeds=embedded_ND[None],
        position_ids=positions_3N[:, None],
        use_cache=False,
        visual_pos_masks=is_video_N[None],
        deepstack_visual_embeds=levels,
    )
    deepstack = Deepstack(is_video_N=is_video_N, levels_LVD=levels)
    output = TextDecoder(model)(embedded_ND.clone(), positions_3N, CausalPass(), deepstack)
    torch.testing.assert_close(output, expected.last_hidden_state[0], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_angles_by_axis_are_brought_together_as_older_releases_leave_them(random_checkpoints):
    """Up to 5.19 Qwen2.5-VL's module gives cosines and sines for each axis, and layers choose."""
    model = load(random_checkpoints["qwen2_5_vl"])
    embedded_ND, positions_3N = draw_input(model)
    frequencies = model.rotary_emb.inv_freq

    def angles(_: torch.Tensor, positions_31N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        by_axis = (positions_31N[..., None] * frequencies).repeat(1, 1, 1, 2)
        return by_axis.cos(), by_axis.sin()

    decoder = TextDecoder(model)
    expected = decoder(embedded_ND.clone(), positions_3N, CausalPass())
    decoder._rotary.forward = angles
    torch.testing.assert_close(decoder(embedded_ND.clone(), positions_3N, CausalPass()), expected)


def test_another_activation_is_refused(random_checkpoint):
    model = load(random_checkpoint)
    model.config.hidden_act = "gelu"
    with pytest.raises(EngineError, match="'gelu'; only silu is supported"):
        TextDecoder(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_are_taken_in_float32(dtype):
    torch.manual_seed(0)
    rows, weight = (100 * torch.randn(6, 3, 48)).to(dtype), torch.rand(48).to(dtype)
    wide = rows.double()
    expected = (wide / (wide.pow(2).mean(dim=-1, keepdim=True) + 1e-6).sqrt()).to(dtype) * weight
    torch.testing.assert_close(normalise(rows, weight, 1e-6), expected)
