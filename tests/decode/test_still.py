"""What counts as showing the same: by block, by frame, by time; and which clips of a video are found to do so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.decode.still import (
    BLOCK_PIXELS,
    MAX_KEPT_BYTES,
    StillFinder,
    block_differences,
    shows_same,
)
from framegate.pipelines.reason.models.positions import seconds_per_step, step_times
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.clip import Clip, FrameBatch, Video
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.still import StillClips
from framegate.schemas.tables import DECODED
from framegate.schemas.unit import DecodedClip, DecodedUnit, PlannedVideo, to_table

VIDEO = Video(uri="v.mp4", version="1", size_bytes=1)
HASHES = ("a" * 16, "b" * 16)
SECONDS = 2.0
GREY = np.full((4, 70, 60, 3), 100, np.uint8)


def clip(index: int, frames_THWC: np.ndarray = GREY, *, late: float | np.ndarray = 0.0) -> DecodedClip:
    start = index * SECONDS
    times = start + np.arange(len(frames_THWC)) * SECONDS / len(frames_THWC) + late
    return DecodedClip(
        clip=Clip(video_id=VIDEO.video_id, index=index, start_seconds=start, end_seconds=start + SECONDS),
        frames=FrameBatch(frames_THWC=frames_THWC.copy(), pts_seconds=times, duration_seconds=SECONDS),
        is_last=False,
        decode_seconds=0.0,
    )


def changed(number: int, rows: slice, columns: slice, by: int, frames_THWC: np.ndarray = GREY) -> np.ndarray:
    frames = frames_THWC.copy()
    frames[number, rows, columns] += np.uint8(by)
    return frames


def same(one: np.ndarray, other: np.ndarray, within: float) -> bool:
    return shows_same(clip(0, one), clip(1, other), within=within, temporal_patch=2)


def test_a_shift_by_one_grey_level_is_within_one_and_not_within_less() -> None:
    brighter = GREY + np.uint8(1)
    assert not same(GREY, brighter, 0)
    assert not same(GREY, brighter, 0.99)
    assert same(GREY, brighter, 1)
    assert same(brighter, GREY, 1), "no byte wraps around where the later one is darker"


def test_with_zero_one_pixel_of_one_frame_counts() -> None:
    assert same(GREY, GREY.copy(), 0)
    assert not same(GREY, changed(3, slice(69, 70), slice(59, 60), 1), 0)


def test_a_small_thing_within_one_block_is_seen_though_the_picture_as_a_whole_hardly_changes() -> None:
    large = np.full((2, 252, 448, 3), 100, np.uint8)
    thing = changed(1, slice(30, 35), slice(60, 65), 100, large)
    assert np.abs(thing.astype(int) - large).mean() < 0.02
    assert block_differences(large[1], thing[1]).max() == pytest.approx(25 * 100 / 784)
    assert not same(large, thing, 3)
    assert same(large, thing, 3.2)


def test_blocks_begin_at_the_top_left_and_the_last_ones_have_what_is_left() -> None:
    one, other = GREY[0], changed(0, slice(56, 70), slice(56, 60), 10)[0]
    found = block_differences(one, other)
    assert found.shape == (3, 3, 3), "70 x 60 pixels are 28 + 28 + 14 by 28 + 28 + 4"
    assert found[2, 2].tolist() == [10, 10, 10], "a small block is its own mean, and is not diluted"
    assert found[:2].max() == found[2, :2].max() == 0
    across = block_differences(one, changed(0, slice(27, 29), slice(0, 28), 28)[0])
    assert across[:2, 0, 0].tolist() == [1, 1], "what lies across an edge counts on either side"


def test_channels_count_by_themselves() -> None:
    redder = GREY.copy()
    redder[..., 0] += 3
    assert not same(GREY, redder, 2.9)
    assert same(GREY, redder, 3)


def test_changes_up_and_down_do_not_cancel() -> None:
    noisy = GREY.copy()
    noisy[:, ::2] += 4
    noisy[:, 1::2] -= 4
    assert not same(GREY, noisy, 3.9)
    assert same(GREY, noisy, 4)


def test_every_frame_is_compared_with_its_own() -> None:
    for number in range(len(GREY)):
        assert not same(GREY, changed(number, slice(0, 28), slice(0, 28), 5), 4)
    moving = np.stack([np.roll(changed(0, slice(0, 28), slice(0, 28), 50)[0], 7 * n, axis=1) for n in range(4)])
    assert same(moving, moving, 0), "what moves alike shows the same"
    assert not same(moving, moving[::-1].copy(), 4)


def test_other_sizes_and_numbers_of_frames_are_not_the_same() -> None:
    assert not same(GREY, GREY[:3], 255)
    assert not same(GREY, GREY[:, :56], 255)


def test_a_model_must_be_told_of_the_same_times() -> None:
    def at(within: float, late: float | np.ndarray) -> bool:
        return shows_same(clip(0), clip(1, late=late), within=within, temporal_patch=2)

    assert at(0, 0.0)
    assert not at(0, 0.1), "the time of a step stands in the prompt with one digit"
    assert at(2, 0.1 - 1e-9)
    assert not at(2, 0.11)
    assert not at(0, np.array([0, 0, 0, 0.2]))


@settings(max_examples=200, deadline=None)
@given(
    late=st.lists(st.floats(0, 0.2), min_size=1, max_size=7),
    start=st.integers(0, 400),
    temporal_patch=st.sampled_from([1, 2]),
)
def test_with_zero_prompts_tell_of_equal_times(late: list[float], start: int, temporal_patch: int) -> None:
    frames = np.zeros((len(late), 28, 28, 3), np.uint8)
    one, other = clip(0, frames), clip(start, frames, late=np.array(late))
    if not shows_same(one, other, within=0, temporal_patch=temporal_patch):
        return
    told = [
        (
            seconds_per_step(each.frames.pts_seconds.tolist(), temporal_patch),
            [f"{t:.1f}" for t in step_times(each.frames.pts_seconds.tolist(), each.clip.start_seconds, temporal_patch)],
        )
        for each in (one, other)
    ]
    assert told[0] == told[1]


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    seed=st.integers(0, 2**32 - 1),
    spread=st.integers(1, 255),
)
def test_the_formula_is_the_plain_one(height: int, width: int, seed: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    other = np.clip(one.astype(int) + rng.integers(-spread, spread + 1, one.shape), 0, 255).astype(np.uint8)
    found = block_differences(one, other)
    assert np.array_equal(found, block_differences(other, one))
    for row, top in enumerate(range(0, height, BLOCK_PIXELS)):
        for column, left in enumerate(range(0, width, BLOCK_PIXELS)):
            block = np.s_[top : top + BLOCK_PIXELS, left : left + BLOCK_PIXELS]
            plain = np.abs(one[block].astype(float) - other[block]).mean(axis=(0, 1))
            assert found[row, column] == pytest.approx(plain, abs=1e-9)
    assert found.shape[:2] == (-(-height // BLOCK_PIXELS), -(-width // BLOCK_PIXELS))


def find(clips: list[DecodedClip], still: StillClips, planned: PlannedVideo | None = None) -> list[DecodedClip]:
    finder = StillFinder(
        planned=planned or PlannedVideo(video=VIDEO, question_hashes=HASHES), still=still, temporal_patch=2
    )
    found: list[DecodedClip] = []
    for each in clips:
        found.append(finder.look(each, found))
    return found


def roots(clips: list[DecodedClip]) -> list[int | None]:
    return [None if each.same_as is None else each.same_as.clip_index for each in clips]


def test_clips_are_compared_with_the_one_that_is_asked_so_that_drift_cannot_creep() -> None:
    drifting = [clip(n, GREY + np.uint8(n)) for n in range(6)]
    assert roots(find(drifting, StillClips(within=2))) == [None, 0, 0, None, 3, 3]


def test_a_change_is_asked_and_so_is_the_way_back() -> None:
    person = changed(2, slice(0, 28), slice(0, 28), 80)
    shown = [GREY, GREY, person, GREY, GREY]
    assert roots(find([clip(n, one) for n, one in enumerate(shown)], StillClips(within=2))) == [None, 0, None, None, 3]


def test_pixels_travel_where_something_is_asked_and_only_there() -> None:
    brighter = GREY + np.uint8(1)
    clips = [clip(0), clip(1, brighter), clip(2, brighter)]
    plain = find(clips, StillClips(within=1))
    timed = find(clips, StillClips(within=1, timed=frozenset(HASHES[:1])))
    assert [each.has_pixels for each in plain] == [True, False, False]
    assert [each.same_as.asked for each in timed if each.same_as] == [HASHES[:1], HASHES[:1]]
    for found, levels in ((plain, [100, 100, 100]), (timed, [100, 101, 101])):
        unit = DecodedUnit(video=VIDEO, question_hashes=HASHES, attempts=(1, 1), decoder="pyav-1", clips=tuple(found))
        (back,) = DecodedUnit.from_table(to_table([unit], DECODED))
        assert [int(each.frames.frames_THWC.max()) for each in back.clips] == levels
        assert [each.same_as for each in back.clips] == [each.same_as for each in found]
        assert [each.frames.pts_seconds.tolist() for each in back.clips] == [
            each.frames.pts_seconds.tolist() for each in clips
        ]
        assert len(unit.to_row()["frames"]) == unit.frame_bytes == GREY.nbytes * (1 if found is plain else 3)


def test_rows_of_the_audit_sample_are_asked_and_no_others() -> None:
    audit = AuditSample(rate=0.4)
    still = StillClips(within=0, audit=audit)
    found = find([clip(n) for n in range(40)], still)
    expected = [
        tuple(one for one in HASHES if audit.rank_if_in(f"{VIDEO.video_id}/{n}", one) is not None) for n in range(40)
    ]
    assert [each.same_as.asked for each in found if each.same_as] == expected[1:]
    assert {(), HASHES} < {*expected}


def test_which_clips_are_one_unit_does_not_depend_on_which_rows_are_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framegate.pipelines.decode.still.MAX_KEPT_BYTES", 5 * GREY.nbytes)
    clips = [clip(n) for n in range(30)]
    by_salt = [roots(find(clips, StillClips(within=0, audit=AuditSample(rate=0.1, salt=salt)))) for salt in "abcdef"]
    assert all(one == by_salt[0] for one in by_salt)
    assert by_salt[0][1:26] == [0] * 25, "of each clip a fifth is expected to stay: 25 of them are five"
    assert by_salt[0][26:] == [None] * 4
    assert MAX_KEPT_BYTES > 19_100_000, "a clip of 4,096 video tokens fits"


def test_of_rows_that_are_deepened_only_those_with_the_same_first_answer_go_along() -> None:
    given = GivenAnswer(token_ids=(1, 2), answer_first="yes", confidence=0.9)
    wanted = {(n, one): given for n in range(3) for one in HASHES}
    wanted[1, HASHES[1]] = replace(given, answer_first="no")
    wanted[2, HASHES[0]] = replace(given, attempt=2, audit_rank=0.5)
    planned = PlannedVideo(video=VIDEO, question_hashes=HASHES, wanted=wanted)
    found = find([clip(n) for n in range(3)], StillClips(within=0), planned)
    assert [each.same_as.asked for each in found if each.same_as] == [HASHES[1:], ()]
