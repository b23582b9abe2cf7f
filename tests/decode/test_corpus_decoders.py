"""Decoders that hang, crash, leak or lie cost the video, and nothing else: the next one is decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from framegate.pipelines.decode.readers.reader import DECODERS, Decoder
from framegate.pipelines.decode.stage import DecodeStage
from framegate.schemas.clip import Refusal
from framegate.schemas.unit import DecodedUnit
from tests.decode import corpus_decoders
from tests.decode.corpus_decoders import misbehaving
from tests.decode.corpus_films import film
from tests.decode.corpus_run import clips_of, decode_all, holdings, leaked, make_stage, planned, reason_of

ENDS = {
    "hang_with_the_lock": "decode_timeout",
    "spin": "decode_timeout",
    "crash": "decoder_crash",
    "abort": "decoder_crash",
    "leave": "decoder_crash",
    "leave_politely": "decoder_crash",
    "hoard": "memory_limit",
    "ask_for_too_much": "memory_limit",
    "recurse": "decode_error",
    "babble": "decoder_crash",
    "open_a_file": "decode_error",
    "call_someone": "decode_error",
    "start_a_program": "decode_error",
}
LIES = {"count_wrongly", "wrong_shape", "wrong_times", "no_times"}


@pytest.fixture(scope="module")
def stage() -> Iterator[DecodeStage]:
    """One host for all: whatever one video breaks, the next must find whole."""
    with pytest.MonkeyPatch.context() as patches:
        patches.syspath_prepend(Path(corpus_decoders.__file__).parent)
        patches.setitem(DECODERS, "pyav", Decoder(package="av", reader="corpus_decoders:ObeysTheFile"))
        stage = make_stage("pyav", open_seconds=2, frame_seconds=2, video_seconds=3, memory_mib=256)
        yield stage
        stage.close()


@pytest.fixture
def decode(stage: DecodeStage, tmp_path: Path):
    """What becomes of a file that makes its decoder misbehave; the good video after it must be whole."""

    def run(word: str) -> list[DecodedUnit]:
        (tmp_path / "bad.mp4").write_bytes(misbehaving(film(seconds=8), word))
        (tmp_path / "good.mp4").write_bytes(film())
        found = decode_all(stage, [planned(tmp_path / "bad.mp4"), planned(tmp_path / "good.mp4")])
        assert (reason_of(found["good"]), len(clips_of(found["good"]))) == (None, 2)
        return found["bad"]

    return run


@pytest.mark.parametrize("word", ENDS)
def test_what_goes_wrong_in_opening_ends_the_video(word: str, decode) -> None:
    units = decode(f"open_and_{word}")
    assert (reason_of(units), clips_of(units)) == (ENDS[word], [])
    assert units[-1].failure.message.endswith(".")


@pytest.mark.parametrize("word", ENDS)
def test_what_goes_wrong_later_leaves_the_clips_before_it(word: str, decode) -> None:
    units = decode(word)
    assert reason_of(units) == ENDS[word]
    assert [decoded.clip.index for decoded in clips_of(units)] == [0]
    assert units[-1].failed_clip_index == 1


@pytest.mark.parametrize("word", sorted(LIES))
def test_what_cannot_be_true_is_not_believed(word: str, decode) -> None:
    units = decode(word)
    assert reason_of(units) in ("decode_error", "decoder_crash")
    assert clips_of(units) == []


def test_a_decoder_that_is_slow_in_all_it_does_runs_out_of_time(decode) -> None:
    """Each clip comes in time, the video does not."""
    units = decode("one_by_one")
    assert reason_of(units) == "decode_timeout"
    assert 1 <= len(clips_of(units)) <= 3


def test_warnings_without_end_do_not_stop_a_decoder(decode) -> None:
    units = decode("chatter")
    assert (reason_of(units), len(clips_of(units))) == (None, 4)


def test_nothing_is_left_of_decoders_that_were_ended(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patches:
        patches.syspath_prepend(Path(corpus_decoders.__file__).parent)
        patches.setitem(DECODERS, "pyav", Decoder(package="av", reader="corpus_decoders:ObeysTheFile"))
        words = ["crash", "open_and_hang_with_the_lock", "hoard", "babble"]
        for word in words:
            (tmp_path / f"{word}.mp4").write_bytes(misbehaving(film(), word))
        before = holdings()
        stage = make_stage("pyav", open_seconds=0.5, frame_seconds=0.5, memory_mib=128)
        found = decode_all(stage, [planned(tmp_path / f"{word}.mp4") for word in words])
        stage.close()
        after = holdings()
    assert {reason_of(units) for units in found.values()} == {"decoder_crash", "decode_timeout", "memory_limit"}
    assert leaked(before, after) == []


def test_a_source_that_changes_vanishes_or_is_refused_ends_in_its_reason(stage: DecodeStage, tmp_path: Path) -> None:
    for name in ("changed", "gone", "refused", "good"):
        (tmp_path / f"{name}.mp4").write_bytes(film())
    refusal = Refusal(reason="unsafe_member", message="The member is a link.")
    work = [
        planned(tmp_path / "changed.mp4"),
        planned(tmp_path / "gone.mp4"),
        planned(tmp_path / "refused.mp4", refusal=refusal),
        planned(tmp_path / "good.mp4"),
    ]
    (tmp_path / "changed.mp4").write_bytes(film(seconds=6))
    os.unlink(tmp_path / "gone.mp4")
    found = decode_all(stage, work)
    assert {name: reason_of(units) for name, units in found.items()} == {
        "changed": "source_changed",
        "gone": "source_gone",
        "refused": "unsafe_member",
        "good": None,
    }
