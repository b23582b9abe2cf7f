"""The dock's state: what is true of a scene."""

import random

from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.lab.dock.world.scene import BAYS, COLOURS, RARE_COLOUR, Crate, Scene, draw_scene

scenes = st.lists(st.builds(Crate, st.sampled_from(COLOURS), st.booleans()), min_size=1, max_size=20).map(
    lambda crates: Scene(tuple(crates))
)


def test_a_parcel_is_followed_by_hand():
    # red swaps A and B, yellow B and C, green C and D; white swaps nothing.
    scene = Scene(tuple(Crate(colour, True) for colour in ("red", "white", "yellow", "red", "green")))
    assert "".join(BAYS[bay] for bay in scene.follow(0)) == "BBCCD"
    assert scene.num_moves(0) == 3
    assert scene.num_swaps() == 4


def test_swaps_do_not_commute():
    one, other = (Scene((Crate(a, True), Crate(b, True))) for a, b in (("red", "yellow"), ("yellow", "red")))
    assert one.follow(0)[-1] != other.follow(0)[-1]


@given(scenes)
def test_parcels_of_different_bays_never_meet(scene):
    for bays in zip(*(scene.follow(start) for start in range(len(BAYS))), strict=True):
        assert sorted(bays) == list(range(len(BAYS)))


@given(st.integers(0, 10_000), st.integers(3, 20))
def test_drawn_scenes_have_the_length_asked_for(seed, num_crates):
    assert len(draw_scene(random.Random(seed), num_crates)) == num_crates


@given(st.integers(0, 10_000), st.integers(3, 20))
def test_the_rare_crate_comes_once_or_never(seed, num_crates):
    scene = draw_scene(random.Random(seed), num_crates)
    seconds = [second for second, crate in enumerate(scene.crates) if crate.colour == RARE_COLOUR]
    assert seconds == ([] if scene.rare_second() is None else [scene.rare_second()])


def test_the_rare_crate_comes_in_about_half_of_all_clips():
    rng = random.Random(8)
    came = [draw_scene(rng, 8).rare_second() is not None for _ in range(1000)]
    assert 0.4 < sum(came) / len(came) < 0.6
