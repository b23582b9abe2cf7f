"""The tokens that an answer in a box is made of, and how sure the model was of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from framegate.pipelines.reason.asking.answers import answer_region
from framegate.pipelines.reason.asking.box import Box, BoxFinder
from framegate.pipelines.reason.asking.confidence import measure_confidence, measure_mean, measure_min_probability
from framegate.pipelines.reason.strategies.protocol import Capability, Token
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Measure, Question

MEASURES_NEED: Final[Mapping[Measure, frozenset[Capability]]] = MappingProxyType(
    {"min_probability": frozenset(), "margin": frozenset({"distribution"}), "entropy": frozenset({"distribution"})}
)
"""What an engine must be capable of for each measure."""


def needs_of(measures: Iterable[Measure]) -> frozenset[Capability]:
    """What an engine must be capable of for all of them."""
    return frozenset[Capability]().union(*(MEASURES_NEED[measure] for measure in measures))


def answer_tokens(tokens: Sequence[Token], finder: BoxFinder, box: Box, question: Question) -> Sequence[Token]:
    """Those of `tokens` that wrote the part of the box that is the answer; of a choice the letter alone."""
    start, end = answer_region(box.content, question)
    start_byte = box.start + len(box.content[:start].encode())
    # A content that ends in broken UTF-8 decodes to more bytes than it has: never look past the box.
    end_byte = min(box.end, start_byte + len(box.content[start:end].encode()))
    return [tokens[index] for index in finder.tokens_overlapping(start_byte, end_byte)]


def confidence_of(tokens: Sequence[Token]) -> float | None:
    """None where there are no tokens."""
    return measure_confidence([token.logprob for token in tokens]) if tokens else None


def measure(tokens: Sequence[Token], measures: Iterable[Measure]) -> dict[Measure, float]:
    """Empty where there are no tokens. Raises EngineError where the engine did not tell what a measure is made of."""
    return {name: _measure(tokens, name) for name in measures} if tokens else {}


def _measure(tokens: Sequence[Token], name: Measure) -> float:
    if name == "min_probability":
        return measure_min_probability([token.logprob for token in tokens])
    told = [token.margin if name == "margin" else token.entropy for token in tokens]
    known = [value for value in told if value is not None]
    if len(known) < len(told):
        raise EngineError(
            f"gate.measures has {name}, and the engine did not tell it of {len(told) - len(known)} tokens"
        )
    return measure_mean(known)
