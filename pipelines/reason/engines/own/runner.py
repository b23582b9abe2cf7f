"""The forward passes of the engine: prefixes of clips, suffixes of requests, and token steps of all that runs.

Everything that runs has a slot of the cache. Requests are read for their lengths and positions; what their tokens mean
is not known here.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence

import torch

from framegate.pipelines.reason.engines.drawing import Draw
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.clip_embedding import embed_clip
from framegate.pipelines.reason.engines.own.clip_groups import ClipGroups, StoreSize
from framegate.pipelines.reason.engines.own.device import finished_seconds, to_device
from framegate.pipelines.reason.engines.own.graphs import Capture, CudaCapture, StepGraphs
from framegate.pipelines.reason.engines.own.kv_cache import KVCache, round_up
from framegate.pipelines.reason.engines.own.prefill import PrefixPass, SuffixPass
from framegate.pipelines.reason.engines.own.request import Clip, Request, cut_batches
from framegate.pipelines.reason.engines.own.sampler import NextToken, Sampler
from framegate.pipelines.reason.engines.own.token_step import RowGroup, StepPass
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix

_PASS_TOKENS = 4096  # of suffixes that are prefilled together
_ROW_STEP, _OWN_STEP = 8, 256  # rows and own tokens are rounded up to these where few different shapes are wanted


class Runner:
    """Runs a checkpoint over the requests in `cache`, and gives them their slots; its owner removes what has ended.

    Satisfies `scheduler.SlotMemory`.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, memory_bytes: int | None = None, capture: Capture | None = None
    ) -> None:
        """`capture` makes graphs of token steps; without it CUDA has its own, and other devices have none."""
        if capture is None and checkpoint.device.type == "cuda":
            capture = CudaCapture()
        self.times = EngineTimes()
        self.cache = KVCache(checkpoint.kv_shape, checkpoint.device, memory_bytes=memory_bytes)
        self._checkpoint = checkpoint
        self._device = checkpoint.device
        self._sampler = Sampler(self._device)
        self._graphs = StepGraphs(checkpoint.run_rows, capture) if capture else None
        self._graph_versions: tuple[int, int] | None = None
        # Valid until a row or clip comes, goes or moves: each is kept with the number of changes before it was made.
        self._clip_groups: tuple[int, ClipGroups] | None = None
        self._not_plain: tuple[int, list[int]] | None = None

    def fits(self, *, num_rows: int, row_tokens: int, num_clips: int, clip_tokens: int) -> bool:
        """Whether the memory budget allows so many more rows and clips, of at most so many tokens each."""
        return self.cache.fits(num_rows=num_rows, row_tokens=row_tokens, num_clips=num_clips, clip_tokens=clip_tokens)

    def clear(self) -> None:
        """Forget every clip and row, and give their memory back."""
        self.cache.clear()
        self._clip_groups = None
        if self._graphs is not None:
            self._graphs.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def add_clips(self, clips: Mapping[Clip, ClipPrefix]) -> None:
        """See and run the clips' prefixes; rows may then ask about them."""
        prefixes = list(clips.values())
        lengths = [len(prefix.token_ids) for prefix in prefixes]
        first = self.cache.reserve_clips(len(clips), max(lengths))
        started = time.perf_counter()
        features = self._checkpoint.see([prefix.patches for prefix in prefixes])
        seen = finished_seconds(self._device)
        self._checkpoint.prefill_prefixes(prefixes, features, PrefixPass(self.cache.clip_store, first, lengths))
        self.times.vision_seconds += seen - started
        self.times.prefill_seconds += finished_seconds(self._device) - seen
        self.times.num_patches += sum(len(prefix.patches.pixels_ND) for prefix in prefixes)
        self.times.num_prefill_tokens += sum(lengths)
        for (clip, prefix), video in zip(clips.items(), features, strict=True):
            clip.embedding = embed_clip(video.features_VD) if clip.frames is None else None
            self.cache.add_clip(clip, next_position=prefix.next_position)

    def add_rows(self, requests: Sequence[Request], forced: Sequence[int | None]) -> list[NextToken]:
        """Give requests their slots and run their suffixes: the next token of each. Their clips must be in slots."""
        started = time.perf_counter()
        first = self.cache.reserve_rows(len(requests), max(request.max_own_tokens for request in requests))
        for request in requests:
            self.cache.add_row(request)
        tokens: list[NextToken] = []
        for batch in cut_batches(requests, lambda request: len(request.suffix_ids), _PASS_TOKENS):
            start = len(tokens)
            tokens += self._prefill(first + start, batch, forced[start : start + len(batch)])
        self.times.prefill_seconds += time.perf_counter() - started
        self.times.num_prefill_tokens += sum(len(request.suffix_ids) for request in requests)
        return tokens

    def step(self, forced: Sequence[int | None]) -> list[NextToken]:
        """One token for every row, in slot order."""
        started, think_share = time.perf_counter(), self.cache.num_thinking / len(forced)
        self.times.num_steps += 1
        self.times.num_step_rows += len(forced)
        self.times.num_step_keys += self.cache.num_keys + len(forced)
        self.times.num_step_row_keys += self.cache.num_row_keys + len(forced)
        tokens = self._sample(self._run_step(), self.cache.rows, forced, self._find_not_plain())
        seconds = time.perf_counter() - started
        self.times.think_seconds += think_share * seconds
        self.times.answer_seconds += (1 - think_share) * seconds
        return tokens

    def _prefill(self, first: int, requests: Sequence[Request], forced: Sequence[int | None]) -> list[NextToken]:
        """Run the suffixes of requests in slots first, first + 1, ...: the next token of each."""
        num_new = [len(request.suffix_ids) for request in requests]
        suffix_pass = SuffixPass(
            self.cache.clip_store,
            self.cache.row_store,
            first_row=first,
            num_new=num_new,
            clip_slots=self.cache.clip_slots[first : first + len(requests)],
            prefix_tokens=self.cache.prefix_tokens,
        )
        positions = [
            request.next_position + place
            for request, count in zip(requests, num_new, strict=True)
            for place in range(count)
        ]
        token_ids = [token_id for request in requests for token_id in request.suffix_ids]
        tokens_2N = to_device([token_ids, positions], self._device)
        last_B = to_device([end - 1 for end in itertools.accumulate(num_new)], self._device)
        logits_BV = self._checkpoint.run_rows(tokens_2N, suffix_pass, last_B)
        for request, count in zip(requests, num_new, strict=True):
            request.advance(count)
        not_plain = [place for place, request in enumerate(requests) if not request.is_plain]
        return self._sample(logits_BV, requests, forced, not_plain)

    def _sample(
        self,
        logits_BV: torch.Tensor,
        requests: Sequence[Request],
        forced: Sequence[int | None],
        not_plain: Sequence[int],
    ) -> list[NextToken]:
        """The next token of each request. Those at places `not_plain` are drawn, or told their entropy, or both."""
        draws: list[Draw] = []
        entropy_places: list[int] = []
        for place in not_plain:
            request = requests[place]
            sampling = request.ask.sampling
            if sampling.temperature > 0 and forced[place] is None:
                draws.append(Draw(place, sampling.temperature, sampling.top_p, request.draws.random()))
            if request.ask.needs_distribution:
                entropy_places.append(place)
        return self._sampler.sample(logits_BV, forced, draws, entropy_places)

    def _run_step(self) -> torch.Tensor:
        """Run the next token of every row: logits (rows, vocabulary)."""
        cache, rows = self.cache, self.cache.rows
        free: list[int] = []
        if self._graphs is not None:
            # Free slots behind the busy ones are run as well, for numbers of rows that come again.
            free = [0] * (min(round_up(len(rows), _ROW_STEP), cache.row_store.num_slots) - len(rows))
        num_own = [row.num_own_tokens for row in rows] + free
        step_pass = StepPass(
            cache.clip_store,
            cache.row_store,
            self._find_clip_groups(len(free)),
            num_own=num_own,
            row_groups=self._group_rows([count + 1 for count in num_own]),
        )
        token_ids, positions = [row.next_token for row in rows], [row.next_position for row in rows]
        tokens_2N = to_device([token_ids + free, positions + free], self._device)
        for row in rows:
            row.advance(1)
        if self._graphs is None:
            return self._checkpoint.run_rows(tokens_2N, step_pass)
        versions = (cache.clip_store.version, cache.row_store.version)
        if versions != self._graph_versions:
            self._graphs.clear()
            self._graph_versions = versions
        return self._graphs.run(tokens_2N, step_pass)[: len(rows)]

    def _group_rows(self, num_tokens: Sequence[int]) -> list[RowGroup]:
        """How far own tokens are read: rows that think, and the others, each as far as the longest of them goes."""
        if self._graphs is not None:
            most = min(round_up(max(num_tokens), _OWN_STEP), self.cache.row_store.capacity)
            return [RowGroup(first=0, end=len(num_tokens), num_tokens=most)]
        border = self.cache.num_thinking
        parts = [(start, end) for start, end in ((0, border), (border, len(num_tokens))) if start < end]
        return [RowGroup(first=start, end=end, num_tokens=max(num_tokens[start:end])) for start, end in parts]

    def _find_clip_groups(self, num_free: int) -> ClipGroups:
        """Of all rows, and of free slots together with the first row."""
        if self._clip_groups is None or self._clip_groups[0] != self.cache.num_changes:
            slots = self.cache.clip_slots
            store = self.cache.clip_store
            clip_groups = ClipGroups(
                slots + slots[:1] * num_free,
                self.cache.prefix_tokens,
                num_kv_heads=self._checkpoint.kv_shape.num_heads,
                device=self._device,
                round_shapes_to=None if self._graphs is None else StoreSize(store.num_slots, store.capacity),
            )
            self._clip_groups = self.cache.num_changes, clip_groups
        return self._clip_groups[1]

    def _find_not_plain(self) -> list[int]:
        """The slots of rows that are drawn or told their entropy."""
        if self._not_plain is None or self._not_plain[0] != self.cache.num_changes:
            slots = [slot for slot, row in enumerate(self.cache.rows) if not row.is_plain]
            self._not_plain = self.cache.num_changes, slots
        return self._not_plain[1]
