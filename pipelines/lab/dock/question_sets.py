"""Sets of films and questions of the dock, each of them for what one kind of strategy is meant to be good at.

    demo           the demo's films and questions
    more_frames    long films, and what one second of them shows: a strategy that looks at few frames first must find
                   out that these are not enough. The first crate is on any choice of frames
    long_thoughts  long films, and the parcel: the longest thoughts that the packaged checkpoint was trained for
    ambiguous      each crate stays for three seconds, and in one of them a truck hides it: other frames of the same
                   clip show what one frame does not. An answer is sure enough where two of three parts of the frames
                   give it. One question is about one second of the film, of which no other frame tells

Right answers are found in the drawing, exactly. A crate that a truck hides is the one that was drawn before and after.
Words are those that the checkpoint was trained on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from framegate.pipelines.lab.dock.demo import BANK, BankEntry, colour_letter
from framegate.pipelines.lab.dock.world.film import FILM_FPS, FILM_SIZE, draw_film
from framegate.pipelines.lab.dock.world.scene import COLOURS, MAX_CRATES, MIN_CRATES, Scene, draw_scene
from framegate.schemas.qa import Question

LONG: Final = 12  # crates of a long film, at least
LONGEST: Final = 16  # of one that is thought about for long
STAYS: Final = 3  # seconds that a crate stays in an ambiguous film
TWO_OF_THREE: Final = 0.6
TRUCK: Final = (120, 110, 100)


@dataclass(frozen=True, kw_only=True)
class QuestionSet:
    """`draw` gives the next film: what happens in it, and its frames, uint8 (T, H, W, 3) at FILM_FPS."""

    name: str
    bank: tuple[BankEntry, ...]
    draw: Callable[[random.Random], tuple[Scene, np.ndarray]]


def hide(film_THWC: np.ndarray, second: int) -> None:
    """Draws a truck in front of the door in that second of a film, in place. It hides a crate whole."""
    margin = FILM_SIZE // 8
    during = slice(second * FILM_FPS, (second + 1) * FILM_FPS)
    film_THWC[during, margin:-margin, margin:-margin] = TRUCK


def _draw_plain(fewest: int) -> Callable[[random.Random], tuple[Scene, np.ndarray]]:
    def draw(rng: random.Random) -> tuple[Scene, np.ndarray]:
        scene = draw_scene(rng, rng.randint(fewest, MAX_CRATES))
        return scene, draw_film(scene, rng)

    return draw


def _draw_ambiguous(rng: random.Random) -> tuple[Scene, np.ndarray]:
    crates = draw_scene(rng, rng.randint(MIN_CRATES, MAX_CRATES // STAYS)).crates
    scene = Scene(tuple(crate for crate in crates for _ in range(STAYS)))
    film = draw_film(scene, rng)
    for number in range(len(crates)):
        hide(film, number * STAYS + rng.randrange(STAYS))
    return scene, film


def _of_colour(name: str, text: str, place: int) -> BankEntry:
    question = Question(id=name, text=text, type="choice", options=COLOURS)
    return BankEntry(question, "perception", lambda scene: colour_letter(scene.crates[place]))


_DEMO: Final = {entry.question.id: entry for entry in BANK}
_FIRST = _of_colour("first_colour", "Name the colour of the first crate?", 0)
_LAST = _of_colour("last_colour", "What colour was the last crate?", -1)
_AT_4 = _of_colour("colour_at_4", "What was the colour of the crate seen at 4 seconds?", 4)
_AT_7 = _of_colour("colour_at_7", "Which colour had the crate to pass at 7 seconds?", 7)
_PARCEL = tuple(_DEMO[name] for name in ("parcel_from_c", "parcel_in_d", "parcel_moves"))
_SURE_ENOUGH = tuple(
    BankEntry(replace(entry.question, threshold=TWO_OF_THREE), entry.kind, entry.truth)
    for entry in (_FIRST, _LAST, _AT_4, _DEMO["black_seen"])
)

QUESTION_SETS: Final[Mapping[str, QuestionSet]] = {
    made.name: made
    for made in (
        QuestionSet(name="demo", bank=BANK, draw=_draw_plain(MIN_CRATES)),
        QuestionSet(
            name="more_frames",
            bank=(_FIRST, _LAST, _AT_4, _AT_7, _DEMO["black_seen"], _DEMO["black_when"]),
            draw=_draw_plain(LONG),
        ),
        QuestionSet(name="long_thoughts", bank=_PARCEL, draw=_draw_plain(LONGEST)),
        QuestionSet(name="ambiguous", bank=_SURE_ENOUGH, draw=_draw_ambiguous),
    )
}
