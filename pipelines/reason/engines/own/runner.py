"""Clips and rows as numbers in, next tokens out: the passes of the transformers engine over what has a slot.

Knows nothing of questions, text or the gate: which token ends a row, and which row thinks, is told.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.clip_groups import Company, StoreSize
from framegate.pipelines.reason.engines.own.devices import finished_seconds, to_device
from framegate.pipelines.reason.engines.own.graphs import Capture, CudaCapture, StepGraphs
from framegate.pipelines.reason.engines.own.kv_cache import round_up
from framegate.pipelines.reason.engines.own.prefill import PrefixPass, SuffixPass
from framegate.pipelines.reason.engines.own.sampler import Chooser, Chosen
from framegate.pipelines.reason.engines.own.slot_contents import ResidentClip, ResidentRow, Residents
from framegate.pipelines.reason.engines.own.token_step import RowGroup, StepPass
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix

_PASS_TOKENS = 4096  # of questions that are prefilled together
_ROW_STEP, _OWN_STEP = 8, 256  # rows and own tokens of steps whose shapes shall come again


@dataclass(frozen=True, kw_only=True)
class NewRow:
    """A row about to be placed: `token_ids` follow the clip's prefix; at most `max_tokens` will be its own in all."""

    number: int
    clip: int
    token_ids: Sequence[int]
    max_tokens: int


