"""A decoder is known by its frames: not by its version, and not by the machine that rounds a colour up or down."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.decode import golden
from framegate.pipelines.decode.golden import TOLERANCE, describe_decoder
from framegate.pipelines.decode.readers.reader import DECODERS
from framegate.schemas.errors import DecodeFailed, UnsupportedCodec

KNOWN = {"pyav": "6bc2cec033b00e31", "decord": "80d085ee68281a51"}


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    describe_decoder.cache_clear()
    yield
    describe_decoder.cache_clear()


def change_frames(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    plain = golden.decode_film
    monkeypatch.setattr(golden, "decode_film", lambda *args: change(*plain(*args)))


def brighter(by: int, frames: np.ndarray, pts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (frames.astype(int) + by).clip(0, 255).astype(np.uint8), pts


def test_every_decoder_makes_the_frames_that_are_packaged() -> None:
    """Where this fails after an update of a decoder, it decodes otherwise, and every job has another config_id."""
    assert {name: describe_decoder(name)["golden_frames"] for name in DECODERS} == KNOWN


def test_a_version_counts_as_far_as_its_first_number(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_decoder("pyav")
    for version, is_same in (("18.9.9", True), ("19.0.0", False)):
        describe_decoder.cache_clear()
        monkeypatch.setattr(golden, "decoder_version", lambda name, version=version: version)
        assert (describe_decoder("pyav") == before) is is_same


def test_rounding_does_not_count_and_other_frames_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for by, is_same in ((TOLERANCE, True), (TOLERANCE + 1, False)):
        describe_decoder.cache_clear()
        with monkeypatch.context() as changed:
            change_frames(changed, partial(brighter, by))
            assert (describe_decoder("pyav")["golden_frames"] == KNOWN["pyav"]) is is_same


@pytest.mark.parametrize(
    "change",
    [
        lambda frames, pts: (frames[:, ::-1], pts),
        lambda frames, pts: (frames[..., ::-1], pts),
        lambda frames, pts: (np.roll(frames, 1, axis=0), pts),
        lambda frames, pts: (frames[:-1], pts[:-1]),
        lambda frames, pts: (frames, pts + 0.04),
    ],
    ids=["upside down", "colours", "order", "one less", "times"],
)
def test_what_another_decoder_would_do_is_seen(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    change_frames(monkeypatch, change)
    assert describe_decoder("pyav")["golden_frames"] != KNOWN["pyav"]


def test_a_film_that_cannot_be_decoded_counts_by_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    for error in (UnsupportedCodec("no such codec"), DecodeFailed("broken")):

        def fail(*args: Any, error: Exception = error) -> Any:
            raise error

        describe_decoder.cache_clear()
        monkeypatch.setattr(golden, "decode_film", fail)
        seen.add(describe_decoder("pyav")["golden_frames"])
    assert len(seen | set(KNOWN.values())) == 4
