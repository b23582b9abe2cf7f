"""The engine for GPU fleets: vLLM's batching and kernels, with the gate in its stream.

Each question is one request that answers, and exits or thinks. Prefix caching shares a clip's prefix between its
questions, and the video is encoded once. Knows nothing of Ray, storage or SQL; what a token means for its question is
`pipelines.reason.strategies.sequence`'s.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING, suffix_after_video
from framegate.pipelines.reason.engines.failures import fail
from framegate.pipelines.reason.engines.protocol import ClipRequest, Finished
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.pipelines.reason.engines.vllm.arguments import count_context_tokens, count_generated_tokens
from framegate.pipelines.reason.engines.vllm.clip_input import ClipInput, make_clip_input
from framegate.pipelines.reason.engines.vllm.model import VllmModel
from framegate.pipelines.reason.engines.vllm.worker_rows import describe_sequence
from framegate.pipelines.reason.models.clip_prefix import build_prefix
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.pipelines.reason.strategies.sequence import GatedSequence
from framegate.schemas.config import FramesConfig, GateConfig
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Question


class _Running(NamedTuple):
    """A question under way. `clip` names the prefix, of so many tokens, that it shares with others."""

    sequence: GatedSequence
    clip: str
    num_prefix_tokens: int


class VllmEngine:
    """Satisfies `pipelines.reason.engines.protocol.Engine`. Greedy decoding.

    An error while a clip is prepared fails that clip's questions alone. An error in vLLM's own step is the end of the
    engine and is raised. `sequence_type` says what tokens mean; `times` is for reading.
    """

    def __init__(
        self,
        model: VllmModel,
        *,
        system_prompt: str,
        gate: GateConfig,
        frames: FramesConfig,
        sequence_type: type[GatedSequence] = GatedSequence,
    ) -> None:
        self.times = EngineTimes()
        self._model = model
        self._system_prompt = system_prompt
        self._gate = gate
        self._frames = frames
        self._sequence_type = sequence_type
        self._closing = model.format.encode(FORCED_CLOSING)
        self._waiting: deque[ClipRequest] = deque()
        self._running: dict[str, _Running] = {}
        self._name = uuid.uuid4().hex  # so that what one engine has cached is never taken for another's
        self._num_clips = 0
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
        gate: GateConfig,
        frames: FramesConfig,
        sequence_type: type[GatedSequence] = GatedSequence,
    ) -> VllmEngine:
        """With a model of its own that has room for whatever gate and frames can lead to. Raises EngineError."""
        grid = read_vision_grid(name, revision)
        model = VllmModel(
            name,
            revision=revision,
            dtype=dtype,
            context_tokens=count_context_tokens(frames, gate, system_prompt=system_prompt, grid=grid),
            clip_tokens=frames.max_video_tokens,
            engine_args=engine_args,
        )
        return cls(model, system_prompt=system_prompt, gate=gate, frames=frames, sequence_type=sequence_type)

    @property
    def num_unfinished(self) -> int:
        return len(self._running) + sum(len(request.questions) for request in self._waiting)

    def add(self, request: ClipRequest) -> None:
        if request.questions:
            self._waiting.append(request)

    def step(self) -> list[Finished]:
        """Hand over as many clips as vLLM can run, then move all running questions on."""
        finished = self._admit()
        if not self._running:
            return finished
        started = time.perf_counter()
        step = self._model.step()
        advanced = [self._running[key] for key in step.advanced]
        self._account(time.perf_counter() - started, advanced)
        done = [key for key in step.advanced if self._running[key].sequence.finish_reason is not None]
        # Before anything else is scheduled: a question that has its answer writes not one more token.
        self._model.stop([*done, *step.ended])
        for key in done:
            sequence = self._running.pop(key).sequence
            finished.append(
                Finished(request_id=sequence.request_id, question=sequence.question, answer=sequence.to_answer())
            )
        for key in step.ended:
            sequence = self._running.pop(key).sequence
            error = EngineError("vLLM ended the request before its answer was complete")
            finished.append(fail(sequence.request_id, sequence.question, error))
        if not self.num_unfinished:
            self._model.clear()
        return finished

    def close(self) -> None:
        """Give the model's memory and processes back."""
        self._model.close()

    def _admit(self) -> list[Finished]:
        """Hand waiting clips over while there is a place for one question; what comes back could not be placed.

        No earlier: until then a clip's frames are bytes, and from then on patches, four times as large or more.
        """
        failed: list[Finished] = []
        while self._waiting and len(self._running) < self._model.max_num_sequences:
            request = self._waiting.popleft()
            started = time.perf_counter()
            try:
                clip = self._prepare(request)
            except Exception as error:  # whatever it is, it must not take the other clips with it
                failed += [fail(request.id, question, error) for question in request.questions]
                continue
            seconds = time.perf_counter() - started
            self.times.vision_seconds += seconds
            for place, question in enumerate(request.questions):
                try:
                    sequence = self._start(f"{clip.uuid}/{place}", clip, request, question)
                    sequence.engine_seconds += seconds / len(request.questions)
                except Exception as error:
                    failed.append(fail(request.id, question, error))
        return failed

    def _prepare(self, request: ClipRequest) -> ClipInput:
        prefix = build_prefix(
            request.frames,
            request.clip_start_seconds,
            system_prompt=self._system_prompt,
            prompt_format=self._model.format,
            limits=self._frames,
            device=torch.device("cpu"),
        )
        self._num_clips += 1
        self.times.num_patches += len(prefix.patches.pixels_ND)
        self.times.num_prefill_tokens += len(prefix.token_ids)
        return make_clip_input(
            prefix,
            request.frames.pts_seconds.tolist(),
            prompt_format=self._model.format,
            dtype=self._model.dtype,
            uuid=f"{self._name}-{self._num_clips}",
        )

    def _start(self, key: str, clip: ClipInput, request: ClipRequest, question: Question) -> GatedSequence:
        suffix = self._model.format.encode(suffix_after_video(question))
        num_prompt_tokens = len(clip.token_ids) + len(suffix)
        longest = num_prompt_tokens + count_generated_tokens(self._gate, len(self._closing))
        if longest > self._model.max_context_tokens:
            raise EngineError(
                f"a prompt of {num_prompt_tokens} tokens and {longest - num_prompt_tokens} for the answer are more "
                f"than the {self._model.max_context_tokens} that vLLM was built for: raise max_model_len in "
                "model.engine_args, or lower frames.max_video_tokens or gate.max_thinking_tokens"
            )
        settings = {
            "question": question,
            "clip_start_seconds": request.clip_start_seconds,
            "gate": self._gate,
            "closing": self._closing,
        }
        sequence = self._sequence_type(
            request_id=request.id,
            num_prompt_tokens=num_prompt_tokens,
            num_video_tokens=clip.num_video_tokens,
            **settings,
        )
        self._model.start(key, clip.with_suffix(suffix), sequence, describe_sequence(self._sequence_type, **settings))
        self._running[key] = _Running(sequence, clip.uuid, len(clip.token_ids))
        self.times.num_prefill_tokens += len(suffix)
        return sequence

    def _account(self, seconds: float, advanced: list[_Running]) -> None:
        """A step's time goes in equal shares to the questions that got a token; one that gave none waits for the next.

        A step that reads a prompt to its end counts as prefill, whoever else moved on in it.
        """
        self._unshared_seconds += seconds
        if not advanced:
            return
        share_seconds, self._unshared_seconds = self._unshared_seconds / len(advanced), 0.0
        sequences = [running.sequence for running in advanced]
        for sequence in sequences:
            sequence.engine_seconds += share_seconds
        times = self.times
        if any(len(sequence.token_ids) == 1 for sequence in sequences):
            times.prefill_seconds += share_seconds * len(advanced)
            return
        num_thinking = sum(sequence.num_thinking_tokens > 0 for sequence in sequences)
        times.think_seconds += share_seconds * num_thinking
        times.answer_seconds += share_seconds * (len(advanced) - num_thinking)
        times.num_steps += 1
        times.num_step_rows += len(advanced)
        # All but the token that the step has produced.
        num_row_keys = sum(sequence.num_prompt_tokens + len(sequence.token_ids) - 1 for sequence in sequences)
        prefix_tokens = {running.clip: running.num_prefix_tokens for running in advanced}
        times.num_step_row_keys += num_row_keys
        num_shared = sum(running.num_prefix_tokens for running in advanced) - sum(prefix_tokens.values())
        times.num_step_keys += num_row_keys - num_shared
