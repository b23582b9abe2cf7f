"""A question whose answer is of fixed length: what random weights need, as they never write a box.

The verdict comes after exactly `gate.max_answer_tokens` tokens, from the real gate over the confidence of all of them;
one that thinks ends after exactly `gate.max_thinking_tokens` more. No token ends the turn.
"""

from __future__ import annotations

from dataclasses import replace

from framegate.pipelines.reason.strategies.gate import measure_confidence
from framegate.pipelines.reason.strategies.sequence import GatedSequence, Token
from framegate.schemas.qa import Answer


class FixedLengthSequence(GatedSequence):
    """For an engine's `sequence_type`. Its answer's raw contents are the token ids, as numbers between blanks."""

    def append(self, token: Token) -> None:
        assert self.finish_reason is None, "a finished sequence takes no more tokens"
        self.token_ids.append(token.id)
        self._logprobs.append(token.logprob)
        num_tokens = len(self.token_ids)
        if num_tokens == self._gate.max_answer_tokens:
            self._num_answer_tokens = num_tokens
            self.verdict = self._decide("box", measure_confidence(self._logprobs), self._gate.threshold)
            if self.verdict.route == "exit":
                self.finish_reason = "exit"
        elif num_tokens == self._gate.max_answer_tokens + self._gate.max_thinking_tokens:
            self.finish_reason = "answered"

    def to_answer(self) -> Answer:
        first, second = (
            " ".join(map(str, ids))
            for ids in (self.token_ids[: self._num_answer_tokens], self.token_ids[self._num_answer_tokens :])
        )
        return replace(super().to_answer(), answer_first=first, answer_second=second or None)


def read_token_ids(answer: Answer) -> list[int]:
    """What a `FixedLengthSequence` wrote, thinking included."""
    return [int(token_id) for token_id in f"{answer.answer_first} {answer.answer_second or ''}".split()]
