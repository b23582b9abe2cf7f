"""The forward passes of the engine: prefixes of clips, suffixes of requests, and token steps of all that runs.

Everything that runs has a slot of the cache. Requests are read for their lengths and positions; what their tokens mean
is not known here.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
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
from framegate.pipelines.reason.engines.own.seen_steps import SeenSteps, VideoFeatures
from framegate.pipelines.reason.engines.own.token_step import RowGroup, StepPass
from framegate.pipelines.reason.engines.own.value_control import ControlledPass, Controllers
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix, prune_prefix
from framegate.pipelines.reason.models.pruning import find_kept
from framegate.schemas.clip import ClipSteps
from framegate.schemas.config.pruning import PruneConfig

_PASS_TOKENS = 4096  # of suffixes that are prefilled together
_ROW_STEP, _OWN_STEP = 8, 256  # rows and own tokens are rounded up to these where few different shapes are wanted


class Runner:
    """Runs a checkpoint over the requests in `cache`, and gives them their slots; its owner removes what has ended.

    Satisfies `scheduler.SlotMemory`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        seen: SeenSteps | None = None,
        memory_bytes: int | None = None,
        capture: Capture | None = None,
    ) -> None:
        """`capture` makes graphs of token steps; without it CUDA has its own, and other devices have none."""
        if capture is None and checkpoint.device.type == "cuda":
            capture = CudaCapture()
        self.times = EngineTimes()
        self.cache = KVCache(checkpoint.kv_shape, checkpoint.device, memory_bytes=memory_bytes)
        self._checkpoint = checkpoint
        self._seen = seen or SeenSteps()
        self._device = checkpoint.device
        self._sampler = Sampler(self._device)
        self._controllers = Controllers(checkpoint, self.cache)
        self._graphs = StepGraphs(checkpoint.run_rows, capture) if capture else None
        self._graph_versions: tuple[int, int] | None = None
        # Valid until a row or clip comes, goes or moves: each is kept with the number of changes before it was made.
        self._clip_groups: tuple[int, ClipGroups] | None = None
        self._not_plain: tuple[int, list[int]] | None = None

    @property
    def rows(self) -> Sequence[Request]:
        """Those that take part in token steps, in slot order: all but the paused ones."""
        return self.cache.rows[: self.cache.num_stepping]

    def fits(self, *, num_rows: int, row_tokens: int, num_clips: int, clip_tokens: int, control_bytes: int = 0) -> bool:
        """Whether the memory budget allows so many more rows and clips, of at most so many tokens each, and so many
        bytes of value controls for these rows."""
        return self.cache.fits(
            num_rows=num_rows,
            row_tokens=row_tokens,
            num_clips=num_clips,
            clip_tokens=clip_tokens,
            control_bytes=control_bytes,
        )

    def clear(self) -> None:
        """Forget every clip and row, and what the vision tower has seen, and give their memory back."""
        self.cache.clear()
        self._controllers.clear()
        self._seen.clear()
        self._clip_groups = None
        if self._graphs is not None:
            self._graphs.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def add_clips(self, clips: Mapping[Clip, ClipPrefix]) -> None:
        """See and run the clips' prefixes; rows may then ask about them."""
        started = time.perf_counter()
        features = self._checkpoint.see([prefix.video for prefix in clips.values()], self._seen)
        prefixes, kept = prune_clips(clips, features)
        seen = finished_seconds(self._device)
        lengths = [len(prefix.token_ids) for prefix in prefixes]
        first = self.cache.reserve_clips(len(clips), max(lengths))
        self._checkpoint.prefill_prefixes(prefixes, kept, PrefixPass(self.cache.clip_store, first, lengths))
        self.times.vision_seconds += seen - started
        self.times.prefill_seconds += finished_seconds(self._device) - seen
        for prefix, video in zip(prefixes, features, strict=True):
            num_steps, rows, columns = prefix.video.grid_thw
            self.times.num_video_steps += num_steps
            self.times.num_reused_video_steps += video.num_reused
            self.times.num_patches += (num_steps - video.num_reused) * rows * columns
        self.times.num_prefill_tokens += sum(lengths)
        for clip, prefix, video in zip(clips, prefixes, features, strict=True):
            clip.num_prefix_tokens, clip.num_video_tokens = len(prefix.token_ids), prefix.num_video_tokens
            if clip.frames is None:
                clip.embedding = embed_clip(video.features_VD)
                clip.steps = ClipSteps(num_steps=prefix.video.grid_thw[0], num_steps_reused=video.num_reused)
            is_video_P = np.asarray(prefix.token_ids) == self._checkpoint.prompt_format.video_token_id
            clip.video_places = np.flatnonzero(is_video_P)
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
        """One token for every row that is not paused, in slot order."""
        started, think_share = time.perf_counter(), self.cache.num_thinking / len(forced)
        self.times.num_steps += 1
        self.times.num_step_rows += len(forced)
        self.times.num_step_thinkers += self.cache.num_thinking
        self.times.num_step_keys += self.cache.num_keys + len(forced)
        self.times.num_step_row_keys += self.cache.num_row_keys + len(forced)
        tokens = self._sample(self._run_step(), self.rows, forced, self._find_not_plain())
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
        """The next token of each request. Those at places `not_plain` are drawn, or told their distribution."""
        draws: list[Draw] = []
        told_places: list[int] = []
        for place in not_plain:
            request = requests[place]
            sampling = request.ask.sampling
            if sampling.temperature > 0 and forced[place] is None:
                draws.append(Draw(place, sampling.temperature, sampling.top_p, request.draws.random()))
            if request.is_told:
                told_places.append(place)
        return self._sampler.sample(logits_BV, forced, draws, told_places)

    def _run_step(self) -> torch.Tensor:
        """Run the next token of every row that is not paused: logits (rows, vocabulary)."""
        cache, rows = self.cache, self.rows
        free: list[int] = []
        num_own = [row.num_own_tokens for row in rows]
        if self._graphs is not None:
            # Slots behind are run as well, for numbers of rows that come again. What that writes into a paused row's
            # slot stands behind its tokens, where its own next one is written before anything is read.
            free = [0] * (min(round_up(len(rows), _ROW_STEP), cache.row_store.num_slots) - len(rows))
            paused = [row.num_own_tokens for row in cache.rows[len(rows) : len(rows) + len(free)]]
            num_own += paused + free[len(paused) :]
        controllers = self._controllers.of_rows()
        make_pass: Callable[..., StepPass] = StepPass
        if controllers:
            signs = self._controllers.signs_of(controllers)
            make_pass = partial(ControlledPass, controllers=controllers, signs=signs)
        step_pass = make_pass(
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
        if isinstance(step_pass, ControlledPass):
            return self._controllers.run(tokens_2N, step_pass)[: len(rows)]
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
        """Of the rows of a step, and of slots that are run along together with the first row."""
        if self._clip_groups is None or self._clip_groups[0] != self.cache.num_changes:
            slots = self.cache.clip_slots[: self.cache.num_stepping]
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
        """The slots of rows of a step that are drawn or told their distribution."""
        if self._not_plain is None or self._not_plain[0] != self.cache.num_changes:
            slots = [slot for slot, row in enumerate(self.rows) if not row.is_plain]
            self._not_plain = self.cache.num_changes, slots
        return self._not_plain[1]


def prune_clips(
    clips: Mapping[Clip, ClipPrefix], features: Sequence[VideoFeatures]
) -> tuple[Sequence[ClipPrefix], Sequence[VideoFeatures]]:
    """Their prefixes and features, each clip's without the tokens that are left out of it."""
    pruned = [
        (prefix, video) if clip.prune is None else prune_clip(prefix, video, clip.prune)
        for (clip, prefix), video in zip(clips.items(), features, strict=True)
    ]
    return [prefix for prefix, _ in pruned], [video for _, video in pruned]


def prune_clip(prefix: ClipPrefix, video: VideoFeatures, prune: PruneConfig) -> tuple[ClipPrefix, VideoFeatures]:
    """A clip's prefix and features without the tokens that are left out."""
    is_kept_V = find_kept((video.features_VD, *video.deepstack_LVD), prefix.video.grid_thw[0], prune)
    kept = replace(
        video,
        features_VD=video.features_VD[is_kept_V],
        deepstack_LVD=tuple(level[is_kept_V] for level in video.deepstack_LVD),
    )
    return prune_prefix(prefix, is_kept_V.cpu()), kept
