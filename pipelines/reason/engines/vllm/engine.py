"""The engine for GPU fleets: vLLM's batching and kernels, with courses in its stream of tokens.

Each ask is one request. Prefix caching shares a clip's prefix between its asks, and the video is encoded once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import torch

from framegate.pipelines.reason.engines.failures import fail
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.pipelines.reason.engines.vllm.arguments import count_context_tokens
from framegate.pipelines.reason.engines.vllm.clip_input import ClipInput, make_clip_input
from framegate.pipelines.reason.engines.vllm.model import VllmModel
from framegate.pipelines.reason.engines.vllm.sequence import RunningAsk
from framegate.pipelines.reason.models.clip_prefix import build_prefix, select_frames
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.pipelines.reason.strategies.protocol import Ask, Capability, ClipFrames, FinishedAsk, TokenBudget
from framegate.schemas.config import FramesConfig
from framegate.schemas.errors import EngineError, PromptTooLong

_Prefix = tuple[ClipFrames, tuple[int, ...] | None]
"""The asks of one clip with the same frames share their prefix."""


@dataclass(eq=False, kw_only=True)
class _Request:
    """An ask that vLLM has."""

    ask: Ask
    clip_uuid: str
    num_prefix_tokens: int
    num_video_tokens: int
    num_prompt_tokens: int
    running: RunningAsk
    seconds: float
    prompt_seconds: float  # of these, before its first token
    thinking_seconds: float = 0.0  # of these, while its course was thinking


class VllmEngine:
    """Satisfies `pipelines.reason.engines.protocol.Engine`. Tokens are the most probable ones, or drawn as our own
    engine draws them.

    An error while a clip is prepared fails that clip's asks alone. An error in vLLM's own step is the end of the engine
    and is raised. `times` is for reading.
    """

    capabilities: frozenset[Capability] = frozenset({"sampling"})
    num_slots = None  # vLLM makes waiting requests wait itself

    def __init__(self, model: VllmModel, *, system_prompt: str, frames: FramesConfig) -> None:
        self.times = EngineTimes()
        self._model = model
        self._system_prompt = system_prompt
        self._limits = frames
        # A job asks the same few questions of every clip.
        self._encode = lru_cache(maxsize=1024)(lambda text: tuple(model.format.encode(text)))
        self._waiting: dict[_Prefix, list[Ask]] = {}
        self._running: dict[str, _Request] = {}
        self._name = uuid.uuid4().hex  # so that what one engine has cached is never taken for another's
        self._clip_numbers: WeakKeyDictionary[ClipFrames, int] = WeakKeyDictionary()
        self._num_clips = 0
        self._num_asks = 0
        self._unshared_seconds = 0.0

    @classmethod
    def load(
        cls,
        name: str,
        *,
        revision: str | None,
        dtype: str,
        engine_args: Mapping[str, Any],
        system_prompt: str,
        frames: FramesConfig,
        budgets: Sequence[TokenBudget],
        question_bytes: int = 0,
    ) -> VllmEngine:
        """With a model of its own that has room for whatever frames and budgets can lead to. Raises EngineError."""
        grid = read_vision_grid(name, revision)
        model = VllmModel(
            name,
            revision=revision,
            dtype=dtype,
            context_tokens=count_context_tokens(
                frames, budgets, system_prompt=system_prompt, grid=grid, question_bytes=question_bytes
            ),
            clip_tokens=frames.max_video_tokens,
            engine_args=engine_args,
        )
        return cls(model, system_prompt=system_prompt, frames=frames)

    @property
    def num_unfinished(self) -> int:
        return len(self._running) + sum(len(asks) for asks in self._waiting.values())

    def add(self, ask: Ask) -> None:
        self._waiting.setdefault((ask.clip, ask.frames), []).append(ask)

    def step(self) -> list[FinishedAsk]:
        """Hand over as many clips as vLLM can run, then move all running asks on."""
        finished = self._admit()
        if not self._running:
            return finished
        started = time.perf_counter()
        step = self._model.step()
        self._account(time.perf_counter() - started, [self._running[key] for key in step.advanced])
        done = [key for key in step.advanced if self._running[key].running.is_over]
        # Before anything else is scheduled: a course that is over writes not one more token.
        self._model.stop([*done, *step.ended])
        finished += [_finish(self._running.pop(key)) for key in done]
        for key in step.ended:
            error = EngineError("vLLM ended the request before its answer was complete")
            finished.append(_failed(self._running.pop(key), error))
        if not self.num_unfinished:
            self._model.clear()
        return finished

    def close(self) -> None:
        """Give the model's memory and processes back."""
        self._model.close()

    def _admit(self) -> list[FinishedAsk]:
        """Hand waiting clips over while there is a place for one ask; what comes back could not be placed.

        No earlier: until then a clip's frames are bytes, and from then on patches, four times as large or more.
        """
        failed: list[FinishedAsk] = []
        while self._waiting and len(self._running) < self._model.max_num_sequences:
            prefix = next(iter(self._waiting))
            asks = self._waiting.pop(prefix)
            started = time.perf_counter()
            try:
                clip = self._prepare(*prefix)
            except Exception as error:  # whatever it is, it must not take the other clips with it
                failed += [fail(ask, error) for ask in asks]
                continue
            seconds = time.perf_counter() - started
            self.times.vision_seconds += seconds
            for ask in asks:
                try:
                    self._start(ask, clip, seconds=seconds / len(asks))
                except Exception as error:
                    failed.append(fail(ask, error))
        return failed

    def _prepare(self, source: ClipFrames, indices: tuple[int, ...] | None) -> ClipInput:
        """A clip that comes again is prepared again, under its old name: vLLM finds what it has kept of it."""
        frames = select_frames(source.frames, indices)
        prefix = build_prefix(
            frames,
            source.start_seconds,
            system_prompt=self._system_prompt,
            prompt_format=self._model.format,
            limits=self._limits,
            device=torch.device("cpu"),
        )
        self.times.num_patches += len(prefix.patches.pixels_ND)
        self.times.num_prefill_tokens += len(prefix.token_ids)
        return make_clip_input(
            prefix,
            frames,
            prompt_format=self._model.format,
            dtype=self._model.dtype,
            uuid=self._name_video(source, indices),
        )

    def _name_video(self, source: ClipFrames, indices: tuple[int, ...] | None) -> str:
        if source not in self._clip_numbers:
            self._num_clips += 1
            self._clip_numbers[source] = self._num_clips
        name = f"{self._name}-{self._clip_numbers[source]}"
        return name if indices is None else f"{name}-{','.join(map(str, indices))}"

    def _start(self, ask: Ask, clip: ClipInput, *, seconds: float) -> None:
        if ask.needs_distribution:
            raise EngineError("the engine vllm does not measure distributions")
        suffix = self._encode(ask.suffix)
        num_prompt_tokens = len(clip.token_ids) + len(suffix)
        max_tokens = ask.budget.max_tokens(lambda text: len(self._encode(text)))
        if num_prompt_tokens + max_tokens > self._model.max_context_tokens:
            raise PromptTooLong(
                f"a prompt of {num_prompt_tokens} tokens and {max_tokens} for the answer are more "
                f"than the {self._model.max_context_tokens} that vLLM was built for: raise max_model_len in "
                "model.engine_args, or lower frames.max_video_tokens or what the strategy may write"
            )
        self._num_asks += 1
        key = f"{clip.uuid}/{self._num_asks}"
        encoded = {text: self._encode(text) for text in ask.budget.forced_texts}
        prompt = clip.with_suffix(suffix)
        running = self._model.start(key, prompt, ask.make_course, encoded, max_tokens=max_tokens, sampling=ask.sampling)
        # Not the clip itself: its patches are large, and vLLM has them now.
        self._running[key] = _Request(
            ask=ask,
            clip_uuid=clip.uuid,
            num_prefix_tokens=len(clip.token_ids),
            num_video_tokens=clip.num_video_tokens,
            num_prompt_tokens=num_prompt_tokens,
            running=running,
            seconds=seconds,
            prompt_seconds=seconds,
        )
        self.times.num_prefill_tokens += len(suffix)

    def _account(self, seconds: float, advanced: Sequence[_Request]) -> None:
        """A step's time goes in equal shares to the asks that got a token; one that gave none waits for the next.

        A step that reads a prompt to its end counts as prefill, whoever else moved on in it.
        """
        self._unshared_seconds += seconds
        if not advanced:
            return
        share_seconds, self._unshared_seconds = self._unshared_seconds / len(advanced), 0.0
        for request in advanced:
            request.seconds += share_seconds
            if request.running.num_tokens == 1:
                request.prompt_seconds += share_seconds
            elif request.running.was_thinking:
                request.thinking_seconds += share_seconds
        times = self.times
        if any(request.running.num_tokens == 1 for request in advanced):
            times.prefill_seconds += share_seconds * len(advanced)
            return
        num_thinking = sum(request.running.was_thinking for request in advanced)
        times.think_seconds += share_seconds * num_thinking
        times.answer_seconds += share_seconds * (len(advanced) - num_thinking)
        times.num_steps += 1
        times.num_step_rows += len(advanced)
        # All but the token that the step has written.
        num_row_keys = sum(request.num_prompt_tokens + request.running.num_tokens - 1 for request in advanced)
        prefix_tokens = {request.clip_uuid: request.num_prefix_tokens for request in advanced}
        times.num_step_row_keys += num_row_keys
        num_shared = sum(request.num_prefix_tokens for request in advanced) - sum(prefix_tokens.values())
        times.num_step_keys += num_row_keys - num_shared


def _finish(request: _Request) -> FinishedAsk:
    if request.running.error is not None:
        return _failed(request, request.running.error)
    return FinishedAsk(
        ask=request.ask,
        course=request.running.course,
        num_prompt_tokens=request.num_prompt_tokens,
        num_video_tokens=request.num_video_tokens,
        engine_seconds=request.seconds,
        prompt_seconds=request.prompt_seconds,
        thinking_seconds=request.thinking_seconds,
    )


def _failed(request: _Request, error: Exception) -> FinishedAsk:
    return replace(fail(request.ask, error), engine_seconds=request.seconds)
