"""Value controls: what is added to a row's values of the video in the last layer, and how it is changed.

    attention of the last layer ── + weights of the video x what is added ──> rest of the layer, head ──> logits
                                                       ^                                                    │
                                                       └── one step along the gradient of their entropy <───┘

The values themselves are the clip's, which all its rows share. Attention is linear in values, so what is added need not
stand in the cache: its product is added to what attention gives, for this row alone. Only the rest of the last layer
and the head depend on it. They are run again, for the rows that take a step, and differentiated; nothing else is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast
from weakref import WeakKeyDictionary

import torch

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.clip_groups import ClipGroups
from framegate.pipelines.reason.engines.own.kv_cache import KeyValueShape, KVCache, SlotStore
from framegate.pipelines.reason.engines.own.request import Request
from framegate.pipelines.reason.engines.own.token_step import RowGroup, StepPass
from framegate.pipelines.reason.strategies.protocol import SteeredCourse, ValueControl

_ROWS: Final = 8
"""That take a step together: each needs some copies of its distribution, 0.6 MB each of 152,000 tokens."""


def count_bytes(control: ValueControl, num_video_tokens: int, shape: KeyValueShape) -> int:
    """What a control takes at most."""
    if control.rate == 0:
        return 0
    wide = torch.promote_types(shape.dtype, torch.float32)
    return control.num_kept(num_video_tokens) * shape.num_heads * shape.head_size * wide.itemsize


class Controller:
    """What is added for one row, `added_KVD`, at the places `kept_V` of its clip's prefix: kv_heads x tokens x
    head_size; None before the first step. `hidden_H` are the places that the row does not see."""

    def __init__(self, control: ValueControl, values_KVD: torch.Tensor, places_V: torch.Tensor) -> None:
        """`values_KVD` of the video's tokens in the last layer, which stand at `places_V`."""
        wide_KVD = values_KVD.to(torch.promote_types(values_KVD.dtype, torch.float32))
        norms_V = torch.linalg.vector_norm(wide_KVD, dim=(0, 2))
        # Of equal norms the earlier token is kept.
        order_V = norms_V.argsort(descending=True, stable=True)
        num_kept = control.num_kept(len(places_V))
        kept_V = order_V[:num_kept].sort().values
        self.kept_V = places_V[kept_V]
        self.hidden_H = places_V[order_V[num_kept:].sort().values]
        self.added_KVD: torch.Tensor | None = None
        self._step_norm = control.rate * torch.linalg.vector_norm(norms_V[kept_V])

    def attend(self, weights_KGV: torch.Tensor) -> torch.Tensor | None:
        """What is added to what attention gives, (kv_heads, queries, head_size), under these weights of `kept_V`."""
        return None if self.added_KVD is None else torch.bmm(weights_KGV, self.added_KVD)

    def move(self, weights_KGV: torch.Tensor, grad_KGD: torch.Tensor, sign: int) -> None:
        """One step along the gradient (`sign` 1) or against it (-1), which is `grad_KGD` by what attention gives.

        By the values it is weights^T x grad; its norm is known without it. Where it is 0, nothing moves.
        """
        grad_KGD = grad_KGD.to(weights_KGV.dtype)
        if self.added_KVD is None:
            num_kv_heads, _, num_kept = weights_KGV.shape
            self.added_KVD = grad_KGD.new_zeros(num_kv_heads, num_kept, grad_KGD.shape[2])
        # In units of its largest entry: squares of what is small would be 0 in float32.
        grad_KGD = grad_KGD / grad_KGD.abs().max().clamp(min=torch.finfo(grad_KGD.dtype).tiny)
        weights_VG = weights_KGV.mT
        square = (torch.bmm(weights_KGV, weights_VG) * torch.bmm(grad_KGD, grad_KGD.mT)).sum()
        factor = torch.where(square <= 0, 0.0, sign * self._step_norm * square.rsqrt())
        self.added_KVD.baddbmm_(weights_VG, grad_KGD * factor)


@dataclass(frozen=True, kw_only=True)
class _Attended:
    """Of one row in the last layer: what attention gives before anything is added, and the weights of `kept_V`."""

    plain_KGD: torch.Tensor
    weights_KGV: torch.Tensor

    def with_added(self, controller: Controller) -> torch.Tensor:
        added_KGD = controller.attend(self.weights_KGV)
        return self.plain_KGD if added_KGD is None else self.plain_KGD + added_KGD.to(self.plain_KGD.dtype)


