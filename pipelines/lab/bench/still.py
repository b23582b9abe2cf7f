"""`bench still`: what taking over answers saves on cameras that see little, and what it misses.

Nights are made here: a fixed yard with the noise of a sensor, rain in a quarter of the night, and a person in an
orange jacket who walks through for 4 seconds, as H.264. Each film is run once with every clip asked and once for each
`same_within`, in this process, with our own engine and the small model that comes with the package. On made nights an
engine without weights answers by the pixels what is there, of every clip: a row that takes over its answer is held
against what the pixels of its own clip say.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pyarrow.dataset as ds

from framegate.pipelines import flow
from framegate.pipelines.lab.bench.certificate.confirmation import check_complete
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.job import Job, parse_job

HEIGHT, WIDTH, FPS = 252, 448, 8
NOISE: Final = 3.0  # standard deviation of each pixel before it is coded, in grey levels
PERSON_SECONDS: Final = 4.0
RAIN_SHARE: Final = 0.25  # of a night
JACKET: Final = (200, 110, 30)

QUESTIONS: Final = [
    {"id": "person", "type": "yes_no", "text": "Is a person in the picture?"},
    {"id": "rain", "type": "yes_no", "text": "Is it raining?"},
]

_Row = tuple[str, int, str]


@dataclass(frozen=True, kw_only=True)
class StillFigures:
    """Of all films at one `same_within`; None: every clip is asked.

    copied_share      of answers, those that were taken over
    engine_seconds    that our own engine was busy; `film_hours_per_engine_hour` by it
    num_different     answers of the small model that are others than where every clip is asked
    num_wrong         of made nights: taken-over answers that the pixels of their own clip contradict; None: not made
    num_missed        of these, clips with a person that are said to have none
    num_person_clips  clips that a person is in
    """

    same_within: float | None
    num_clips: int
    film_hours: float
    copied_share: float
    engine_seconds: float
    film_hours_per_engine_hour: float
    num_different: int
    num_wrong: int | None
    num_missed: int | None
    num_person_clips: int | None


def make_night(path: Path, *, seconds: float, seed: int) -> None:
    """A film of FPS frames a second. The person comes at a time of the seed, the rain in another stretch."""
    rng = np.random.default_rng(seed)
    yard = _make_yard(rng)
    person_at = float(rng.uniform(0.05, 0.6)) * seconds
    rain_at = float(rng.uniform(0.65, 1 - RAIN_SHARE)) * seconds
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "26", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * FPS)):
            at = number / FPS
            picture = yard.copy()
            if person_at <= at < person_at + PERSON_SECONDS:
                _draw_person(picture, (at - person_at) / PERSON_SECONDS)
            if rain_at <= at < rain_at + RAIN_SHARE * seconds:
                _draw_rain(picture, rng)
            picture += rng.normal(0, NOISE, (HEIGHT, WIDTH, 1)).astype(np.float32)
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _make_yard(rng: np.random.Generator) -> np.ndarray:
    """float32 (H, W, 3): a dark slope of light with walls, none of it orange."""
    light = np.linspace(25, 70, WIDTH, dtype=np.float32)[None, :, None]
    yard = np.repeat(np.repeat(light, HEIGHT, axis=0), 3, axis=2)
    for _ in range(14):
        top, left = int(rng.integers(0, HEIGHT - 40)), int(rng.integers(0, WIDTH - 60))
        yard[top : top + int(rng.integers(15, 40)), left : left + int(rng.integers(20, 60))] += rng.uniform(-15, 25)
    return yard


def _draw_person(picture: np.ndarray, way: float) -> None:
    """Someone of 12 x 30 pixels; `way` from 0 to 1 is from the left edge to the right one."""
    left, top = round(way * (WIDTH - 12)), HEIGHT // 2
    picture[top : top + 18, left : left + 12] = JACKET
    picture[top + 18 : top + 30, left + 2 : left + 10] = 20


def _draw_rain(picture: np.ndarray, rng: np.random.Generator) -> None:
    for _ in range(120):
        top, left = int(rng.integers(0, HEIGHT - 12)), int(rng.integers(0, WIDTH))
        picture[top : top + 12, left] += 45


def measure_still(
    films: Sequence[Path], folder: Path, *, within: Sequence[float], clip_seconds: float, fps: float, made: bool
) -> Iterator[StillFigures]:
    """Figures of `None` first, then of each of `within`. `folder` gets the outputs and has to be empty of them.

    Raises FramegateError.
    """
    truth = _answers(_run(films, folder / "truth", None, clip_seconds, fps, by_pixels=True)) if made else None
    everything: dict[_Row, str | None] | None = None
    for value in (None, *within):
        rows = _run(films, folder / f"within-{value}", value, clip_seconds, fps)
        everything = everything or _answers(rows)
        yield _figures(value, rows, everything, truth)


def _run(
    films: Sequence[Path],
    output: Path,
    within: float | None,
    clip_seconds: float,
    fps: float,
    *,
    by_pixels: bool = False,
) -> list[dict[str, Any]]:
    shutil.rmtree(output, ignore_errors=True)
    summary = flow.run(
        _job(films, output, within, clip_seconds, fps),
        in_process=True,
        engine_factory=(lambda: ScriptedEngine(say_what_is_there)) if by_pixels else None,
    )
    check_complete(summary)
    return ds.dataset(str(output / "results"), format="parquet").to_table().to_pylist()


def _job(films: Sequence[Path], output: Path, within: float | None, clip_seconds: float, fps: float) -> Job:
    return parse_job(
        {
            "input": {"videos": [str(film) for film in films]},
            "questions": QUESTIONS,
            "model": {"name": "dock"},
            "output": {"uri": str(output)},
            "clips": {"seconds": clip_seconds, **({} if within is None else {"same_within": within})},
            "frames": {"fps": fps, "min_frame_pixels": 28 * 28, "max_frame_pixels": HEIGHT * WIDTH // 4},
            "gate": {"strategy": "direct", "max_answer_tokens": 16},
        }
    )


def say_what_is_there(ask: Ask) -> Sequence[Written]:
    """By the pixels: a person is orange, and rain differs from frame to frame in many places at once."""
    frames = ask.clip.frames.frames_THWC.astype(np.int16)
    if ask.question.id == "person":
        is_there = bool(((frames[..., 0] - frames[..., 2] > 60).sum(axis=(1, 2)) >= 20).any())
    else:
        brighter = (np.diff(frames[..., 1], axis=0) > 8).mean(axis=(1, 2))
        is_there = bool(len(brighter) and float(np.median(brighter)) > 0.002)
    return [("\\boxed{", -0.001), ("yes" if is_there else "no", -0.001), ("}", -0.001)]


def _key(row: Mapping[str, Any]) -> _Row:
    return row["video_id"], row["clip_index"], row["question_id"]


def _answers(rows: Sequence[Mapping[str, Any]]) -> dict[_Row, str | None]:
    return {_key(row): row["answer"] for row in rows}


def _figures(
    within: float | None,
    rows: Sequence[Mapping[str, Any]],
    everything: Mapping[_Row, str | None],
    truth: Mapping[_Row, str | None] | None,
) -> StillFigures:
    copied = [row for row in rows if row["copied_from"] is not None]
    clips = {(row["video_id"], row["clip_index"]): row["end_seconds"] - row["start_seconds"] for row in rows}
    engine_seconds, film_hours = sum(row["engine_seconds"] for row in rows), sum(clips.values()) / 3600
    told = {} if truth is None else truth
    wrong = [row for row in copied if told.get(_key(row)) != told.get(_key({**row, "clip_index": row["copied_from"]}))]
    missed = [row for row in wrong if row["question_id"] == "person" and told.get(_key(row)) == "yes"]
    return StillFigures(
        same_within=within,
        num_clips=len(clips),
        film_hours=film_hours,
        copied_share=len(copied) / len(rows),
        engine_seconds=engine_seconds,
        film_hours_per_engine_hour=film_hours * 3600 / engine_seconds,
        num_different=sum(row["answer"] != everything[_key(row)] for row in rows),
        num_wrong=None if truth is None else len(wrong),
        num_missed=None if truth is None else len(missed),
        num_person_clips=None
        if truth is None
        else sum(answer == "yes" for (_, _, question), answer in truth.items() if question == "person"),
    )
