"""Films whose containers lie: each ends in clips, in one failure with a documented reason, or in clips and then that.

    FRAMEGATE_FUZZ=500 .venv/bin/pytest tests/decode/test_structured_fuzz.py -s                 # 500 of each container
    FRAMEGATE_FUZZ=1 FRAMEGATE_FUZZ_SEED=1234 ... -k mp4                                        # that film alone

Films that once ended wrongly are run each time. A change of `tests/decode/structured` makes other films of their seeds:
each fault has a test of its own beside, where its cause is.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import pytest

from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.stage import DecodeStage
from framegate.schemas.config import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.tables import DECODED
from framegate.schemas.unit import DecodedClip, DecodedUnit, to_table
from tests.decode.corpus_run import SMALL, Holdings, clips_of, holdings, leaked, planned, rss_mib
from tests.decode.structured import matroska, mp4, ogg, riff, transport

NUM_FILMS: Final = int(os.environ.get("FRAMEGATE_FUZZ", "20"))  # of each container
FIRST_SEED: Final = int(os.environ.get("FRAMEGATE_FUZZ_SEED", "0"))
# A false clock makes a film of days out of one of seconds, which is decoded until its time is up.
LIMITS: Final = DecodeConfig(
    open_seconds=5, frame_seconds=5, video_seconds=6, memory_mib=512, max_pixels=2048 * 2048, recycle_videos=200
)
# What waits for storage, for a core or for a new process is not counted by the limits of a video.
MAX_SECONDS: Final = 2 * LIMITS.video_seconds + 30
MAX_GROWTH_MIB: Final = 64
PROCESS_MIB: Final = 256  # of a decoder's process, its libraries among it, before it opens a film
CONTAINERS: Final[dict[str, Callable[[random.Random], tuple[bytes, str]]]] = {
    "mp4": mp4.damaged,
    "matroska": matroska.damaged,
    "mpegts": transport.damaged,
    "avi": riff.damaged,
    "ogg": ogg.damaged,
}
# Seeds of films that once ended wrongly.
ONCE_WRONG: Final[dict[str, tuple[int, ...]]] = {
    "mp4": (1006, 1032),
    "matroska": (5182,),
    "mpegts": (1015, 1072, 1093, 8096, 8198),
    "avi": (91, 2036),
    "ogg": (2036, 2041, 2105),
}
# What lies in a file, or in what it does to a decoder; the other reasons are of storage, plans and engines.
REASONS: Final = {
    "empty", "not_video", "playlist", "no_video_stream", "truncated", "too_large", "unsupported_codec", "decode_error",
    "times_restart", "decode_timeout", "decoder_crash", "memory_limit",
}  # fmt: skip
# How a failure begins that is a fault of ours: no error of a reader was mapped, or its answer was beyond its limits.
FAULTS: Final = ("unforeseen way", "cannot be right", "Traceback")


def make_stage(*, scenes: bool) -> DecodeStage:
    clips = ClipsConfig(seconds=1.0, scenes=True) if scenes else ClipsConfig(seconds=1.0)
    frames = FramesConfig.model_validate({**SMALL, "decoder": "pyav"})
    return DecodeStage(policy=Policy(frames=frames, clips=clips), decode=LIMITS, storage_options={})


def flaws_of(units: list[DecodedUnit]) -> list[str]:
    """What is wrong with how a film ended; nothing where it is as promised."""
    flaws: list[str] = []

    def expect(is_right: bool, flaw: object) -> None:
        if not is_right:
            flaws.append(str(flaw))

    if not units:
        return ["a planned film has vanished"]
    clips, failure = clips_of(units), units[-1].failure
    expect(all(unit.failure is None and unit.clips for unit in units[:-1]), "a failure is not the last unit")
    if failure is not None:
        expect(not units[-1].clips, "a failure has clips")
        expect(failure.reason in REASONS <= REASON_MEANINGS.keys(), f"reason {failure.reason}")
        expect(failure.stage == "decode" and failure.message.endswith("."), f"no sentence: {failure}")
        expect(failure.message.isprintable() and len(failure.message) < 2000, f"message {failure.message!r}")
        expect(not any(fault in failure.message for fault in FAULTS), f"{failure.reason}: {failure.message}")
        first = units[-1].failed_clip_index
        expect(first == len(clips) if clips else first in (None, 0), f"failed at {first} after {len(clips)} clips")
        expect((units[-1].failed_bytes_read or 0) >= 0, "negative bytes")
    expect([c.clip.index for c in clips] == list(range(len(clips))), "indexes of clips")
    lasts = [n for n, decoded in enumerate(clips) if decoded.is_last]
    expect(lasts == ([] if failure is not None else [len(clips) - 1]), f"is_last at {lasts} of {len(clips)}, {failure}")
    starts = [decoded.clip.start_seconds for decoded in clips]
    expect(starts == sorted(set(starts)), "clips do not ascend")
    for decoded in clips:
        flaws += _flaws_of_clip(decoded)
    for unit in units:
        if unit.clips:
            known = unit.video_clips
            expect(known is not None and math.isfinite(known) and known > 0, f"video_clips {known}")
        if unit.facts is not None:
            facts = unit.facts
            expect(0 < facts.duration_seconds <= LIMITS.max_duration_seconds, f"duration {facts.duration_seconds}")
            expect(facts.fps is None or 0 < facts.fps < math.inf, f"fps {facts.fps}")
            expect(min(facts.height, facts.width) >= 1, f"sides {facts.height}, {facts.width}")
    return flaws


def _flaws_of_clip(decoded: DecodedClip) -> list[str]:
    flaws = []
    clip, frames, pts = decoded.clip, decoded.frames.frames_THWC, decoded.frames.pts_seconds
    if not (0 <= clip.start_seconds < clip.end_seconds < math.inf):
        flaws.append(f"clip from {clip.start_seconds} to {clip.end_seconds}")
    if not np.isfinite(pts).all() or (np.diff(pts) <= 0).any() or pts[0] >= clip.end_seconds:
        flaws.append(f"clip {clip.index} until {clip.end_seconds}: times {pts.tolist()}")
    if not 1 <= len(frames) == len(pts) <= SMALL["max_frames"] or frames.shape[3] != 3:
        flaws.append(f"clip {clip.index}: {frames.shape}, {len(pts)} times")
    if decoded.bytes_read < 0:
        flaws.append(f"clip {clip.index}: {decoded.bytes_read} bytes")
    return flaws


def peak_mib(children: frozenset[int]) -> float:
    """The most memory that a process of these has held."""
    peaks = [0.0]
    for pid in children:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except FileNotFoundError:
            continue
        peaks += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    return max(peaks)


@pytest.mark.parametrize("container", [mp4, matroska, riff], ids=lambda container: container.__name__.split(".")[-1])
@pytest.mark.parametrize("is_fixed", [False, True])
def test_a_film_that_is_not_damaged_is_written_as_it_was(container: ModuleType, is_fixed: bool) -> None:
    for data in container.films():
        root = container.parse(data)
        assert b"".join(container.write(part, is_fixed=is_fixed) for part in root.children) == data


def test_pages_of_ogg_that_are_not_damaged_are_written_as_they_were() -> None:
    for data in ogg.films():
        assert b"".join(ogg.write(page, is_valid=True) for page in ogg.parse(data)) == data


@dataclass(frozen=True)
class Stages:
    """Two stages, of clips of a second and of scenes, and what the process held before them."""

    seconds: DecodeStage
    scenes: DecodeStage
    before: Holdings


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    """One decoder's process each for the films of all containers. Nothing is left of them."""
    stages = Stages(before=holdings(), seconds=make_stage(scenes=False), scenes=make_stage(scenes=True))
    yield stages
    stages.seconds.close()
    stages.scenes.close()
    assert leaked(stages.before, holdings()) == []


