"""The next token of each row from its logits: the most probable one, a drawn one or a forced one, with its probability.

Rows are told apart by their place in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from framegate.pipelines.reason.engines.drawing import Draw, draw_token
from framegate.pipelines.reason.engines.own.device import to_device

_CPU_ROWS = 8  # at a time: what is written of them is still in the cache when it is read


class NextToken(NamedTuple):
    """Its log-probability is that of the raw logits; so are entropy and margin, as `Token` has them, where they were
    asked for."""

    id: int
    logprob: float
    entropy: float | None = None
    margin: float | None = None


class Sampler:
    """The tokens of all rows of a step at once.

    On the CPU float32 logits and log-probabilities are written to the same memory over and over: fresh pages cost more
    than the arithmetic. 10 rows of 152,000 tokens take 1.1 instead of 4.1 ms, 32 rows 3.1 instead of 14.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers_2BV = torch.empty(2, _CPU_ROWS, 0, dtype=torch.float32)

    @torch.inference_mode()
    def sample(
        self,
        logits_BV: torch.Tensor,
        forced: Sequence[int | None],
        draws: Sequence[Draw] = (),
        told_places: Sequence[int] = (),
    ) -> list[NextToken]:
        """A row's token is the forced one, else the one that its draw says, else the most probable one.

        The rows at `told_places`, which increase, are told their entropy and margin. A row with NaN has the
        log-probability NaN. Without draws and such rows there is one transfer from the device, and one to it where a
        token is forced.
        """
        step = _CPU_ROWS if self._device.type == "cpu" else len(logits_BV)
        parts: list[torch.Tensor] = []
        told_2: list[torch.Tensor] = []
        for start in range(0, len(logits_BV), step):
            end = min(start + step, len(logits_BV))
            wide_BV, logprobs_BV = self._widen(logits_BV[start:end])
            ids_B = _find_highest(wide_BV)
            for draw in draws:
                if start <= draw.place < end:
                    ids_B[draw.place - start] = draw_token(wide_BV[draw.place - start], draw)
            self._force(ids_B, forced[start:end])
            # Ids are below 2**24, which float32 holds exactly: both travel in one tensor.
            parts.append(torch.stack([ids_B.float(), logprobs_BV.gather(1, ids_B[:, None])[:, 0].clamp(max=0.0)]))
            for place in told_places:
                if start <= place < end:
                    told_2.append(_tell(logprobs_BV[place - start], ids_B[place - start]))
        ids, logprobs = torch.cat(parts, dim=1).tolist()
        tokens = [NextToken(int(token_id), logprob) for token_id, logprob in zip(ids, logprobs, strict=True)]
        if told_2:
            for place, (entropy, margin) in zip(told_places, torch.stack(told_2).tolist(), strict=True):
                tokens[place] = tokens[place]._replace(entropy=entropy, margin=margin)
        return tokens

    def _force(self, ids_B: torch.Tensor, forced: Sequence[int | None]) -> None:
        pairs = [(place, token_id) for place, token_id in enumerate(forced) if token_id is not None]
        if pairs:
            places_F, ids_F = to_device([list(each) for each in zip(*pairs, strict=True)], self._device)
            ids_B[places_F] = ids_F

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


def _find_highest(wide_BV: torch.Tensor) -> torch.Tensor:
    """The id of the largest logit of each row, the first of equal ones. NaN counts as the largest."""
    if wide_BV.device.type != "cpu":
        return wide_BV.argmax(dim=-1)
    # torch's own compares one logit after the other on the CPU: 200 instead of 22 us for 152,000 of them.
    return torch.from_numpy(wide_BV.numpy().argmax(axis=-1))


def _tell(logprobs_V: torch.Tensor, token_id: torch.Tensor) -> torch.Tensor:
    """Entropy in nats, to which a token without probability adds nothing, and the margin of the token."""
    # Rounding lifts the log-probability of a certain token above 0.
    probabilities_V = logprobs_V.clamp(max=0.0).exp()
    entropy = torch.special.entr(probabilities_V).sum()
    of_token = probabilities_V[token_id].clone()  # it is a view
    probabilities_V[token_id] = 0.0
    return torch.stack([entropy, of_token - probabilities_V.max()])
