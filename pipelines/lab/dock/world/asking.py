"""Questions about a dock clip in varied words, with the true answer and the true line of thought.

Every question is a head and a tail out of two short lists. A quarter of the combinations is held out: training never
sees them and evaluation sees only them, so that an evaluation question is always a new wording of known words.

Perception questions are read off the frames; multi-step questions follow the parcel crate by crate.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from framegate.pipelines.lab.dock.world.scene import BAYS, COLOURS, MAX_CRATES, RARE_COLOUR, Crate, Scene
from framegate.schemas.qa import OPTION_LETTERS, AnswerType, Question

Kind = Literal["perception", "multi_step"]
Wording = Literal["training", "held_out"]

# Answer type, text, options, and the answer as it stands in the box.
Draft = tuple[AnswerType, str, tuple[str, ...], str]

ORDINALS = ("first", "second", "third")

NAME_COLOUR = ("What colour was", "Which colour had", "What was the colour of", "Name the colour of")
SEEN = ("Did the camera see", "Does the clip show", "Was there", "Can you see")
WHEN = ("When did", "At what time did", "During which second did", "From when to when did")
STARTS = (
    "The parcel starts in bay {bay}.",
    "At first the parcel is in bay {bay}.",
    "Bay {bay} holds the parcel at the start.",
    "The parcel is put in bay {bay}.",
)
WHERE = ("Where is it now?", "Where does it end up?", "Which bay holds it at the end?", "In which bay is it now?")
EVER = (
    "Was it ever in bay {bay}?",
    "Did it ever stand in bay {bay}?",
    "Does it come to bay {bay} at any time?",
    "Did bay {bay} ever hold it?",
)
MOVES = ("How often did it move?", "How many times was it moved?", "How many moves did it make?", "Count its moves.")


@dataclass(frozen=True)
class Asked:
    """A question with its truth: `answer` as it stands in the box, `thought` as it stands between the think tags."""

    skill: str
    kind: Kind
    question: Question
    answer: str
    thought: str

    def draw_other_answer(self, rng: random.Random) -> str:
        """A wrong answer of the same form."""
        kind = self.question.type
        if kind == "yes_no":
            return "no" if self.answer == "yes" else "yes"
        if kind == "choice":
            options = OPTION_LETTERS[: len(self.question.options)]
        else:
            seconds = range(MAX_CRATES)
            options = [str(n) for n in seconds] if kind == "number" else [f"[{n}, {n + 1}]" for n in seconds]
        return rng.choice([option for option in options if option != self.answer])


def _wording(rng: random.Random, wording: Wording, heads: tuple[str, ...], tails: tuple[str, ...]) -> tuple[str, str]:
    """A head and a tail; the combinations whose indices add up to 3 modulo 4 are the held-out ones."""
    pairs = [
        (head, tail)
        for i, head in enumerate(heads)
        for j, tail in enumerate(tails)
        if ((i + j) % 4 == 3) == (wording == "held_out")
    ]
    return rng.choice(pairs)


def _sightings(scene: Scene) -> str:
    """The thought behind a perception question: every crate as it was seen."""
    return "".join(f"at {second} {crate.colour} crate\n" for second, crate in enumerate(scene.crates))


def _steps(scene: Scene, start_bay: int, note: Callable[[list[int]], str]) -> str:
    """The thought behind a multi-step question: second, colour, the parcel's bay after it, and a note.

    `note` says what there is to say of the bays so far, the start included.
    """
    path = [start_bay, *scene.follow(start_bay)]
    return "".join(
        f"{second} {crate.colour} {BAYS[path[second + 1]]}{note(path[: second + 2])}\n"
        for second, crate in enumerate(scene.crates)
    )


def _which_crate(rng: random.Random, scene: Scene) -> tuple[str, Crate]:
    place = rng.choice((*range(min(len(scene), len(ORDINALS))), len(scene) - 1))
    name = "last" if place == len(scene) - 1 else ORDINALS[place]
    return name, scene.crates[place]


def _named_in_order(name: str) -> tuple[str, ...]:
    return f"the {name} crate", f"the crate that came {name}", f"the {name} crate to pass", f"the {name} crate seen"


def _named_by_second(second: int) -> tuple[str, ...]:
    heads = ("the crate", "the crate seen", "the crate to pass", "the crate that came")
    return tuple(f"{head} at {second} seconds" for head in heads)


def ask_colour_in_order(rng: random.Random, scene: Scene, wording: Wording) -> Draft:
    name, crate = _which_crate(rng, scene)
    head, tail = _wording(rng, wording, NAME_COLOUR, _named_in_order(name))
    return "choice", f"{head} {tail}?", COLOURS, OPTION_LETTERS[COLOURS.index(crate.colour)]


def ask_colour_at(rng: random.Random, scene: Scene, wording: Wording) -> Draft:
    second = rng.randrange(len(scene))
    head, tail = _wording(rng, wording, NAME_COLOUR, _named_by_second(second))
    return "choice", f"{head} {tail}?", COLOURS, OPTION_LETTERS[COLOURS.index(scene.crates[second].colour)]


def ask_seen(rng: random.Random, scene: Scene, wording: Wording) -> Draft:
    what = RARE_COLOUR
    tails = (f"a {what} crate", f"any {what} crate", f"a crate that was {what}", f"a {what} crate at any time")
    head, tail = _wording(rng, wording, SEEN, tails)
    return "yes_no", f"{head} {tail}?", (), _yes_or_no(scene.rare_second() is not None)


def ask_when(rng: random.Random, scene: Scene, wording: Wording) -> Draft:
    """Only for scenes in which the rare crate came."""
    second = scene.rare_second()
    assert second is not None
    what = f"the {RARE_COLOUR} crate"
    tails = (f"{what} pass", f"the camera see {what}", f"{what} come by", f"{what} show up")
    head, tail = _wording(rng, wording, WHEN, tails)
    return "span", f"{head} {tail}?", (), f"[{second}, {second + 1}]"


def ask_perception(rng: random.Random, scene: Scene, wording: Wording) -> Asked:
    """One question that can be read off the frames at once."""
    skills = {
        "colour_in_order": ask_colour_in_order,
        "colour_at": ask_colour_at,
        "seen": ask_seen,
    }
    if scene.rare_second() is not None:
        skills["when"] = ask_when
    skill = rng.choice(list(skills))
    answer_type, text, options, answer = skills[skill](rng, scene, wording)
    question = Question(id=skill, text=text, type=answer_type, options=options)
    return Asked(skill, "perception", question, answer, _sightings(scene))


def ask_multi_step(rng: random.Random, scene: Scene, wording: Wording) -> Asked:
    """One question that needs the parcel to be followed through every crate."""
    start_bay = rng.randrange(len(BAYS))
    path = scene.follow(start_bay)
    skill = rng.choice(("where", "ever", "moves"))
    options: tuple[str, ...] = ()
    if skill == "where":
        answer_type, tails = "choice", WHERE
        options = tuple(f"bay {bay}" for bay in BAYS)
        answer = OPTION_LETTERS[path[-1]]

        def note(bays: list[int]) -> str:
            return ""

    elif skill == "ever":
        asked_bay, came = _pick_bay(rng, start_bay, path)
        answer_type, tails = "yes_no", tuple(tail.format(bay=BAYS[asked_bay]) for tail in EVER)
        answer = _yes_or_no(came)

        def note(bays: list[int]) -> str:
            return f" {_yes_or_no(asked_bay in bays)}"

    else:
        answer_type, tails = "number", MOVES
        answer = str(scene.num_moves(start_bay))

        def note(bays: list[int]) -> str:
            return f":{sum(before != after for before, after in pairwise(bays))}"

    head, tail = _wording(rng, wording, STARTS, tails)
    text = f"{head.format(bay=BAYS[start_bay])} {tail}"
    question = Question(id=skill, text=text, type=answer_type, options=options)
    return Asked(skill, "multi_step", question, answer, _steps(scene, start_bay, note))


def _pick_bay(rng: random.Random, start_bay: int, path: list[int]) -> tuple[int, bool]:
    """A bay other than the first one to ask for, and whether the parcel came there: yes and no about evenly."""
    others = [bay for bay in range(len(BAYS)) if bay != start_bay]
    visited = [bay for bay in others if bay in path]
    missed = [bay for bay in others if bay not in path]
    came = bool(visited) and (not missed or rng.random() < 0.5)
    return rng.choice(visited if came else missed), came


def _yes_or_no(is_so: bool) -> str:
    return "yes" if is_so else "no"
