"""Checkpoints that are made for measuring: real ones in all but what their weights say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

from framegate.pipelines.lab.bench.engines.checkpoint import make_checkpoint
from framegate.pipelines.lab.bench.engines.shapes import (
    FAMILY_NAMES,
    PUBLISHED,
    PUBLISHED_FROM,
    TINY,
    TINY_BELOW,
    choose_shape,
    make_config,
    parse_parameters,
)
from framegate.schemas.errors import ConfigError

IDS = {
    name: number
    for number, name in enumerate(
        ("<|im_end|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    )
}


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_from_pretrained_finds_every_weight_and_only_those(family: str, tiny_checkpoints: dict[str, Path]) -> None:
    model, told = AutoModelForImageTextToText.from_pretrained(tiny_checkpoints[family], output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.dtype == torch.bfloat16
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_special_tokens_are_those_of_the_configuration(family: str, tiny_checkpoints: dict[str, Path]) -> None:
    config = AutoConfig.from_pretrained(tiny_checkpoints[family])
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoints[family])
    assert tokenizer.encode("<|video_pad|>") == [config.video_token_id]
    assert len(tokenizer) <= config.get_text_config().vocab_size


def test_a_seed_stands_for_its_weights(tmp_path: Path, tiny_checkpoints: dict[str, Path]) -> None:
    same, other = (make_checkpoint(tmp_path / str(seed), "qwen3_vl", 1_000_000, seed).folder for seed in (1, 2))
    weights = "model.safetensors"
    assert (same / weights).read_bytes() == (tiny_checkpoints["qwen3_vl"] / weights).read_bytes()
    assert (other / weights).read_bytes() != (same / weights).read_bytes()


def test_a_folder_is_made_once_and_again_for_another_model(tmp_path: Path) -> None:
    first = make_checkpoint(tmp_path, "qwen3_vl", 1_000_000, seed=1)
    written = (tmp_path / "model.safetensors").stat().st_mtime_ns
    assert make_checkpoint(tmp_path, "qwen3_vl", 1_000_000, seed=1) == first
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == written
    other = make_checkpoint(tmp_path, "qwen2_5_vl", 1_000_000, seed=1)
    assert AutoConfig.from_pretrained(tmp_path).model_type == "qwen2_5_vl"
    assert other.num_parameters != first.num_parameters


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("text", ["85M", "130M", "180M", "600M", "1.2B", "2B", "3B"])
def test_a_shape_is_about_as_large_as_asked(family: str, text: str) -> None:
    wanted = parse_parameters(text)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(make_config(family, choose_shape(family, wanted), IDS))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(wanted, rel=0.06)


@given(st.integers(1, 20_000_000_000), st.integers(1, 20_000_000_000))
def test_who_asks_for_more_gets_no_less(one: int, other: int) -> None:
    smaller, larger = (choose_shape("qwen2_5_vl", number) for number in sorted((one, other)))
    assert (smaller.hidden, smaller.layers, smaller.vision_depth) <= (larger.hidden, larger.layers, larger.vision_depth)


def test_what_is_smaller_than_the_published_7b_is_narrower_and_nothing_else() -> None:
    published = choose_shape("qwen2_5_vl", PUBLISHED_FROM)
    assert published is PUBLISHED["qwen2_5_vl"]
    for eighths, text in ((1, "180M"), (2, "600M"), (5, "3B")):
        for family in FAMILY_NAMES:
            shape = choose_shape(family, parse_parameters(text))
            assert shape == replace(
                published,
                hidden=published.hidden * eighths // 8,
                heads=7 * eighths,
                kv_heads=eighths,
                head_size=64,
                intermediate=published.intermediate * eighths // 8,
                is_tied=True,
                vision_hidden=published.vision_hidden * eighths // 8,
                vision_heads=published.vision_heads * eighths // 8,
                vision_intermediate=428 * eighths,  # 3420 is no multiple of 8
            )
            assert shape.heads // shape.kv_heads == published.heads // published.kv_heads
            assert shape.heads * shape.head_size == shape.hidden


def test_below_an_eighth_of_the_width_text_layers_are_left_out_and_below_those_all_is_tiny() -> None:
    eighth = choose_shape("qwen3_vl", parse_parameters("180M"))
    assert choose_shape("qwen3_vl", parse_parameters("140M")) == replace(eighth, layers=17)
    assert choose_shape("qwen3_vl", TINY_BELOW) == replace(eighth, layers=1)
    assert choose_shape("qwen3_vl", TINY_BELOW - 1) == TINY


def test_what_cannot_be_made_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="family 'llava' is unknown; use one of: qwen2_5_vl, qwen3_vl"):
        choose_shape("llava", 1_000_000)
    for text in ("", "0", "many", "-1M", "1G"):
        with pytest.raises(ConfigError, match="is no number of parameters; write it as"):
            parse_parameters(text)