class ControlledPass(StepPass):
    """A token step in which the rows in some slots have a controller. The others are computed as without.

    `signs` has, of these, the slots of those that take a step, with its direction.
    """

    def __init__(
        self,
        clips: SlotStore,
        rows: SlotStore,
        clip_groups: ClipGroups,
        *,
        num_own: Sequence[int],
        row_groups: Sequence[RowGroup],
        controllers: Mapping[int, Controller],
        signs: Mapping[int, int],
    ) -> None:
        super().__init__(clips, rows, clip_groups, num_own=num_own, row_groups=row_groups)
        self.controllers, self.signs = controllers, signs
        self.attended: dict[int, _Attended] = {}
        self.hidden_ND: torch.Tensor | None = None
        self._last_layer = len(rows.keys) - 1
        for slot, controller in controllers.items():
            self._bias_RL[slot, controller.hidden_H] = torch.finfo(self._bias_RL.dtype).min

    def watch(self, hidden_ND: torch.Tensor) -> None:
        self.hidden_ND = hidden_ND

    def _weigh(self, layer: int, weights: torch.Tensor, own_values: torch.Tensor) -> torch.Tensor:
        output = super()._weigh(layer, weights, own_values)
        if layer != self._last_layer:
            return output
        num_kv_heads = len(weights) // self._clip_groups.num_rows
        for slot, controller in self.controllers.items():
            rows = slice(slot * num_kv_heads, (slot + 1) * num_kv_heads)
            weights_KGV = weights[rows].index_select(2, controller.kept_V)
            wide = torch.promote_types(weights.dtype, torch.float32)
            attended = _Attended(plain_KGD=output[rows].clone(), weights_KGV=weights_KGV.to(wide))
            if slot in self.signs:
                self.attended[slot] = attended
            output[rows] = attended.with_added(controller)
        return output


class Controllers:
    """Those of the rows in `cache`. A row has one from when it thinks until it has gone."""

    def __init__(self, checkpoint: Checkpoint, cache: KVCache) -> None:
        self._checkpoint = checkpoint
        self._cache = cache
        self._of_row: WeakKeyDictionary[Request, Controller] = WeakKeyDictionary()

    def clear(self) -> None:
        """Forget them all: their rows begin anew, or have gone."""
        self._of_row.clear()

    def of_rows(self) -> dict[int, Controller]:
        """By slot, in order, those of the rows that think and have a control."""
        rows = self._cache.rows[: self._cache.num_thinking]
        return {slot: self._find(row, slot) for slot, row in enumerate(rows) if row.ask.value_control is not None}

    def signs_of(self, slots: Iterable[int]) -> dict[int, int]:
        """Of the rows in these slots, those whose values take a step with the next token, and in which direction."""
        rows = [(slot, self._cache.rows[slot]) for slot in slots]
        signs = {slot: cast(SteeredCourse, row.course).entropy_sign for slot, row in rows if _can_move(row)}
        return {slot: sign for slot, sign in signs.items() if sign}

    def run(self, tokens_2N: torch.Tensor, controlled_pass: ControlledPass) -> torch.Tensor:
        """A token step, as `Checkpoint.run_rows`: logits (rows, vocabulary). Where a row's values take a step, its
        logits are those of after it."""
        logits_BV = self._checkpoint.run_rows(tokens_2N, controlled_pass)
        for slots in _cut(list(controlled_pass.signs)):
            steered_RV = self._move(slots, controlled_pass)
            with torch.inference_mode():
                logits_BV[slots] = steered_RV
        return logits_BV

    def _find(self, row: Request, slot: int) -> Controller:
        found = self._of_row.get(row)
        if found is None:
            control = row.ask.value_control
            assert control is not None
            values = self._cache.clip_store.values[-1][self._cache.clip_slots[slot]]
            places_V = torch.from_numpy(row.clip.video_places).to(values.device)
            found = self._of_row[row] = Controller(control, values[:, places_V], places_V)
        return found

    @torch.inference_mode(False)
    def _move(self, slots: Sequence[int], controlled_pass: ControlledPass) -> torch.Tensor:
        """Move the controllers of these slots; their logits (slots, vocabulary) from then on."""
        assert controlled_pass.hidden_ND is not None
        controllers = [controlled_pass.controllers[slot] for slot in slots]
        attended = [controlled_pass.attended[slot] for slot in slots]
        # Copies: what a pass has computed in inference mode cannot be differentiated.
        hidden_RD = controlled_pass.hidden_ND[list(slots)].clone()
        grads = self._differentiate(self._stack(attended, controllers), hidden_RD)
        for slot, controller, one, grad_A in zip(slots, controllers, attended, grads, strict=True):
            controller.move(one.weights_KGV, grad_A.view(one.plain_KGD.shape), controlled_pass.signs[slot])
        with torch.no_grad():
            return self._checkpoint.finish_rows(self._stack(attended, controllers), hidden_RD)

    @torch.enable_grad()
    def _differentiate(self, attended_RA: torch.Tensor, hidden_RD: torch.Tensor) -> torch.Tensor:
        """The gradient of each row's entropy by what attention gives it."""
        attended_RA.requires_grad_()
        entropy_R = measure_entropy(self._checkpoint.finish_rows(attended_RA, hidden_RD))
        return torch.autograd.grad(entropy_R.sum(), attended_RA)[0]

    @staticmethod
    def _stack(attended: Iterable[_Attended], controllers: Iterable[Controller]) -> torch.Tensor:
        pairs = zip(attended, controllers, strict=True)
        return torch.stack([one.with_added(controller).reshape(-1) for one, controller in pairs])


def measure_entropy(logits_RV: torch.Tensor) -> torch.Tensor:
    """Of each row's distribution, in nats. Can be differentiated."""
    logprobs_RV = logits_RV.to(torch.promote_types(logits_RV.dtype, torch.float32)).log_softmax(dim=-1)
    return -(logprobs_RV.exp() * logprobs_RV).sum(dim=-1)


def _can_move(row: Request) -> bool:
    return row.ask.value_control is not None and row.ask.value_control.rate > 0


def _cut(slots: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(slots), _ROWS):
        yield list(slots[start : start + _ROWS])
