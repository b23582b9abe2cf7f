"""The decoder says what transformers' own layers say over the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from framegate.pipelines.reason.engines.own.text_model import Deepstack, TextModel, normalise
from framegate.schemas.errors import EngineError

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


def load(folder: Path, num_kv_heads: int | None = None) -> Any:
    """transformers' text model, drawn anew: norms and biases do something."""
    config = AutoConfig.from_pretrained(folder)
    if num_kv_heads is not None:
        config.text_config.num_key_value_heads = num_kv_heads
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32).eval().model.language_model
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 2.0)
            else:
                parameter.normal_(0.0, 0.1)
    return model


def draw_input(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Embedded tokens, and positions whose three axes differ."""
    torch.manual_seed(1)
    positions_3N = torch.stack([torch.arange(NUM_TOKENS) // step for step in (1, 2, 3)])
    return torch.randn(NUM_TOKENS, model.config.hidden_size), positions_3N


@torch.inference_mode()
@pytest.mark.parametrize("num_kv_heads", [1, 2])
def test_layers_say_what_they_say_in_transformers(random_checkpoint, num_kv_heads):
    model = load(random_checkpoint, num_kv_heads)
    embedded_ND, positions_3N = draw_input(model)
    expected = model(inputs_embeds=embedded_ND[None], position_ids=positions_3N[:, None], use_cache=False)
    output = TextModel(model)(embedded_ND.clone(), positions_3N, CausalPass())
    torch.testing.assert_close(output, expected.last_hidden_state[0], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_deepstack_is_added_after_the_first_layers(random_checkpoints):
    model = load(random_checkpoints["qwen3_vl"])
    embedded_ND, positions_3N = draw_input(model)
    is_video_N = torch.arange(NUM_TOKENS) % 3 == 1
    places_V = is_video_N.nonzero()[:, 0]
    levels = [torch.randn(len(places_V), model.config.hidden_size) for _ in range(2)]
    expected = model(
        inputs_embeds=embedded_ND[None],
        position_ids=positions_3N[:, None],
        use_cache=False,
        visual_pos_masks=is_video_N[None],
        deepstack_visual_embeds=levels,
    )
    deepstack = Deepstack(places_V=places_V, levels_LVD=levels)
    output = TextModel(model)(embedded_ND.clone(), positions_3N, CausalPass(), deepstack)
    torch.testing.assert_close(output, expected.last_hidden_state[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_act": "gelu"}, "'gelu'; only silu is supported"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "within a sliding window"),
    ],
)
def test_layers_that_would_be_walked_wrongly_are_refused(random_checkpoint, change, words):
    model = load(random_checkpoint)
    for name, value in change.items():
        setattr(model.config, name, value)
    with pytest.raises(EngineError, match=words):
        TextModel(model)


def test_weights_of_another_kind_are_refused(random_checkpoint):
    class QuantisedLinear(torch.nn.Linear):
        pass

    model = load(random_checkpoint)
    model.layers[1].mlp.up_proj = QuantisedLinear(8, 8)
    with pytest.raises(EngineError, match="of kind QuantisedLinear; use a checkpoint in bfloat16"):
        TextModel(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_are_taken_in_float32(dtype):
    torch.manual_seed(0)
    rows, weight = (100 * torch.randn(6, 3, 48)).to(dtype), torch.rand(48).to(dtype)
    wide = rows.double()
    expected = (wide / (wide.pow(2).mean(dim=-1, keepdim=True) + 1e-6).sqrt()).to(dtype) * weight
    torch.testing.assert_close(normalise(rows, weight, 1e-6), expected)
