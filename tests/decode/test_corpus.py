"""Every file of the corpus ends in the right rows, with both decoders, and leaves nothing of itself in the process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.unit import DecodedClip, DecodedUnit
from tests.decode.corpus import CASES
from tests.decode.corpus_case import TIGHT, Case
from tests.decode.corpus_films import QUARTERS
from tests.decode.corpus_run import (
    Holdings,
    clips_of,
    decode_all,
    holdings,
    leaked,
    make_stage,
    planned,
    reason_of,
)

# decord knows no AV1, takes the smaller of two streams, and gets wrong when frames are shown that are reordered in a
# container that does not say so, or whose time stamps begin again.
REFUSED_BY_DECORD = {
    *("av1_mp4", "av1_mkv", "bigger_of_two", "bigger_of_two_mkv"),
    *("mpeg2_ts", "mpeg2_ps", "mpeg1_ps", "mpeg2_mxf", "ts_joined", "all_at_once", "negative_times_mkv"),
}
# It gives nothing of a file that breaks off.
SAME_FOR_BOTH = [case for case in CASES if case.name not in REFUSED_BY_DECORD and not case.name.startswith("cut")]


@dataclass(frozen=True)
class Run:
    """The whole corpus through one stage, and what the process held before it and after it."""

    units: dict[str, list[DecodedUnit]]
    before: Holdings
    after: Holdings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for case in CASES:
        (folder / f"{case.name}.mp4").write_bytes(case.make())
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Run]:
    """By decoder. One stage decodes all of it, so that what one file breaks is seen in the next."""
    return {decoder: _run(decoder, folder) for decoder in ("pyav", "decord")}


def _run(decoder: str, folder: Path) -> Run:
    decode_all(make_stage(decoder, sandbox=False), [planned(folder / "h264_mp4.mp4")])  # imports, and what they keep
    before, units = holdings(), {}
    for tight in (False, True):
        stage = make_stage(decoder, **(TIGHT if tight else {}))
        try:
            cases = [case for case in CASES if case.is_tight == tight]
            units |= decode_all(stage, [planned(folder / f"{case.name}.mp4") for case in cases])
        finally:
            stage.close()
    return Run(units=units, before=before, after=holdings())


def _check(case: Case, units: list[DecodedUnit]) -> None:
    clips = clips_of(units)
    reason = reason_of(units)
    assert (reason, units[-1].failure) == (case.reason, units[-1].failure)
    assert case.num_clips[0] <= len(clips) <= case.num_clips[1]
    assert [decoded.clip.index for decoded in clips] == list(range(len(clips)))
    assert [decoded.is_last for decoded in clips] == [
        index + 1 == len(clips) and reason is None for index in range(len(clips))
    ]
    failure = units[-1].failure
    if failure is not None:
        assert failure.stage == "decode"
        assert failure.message.endswith(".")
        assert units[-1].failed_clip_index in ((len(clips),) if clips else (None, 0))
    for decoded in clips:
        _check_clip(decoded, case)


def _check_clip(decoded: DecodedClip, case: Case) -> None:
    frames, pts = decoded.frames.frames_THWC, decoded.frames.pts_seconds
    assert pts[0] < decoded.clip.end_seconds
    assert len(frames) <= 4
    if case.quarters is not None:
        height, width = frames.shape[1:3]
        seen = [frames[0, height * row // 4, width * column // 4].astype(int) for row in (1, 3) for column in (1, 3)]
        nearest = tuple(min(QUARTERS, key=lambda name: np.abs(pixel - QUARTERS[name]).sum()) for pixel in seen)
        assert nearest == case.quarters


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_ends_in_its_rows(case: Case, runs: dict[str, Run]) -> None:
    _check(case, runs["pyav"].units[case.name])


@pytest.mark.parametrize("case", SAME_FOR_BOTH, ids=lambda case: case.name)
def test_a_file_ends_in_the_same_rows_with_decord(case: Case, runs: dict[str, Run]) -> None:
    _check(case, runs["decord"].units[case.name])


@pytest.mark.parametrize("name", sorted(REFUSED_BY_DECORD))
def test_what_decord_gets_wrong_it_refuses(name: str, runs: dict[str, Run]) -> None:
    assert reason_of(runs["decord"].units[name]) == "unsupported_codec"


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_every_file_ends_and_every_reason_is_documented(decoder: str, runs: dict[str, Run]) -> None:
    units = runs[decoder].units
    assert set(units) == {case.name for case in CASES}
    for name in units:
        reason = reason_of(units[name])
        assert reason in REASON_MEANINGS or (reason is None and clips_of(units[name])), name


def test_the_corpus_is_large_and_has_every_reason_that_lies_in_a_file() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 100
    assert {case.reason for case in CASES} == {
        None, "empty", "not_video", "playlist", "no_video_stream", "truncated", "too_large", "unsupported_codec",
        "decode_error", "memory_limit",
    }  # fmt: skip


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_nothing_is_left_of_the_corpus(decoder: str, runs: dict[str, Run]) -> None:
    assert leaked(runs[decoder].before, runs[decoder].after) == []
