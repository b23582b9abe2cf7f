"""The dock: what happens in a synthetic clip, and what is true of it.

A camera looks at the door of a loading dock. Every second one crate comes in or goes out. Behind the wall a parcel
stands in one of five bays, A to E. Four colours of crate stand for a swap of two neighbouring bays; a white or a black
crate swaps nothing. Swaps do not commute, so the parcel can only be found by following the crates one by one.

Pure Python over a seeded `random.Random`: no pixels, no words, no model.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

BAYS = "ABCDE"
SWAPS: dict[str, tuple[int, int]] = {"red": (0, 1), "yellow": (1, 2), "green": (2, 3), "blue": (3, 4)}
COMMON_COLOURS = (*SWAPS, "white")
RARE_COLOUR = "black"  # at most once in a clip, so that "when did the black crate pass?" has one answer
COLOURS = (*COMMON_COLOURS, RARE_COLOUR)
MIN_CRATES, MAX_CRATES = 3, 20


@dataclass(frozen=True)
class Crate:
    """One event: a crate of `colour` passes the door, towards the camera (`inward`) or away from it."""

    colour: str
    inward: bool


@dataclass(frozen=True)
class Scene:
    """The crates of one clip in order; crate i passes during second i, so a clip lasts len(crates) seconds."""

    crates: tuple[Crate, ...]

    def __len__(self) -> int:
        return len(self.crates)

    def num_swaps(self) -> int:
        return sum(crate.colour in SWAPS for crate in self.crates)

    def num_moves(self, start_bay: int) -> int:
        """How often a parcel that starts in `start_bay` changes its bay."""
        path = [start_bay, *self.follow(start_bay)]
        return sum(before != after for before, after in pairwise(path))

    def rare_second(self) -> int | None:
        """When the rare crate came."""
        return next((second for second, crate in enumerate(self.crates) if crate.colour == RARE_COLOUR), None)

    def follow(self, start_bay: int) -> list[int]:
        """The bay in which a parcel that starts in `start_bay` stands after each crate."""
        bay, path = start_bay, []
        for crate in self.crates:
            left, right = SWAPS.get(crate.colour, (bay, bay))
            bay = right if bay == left else left if bay == right else bay
            path.append(bay)
        return path


def draw_scene(rng: random.Random, num_crates: int) -> Scene:
    """A random scene over three to five common colours; the rare crate comes in half of all clips."""
    palette = rng.sample(COMMON_COLOURS, rng.randint(3, len(COMMON_COLOURS)))
    crates = [Crate(rng.choice(palette), rng.random() < 0.5) for _ in range(num_crates)]
    if rng.random() < 0.5:
        place = rng.randrange(num_crates)
        crates[place] = Crate(RARE_COLOUR, crates[place].inward)
    return Scene(tuple(crates))
