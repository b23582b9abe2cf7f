"""Checkpoints that are made for measuring: real ones in all but what their weights say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

from pipelines.bench.engines.checkpoint import make_checkpoint
from pipelines.bench.engines.shapes import (
    FAMILY_NAMES,
    PUBLISHED,
    PUBLISHED_FROM,
    choose_shape,
    make_config,
    parse_parameters,
)
from schemas.errors import ConfigError

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
@pytest.mark.parametrize("text", ["30M", "190M", "1B", "3B"])
def test_a_shape_is_about_as_large_as_asked(family: str, text: str) -> None:
    from transformers import AutoModelForImageTextToText

    wanted = parse_parameters(text)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(make_config(family, choose_shape(family, wanted), IDS))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(wanted, rel=0.15)


def test_the_default_shape_shares_heads_like_the_published_7b() -> None:
    shape = choose_shape("qwen2_5_vl", parse_parameters("190M"))
    published = choose_shape("qwen2_5_vl", PUBLISHED_FROM)
    assert published is PUBLISHED["qwen2_5_vl"]
    assert shape.heads // shape.kv_heads == published.heads // published.kv_heads == 7
    assert (shape.hidden, shape.layers, shape.heads, shape.vocabulary) == (896, 12, 14, 16384)


def test_what_cannot_be_made_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="family 'llava' is unknown; use one of: qwen2_5_vl, qwen3_vl"):
        choose_shape("llava", 1_000_000)
    for text in ("", "0", "many", "-1M", "1G"):
        with pytest.raises(ConfigError, match="is no number of parameters; write it as"):
            parse_parameters(text)
