"""All systems are asked for the same frames: spread over the file or from its middle, among those that Ray can keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.lab.bench.decode.work import TASKS, dense_indices, plan_work, sparse_indices
from framegate.schemas.errors import ConfigError

rates = st.sampled_from([1.0, 8.0, 10.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0, 240.0])


@given(num_frames=st.integers(1, 2_000_000), fps=rates, task=st.sampled_from(sorted(TASKS)))
def test_frames_are_in_the_film_in_order_and_on_the_grid(num_frames: int, fps: float, task: str) -> None:
    choose, grid_fps = TASKS[task]
    indices = choose(num_frames, fps)
    assert 1 <= len(indices) <= 120
    assert (np.diff(indices) > 0).all()
    assert 0 <= indices[0] <= indices[-1] < num_frames
    assert (indices % max(1, round(fps / grid_fps)) == 0).all()


def test_sparse_frames_are_spread_over_the_whole_film() -> None:
    indices = sparse_indices(9000, 30.0)
    assert len(indices) == 32
    assert np.diff(indices).min() >= 9000 / 32 - 6
    assert np.diff(indices).max() <= 9000 / 32 + 6
    assert len(set((indices % 120).tolist())) > 8  # places in a group of pictures of 4 s


def test_dense_frames_are_the_minute_in_the_middle() -> None:
    assert dense_indices(9000, 30.0).tolist() == list(range(3600, 5400, 15))
    assert dense_indices(60, 30.0).tolist() == [0, 15, 30, 45]


def test_a_file_that_is_no_video_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no film")
    with pytest.raises(ConfigError, match=r"notes\.mp4 cannot be measured: "):
        plan_work(tmp_path / "notes.mp4", "sparse")
    with pytest.raises(ConfigError, match=r"missing\.mp4 cannot be measured: "):
        plan_work(tmp_path / "missing.mp4", "sparse")
