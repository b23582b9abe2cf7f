"""Asks whose thoughts are steered, and the same ones left alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from framegate.pipelines.reason.strategies.protocol import ValueControl
from tests.reason.engines.own.asks import Written, make_ask, make_clip

NUM_TOKENS = 12
SMALL, LARGE = ValueControl(rate=1e-3), ValueControl(rate=0.3)
LITE = ValueControl(rate=0.0, keep=0.5)


class Steered(Written):
    """Each token that it thinks shall have a distribution of lower or higher entropy, by `sign`."""

    def __init__(self, num_tokens: int, *, sign: int, thinks_from: int = 1) -> None:
        super().__init__(num_tokens, thinks_from=thinks_from)
        self.entropy_sign = sign


def steered(clip, *, sign: int, control: ValueControl = SMALL, num_tokens: int = NUM_TOKENS):
    ask = make_ask(clip, num_tokens, needs_distribution=True, value_control=control)
    return replace(ask, make_course=partial(Steered, num_tokens, sign=sign))


def plain(clip, num_tokens: int = NUM_TOKENS, **settings):
    return make_ask(clip, num_tokens, needs_distribution=True, course={"thinks_from": 1}, **settings)


def clips_of_each_length():
    return [make_clip(number, num_frames=frames) for number, frames in enumerate((2, 5, 8))]


def tokens(outcome, ask):
    assert outcome[ask].failure_reason is None, outcome[ask].failure_message
    return outcome[ask].course.tokens


def ids(outcome, ask) -> list[int]:
    return [token.id for token in tokens(outcome, ask)]