@pytest.mark.parametrize("container", CONTAINERS)
def test_films_whose_containers_lie_end_as_promised(container: str, stages: Stages, tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    seeds = [*ONCE_WRONG.get(container, ()), *range(FIRST_SEED, FIRST_SEED + NUM_FILMS)]
    began = time.monotonic()
    wrong: list[str] = []
    ends: Counter[str] = Counter()
    highest_mib = at_first_mib = 0.0
    for number, seed in enumerate(seeds):
        data, told = CONTAINERS[container](random.Random(seed))
        path.write_bytes(data)
        started = time.monotonic()
        units = [*(stages.scenes if seed % 4 == 3 else stages.seconds).decode(planned(path))]
        seconds = time.monotonic() - started
        flaws = flaws_of(units)
        assert [*DecodedUnit.from_table(to_table(units, DECODED))]  # they fit into rows
        if seconds > MAX_SECONDS:
            flaws.append(f"{seconds:.1f} s")
        if path.read_bytes() != data or [*tmp_path.iterdir()] != [path]:
            flaws.append("something was written")
        peak = peak_mib(holdings().children - stages.before.children)
        if peak > LIMITS.memory_mib + PROCESS_MIB:
            flaws.append(f"the decoder's process held {peak:.0f} MiB")
        wrong += [f"{container} film {seed} ({told[:300]}): {flaw}" for flaw in flaws]
        failure = units[-1].failure if units else None
        end = "clips" if failure is None else failure.reason if not clips_of(units) else f"clips, {failure.reason}"
        ends[end] += 1
        if (
            NUM_FILMS > 100
            and failure is not None
            and end.split()[-1] in ("decoder_crash", "decode_timeout", "memory_limit")
        ):
            print(f"{container} film {seed} ({told[:200]}): {end} in {seconds:.1f} s: {failure.message}")
        if number == min(50, len(seeds) // 2):
            at_first_mib = rss_mib()
        highest_mib = max(highest_mib, rss_mib())
    # A whole film is decoded after all that.
    path.write_bytes(mp4.films()[0])
    for stage in (stages.seconds, stages.scenes):
        (unit,) = stage.decode(planned(path))
        assert unit.failure is None
        assert unit.clips[-1].is_last
    print(f"{container}: {len(seeds)} films in {time.monotonic() - began:.0f} s: {dict(ends.most_common())}")
    assert not wrong, "\n".join(wrong)
    assert highest_mib - at_first_mib < MAX_GROWTH_MIB
    assert len(ends) >= 2 or NUM_FILMS < 20
