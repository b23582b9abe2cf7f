"""The next token of each row from its logits: the likeliest one or a forced one, and how likely it was.

Knows nothing of rows beyond their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from framegate.pipelines.reason.engines.own.devices import to_device

_CPU_ROWS = 8  # at a time: what is written of them is still in the cache when it is read


class Chosen(NamedTuple):
    """A row's next token, the likeliest or the forced one, with its log-probability under the raw logits."""

    token_id: int
    logprob: float


class Chooser:
    """Greedy, for all rows of a step at once.

    On the CPU float32 logits and log-probabilities are written to the same memory over and over: fresh pages cost more
    than the arithmetic. 10 rows of 152,000 tokens take 1.1 instead of 4.1 ms, 32 rows 3.1 instead of 14.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers_2BV = torch.empty(2, _CPU_ROWS, 0, dtype=torch.float32)

    @torch.inference_mode()
    def choose(self, logits_BV: torch.Tensor, forced: Sequence[int | None]) -> list[Chosen]:
        """One transfer to the device where something is forced, and one back. A row with NaN has the log-probability
        NaN."""
        forced_B = None
        if any(token_id is not None for token_id in forced):
            forced_B = to_device([-1 if token_id is None else token_id for token_id in forced], self._device)
        step = _CPU_ROWS if self._device.type == "cpu" else len(logits_BV)
        parts = [
            self._choose(logits_BV[start : start + step], None if forced_B is None else forced_B[start : start + step])
            for start in range(0, len(logits_BV), step)
        ]
        ids, logprobs = torch.cat(parts, dim=1).tolist()
        return [Chosen(int(token_id), logprob) for token_id, logprob in zip(ids, logprobs, strict=True)]

    def _choose(self, logits_BV: torch.Tensor, forced_B: torch.Tensor | None) -> torch.Tensor:
        """Ids and log-probabilities (2, B). Ids are below 2**24, which float32 holds exactly: both travel in one."""
        wide_BV, logprobs_BV = self._widen(logits_BV)
        chosen_B = wide_BV.argmax(dim=-1)
        if forced_B is not None:
            chosen_B = torch.where(forced_B < 0, chosen_B, forced_B)
        logprobs_B = logprobs_BV.gather(1, chosen_B[:, None])[:, 0]
        return torch.stack([chosen_B.float(), logprobs_B.clamp(max=0.0)])

    def _widen(self, logits_BV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and log-probabilities in float32; on the CPU they stand until the next call."""
        if self._device.type != "cpu":
            wide_BV = logits_BV.float()
            return wide_BV, wide_BV.log_softmax(dim=-1)
        num_rows, num_tokens = logits_BV.shape
        if num_tokens != self._buffers_2BV.shape[2]:
            self._buffers_2BV = torch.empty(2, _CPU_ROWS, num_tokens, dtype=torch.float32)
        wide_BV, logprobs_BV = self._buffers_2BV[:, :num_rows]
        wide_BV.copy_(logits_BV)
        return wide_BV, torch.log_softmax(wide_BV, dim=-1, out=logprobs_BV)
