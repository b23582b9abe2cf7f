"""What people would write with Hugging Face's `generate`: two calls for each question, or all thinking in batches.

In their strongest honest form: sdpa attention, inference mode, keys and values cached, frames cut once per clip by our
own preprocessing (no torchvision is needed, and it is the faster one). Positions are the published ones, which
transformers itself works out otherwise for Qwen2.5-VL, so that the same tokens are written as everywhere; they are
handed in and cost nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
import transformers
from transformers import AutoModelForImageTextToText, AutoTokenizer, StoppingCriteria, StoppingCriteriaList

from framegate.pipelines.lab.bench.engines.task import Task, Written
from framegate.pipelines.reason.asking.confidence import measure_confidence
from framegate.pipelines.reason.asking.prompt import DEFAULT_SYSTEM_PROMPT, suffix_after_video
from framegate.pipelines.reason.models.clip_prefix import ClipPrefix, PromptFormat, build_prefix
from framegate.pipelines.reason.models.families import find_family
from framegate.pipelines.reason.models.text_encoder import TextEncoder
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.pipelines.reason.questions import ClipRequest
from framegate.pipelines.reason.strategies.gated import judge
from framegate.schemas.errors import EngineError

BATCHES = (4, 8, 16, 32, 64)  # of which `GenerateAlways` takes the fastest
_TRIAL_STEPS = 12


@dataclass(frozen=True, kw_only=True)
class _Prompt:
    """One question on one clip. `positions_4P`: of the text as text, then time, height and width."""

    request_id: str
    question_id: str
    token_ids: list[int]
    positions_4P: torch.Tensor
    prefix: ClipPrefix


class _Clock(StoppingCriteria):
    """Stops nothing; notes when each token is there."""

    def __init__(self) -> None:
        self._times = [time.perf_counter()]

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        if input_ids.is_cuda:
            torch.cuda.synchronize()
        self._times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    @property
    def first_seconds(self) -> float:
        """To the first token: vision and prefill."""
        return self._times[1] - self._times[0]

    @property
    def step_seconds(self) -> float:
        """From one token to the next."""
        return statistics.median(after - before for before, after in pairwise(self._times[1:]))


class _Generator:
    """A model, its prompts, and greedy `generate` that never ends early."""

    def __init__(self, task: Task) -> None:
        transformers.logging.disable_progress_bar()
        self.task = task
        self.work = task.work
        self._device = torch.device(task.device)
        model = AutoModelForImageTextToText.from_pretrained(
            task.checkpoint, dtype=getattr(torch, task.dtype), attn_implementation="sdpa"
        )
        self._model = cast(Any, model).to(self._device).eval()
        self._model.generation_config.eos_token_id = None
        config = self._model.config
        tokenizer = AutoTokenizer.from_pretrained(task.checkpoint)
        self._format = PromptFormat(
            family=find_family(config.model_type, task.checkpoint),
            grid=read_vision_grid(task.checkpoint),
            positions_per_second=float(getattr(config.vision_config, "tokens_per_second", 1)),
            video_token_id=config.video_token_id,
            encode=TextEncoder(tokenizer),
        )

    def prompts(self, request: ClipRequest) -> list[_Prompt]:
        prefix = build_prefix(
            request.frames,
            request.clip_start_seconds,
            system_prompt=DEFAULT_SYSTEM_PROMPT,
            prompt_format=self._format,
            limits=self.work.limits,
            device=self._device,
        )
        prompts = []
        for question in request.questions:
            suffix = self._format.encode(suffix_after_video(question))
            after_3S = (prefix.next_position + torch.arange(len(suffix))).expand(3, -1)
            positions_3P = torch.cat([prefix.positions_3P, after_3S], dim=1)
            prompts.append(
                _Prompt(
                    request_id=request.id,
                    question_id=question.id,
                    token_ids=prefix.token_ids + suffix,
                    positions_4P=torch.cat([torch.arange(positions_3P.shape[1])[None], positions_3P]),
                    prefix=prefix,
                )
            )
        return prompts

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[_Prompt],
        num_tokens: int,
        *,
        with_logprobs: bool = False,
        clock: _Clock | None = None,
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Exactly `num_tokens` for each prompt, padded on the left, and their log-probabilities where wanted."""
        longest = max(len(prompt.token_ids) for prompt in prompts)
        ids_BP = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask_BP = torch.zeros_like(ids_BP)
        positions_4BP = torch.zeros(4, len(prompts), longest, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            start = longest - len(prompt.token_ids)
            ids_BP[row, start:] = torch.tensor(prompt.token_ids)
            mask_BP[row, start:] = 1
            positions_4BP[:, row, start:] = prompt.positions_4P
        output = self._model.generate(
            input_ids=ids_BP.to(self._device),
            attention_mask=mask_BP.to(self._device),
            position_ids=positions_4BP.to(self._device),
            mm_token_type_ids=((ids_BP == self._format.video_token_id).int() * 2).to(self._device),
            pixel_values_videos=torch.cat([prompt.prefix.patches.pixels_ND for prompt in prompts]),
            video_grid_thw=torch.tensor([prompt.prefix.patches.grid_thw for prompt in prompts], device=self._device),
            max_new_tokens=num_tokens,
            do_sample=False,
            use_cache=True,
            return_dict_in_generate=True,
            output_logits=with_logprobs,
            stopping_criteria=StoppingCriteriaList([clock] if clock else []),
        )
        written_BT = output.sequences[:, longest:]
        if written_BT.shape[1] != num_tokens:
            raise EngineError(f"generate wrote {written_BT.shape[1]} tokens instead of {num_tokens}")
        logprobs: list[list[float]] = []
        if with_logprobs:
            logits_BTV = torch.stack(output.logits, dim=1).float()
            chosen_BT = logits_BTV.gather(2, written_BT[..., None])[..., 0] - logits_BTV.logsumexp(dim=-1)
            logprobs = chosen_BT.tolist()
        return written_BT.tolist(), logprobs


class TwoCall:
    """The published method: one call answers; where that is unsure, a second one begins again from the frames."""

    def __init__(self, task: Task) -> None:
        self._generator = _Generator(task)
        self.settings: dict[str, str | int] = {"batch": 1}

    def warm_up(self, requests: Sequence[ClipRequest]) -> None:
        prompts = self._generator.prompts(requests[0])
        for num_tokens in (self._generator.work.num_answer_tokens, _TRIAL_STEPS):
            self._generator.generate(prompts[:1], num_tokens, with_logprobs=True)

    def run(self, requests: Sequence[ClipRequest]) -> list[Written]:
        return [self._ask(prompt) for request in requests for prompt in self._generator.prompts(request)]

    def _ask(self, prompt: _Prompt) -> Written:
        work = self._generator.work
        (token_ids,), (logprobs,) = self._generator.generate([prompt], work.num_answer_tokens, with_logprobs=True)
        confidence = measure_confidence(logprobs)
        num_generated = len(token_ids)
        thinks = judge("box", confidence, self._generator.task.threshold).route == "think"
        if thinks:
            num_tokens = work.num_written
            ((token_ids,), _) = self._generator.generate([prompt], num_tokens)
            num_generated += num_tokens
        return Written(
            request_id=prompt.request_id,
            question_id=prompt.question_id,
            token_ids=token_ids,
            confidence=confidence,
            thinks=thinks,
            num_generated_tokens=num_generated,
        )


class GenerateAlways:
    """All questions think, many in a call. The number in a call is found while warming up: the fastest of BATCHES."""

    def __init__(self, task: Task) -> None:
        self._generator = _Generator(task)
        self.settings: dict[str, str | int] = {}

    def warm_up(self, requests: Sequence[ClipRequest]) -> None:
        prompts = [prompt for request in requests for prompt in self._generator.prompts(request)]
        work = self._generator.work
        num_steps = work.num_written - 1
        seconds: dict[int, float] = {}
        for batch in sorted({min(batch, len(prompts)) for batch in BATCHES}):
            clock = _Clock()
            self._generator.generate(prompts[:batch], 1 + _TRIAL_STEPS, clock=clock)
            whole = clock.first_seconds + clock.step_seconds * num_steps
            seconds[batch] = whole * -(-len(prompts) // batch)
        self.settings["batch"] = min(seconds, key=lambda batch: seconds[batch])

    def run(self, requests: Sequence[ClipRequest]) -> list[Written]:
        work = self._generator.work
        num_tokens = work.num_written
        prompts = [prompt for request in requests for prompt in self._generator.prompts(request)]
        written = []
        batch = int(self.settings["batch"])
        for some in (prompts[first : first + batch] for first in range(0, len(prompts), batch)):
            token_ids, _ = self._generator.generate(some, num_tokens)
            for prompt, ids in zip(some, token_ids, strict=True):
                written.append(
                    Written(
                        request_id=prompt.request_id,
                        question_id=prompt.question_id,
                        token_ids=ids,
                        confidence=None,
                        thinks=True,
                        num_generated_tokens=num_tokens,
                    )
                )
        return written
