"""Embeddings of clips: the mean of what the vision tower gave, of length 1, and near for clips that look alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from framegate.pipelines.reason.engines.own.clip_embedding import MAX_VALUES, embed_clip
from framegate.schemas.clip import FrameBatch
from tests.reason.engines.own.asks import make_ask, make_clip, run_asks


def test_it_is_the_mean_of_the_states_of_length_1_in_the_precision_of_float16() -> None:
    states_VD = torch.tensor([[1.0, 0.0, 5.0], [5.0, 0.0, 3.0]])
    embedding = embed_clip(states_VD)
    assert embedding is not None
    assert embedding.dtype == np.float32
    np.testing.assert_array_equal(embedding, np.array([0.6, 0.0, 0.8], np.float16).astype(np.float32))


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("num_values", [8, MAX_VALUES + 8])
def test_states_without_a_direction_have_none(value: float, num_values: int) -> None:
    assert embed_clip(torch.full((3, num_values), value)) is None


def test_many_values_are_projected_and_keep_how_far_clips_are_apart() -> None:
    states_CD = torch.from_numpy(np.random.default_rng(3).standard_normal((40, 3584), np.float32))
    states_CD[1:20] = states_CD[0] + 0.1 * states_CD[1:20]  # near the first one
    embeddings = np.stack([embed_clip(state[None]) for state in states_CD])
    assert embeddings.shape == (40, MAX_VALUES)
    wide = states_CD.numpy() / np.linalg.norm(states_CD.numpy(), axis=1, keepdims=True)
    before = np.linalg.norm(wide[:, None] - wide, axis=2)[np.triu_indices(40, 1)]
    after = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)[np.triu_indices(40, 1)]
    assert np.std(after / before) < 0.04
    assert np.abs(after / before - 1).max() < 0.15


def test_the_signs_of_the_projection_stay() -> None:
    """Embeddings are compared with those of years before."""
    first = embed_clip(torch.nn.functional.one_hot(torch.tensor([0]), MAX_VALUES + 8).float())
    assert first is not None
    assert "".join("+" if value > 0 else "-" for value in first[:24]) == "-+-++---+--++-+--++-+---"
    assert np.unique(np.abs(first)).tolist() == [1 / 32]


def test_every_ask_of_a_clip_has_the_embedding_of_all_its_frames(bench, random_checkpoint) -> None:
    engine = bench.engine(random_checkpoint)
    clip, other = make_clip(0, num_frames=8), make_clip(1, num_frames=4)
    asks = [make_ask(clip, 3), make_ask(clip, 2), make_ask(clip, 3, frames=(0, 1, 2, 3)), make_ask(other, 3)]
    outcome = run_asks(engine, asks)
    whole, again, some, of_other = (outcome[ask].clip_embedding for ask in asks)
    assert some is None
    np.testing.assert_array_equal(whole, again)
    checkpoint = bench.load(random_checkpoint)
    for one, found in ((clip, whole), (other, of_other)):
        prefix = bench.make_prefix(checkpoint, frames=one.frames, clip_start_seconds=one.start_seconds)
        [features] = checkpoint.see([prefix.video])
        np.testing.assert_allclose(found, embed_clip(features.features_VD), atol=1e-3)
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-3)


def test_clips_that_look_alike_are_near(bench, random_checkpoint) -> None:
    def noisy(noise: int) -> FrameBatch:
        frames = clip.frames.frames_THWC.astype(np.int16)
        frames += np.random.default_rng(noise).integers(-noise, noise + 1, frames.shape, dtype=np.int16)
        return replace(clip.frames, frames_THWC=frames.clip(0, 255).astype(np.uint8))

    clip = make_clip(0, num_frames=4)
    clips = [clip, replace(clip, frames=noisy(4)), make_clip(1, num_frames=4)]
    asks = [make_ask(one, 1) for one in clips]
    outcome = run_asks(bench.engine(random_checkpoint), asks)
    own, alike, different = (outcome[ask].clip_embedding for ask in asks)
    assert np.linalg.norm(own - alike) < 0.5 * np.linalg.norm(own - different)
