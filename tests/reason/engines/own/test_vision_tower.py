"""A tower says the same with the modules that are put into it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText

from framegate.pipelines.reason.engines.own.gated_mlp import GatedMlp
from framegate.pipelines.reason.engines.own.packed import can_pack, pack_linears
from framegate.pipelines.reason.engines.own.vision_tower import PatchEmbedding, RmsNorm, quicken_tower


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
def test_a_tower_says_what_it_said_with_the_modules_of_transformers(
    random_checkpoint: Path, dtype: torch.dtype, packed: bool
) -> None:
    model = AutoModelForImageTextToText.from_pretrained(random_checkpoint, dtype=dtype).eval()
    tower, vision = model.model.visual, model.config.vision_config
    # Frames that are no whole number of windows, of several sizes: windows of several lengths, one video after another.
    videos = [torch.tensor(grids) for grids in ([[2, 4, 6], [1, 12, 10]], [[1, 8, 8]], [[3, 4, 4], [1, 6, 4]])]
    patch = 3 * vision.temporal_patch_size * vision.patch_size**2
    pixels = [torch.randn(int(grids.prod(dim=1).sum()), patch, dtype=dtype) for grids in videos]
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    with torch.inference_mode():
        seen = list(zip(pixels, videos, strict=True))
        expected = [tower(some, grid_thw=grids).pooler_output for some, grids in seen]
        quicken_tower(tower)
        assert type(tower.patch_embed) is PatchEmbedding
        if model.config.model_type == "qwen2_5_vl":
            assert {type(block.mlp) for block in tower.blocks} == {GatedMlp}
            assert {type(norm) for block in tower.blocks for norm in (block.norm1, block.norm2)} == {RmsNorm}
        if packed:
            pack_linears(tower)
        for _ in range(2):
            for (some, grids), before in zip(seen, expected, strict=True):
                torch.testing.assert_close(tower(some, grid_thw=grids).pooler_output, before, **tolerance)


@pytest.mark.parametrize("change", [{"stride": 2}, {"padding": 1}, {"groups": 3}, {"dilation": 2}], ids=str)
def test_a_convolution_of_another_kind_is_left_as_it_is(random_checkpoint: Path, change: dict[str, int]) -> None:
    tower = AutoModelForImageTextToText.from_pretrained(random_checkpoint).model.visual
    tower.patch_embed.proj = nn.Conv3d(3, 3, kernel_size=4, **{"stride": 4, **change})
    quicken_tower(tower)
    assert type(tower.patch_embed.proj) is nn.Conv3d
