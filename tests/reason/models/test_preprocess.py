"""Our preprocessing equals Hugging Face's processors, which run in a process of their own beside torchvision."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from framegate.pipelines.reason.asking.prompt import prefix_before_video
from framegate.pipelines.reason.models.families import FAMILIES
from framegate.pipelines.reason.models.preprocess import cut_video
from framegate.pipelines.reason.models.vision_grid import VisionGrid
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import FramesConfig
from framegate.schemas.pixels import smart_resize

GRIDS = {
    "qwen2_5_vl": VisionGrid(patch=14, temporal_patch=2, merge=2),
    "qwen3_vl": VisionGrid(patch=16, temporal_patch=2, merge=2),
}
SHAPES = {
    "shrinks": (4, 200, 333),
    "grows": (4, 30, 41),
    "fits": (2, 448, 224),
    "odd number of frames": (3, 120, 120),
    "one frame": (1, 90, 160),
}
# The newer processor refuses fewer frames than make one temporal step; ours repeats the frame.
CASES = [(family, name) for family in FAMILIES for name in SHAPES if (family, name) != ("qwen3_vl", "one frame")]
SIZES = [(h, w) for h in (21, 56, 97, 360, 1080) for w in (33, 56, 640, 1920) if max(h, w) / min(h, w) < 60]
MIN_PIXELS, MAX_PIXELS = 64 * 64, 256 * 256


def make_frames(num_frames: int, height: int, width: int) -> np.ndarray:
    """Smooth gradients with sharp noise on top, so that rounding and overshoot of the resize show."""
    noise = np.random.default_rng(height * width).integers(0, 256, (num_frames, height, width, 3))
    rows = np.linspace(0, 255, height)[None, :, None, None]
    return np.where(noise > 128, noise, rows).astype(np.uint8)


@pytest.fixture(scope="session")
def torchvision_folder(pytestconfig: pytest.Config) -> Path:
    """torchvision in a folder of its own, kept between runs: beside torch it would make transformers import it."""
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    assert major == 2
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir(f"torchvision-0.{minor + 15}")
    if not (folder / "torchvision").is_dir():
        wanted = f"torchvision==0.{minor + 15}.*"  # torch 2.n goes with torchvision 0.(n+15)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), wanted]
        subprocess.run(pip, check=True)
    return folder


@pytest.fixture(scope="session")
def oracle(torchvision_folder: Path, random_checkpoints: dict[str, Path]) -> dict:
    cases = {
        (family, name): {
            "family": family,
            "frames_THWC": make_frames(*SHAPES[name]),
            "min_pixels": MIN_PIXELS,
            "max_pixels": MAX_PIXELS,
        }
        for family, name in CASES
    }
    asked = {
        "cut": cases,
        "sizes": SIZES,
        "prompt": {
            "frames_THWC": make_frames(5, 64, 96),
            "fps": 2.0,
            "before": prefix_before_video("Look."),
            "tokenizer": str(random_checkpoints["qwen3_vl"]),
        },
    }
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("processor_oracle.py"))],
        input=pickle.dumps(asked),
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(torchvision_folder)},
        check=True,
    )
    return pickle.loads(ran.stdout)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_patches_equal_those_of_the_processor(oracle, family, name):
    limits = FramesConfig(min_frame_pixels=MIN_PIXELS, max_frame_pixels=MAX_PIXELS, max_video_tokens=10**6)
    patches = cut_video(
        make_frames(*SHAPES[name]),
        family=FAMILIES[family],
        grid=GRIDS[family],
        limits=limits,
        device=torch.device("cpu"),
    )
    expected_pixels, expected_grid = oracle["cut"][family, name]
    assert list(patches.grid_thw) == expected_grid
    torch.testing.assert_close(patches.pixels_ND, torch.from_numpy(expected_pixels), rtol=0, atol=1e-6)


def test_sizes_equal_those_of_the_processor(oracle):
    ours = [smart_resize(*size, factor=28, min_pixels=3136, max_pixels=602112) for size in SIZES]
    assert ours == [tuple(size) for size in oracle["sizes"]]


def test_the_stamped_prompt_equals_the_processors_token_for_token(oracle, bench, random_checkpoints):
    checkpoint = bench.load(random_checkpoints["qwen3_vl"])
    frames = FrameBatch(frames_THWC=make_frames(5, 64, 96), pts_seconds=100 + 0.5 * np.arange(5), duration_seconds=2.5)
    prefix = bench.make_prefix(checkpoint, frames=frames, clip_start_seconds=100.0, system_prompt="Look.")
    assert prefix.token_ids == oracle["prompt"]


def test_a_clip_of_too_many_frames_is_refused_before_any_pixel_is_touched():
    with pytest.raises(ValueError, match=r"8 frames of 64x64 .*max_video_tokens=3 .*at most 6 fit"):
        cut_video(
            make_frames(8, 64, 64),
            family=FAMILIES["qwen3_vl"],
            grid=GRIDS["qwen3_vl"],
            limits=FramesConfig(max_video_tokens=3, min_frame_pixels=1024),
            device=torch.device("cpu"),
        )
