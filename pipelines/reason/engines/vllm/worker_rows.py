"""The questions of a running batch, and how they are fed: one token at a time, whoever chose it.

What both sides of vLLM share: the logits processor in the worker, and the driver where it must follow from outside.
Free of vLLM and torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from framegate.pipelines.reason.strategies.sequence import GatedSequence, Token
from framegate.schemas.config import GateConfig
from framegate.schemas.qa import Question

NO_TOKEN = -1
"""What vLLM writes in place of a token that is still on its way from the device."""


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """The bytes that each token id writes, and the ids that end a turn."""

    pieces: Sequence[bytes]
    end_ids: frozenset[int]

    def feed(self, sequence: GatedSequence, token_id: int, logprob: float) -> None:
        """Append one produced token; where the sequence had forced it, that is done with."""
        if sequence.forced:
            sequence.forced.popleft()
        ends_turn = token_id in self.end_ids
        # Rounding lifts the log-probability of a certain token above 0 by about 1e-7.
        sequence.append(Token(token_id, b"" if ends_turn else self.pieces[token_id], min(logprob, 0.0), ends_turn))


@dataclass(eq=False)
class Row:
    """One question in a worker's batch.

    `output_ids` is vLLM's own list of what the request has produced, which grows behind our back: by one token for
    each step that counted, and not at all where a prompt was only read in part. `chosen` is what the last step's
    logits make the next token, with its log-probability.
    """

    key: str
    sequence: GatedSequence | None
    output_ids: list[int]
    num_taken: int = 0
    chosen: tuple[int, float] = field(default=(NO_TOKEN, 0.0))

    @property
    def is_over(self) -> bool:
        """Nothing that comes now counts. A row without a sequence was over before it was moved out of the batch."""
        return self.sequence is None or self.sequence.finish_reason is not None

    def take(self, tokens: TokenTable) -> bool:
        """Feed the sequence with what has been produced since. True where something has."""
        if self.sequence is None or len(self.output_ids) <= self.num_taken or self.is_over:
            return False
        self.num_taken += 1
        token_id, logprob = self.chosen
        produced = self.output_ids[self.num_taken - 1]
        tokens.feed(self.sequence, token_id if produced == NO_TOKEN else produced, logprob)
        return True


def describe_sequence(
    sequence_type: type[GatedSequence],
    *,
    question: Question,
    clip_start_seconds: float,
    gate: GateConfig,
    closing: Sequence[int],
) -> dict[str, Any]:
    """What `make_sequence` needs in another process, in numbers, texts and lists alone."""
    return {
        "type": f"{sequence_type.__module__}:{sequence_type.__qualname__}",
        "question": asdict(question) | {"options": list(question.options)},
        "clip_start_seconds": clip_start_seconds,
        "gate": gate.model_dump(),
        "closing": list(closing),
    }


def make_sequence(description: Mapping[str, Any], *, request_id: str) -> GatedSequence:
    """A fresh sequence from `describe_sequence`."""
    module, _, name = description["type"].partition(":")
    sequence_type: type[GatedSequence] = getattr(importlib.import_module(module), name)
    question = description["question"]
    return sequence_type(
        request_id=request_id,
        question=Question(**{**question, "options": tuple(question["options"])}),
        clip_start_seconds=description["clip_start_seconds"],
        gate=GateConfig.model_validate(description["gate"]),
        closing=description["closing"],
    )
