"""What a worker is given: where it marks its attempts, and decoded units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.worker.attempts import Attempts
from framegate.schemas.clip import Clip, FrameBatch
from framegate.schemas.unit import DecodedClip, DecodedUnit


@pytest.fixture
def attempts(tmp_path: Path, facts: RunFacts) -> Attempts:
    return Attempts(output=Output.at(str(tmp_path)), config_id=facts.config_id, run_id=facts.run_id)


@pytest.fixture
def make_decoded(units: SimpleNamespace) -> Callable[..., DecodedUnit]:
    def make(name: str, index: int = 0) -> DecodedUnit:
        video, question = units.make_video(name), units.QUESTIONS[0]
        frames = FrameBatch(frames_THWC=np.zeros((1, 2, 2, 3), np.uint8), pts_seconds=np.zeros(1), duration_seconds=2.0)
        clip = Clip(video_id=video.video_id, index=index, start_seconds=2.0 * index, end_seconds=2.0 * index + 2)
        decoded = DecodedClip(clip=clip, frames=frames, is_last=True, decode_seconds=0.5)
        return DecodedUnit(
            video=video, question_hashes=(question.hash,), attempts=(1,), decoder="pyav-1", clips=(decoded,)
        )

    return make
