"""Where the keys and values of running sequences live: one slot each, allocated once, reused at once.

A clip's prefix is computed once and copied into the slot of each of its questions (a copy costs a memory move, not a
forward pass); what the sequence adds follows in the same slot. Busy slots are always 0 .. n-1, so that a forward pass
reads them in place. Knows nothing of tokens, questions or the gate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

LayerKV = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer: (1, kv_heads, num_tokens, head_size) of a prefix, (slots, ...) of the cache."""

_GROWTH_TOKENS = 256


class SlotCache:
    """Keys and values of all slots: per layer two tensors (slots, kv_heads, capacity, head_size).

    Shapes and device come from the first prefix; the capacity grows in steps of 256 tokens and never shrinks.
    """

    def __init__(self, num_slots: int) -> None:
        self._num_slots = num_slots
        self._capacity = 0
        self._layers: list[LayerKV] = []

    def store_prefix(self, slot: int, prefix: Sequence[LayerKV], max_tokens: int) -> None:
        """Begin a slot with a clip's prefix; the sequence will hold about `max_tokens` tokens in all."""
        if not self._layers:
            for keys, values in prefix:
                shape = (self._num_slots, keys.shape[1], 0, keys.shape[3])
                self._layers.append((keys.new_zeros(shape), values.new_zeros(shape)))
        self._grow(max_tokens)
        for stored, given in zip(self._layers, prefix, strict=True):
            for target, source in zip(stored, given, strict=True):
                target[slot, :, : source.shape[2]] = source[0]

    def move(self, source: int, target: int, num_tokens: int) -> None:
        """Copy the first tokens of one slot over another."""
        for pair in self._layers:
            for stored in pair:
                stored[target, :, :num_tokens] = stored[source, :, :num_tokens]

    def open(self, first_slot: int, starts: Sequence[int], num_new: int) -> SlotView:
        """A view for one forward pass: row i adds `num_new` tokens to slot first_slot + i, after its first starts[i].

        Rows with fewer new tokens are padded at the end: what padding writes is never seen and is overwritten later.
        """
        self._grow(max(starts) + num_new)
        return SlotView(self._layers, first_slot, starts, num_new)

    def _grow(self, num_tokens: int) -> None:
        if num_tokens <= self._capacity:
            return
        self._capacity = -(-num_tokens // _GROWTH_TOKENS) * _GROWTH_TOKENS
        for index, (keys, values) in enumerate(self._layers):
            self._layers[index] = (self._widen(keys), self._widen(values))

    def _widen(self, stored: torch.Tensor) -> torch.Tensor:
        # Zeros and not `empty`: what is masked still enters as 0 * value, and 0 * NaN would spread.
        wider = stored.new_zeros((*stored.shape[:2], self._capacity, stored.shape[3]))
        wider[:, :, : stored.shape[2]] = stored
        return wider


class SlotView:
    """What a forward pass sees of the slots; stands where transformers expects a cache.

    `mask` (rows, 1, num_new, tokens seen): a new token sees its slot up to and including itself.
    """

    def __init__(self, layers: list[LayerKV], first_slot: int, starts: Sequence[int], num_new: int) -> None:
        device = layers[0][0].device
        self._layers = layers
        self._slots = slice(first_slot, first_slot + len(starts))
        self._num_seen = max(starts) + num_new
        self._rows = torch.arange(first_slot, first_slot + len(starts), device=device)[:, None]
        self._columns = torch.tensor(starts, device=device)[:, None] + torch.arange(num_new, device=device)
        self.mask = (torch.arange(self._num_seen, device=device) <= self._columns[..., None])[:, None]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new keys and values (rows, kv_heads, num_new, head_size); return all that the rows may see."""
        stored_keys, stored_values = self._layers[layer_idx]
        stored_keys[self._rows, :, self._columns] = keys.transpose(1, 2)
        stored_values[self._rows, :, self._columns] = values.transpose(1, 2)
        return stored_keys[self._slots, :, : self._num_seen], stored_values[self._slots, :, : self._num_seen]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Asked by transformers where no positions are given; ours always are."""
        return self._num_seen
