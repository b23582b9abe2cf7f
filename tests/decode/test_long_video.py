"""A recording of ten hours is many units, and memory stays where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.decode.corpus_films import FASTSTART, film
from tests.decode.corpus_run import clips_of, decode_all, holdings, make_stage, planned, rss_mib

HOURS = 10
CLIP_SECONDS = 20
MAX_GROWTH_MIB = 300


@pytest.mark.parametrize("muxer", ["mp4", "matroska"])
def test_ten_hours_are_decoded_in_units_with_flat_memory(muxer: str, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    times = [2.0 * number for number in range(HOURS * 1800)]
    options = FASTSTART if muxer == "mp4" else ()
    path.write_bytes(film(muxer, times_seconds=times, fps=1, height=48, width=64, gop_frames=60, muxer_options=options))
    (tmp_path / "short.mp4").write_bytes(film())
    before = holdings().children
    stage = make_stage("pyav", clip_seconds=CLIP_SECONDS)
    try:
        decode_all(stage, [planned(tmp_path / "short.mp4")])
        (child,) = holdings().children - before
        here, there = rss_mib(), rss_mib(child)
        num_units = num_clips = 0
        highest = 0.0
        for unit in stage.decode(planned(path)):
            assert unit.failure is None
            num_units += 1
            num_clips += len(clips_of([unit]))
            is_whole = unit.clips[-1].is_last
            highest = max(highest, rss_mib() - here + rss_mib(child) - there)
        assert is_whole
        assert num_clips == HOURS * 3600 / CLIP_SECONDS
        assert num_units > 1
        assert highest < MAX_GROWTH_MIB
    finally:
        stage.close()
