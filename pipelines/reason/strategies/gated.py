"""Think and answer again where the first answer is unsure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from framegate.pipelines.reason.strategies.two_answers import Decide, FirstAnswer, TwoAnswers
from framegate.schemas.qa import Verdict


def judge(first: FirstAnswer, confidence: float | None, threshold: float) -> Verdict:
    """Exit with a box whose confidence reaches the threshold; think about everything else.

    first answer   confidence        route   reason
    box            >= threshold      exit    confident
    box            <  threshold      think   unsure
    empty_box      None              think   empty_box
    no_box         None              think   no_box
    fallback       None              think   fallback
    """
    if (confidence is None) == (first == "box"):
        raise ValueError(f"a box has a confidence and nothing else has one, got {first} with {confidence}")
    if first != "box":
        return Verdict(route="think", reason=first, confidence=None)
    assert confidence is not None
    if confidence >= threshold:
        return Verdict(route="exit", reason="confident", confidence=confidence)
    return Verdict(route="think", reason="unsure", confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class Gated(TwoAnswers):
    """`threshold` is not part of `document`: it decides whether to think, is a column of every row, and a row that was
    answered under another threshold stays as it was."""

    threshold: float

    @property
    def name(self) -> str:
        return "gated"

    @property
    def decide(self) -> Decide:
        return partial(judge, threshold=self.threshold)
