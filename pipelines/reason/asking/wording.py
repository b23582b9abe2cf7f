"""What a strategy has the model read around a clip and a question, beside the question itself: part of config_id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from framegate.pipelines.reason.asking.prompt import (
    BOX_OPENING,
    DEFAULT_SYSTEM_PROMPT,
    FORCED_CLOSING,
    prefix_before_video,
    suffix_after_video,
)
from framegate.schemas.config.gate import GatedConfig, StrategyConfig, VideoCotWords
from framegate.schemas.config.run import RunConfig
from framegate.schemas.qa import ANSWER_TYPES, Question


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Words of one strategy.

    system        the system turn, where a job has none of its own
    at_once       stands behind a question that is answered without thinking; empty: nothing does
    step_by_step  stands behind a question that is thought about before there is any answer; None: none is
    closing       is forced when the thoughts have used up their budget; it opens a box
    """

    system: str
    at_once: str = ""
    step_by_step: str | None = None
    closing: str

    @property
    def instructions(self) -> tuple[str, ...]:
        """All that may stand behind a question."""
        return (self.at_once,) if self.step_by_step is None else (self.at_once, self.step_by_step)


ANSWER_FIRST: Final = Wording(system=DEFAULT_SYSTEM_PROMPT, closing=FORCED_CLOSING)
"""For models that were trained to answer first and think then, in one turn."""

STEP_BY_STEP: Final = Wording(
    system=(
        "You answer questions about a video clip. Put your answer inside \\boxed{}, and nothing but the answer: the "
        "letter of an option, yes or no, a number, a few words, or [start, end] in seconds."
    ),
    at_once="Answer at once, inside \\boxed{}, without any explanation.",
    step_by_step=(
        "First describe step by step what the clip shows that matters for the question, and what follows from it. Then "
        "give your answer once, inside \\boxed{}."
    ),
    closing="\nAnswer: " + BOX_OPENING,
)
"""For models that were not: a turn says whether the answer is wanted at once or after thoughts."""


def wording_of(gate: StrategyConfig) -> Wording:
    """What the strategy of a job has the model read."""
    asking = gate.inner if isinstance(gate, GatedConfig) else gate
    if not isinstance(asking, VideoCotWords):
        return ANSWER_FIRST
    return STEP_BY_STEP if asking.instruction is None else replace(STEP_BY_STEP, step_by_step=asking.instruction)


def system_prompt(config: RunConfig) -> str:
    """The system turn of a job: its own, else that of its strategy."""
    return config.prompt.system or wording_of(config.gate).system


def read_wording(config: RunConfig) -> str:
    """Every word that stands around a clip and a question."""
    wording = wording_of(config.gate)
    empty = [Question(id="", text="", type=answer_type) for answer_type in ANSWER_TYPES]
    asked = [str(suffix_after_video(question, text)) for text in wording.instructions for question in empty]
    return "\n".join([prefix_before_video(system_prompt(config)), *asked, wording.closing])
