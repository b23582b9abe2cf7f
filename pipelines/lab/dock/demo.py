"""The demo's files: dock clips as mp4, a manifest, a question bank and one job file for each strategy.

Every clip is asked the same questions. Each question therefore has a function that finds its true answer in a scene.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from framegate.pipelines.lab.dock.evaluation import STRATEGIES, dock_settings, read
from framegate.pipelines.lab.dock.scoring import Scored
from framegate.pipelines.lab.dock.world.asking import Kind
from framegate.pipelines.lab.dock.world.film import draw_film, encode_mp4
from framegate.pipelines.lab.dock.world.scene import BAYS, COLOURS, MAX_CRATES, MIN_CRATES, Crate, Scene, draw_scene
from framegate.schemas.qa import OPTION_LETTERS, Question

DEMO_SEED = 7_000_000
NUM_DOCKS = 4
MORNING = datetime(2026, 11, 23, 6, 0)  # a Monday, local to TIME_ZONE
BETWEEN_CLIPS = timedelta(minutes=5)
"""Between the starts of two clips of one dock."""

TIME_ZONE = "Europe/Berlin"


@dataclass(frozen=True)
class BankEntry:
    question: Question
    kind: Kind
    truth: Callable[[Scene], str | None]  # None where the question has no answer: it is then not scored


def colour_letter(crate: Crate) -> str:
    """Of the options COLOURS."""
    return OPTION_LETTERS[COLOURS.index(crate.colour)]


def yes_or_no(is_so: bool) -> str:
    """As it stands in a box."""
    return "yes" if is_so else "no"


def _when_black(scene: Scene) -> str | None:
    second = scene.rare_second()
    return None if second is None else f"[{second}, {second + 1}]"


BANK = (
    BankEntry(
        Question(id="first_colour", text="Name the colour of the first crate?", type="choice", options=COLOURS),
        "perception",
        lambda scene: colour_letter(scene.crates[0]),
    ),
    BankEntry(
        Question(id="black_seen", text="Was there any black crate?", type="yes_no"),
        "perception",
        lambda scene: yes_or_no(scene.rare_second() is not None),
    ),
    BankEntry(
        Question(
            id="colour_at_2", text="Which colour had the crate to pass at 2 seconds?", type="choice", options=COLOURS
        ),
        "perception",
        lambda scene: colour_letter(scene.crates[2]),
    ),
    BankEntry(
        Question(id="black_when", text="From when to when did the black crate pass?", type="span"),
        "perception",
        _when_black,
    ),
    BankEntry(
        Question(
            id="parcel_from_a",
            text="The parcel starts in bay A. In which bay is it now?",
            type="choice",
            options=tuple(f"bay {bay}" for bay in BAYS),
        ),
        "multi_step",
        lambda scene: BAYS[scene.follow(0)[-1]],
    ),
    BankEntry(
        Question(
            id="parcel_from_c",
            text="At first the parcel is in bay C. Which bay holds it at the end?",
            type="choice",
            options=tuple(f"bay {bay}" for bay in BAYS),
        ),
        "multi_step",
        lambda scene: BAYS[scene.follow(2)[-1]],
    ),
    BankEntry(
        Question(
            id="parcel_in_d", text="Bay B holds the parcel at the start. Did it ever stand in bay D?", type="yes_no"
        ),
        "multi_step",
        lambda scene: yes_or_no(3 in scene.follow(1)),
    ),
    BankEntry(
        Question(id="parcel_moves", text="The parcel is put in bay C. How often did it move?", type="number"),
        "multi_step",
        lambda scene: str(scene.num_moves(2)),
    ),
)


@dataclass(frozen=True)
class DemoFiles:
    """What `make_demo` wrote. `jobs` by strategy; all of them write to one output."""

    scenes: Mapping[str, Scene]  # by file name
    jobs: Mapping[str, Path]
    output: Path


def make_demo(folder: Path, *, num_clips: int, seed: int = DEMO_SEED) -> DemoFiles:
    """Write everything below `folder`. Files that are there already with the same bytes stay as they are, so that a
    second demo in the same folder finds its work done."""
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    scenes: dict[str, Scene] = {}
    for number in range(num_clips):
        scene = draw_scene(rng, rng.randint(MIN_CRATES, MAX_CRATES))
        scenes[f"dock-{number:03d}.mp4"] = scene
        write_file(videos / f"dock-{number:03d}.mp4", encode_mp4(draw_film(scene, rng)))
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["uri", "dock", "taken", "num_crates", "num_swaps"])
        for number, (name, scene) in enumerate(scenes.items()):
            dock, taken = f"dock-{number % NUM_DOCKS + 1}", MORNING + number // NUM_DOCKS * BETWEEN_CLIPS
            rows.writerow([str((videos / name).resolve()), dock, taken.isoformat(), len(scene), scene.num_swaps()])
    write_file(folder / "questions.yaml", dump_yaml([question_mapping(entry.question) for entry in BANK]))
    jobs = {}
    for strategy in STRATEGIES:
        jobs[strategy] = folder / f"{strategy}.yaml"
        job = {
            "input": {"videos": "manifest.csv", "started_at": "taken", "time_zone": TIME_ZONE},
            "questions": "questions.yaml",
            **dock_settings(strategy=strategy),
            "output": {"uri": "index"},
            "ray": {"reason_actors": {"min": 1, "max": 1}, "decode_workers": 1},
            "cost": {"gpu_hour": 2.5, "currency": "EUR"},  # as if the CPU were a rented GPU
            "report": {"by": "dock"},
        }
        write_file(jobs[strategy], dump_yaml(job))
    return DemoFiles(scenes, jobs, folder / "index")


def score_rows(rows: Iterable[Mapping[str, Any]], scenes: Mapping[str, Scene]) -> list[Scored]:
    """Scores of rows of the results table, compared with the scenes that the clips were drawn from."""
    bank = {entry.question.id: entry for entry in BANK}
    scored = []
    for row in rows:
        scene, entry = scenes[row["video_uri"].rpartition("/")[2]], bank[row["question_id"]]
        if (wanted := entry.truth(scene)) is None:
            continue
        truth = read(wanted, entry.question)
        first = read(row["answer_first"], entry.question)
        scored.append(
            Scored(
                strategy=row["strategy"],
                kind=entry.kind,
                num_swaps=scene.num_swaps(),
                right=row["answer"] is not None and row["answer"] == truth,
                first_right=None if first is None else first == truth,
                confidence_first=row["confidence_first"],
                thinking=row["thinking"],
                num_generated_tokens=row["num_answer_tokens"] + row["num_thinking_tokens"],
            )
        )
    return scored


def question_mapping(question: Question) -> dict[str, object]:
    """The question as an entry of a question bank."""
    mapping: dict[str, object] = {"id": question.id, "text": question.text, "type": question.type}
    if question.options:
        mapping["options"] = list(question.options)
    if question.threshold is not None:
        mapping["threshold"] = question.threshold
    return mapping


def dump_yaml(value: object) -> bytes:
    """In the order in which keys are given."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).encode()


def write_file(path: Path, data: bytes) -> None:
    """Write a file unless it has these bytes already: a new modification time would make it a new video."""
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