class Runner:
    """Runs a checkpoint over `residents`, which it fills; its owner removes from them what has ended."""

    def __init__(
        self, checkpoint: Checkpoint, *, memory_bytes: int | None = None, capture: Capture | None = None
    ) -> None:
        """`capture` makes graphs of decode steps; without it CUDA has its own, and other devices have none."""
        if capture is None and checkpoint.device.type == "cuda":
            capture = CudaCapture()
        self.times = EngineTimes()
        self.residents = Residents(checkpoint.kv_shape, checkpoint.device, memory_bytes=memory_bytes)
        self._checkpoint = checkpoint
        self._device = checkpoint.device
        self._chooser = Chooser(self._device)
        self._graphs = StepGraphs(checkpoint.run_rows, capture) if capture else None
        self._graph_versions: tuple[int, int] | None = None
        self._company: tuple[int, Company] | None = None

    def clear(self) -> None:
        """Forget every clip and row, and give their memory back."""
        self.residents.clear()
        self._company = None
        if self._graphs is not None:
            self._graphs.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def add_clips(self, clips: Mapping[int, ClipPrefix]) -> None:
        """See and run prefixes, by clip number; rows may then ask about them."""
        prefixes = list(clips.values())
        lengths = [len(prefix.token_ids) for prefix in prefixes]
        first = self.residents.reserve_clips(len(clips), max(lengths))
        started = time.perf_counter()
        features = self._checkpoint.see([prefix.patches for prefix in prefixes])
        seen = finished_seconds(self._device)
        self._checkpoint.prefill_prefixes(prefixes, features, PrefixPass(self.residents.clip_store, first, lengths))
        self.times.vision_seconds += seen - started
        self.times.prefill_seconds += finished_seconds(self._device) - seen
        self.times.num_patches += sum(len(prefix.patches.pixels_ND) for prefix in prefixes)
        self.times.num_prefill_tokens += sum(lengths)
        for number, prefix in clips.items():
            self.residents.add_clip(number, ResidentClip(len(prefix.token_ids), prefix.next_position))

    def add_rows(self, rows: Sequence[NewRow]) -> list[Chosen]:
        """Place rows of placed clips and run their tokens: the next token of each, in the given order."""
        started = time.perf_counter()
        first = self.residents.reserve_rows(len(rows), max(row.max_tokens for row in rows))
        placed = [self.residents.add_row(row.number, row.clip) for row in rows]
        chosen: list[Chosen] = []
        for part in self._cut(rows):
            start = len(chosen)
            chosen += self._prefill(first + start, placed[start : start + len(part)], part)
        self.times.prefill_seconds += time.perf_counter() - started
        self.times.num_prefill_tokens += sum(len(row.token_ids) for row in rows)
        return chosen

    def advance(self, token_ids: Sequence[int], forced: Sequence[int | None]) -> list[Chosen]:
        """Give every row one token, in slot order: the next one of each, `forced` or the likeliest."""
        started, think_share = time.perf_counter(), self.residents.num_thinking / len(token_ids)
        self.times.num_steps += 1
        self.times.num_step_rows += len(token_ids)
        self.times.num_step_keys += self.residents.num_keys + len(token_ids)
        self.times.num_step_row_keys += self.residents.num_row_keys + len(token_ids)
        chosen = self._chooser.choose(self._step(token_ids), forced)
        seconds = time.perf_counter() - started
        self.times.think_seconds += think_share * seconds
        self.times.answer_seconds += (1 - think_share) * seconds
        return chosen

    def _cut(self, rows: Sequence[NewRow]) -> Iterator[Sequence[NewRow]]:
        """Parts of `_PASS_TOKENS` tokens at most; at least one row each."""
        start = num_tokens = 0
        for end, row in enumerate(rows):
            if end > start and num_tokens + len(row.token_ids) > _PASS_TOKENS:
                yield rows[start:end]
                start, num_tokens = end, 0
            num_tokens += len(row.token_ids)
        yield rows[start:]

    def _prefill(self, first: int, placed: Sequence[ResidentRow], rows: Sequence[NewRow]) -> list[Chosen]:
        """Run the words of questions that stand in slots first, first + 1, ...: the next token of each."""
        num_new = [len(row.token_ids) for row in rows]
        suffix_pass = SuffixPass(
            self.residents.clip_store,
            self.residents.row_store,
            first_row=first,
            num_new=num_new,
            clip_slots=self.residents.clip_slots[first : first + len(rows)],
            prefix_tokens=self.residents.prefix_tokens,
        )
        positions = [
            row.next_position + place for row, count in zip(placed, num_new, strict=True) for place in range(count)
        ]
        tokens_2N = to_device([[token_id for row in rows for token_id in row.token_ids], positions], self._device)
        last_B = to_device([end - 1 for end in itertools.accumulate(num_new)], self._device)
        logits_BV = self._checkpoint.run_rows(tokens_2N, suffix_pass, last_B)
        for row, count in zip(placed, num_new, strict=True):
            row.take(count)
        return self._chooser.choose(logits_BV, [None] * len(rows))

    def _step(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Run one token of every row: logits (rows, vocabulary)."""
        residents, rows = self.residents, self.residents.rows
        free: list[int] = []
        if self._graphs is not None:
            # Free slots behind the busy ones are run as well: numbers of rows that come again.
            free = [0] * (min(round_up(len(rows), _ROW_STEP), residents.row_store.num_slots) - len(rows))
        num_own = [row.num_own for row in rows] + free
        step_pass = StepPass(
            residents.clip_store,
            residents.row_store,
            self._find_company(len(free)),
            num_own=num_own,
            groups=self._group([count + 1 for count in num_own]),
        )
        tokens_2N = to_device([[*token_ids, *free], [row.next_position for row in rows] + free], self._device)
        for row in rows:
            row.take(1)
        if self._graphs is None:
            return self._checkpoint.run_rows(tokens_2N, step_pass)
        versions = (residents.clip_store.version, residents.row_store.version)
        if versions != self._graph_versions:
            self._graphs.clear()
            self._graph_versions = versions
        return self._graphs.run(tokens_2N, step_pass)[: len(rows)]

    def _group(self, num_tokens: Sequence[int]) -> list[RowGroup]:
        """How far own tokens are read: those that think and the others each as far as its longest row goes."""
        if self._graphs is not None:
            most = min(round_up(max(num_tokens), _OWN_STEP), self.residents.row_store.capacity)
            return [RowGroup(first=0, end=len(num_tokens), num_tokens=most)]
        border = self.residents.num_thinking
        parts = [(start, end) for start, end in ((0, border), (border, len(num_tokens))) if start < end]
        return [RowGroup(first=start, end=end, num_tokens=max(num_tokens[start:end])) for start, end in parts]

    def _find_company(self, num_free: int) -> Company:
        """Of all rows, and of free slots with the first of them; kept until a row or clip comes, goes or moves."""
        if self._company is None or self._company[0] != self.residents.changes:
            slots = self.residents.clip_slots
            store = self.residents.clip_store
            company = Company(
                slots + slots[:1] * num_free,
                self.residents.prefix_tokens,
                num_kv_heads=self._checkpoint.kv_shape.num_heads,
                device=self._device,
                round_shapes_to=None if self._graphs is None else StoreSize(store.num_slots, store.capacity),
            )
            self._company = self.residents.changes, company
        return self._company[1]
