"""Sets of questions: films are as long as they are meant to be, and a truck hides one second of each crate's three."""

from __future__ import annotations

import random

import numpy as np
import pytest

from framegate.pipelines.lab.dock.question_sets import QUESTION_SETS, TRUCK, hide
from framegate.pipelines.lab.dock.world.film import FILM_FPS, FILM_SIZE


@pytest.mark.parametrize(
    ("name", "fewest"), [("demo", 3), ("more_frames", 12), ("long_thoughts", 16), ("ambiguous", 9)]
)
def test_films_have_their_length_and_every_question_has_a_truth_in_some(name: str, fewest: int) -> None:
    asked, rng = QUESTION_SETS[name], random.Random(3)
    drawn = [asked.draw(rng) for _ in range(12)]
    assert all(fewest <= len(scene) <= 20 for scene, _ in drawn)
    assert all(film.shape[0] == len(scene) * FILM_FPS for scene, film in drawn)
    for entry in asked.bank:
        assert len({entry.truth(scene) for scene, _ in drawn} - {None}) > 1, "one answer for all films says nothing"


def test_a_truck_hides_each_crate_for_one_of_its_three_seconds() -> None:
    scene, film = QUESTION_SETS["ambiguous"].draw(random.Random(1))
    seconds = film.reshape(len(scene), FILM_FPS, FILM_SIZE, FILM_SIZE, 3)
    middle = FILM_SIZE // 2
    hidden = (seconds[:, :, middle, middle] == TRUCK).all(axis=(1, 2)).reshape(-1, 3)
    assert (hidden.sum(axis=1) == 1).all()
    for place in range(0, len(scene), 3):
        assert len({crate.colour for crate in scene.crates[place : place + 3]}) == 1


def test_a_truck_changes_nothing_before_it_comes_or_after_it_has_left() -> None:
    film = np.zeros((3 * FILM_FPS, FILM_SIZE, FILM_SIZE, 3), np.uint8)
    hide(film, 1)
    assert film[:FILM_FPS].max() == film[2 * FILM_FPS :].max() == 0
    assert film[FILM_FPS : 2 * FILM_FPS].any(axis=(1, 2, 3)).all()
