"""The default engine: continuous batching over a transformers model.

Asks wait until there is a slot for them. All that run advance together, token by token; one that is over leaves its
slot at once, and another one moves in. One that begins to think pauses until there are enough to think together.

    add ──> scheduler: who runs ──> runner: prefixes, suffixes, token steps ──> course: what each token means
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from framegate.pipelines.reason.engines.failures import fail, is_fatal, is_memory_error
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.graphs import Capture
from framegate.pipelines.reason.engines.own.request import Clip, Request, cut_batches
from framegate.pipelines.reason.engines.own.runner import Runner
from framegate.pipelines.reason.engines.own.sampler import NextToken
from framegate.pipelines.reason.engines.own.scheduler import Scheduler
from framegate.pipelines.reason.engines.own.seen_steps import SeenSteps
from framegate.pipelines.reason.engines.own.value_control import count_bytes
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix, select_frames
from framegate.pipelines.reason.models.pruning import most_kept
from framegate.pipelines.reason.strategies.protocol import Ask, Capability, FinishedAsk, Token
from framegate.schemas.config import FramesConfig
from framegate.schemas.errors import EngineError, PromptTooLong

# A step of many rows costs a CPU nearly as much per row as one of few; a GPU hardly notices them.
_NUM_SLOTS = {"cpu": 64, "cuda": 512}
# Of prefixes that are run together. With more of them the device is no busier.
_PREFILL_TOKENS = {"cpu": 1024, "cuda": 8192}
_ABOVE_BUDGET = "keys and values of one question are above the engine's memory budget"


class TransformersEngine:
    """Satisfies `pipelines.reason.engines.protocol.Engine`.

    `num_slots` bounds the asks that run at once; as many may be paused. `memory_bytes` bounds keys and values; what
    fits runs. An error in a
    clip's prefix fails the asks of that clip, an error in a step all that run. Out of memory, all that run begin again,
    half as many at once, down to one, whose clip then fails with `memory_limit`. The engine goes on after all of these.
    """

    capabilities: frozenset[Capability] = frozenset({"sampling", "distribution", "value_cache", "pruning"})

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        system_prompt: str,
        frames: FramesConfig,
        num_slots: int | None = None,
        memory_bytes: int | None = None,
        capture: Capture | None = None,
        reuses_steps: bool = True,
    ) -> None:
        """`capture` makes graphs of token steps; without it CUDA uses its own, and other devices none. Without
        `reuses_steps` the vision tower runs each temporal step of each clip, for comparison: rows are the same."""
        device = checkpoint.device.type
        seen = SeenSteps(same_within=frames.same_within, reuses=reuses_steps)
        self.runner = Runner(checkpoint, seen=seen, memory_bytes=memory_bytes, capture=capture)
        self.scheduler = Scheduler(self.runner, num_slots=num_slots or _NUM_SLOTS.get(device, _NUM_SLOTS["cpu"]))
        self._checkpoint = checkpoint
        self._pieces, self._end_ids = checkpoint.pieces, checkpoint.end_ids
        self._system_prompt = system_prompt
        self._limits = frames
        self._prefill_tokens = _PREFILL_TOKENS.get(device, _PREFILL_TOKENS["cpu"])
        # A job asks the same few questions of every clip.
        self._encode = lru_cache(maxsize=1024)(lambda text: tuple(checkpoint.encode(text)))
        self._finished: list[FinishedAsk] = []
        self._num_unfinished = 0

    @property
    def num_unfinished(self) -> int:
        return self._num_unfinished

    @property
    def num_slots(self) -> int:
        return self.scheduler.num_slots

    @property
    def times(self) -> EngineTimes:
        return self.runner.times

    @property
    def running(self) -> Sequence[Request]:
        """What takes part in token steps now, in slot order."""
        return list(self.runner.rows)

    def add(self, ask: Ask) -> None:
        started = time.perf_counter()
        self._num_unfinished += 1
        try:
            clip = self.scheduler.find_clip(ask) or self._measure(ask)
            suffix_ids = (*self._encode(ask.suffix), *ask.carried)
            num_more = ask.budget.max_tokens(lambda text: len(self._encode(text)))
            self._check_length(clip, len(suffix_ids), num_more)
        except Exception as error:  # too many frames, too long, or a text that is none
            self._finished.append(replace(fail(ask, error), engine_seconds=time.perf_counter() - started))
            return
        request = Request(ask=ask, clip=clip, suffix_ids=suffix_ids, max_own_tokens=len(suffix_ids) + num_more)
        if ask.value_control is not None:
            request.control_bytes = count_bytes(ask.value_control, clip.num_video_tokens, self._checkpoint.kv_shape)
        request.seconds = request.prompt_seconds = time.perf_counter() - started
        self.scheduler.add(request)

    def step(self) -> list[FinishedAsk]:
        """Fill the free slots, then move every ask that is not paused one token on.

        Raises an error after which no engine can go on in this process.
        """
        try:
            self._forget_unasked()
            self._fill_slots()
            if self.running:  # where all that entered failed, none do that are not paused
                self._advance()
            self.scheduler.count_step(is_calm=True)
        except Exception as error:  # what ran is lost or begins again, the engine goes on
            self._recover(error)
        finished, self._finished = self._finished, []
        self._num_unfinished -= len(finished)
        return finished

    def _forget_unasked(self) -> None:
        """Clips of which nothing more is asked go. Not with their last ask: what follows from it comes after a step."""
        for clip in self.scheduler.forget_unasked():
            if clip.is_in_slot:
                self.runner.cache.remove_clip(clip)

    def _fill_slots(self) -> None:
        """Let paused requests go on, and waiting ones in: run their prefixes, then their suffixes, and take the first
        token of each."""
        entering, too_large, resuming = self.scheduler.schedule()
        for request in resuming:
            self.runner.cache.begin_thinking(request)
        for request in too_large:
            self._hand_over(request, MemoryError(_ABOVE_BUDGET))
        if not entering:
            return
        new_clips = list(dict.fromkeys(request.clip for request in entering if not request.clip.is_in_slot))
        for clips in cut_batches(new_clips, lambda clip: clip.num_prefix_tokens, self._prefill_tokens):
            prefixes, not_laid_out = self._lay_out(clips)
            if not_laid_out:
                behind = new_clips[new_clips.index(not_laid_out[0]) :]
                self.scheduler.put_back([request for request in self.scheduler.running if request.clip in behind])
            self._run_prefixes(prefixes)
            if not_laid_out:
                break
        requests = [request for request in entering if request.clip.is_in_slot and self._begin(request)]
        if requests:
            started = time.perf_counter()
            tokens = self.runner.add_rows(requests, _take_forced(requests))
            self._take(requests, tokens, seconds=time.perf_counter() - started, are_first=True)

    def _advance(self) -> None:
        """One token for every ask that is not paused."""
        started = time.perf_counter()
        requests = self.running
        tokens = self.runner.step(_take_forced(requests))
        self._take(requests, tokens, seconds=time.perf_counter() - started)

    def _take(
        self, requests: Sequence[Request], tokens: Sequence[NextToken], *, seconds: float, are_first: bool = False
    ) -> None:
        """Give each course its token; those that are over leave."""
        share_seconds = seconds / len(requests)
        for request, (token_id, logprob, entropy, margin) in zip(requests, tokens, strict=True):
            course = request.course
            ends_turn = token_id in self._end_ids
            request.next_token = token_id
            request.seconds += share_seconds
            if are_first:
                request.prompt_seconds += share_seconds
            elif course.is_thinking:
                request.thinking_seconds += share_seconds
            try:
                if math.isnan(logprob):
                    raise EngineError(
                        "the model computed NaN for this question; float16 overflows where bfloat16 does not"
                    )
                piece = b"" if ends_turn else self._pieces[token_id]
                course.append(Token(token_id, piece, logprob, ends_turn, entropy, margin))
                is_over, is_thinking = course.is_over, course.is_thinking
                if not is_over and request.is_used_up:
                    raise EngineError(f"the ask goes on beyond the {request.num_written} tokens of its budget")
            except Exception as error:  # of this ask alone
                self.runner.cache.remove_row(request)
                self._leave(request, error)
                continue
            if is_over:
                self.runner.cache.remove_row(request)
                self._leave(request)
            elif is_thinking and not request.is_in_front:
                self.runner.cache.pause(request)
                self.scheduler.pause(request)

    def _check_length(self, clip: Clip, num_suffix: int, num_more: int) -> None:
        """Raises PromptTooLong where the ask, with all that it may write, would go beyond the model's positions."""
        num_positions = clip.num_prefix_positions + num_suffix
        if num_positions + num_more > self._checkpoint.max_positions:
            raise PromptTooLong(
                f"the prompt takes {num_positions} positions and the answer up to {num_more}, more than the"
                f" {self._checkpoint.max_positions} of the model: shorten the question, or lower"
                " frames.max_video_tokens or what the strategy may write"
            )

    def _measure(self, ask: Ask) -> Clip:
        """A clip that no other ask shares yet."""
        frames, prune = select_frames(ask.clip.frames, ask.frames), ask.clip.prune or self._limits.prune
        length = self._checkpoint.measure(
            frames,
            ask.clip.start_seconds,
            system_prompt=self._system_prompt,
            limits=self._limits,
        )
        num_steps = -(-len(frames) // self._checkpoint.prompt_format.grid.temporal_patch)
        num_video_tokens = most_kept(length.num_video_tokens, num_steps, prune)
        return Clip(
            source=ask.clip,
            frames=ask.frames,
            prune=prune,
            num_prefix_tokens=length.num_tokens - length.num_video_tokens + num_video_tokens,
            num_video_tokens=num_video_tokens,
            num_video_tokens_full=None if prune is None else length.num_video_tokens,
            num_prefix_positions=length.next_position,
        )

    def _lay_out(self, clips: Sequence[Clip]) -> tuple[dict[Clip, ClipPrefix], Sequence[Clip]]:
        """The prefixes of those that can be laid out. A clip that cannot is given up.

        Where memory runs out though others could make room: also the clip and those behind it, which must wait.
        """
        prefixes: dict[Clip, ClipPrefix] = {}
        for place, clip in enumerate(clips):
            started = time.perf_counter()
            try:
                prefixes[clip] = self._checkpoint.lay_out(
                    select_frames(clip.source.frames, clip.frames),
                    clip.source.start_seconds,
                    system_prompt=self._system_prompt,
                    limits=self._limits,
                )
            except Exception as error:  # of this clip alone
                running = self.scheduler.running
                if is_memory_error(error) and any(
                    request.clip.is_in_slot or request.clip in prefixes for request in running
                ):
                    return prefixes, clips[place:]
                self._give_up(clip, error)
                continue
            seconds = time.perf_counter() - started
            self._share(clip, seconds)
            self.times.vision_seconds += seconds
        return prefixes, ()

    def _run_prefixes(self, prefixes: Mapping[Clip, ClipPrefix]) -> None:
        """Run some prefixes together, or one by one where that fails. A clip whose prefix fails alone is given up.

        Raises when memory does not suffice.
        """
        if not prefixes:
            return
        started = time.perf_counter()
        try:
            self.runner.add_clips(prefixes)
        except Exception as error:
            if is_memory_error(error):
                raise
            for clip, prefix in prefixes.items():
                if len(prefixes) == 1:
                    self._give_up(clip, error)
                else:
                    self._run_prefixes({clip: prefix})
            return
        seconds = time.perf_counter() - started
        for clip in prefixes:
            self._share(clip, seconds / len(prefixes))

    def _share(self, clip: Clip, seconds: float) -> None:
        """Time that a clip took is that of all asks that wait for its prefix."""
        requests = self.scheduler.requests_of(clip)
        for request in requests:
            request.seconds += seconds / len(requests)
            request.prompt_seconds += seconds / len(requests)

    def _begin(self, request: Request) -> bool:
        """Start its course; False where that fails, and then it has left."""
        try:
            request.begin(self._encode)
        except Exception as error:  # of this ask alone
            self._leave(request, error)
            return False
        return True

    def _leave(self, request: Request, error: Exception | None = None) -> None:
        """Hand over a request that runs and is in no slot any more."""
        self._hand_over(request, error)
        self.scheduler.finish(request)

    def _give_up(self, clip: Clip, error: Exception) -> None:
        for request in self.scheduler.give_up(clip):
            self._hand_over(request, error)

    def _hand_over(self, request: Request, error: Exception | None) -> None:
        """With its course, or with what failed."""
        if error is not None:
            self._finished.append(replace(fail(request.ask, error), engine_seconds=request.seconds))
            return
        self._finished.append(
            FinishedAsk(
                ask=request.ask,
                course=request.course,
                num_prompt_tokens=request.num_prompt_tokens,
                num_video_tokens=request.clip.num_video_tokens,
                num_video_tokens_full=request.clip.num_video_tokens_full,
                engine_seconds=request.seconds,
                prompt_seconds=request.prompt_seconds,
                thinking_seconds=request.thinking_seconds,
                clip_embedding=request.clip.embedding,
                clip_steps=request.clip.steps,
            )
        )

    def _recover(self, error: Exception) -> None:
        """Out of memory: begin again with half as many, or give up a clip that is alone. Else: fail all that ran."""
        if is_fatal(error):
            raise error
        self.scheduler.count_step(is_calm=False)
        for request in self.scheduler.halve() if is_memory_error(error) else self.scheduler.stop():
            self._hand_over(request, error)


def _take_forced(requests: Sequence[Request]) -> list[int | None]:
    """The id that must come next in each course, where there is one."""
    queues = [request.course.forced for request in requests]
    return [forced.popleft() if forced else None for forced in queues]
