"""How the entropy of what a model writes rises and falls: its moving average, and where that has its peak."""

from __future__ import annotations


class EntropyTrace:
    """Of tokens in order. The average is exponential: `smoothing` of it is the one before, the rest the new entropy.

    The peak is the token at which the average was highest. It is behind once so many tokens as `patience` have not
    reached it; from then on it stays where it is, whatever follows.
    """

    def __init__(self, *, smoothing: float, patience: int) -> None:
        self._smoothing, self._patience = smoothing, patience
        self._highest = 0.0
        self.num_tokens = 0
        self.average: float | None = None
        self.peak_token: int | None = None
        self.is_rising = True
        self.is_past_peak = False

    def add(self, entropy: float) -> None:
        """The next token's, in nats."""
        before = self.average
        self.average = entropy if before is None else self._smoothing * before + (1 - self._smoothing) * entropy
        self.is_rising = before is None or self.average >= before
        if self.peak_token is None or (not self.is_past_peak and self.average > self._highest):
            self.peak_token, self._highest = self.num_tokens, self.average
        self.num_tokens += 1
        if self.num_tokens - 1 - self.peak_token >= self._patience:
            self.is_past_peak = True
