"""Jobs over clips of the loading dock: films that are drawn from a seed, and questions of the demo."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from framegate.pipelines.lab.dock.demo import BANK, question_mapping
from framegate.pipelines.lab.dock.evaluation import dock_settings
from framegate.pipelines.lab.dock.world.film import draw_film, encode_mp4
from framegate.pipelines.lab.dock.world.scene import MAX_CRATES, MIN_CRATES, draw_scene
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job, parse_job
from framegate.schemas.qa import Question

MANIFEST: Final = "manifest.csv"
LIMITS: Final = {"max_answer_tokens": 16, "max_thinking_tokens": 224}  # what the dock model was trained for


def choose_questions(names: Sequence[str]) -> list[Question]:
    """Questions of the demo, by their ids. Raises ConfigError."""
    known = {entry.question.id: entry.question for entry in BANK}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"--questions names '{unknown[0]}'; there are {', '.join(known)}")
    return [known[name] for name in names]


def make_films(folder: Path, *, num_clips: int, seed: int) -> None:
    """Draws and encodes films into a folder that is not there yet, and a manifest that names them."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    drawn = [(draw_scene(rng, rng.randint(MIN_CRATES, MAX_CRATES)), rng.getrandbits(64)) for _ in range(num_clips)]

    def write(number: int) -> str:
        scene, film_seed = drawn[number]
        path = folder / f"dock-{number:05d}.mp4"
        path.write_bytes(encode_mp4(draw_film(scene, random.Random(film_seed))))
        return path.name

    with ThreadPoolExecutor(max_workers=2) as pool:
        names = [*pool.map(write, range(num_clips))]
    (folder / MANIFEST).write_text("\n".join(["uri", *names, ""]))


def make_job(
    films: Path, questions: Sequence[Question], gate: Mapping[str, Any], *, name: str, dtype: str | None = None
) -> Job:
    """A job over the films of a folder, with an output of its own in it. `gate`: as in a job, with its strategy.
    `dtype`: of the model; None: the one that is quickest here."""
    settings = dock_settings(strategy=gate["strategy"])
    model = settings["model"] if dtype is None else {"name": "dock", "dtype": dtype}
    values = {
        **settings,
        "model": model,
        "gate": {**LIMITS, **gate},
        "input": {"videos": MANIFEST},
        "questions": [question_mapping(question) for question in questions],
        "output": {"uri": name},
        "ray": {"reason_actors": {"min": 1, "max": 1}, "decode_workers": 1},
    }
    return parse_job(values, folder=films, origin=name)
