"""Dock clips as files: what was drawn is what the decoder shows."""

import random

import numpy as np

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.lab.dock.world.film import FILM_FPS, FILM_SIZE, RGB, draw_film, encode_mp4
from framegate.pipelines.lab.dock.world.scene import COLOURS, Crate, Scene

SCENE = Scene(tuple(Crate(colour, inward) for colour in COLOURS for inward in (True, False)))


def decode_half_seconds(scene):
    mp4 = encode_mp4(draw_film(scene, random.Random(5)))
    with open_reader("pyav", RangeFile.of(mp4)) as reader:
        assert reader.header.duration_seconds == len(scene)
        times = [half / 2 for half in range(2 * len(scene))]
        frames, pts, _ = reader.read(times, height=FILM_SIZE, width=FILM_SIZE)
    assert pts.tolist() == times
    return frames.reshape(len(scene), 2, FILM_SIZE, FILM_SIZE, 3).astype(int)


def test_each_second_shows_its_crate_in_its_colour():
    centre = slice(FILM_SIZE // 2 - 8, FILM_SIZE // 2 + 8)
    for crate, pair in zip(SCENE.crates, decode_half_seconds(SCENE), strict=True):
        shown = np.median(pair[:, centre, centre].reshape(-1, 3), axis=0)
        nearest = min(RGB, key=lambda name: np.abs(shown - RGB[name]).sum())
        assert nearest == crate.colour


def test_a_crate_that_comes_in_grows_and_the_wall_is_lit():
    edge, wall = FILM_SIZE // 2 + FILM_SIZE // 4, 6
    for crate, (early, late) in zip(SCENE.crates, decode_half_seconds(SCENE), strict=True):
        near, far = (late, early) if crate.inward else (early, late)
        colour = np.array(RGB[crate.colour])
        assert np.abs(near[64, edge] - colour).sum() < np.abs(far[64, edge] - colour).sum()
        assert (early[64, wall].mean() > 130) == crate.inward


def test_the_same_seed_gives_the_same_bytes():
    one, other = (encode_mp4(draw_film(SCENE, random.Random(9))) for _ in range(2))
    assert one == other


def test_an_idle_dock_follows_the_crates_and_never_changes():
    plain, idle = (draw_film(SCENE, random.Random(9), idle_seconds=seconds) for seconds in (0, 3))
    assert len(idle) == len(plain) + 3 * FILM_FPS
    assert (idle[: len(plain)] == plain).all()
    assert (idle[len(plain) :] == idle[-1]).all()
