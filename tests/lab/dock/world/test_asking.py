"""Questions about the dock: true answers, thoughts that lead to them, and wording that is really held out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.lab.dock.world.asking import ask_multi_step, ask_perception
from framegate.pipelines.lab.dock.world.scene import BAYS, COLOURS, draw_scene
from framegate.pipelines.reason.asking.answers import parse_answer


def ask_many(ask, wording, *, count=3000):
    rng = random.Random(3)
    return [ask(rng, draw_scene(rng, rng.randint(3, 20)), wording) for _ in range(count)]


@pytest.mark.parametrize("ask", [ask_perception, ask_multi_step])
def test_evaluation_never_uses_a_wording_of_training(ask):
    trained = {asked.question.text for asked in ask_many(ask, "training")}
    held_out = {asked.question.text for asked in ask_many(ask, "held_out")}
    assert not trained & held_out


@pytest.mark.parametrize("ask", [ask_perception, ask_multi_step])
def test_held_out_wording_uses_known_words_only(ask):
    def words(wording):
        return {word for asked in ask_many(ask, wording) for word in asked.question.text.split()}

    assert words("held_out") <= words("training")


@given(st.integers(0, 10_000), st.sampled_from([ask_perception, ask_multi_step]))
def test_every_answer_can_be_read_as_its_type(seed, ask):
    rng = random.Random(seed)
    asked = ask(rng, draw_scene(rng, rng.randint(3, 20)), "held_out")
    assert parse_answer(asked.answer, asked.question, clip_start_seconds=0.0) is not None


@given(st.integers(0, 10_000))
def test_the_thought_of_a_multi_step_question_ends_in_its_answer(seed):
    rng = random.Random(seed)
    asked = ask_multi_step(rng, draw_scene(rng, rng.randint(3, 20)), "training")
    bays = [line.split()[2] for line in asked.thought.splitlines()]
    if asked.skill == "where":
        assert bays[-1] == asked.answer
    elif asked.skill == "moves":
        assert bays[-1].endswith(f":{asked.answer}")
    else:
        asked_bay = next(word.strip("?") for word in asked.question.text.split()[::-1] if word.strip("?") in BAYS)
        assert (asked_bay in bays) == (asked.answer == "yes")
        assert asked.thought.split()[-1] == asked.answer


@given(st.integers(0, 10_000))
def test_the_thought_of_a_perception_question_tells_every_crate(seed):
    rng = random.Random(seed)
    scene = draw_scene(rng, rng.randint(3, 20))
    lines = ask_perception(rng, scene, "training").thought.splitlines()
    assert [line.split()[2] for line in lines] == [crate.colour for crate in scene.crates]


def test_yes_and_no_are_about_even():
    for ask in (ask_perception, ask_multi_step):
        answers = [asked.answer for asked in ask_many(ask, "training") if asked.question.type == "yes_no"]
        assert 0.4 < answers.count("yes") / len(answers) < 0.6


def test_all_colours_and_bays_are_answers():
    colours = {asked.answer for asked in ask_many(ask_perception, "training") if asked.skill == "colour_at"}
    bays = {asked.answer for asked in ask_many(ask_multi_step, "training") if asked.skill == "where"}
    assert (len(colours), len(bays)) == (len(COLOURS), len(BAYS))
