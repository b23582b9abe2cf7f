"""The time that a run has left is right half way through, whatever its videos are like."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest

from framegate.pipelines.commit.journal import Receipt
from framegate.pipelines.driver.tally import Tally
from framegate.pipelines.plan.parts import order_work
from framegate.schemas.keys import id_text
from tests.planned import planned

QUESTIONS = ("a" * 16, "b" * 16, "c" * 16)
UNIT_CLIPS = 8
MB = 10**6


@dataclass
class Clock:
    """Seconds that go on when a simulation says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, kw_only=True)
class Film:
    """One video. `announced`: the clips that its header tells of, where that is wrong. `breaks_at`: the first clip
    without frames. `stored`: clips of which all questions are answered already."""

    clips: int
    size_bytes: int
    questions: tuple[str, ...] = QUESTIONS
    announced: int | None = None
    breaks_at: int | None = None
    stored: int = 0


@dataclass
class Simulation:
    """Units of films, decoded and asked by several engines at once, by a clock of its own.

    A unit takes an engine 1 s for each clip and 0.5 s for each question of it; starting takes 300 s.
    """

    films: list[Film]
    num_engines: int = 4
    num_decoders: int = 2
    slow_after: float | None = None
    is_expected: Iterable[int] | None = None
    clock: Clock = field(default_factory=Clock)

    def plan(self) -> pa.Table:
        return planned(
            range(len(self.films)),
            sizes_bytes={number: film.size_bytes for number, film in enumerate(self.films)},
            questions={number: film.questions for number, film in enumerate(self.films)},
            done={
                number: [(clip, question) for clip in range(film.stored) for question in film.questions]
                for number, film in enumerate(self.films)
            },
        )

    def units(self, videos: pa.Table) -> deque[tuple[int, Receipt]]:
        """Clips in work, and the receipt, in the order in which decode workers hand them over."""
        work = order_work(videos, num_workers=self.num_decoders, is_shared=True).to_pylist()
        streams = deque(iter(self._units_of(row)) for row in work)
        at_once, handed = deque(streams.popleft() for _ in range(min(self.num_decoders, len(streams)))), deque()
        while at_once:
            stream = at_once.popleft()
            unit = next(stream, None)
            if unit is not None:
                handed.append(unit)
                at_once.append(stream)
            elif streams:
                at_once.append(streams.popleft())
        return handed

    def _units_of(self, row: Mapping[str, int]) -> Iterable[tuple[int, Receipt]]:
        number = int(row["video_id"], 16)
        film = self.films[number]
        groups = [range(n, min(n + UNIT_CLIPS, film.clips)) for n in range(0, film.clips, UNIT_CLIPS)]
        first, end = (part * len(groups) // row["num_parts"] for part in (row["part"], row["part"] + 1))
        for group in groups[first:end]:
            end_of_film = film.clips if film.breaks_at is None else film.breaks_at
            clips = [clip for clip in group if film.stored <= clip < end_of_film]
            if clips:
                is_last = clips[-1] == film.clips - 1
                yield (
                    len(clips),
                    receipt(
                        number,
                        num_clips=len(clips),
                        num_answers=len(clips) * len(film.questions),
                        video_clips=float(film.clips if is_last else film.announced or film.clips),
                        has_last=is_last,
                    ),
                )
        if film.breaks_at is not None and row["part"] == 0:
            yield 0, receipt(number, num_failures=1, undecoded=True)

    def run(self) -> list[tuple[float, float | None]]:
        """For each receipt its time since the first began to be worked on, and the time left that was told then."""
        videos = self.plan()
        tally = Tally(videos, clock=self.clock)
        if self.is_expected is not None:
            videos = videos.take(pa.array(self.is_expected))
            tally.expect(videos)
        waiting, told = self.units(videos), list[tuple[float, float | None]]()
        began = self.clock.now = self.clock.now + 300.0
        free: list[float] = [began] * self.num_engines
        done: list[tuple[float, int, Receipt]] = []
        for place in range(len(waiting)):
            num_clips, came = waiting.popleft()
            at = heapq.heappop(free)
            slower = 3 if self.slow_after is not None and at - began > self.slow_after else 1
            at += slower * (num_clips + 0.5 * came.num_answers)
            heapq.heappush(free, at)
            done.append((at, place, came))
        for at, _, came in sorted(done, key=lambda each: each[:2]):
            self.clock.now = at
            tally.add(came)
            pace = tally.pace()
            told.append((at - began, None if pace is None else pace.seconds_left()))
        return told


def receipt(number: int, **values: object) -> Receipt:
    shared = {"video_id": id_text(number), "created": True, "undecoded": False, "failure_reason": None}
    return Receipt(**{**shared, **values})  # type: ignore[arg-type]


def error_at_half(told: list[tuple[float, float | None]]) -> float:
    """By which share of what was really left the time told at half time was wrong."""
    total = told[-1][0]
    at, left = next((at, left) for at, left in told if at >= total / 2)
    assert left is not None
    return abs(left - (total - at)) / (total - at)


def unequal(seed: int, number: int = 120) -> list[Film]:
    """Videos of 1 to 400 clips, most of them short, each of its own bit rate."""
    random = np.random.default_rng(seed)
    clips = np.clip(random.lognormal(2.5, 1.2, number), 1, 400).astype(int)
    rates = random.lognormal(0, 0.3, number) * 4 * MB
    return [Film(clips=int(count), size_bytes=int(count * rate)) for count, rate in zip(clips, rates, strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_videos_of_unequal_numbers_of_clips(seed: int) -> None:
    assert error_at_half(Simulation(unequal(seed)).run()) < 0.2


@pytest.mark.parametrize("num_engines", [1, 3])
def test_one_long_video_in_parts(num_engines: int) -> None:
    told = Simulation([Film(clips=1200, size_bytes=4000 * MB)], num_engines=num_engines).run()
    assert error_at_half(told) < 0.1


def test_a_long_video_beside_many_short_ones() -> None:
    films = [Film(clips=600, size_bytes=2400 * MB), *unequal(3, 60)]
    assert error_at_half(Simulation(films).run()) < 0.2


@pytest.mark.parametrize("seed", range(4))
def test_videos_that_were_done_in_part_before(seed: int) -> None:
    random = np.random.default_rng(100 + seed)
    films = [
        Film(clips=film.clips, size_bytes=film.size_bytes, stored=int(film.clips * random.choice([0, 0, 0.5, 0.9])))
        for film in unequal(seed)
    ]
    assert error_at_half(Simulation(films).run()) < 0.2


@pytest.mark.parametrize("seed", range(4))
def test_videos_that_miss_other_questions(seed: int) -> None:
    random = np.random.default_rng(200 + seed)
    films = [
        Film(clips=film.clips, size_bytes=film.size_bytes, questions=QUESTIONS[: int(random.integers(1, 4))])
        for film in unequal(seed)
    ]
    assert error_at_half(Simulation(films).run()) < 0.2


@pytest.mark.parametrize("seed", range(4))
def test_headers_that_are_wrong_and_videos_that_break_off_or_are_none(seed: int) -> None:
    random = np.random.default_rng(300 + seed)
    films = []
    for film in unequal(seed):
        kind = random.integers(0, 6)
        films.append(
            Film(
                clips=film.clips,
                size_bytes=film.size_bytes,
                announced=film.clips * 2 if kind == 0 else None,
                breaks_at=film.clips // 3 if kind == 1 else 0 if kind == 2 else None,
            )
        )
    assert error_at_half(Simulation(films).run()) < 0.2


def test_an_engine_that_becomes_slower_is_noticed() -> None:
    told = Simulation(unequal(5), slow_after=100.0).run()
    assert error_at_half(told) < 0.2


def test_what_another_run_does_is_not_waited_for() -> None:
    films = unequal(6, 240)
    assert error_at_half(Simulation(films, is_expected=range(0, len(films), 2)).run()) < 0.2


def test_nothing_is_left_at_the_end() -> None:
    for films in (unequal(1), [Film(clips=9, size_bytes=1, announced=50)], [Film(clips=9, size_bytes=1, breaks_at=3)]):
        assert Simulation(films).run()[-1][1] in (0, None)


def test_a_run_that_hangs_does_not_come_nearer_to_its_end() -> None:
    clock = Clock()
    tally = Tally(planned([1]), clock=clock)
    assert tally.pace() is None
    for _ in range(5):
        clock.now += 10
        tally.add(receipt(1, num_answers=4, video_clips=20.0))
    pace = tally.pace()
    assert pace is not None
    assert (pace.rows_per_second, pace.num_rows_left) == (0.4, 20)
    assert pace.seconds_left() == 50
    assert pace.seconds_left(since_seconds=20) > 50


def test_a_million_receipts_are_remembered_in_samples() -> None:
    clock = Clock()
    tally = Tally(planned([1]), clock=clock)
    for _ in range(20_000):
        clock.now += 1
        tally.add(receipt(1, num_answers=2, video_clips=1e6))
    pace = tally.pace()
    assert pace is not None
    assert pace.rows_per_second == pytest.approx(2)
    assert pace.seconds == pytest.approx(10_000, rel=0.02)


def test_units_that_are_heard_of_at_once_tell_no_speed() -> None:
    clock = Clock()
    tally = Tally(planned([1]), clock=clock)
    for _ in range(12):
        clock.now += 0.001
        tally.add(receipt(1, num_answers=8, video_clips=100))
    pace = tally.pace()
    assert pace is None or pace.seconds is None or pace.seconds >= 1
    clock.now += 2
    tally.add(receipt(1, num_answers=8, video_clips=100))
    pace = tally.pace()
    assert pace is not None
    assert pace.rows_per_second is not None
    assert pace.rows_per_second < 100
