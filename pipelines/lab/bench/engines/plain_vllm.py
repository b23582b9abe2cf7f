"""What people would write with vLLM: all questions at once, thinking on everything, or two requests where unsure.

In its strongest honest form: `LLM` in this process, greedy, prefix caching, frames as decoded arrays with their
metadata, everything submitted at once; on a CPU blocks of 32 tokens as our engine has them (by default they are 128, of
which half is prefilled anew for every question) and room for all keys and values. Runs under an interpreter that has
vLLM.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from framegate.pipelines.lab.bench.engines.task import Task, Written
from framegate.pipelines.lab.bench.engines.work import FPS
from framegate.pipelines.reason.asking.confidence import measure_confidence
from framegate.pipelines.reason.asking.prompt import DEFAULT_SYSTEM_PROMPT, prefix_before_video, suffix_after_video
from framegate.pipelines.reason.models.families import find_family
from framegate.pipelines.reason.models.text_encoder import TextEncoder
from framegate.pipelines.reason.questions import ClipRequest
from framegate.pipelines.reason.strategies.gated import judge
from framegate.schemas.errors import EngineError

CPU_BLOCK_TOKENS = 32
_SPARE_TOKENS = 1024  # in a context: system prompt and question
_STAMP_TOKENS = {"block": 0, "stamped": 16}  # of two frames: the time and markers
# What stands for the video in a prompt. vLLM puts markers around every frame of a stamped one itself.
_VIDEO = {"block": "<|vision_start|><|video_pad|><|vision_end|>", "stamped": "<|video_pad|>"}


class _PlainVllm:
    """vLLM's own offline class, and the prompts as it takes them."""

    def __init__(self, task: Task) -> None:
        self.task, self.work = task, task.work
        on_cpu = task.device == "cpu"
        if on_cpu:
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        from framegate.pipelines.reason.engines.vllm.cpu import declare_torchvision_operators

        declare_torchvision_operators()
        from vllm import LLM, ModelRegistry

        config = AutoConfig.from_pretrained(task.checkpoint)
        if on_cpu:  # vLLM looks at a model in another process otherwise, which would lack those operators
            for architecture in config.architectures or []:
                ModelRegistry.register_model(architecture, ModelRegistry.models[architecture].load_model_cls())
        layout = find_family(config.model_type, task.checkpoint).layout
        stamps = -(-self.work.num_frames // 2) * _STAMP_TOKENS[layout]
        num_tokens = self.work.limits.max_video_tokens + stamps + self.work.num_written + _SPARE_TOKENS
        arguments: dict[str, Any] = {} if task.num_slots is None else {"max_num_seqs": task.num_slots}
        if on_cpu:
            num_blocks = 1 + self.work.num_asked * -(-num_tokens // CPU_BLOCK_TOKENS)  # one is vLLM's own
            arguments |= {
                "block_size": CPU_BLOCK_TOKENS,
                "kv_cache_memory_bytes": num_blocks * CPU_BLOCK_TOKENS * _key_value_bytes(config, task.dtype),
            }
        self._llm = LLM(
            model=task.checkpoint,
            dtype=task.dtype,
            max_model_len=num_tokens,
            # Sizes, too: vLLM would otherwise try itself out on the largest video that the model could read.
            limit_mm_per_prompt={
                "image": 0,
                "video": {
                    "count": 1,
                    "num_frames": self.work.num_frames,
                    "height": self.work.size,
                    "width": self.work.size,
                },
            },
            seed=0,
            **arguments,
        )
        tokenizer = AutoTokenizer.from_pretrained(task.checkpoint)
        self._video = _VIDEO[layout]
        self._encode = TextEncoder(tokenizer)
        self.settings: dict[str, str | int] = {name: int(value) for name, value in arguments.items()}

    def prompts(self, requests: Sequence[ClipRequest]) -> dict[tuple[str, str], Any]:
        """By request and question; the video in the middle is vLLM's to preprocess."""
        before = self._encode(prefix_before_video(DEFAULT_SYSTEM_PROMPT) + self._video)
        prompts = {}
        for request in requests:
            num_frames = len(request.frames)
            metadata = {
                "fps": FPS,
                "duration": request.frames.duration_seconds,
                "total_num_frames": num_frames,
                "frames_indices": list(range(num_frames)),
                "video_backend": "framegate",
                "do_sample_frames": False,
            }
            video = request.frames.frames_THWC, metadata
            for question in request.questions:
                prompts[request.id, question.id] = {
                    "prompt_token_ids": before + self._encode(suffix_after_video(question)),
                    "multi_modal_data": {"video": [video]},
                }
        return prompts

    def generate(
        self, prompts: Sequence[Any], num_tokens: int, *, with_logprobs: bool = False
    ) -> list[tuple[list[int], list[float]]]:
        """Exactly `num_tokens` for each prompt, and their log-probabilities where wanted; vLLM batches as it likes."""
        from vllm import SamplingParams

        params = SamplingParams(
            temperature=0.0, max_tokens=num_tokens, ignore_eos=True, logprobs=0 if with_logprobs else None
        )
        written = []
        for output in self._llm.generate(list(prompts), params, use_tqdm=False):
            (completion,) = output.outputs
            token_ids = list(completion.token_ids)
            if len(token_ids) != num_tokens:
                raise EngineError(f"vLLM wrote {len(token_ids)} tokens instead of {num_tokens}")
            logprobs = [
                step[token_id].logprob for token_id, step in zip(token_ids, completion.logprobs or [], strict=False)
            ]
            written.append((token_ids, logprobs))
        return written


class VllmAlways:
    """Everything thinks; continuous batching and prefix caching do the rest."""

    def __init__(self, task: Task) -> None:
        self._vllm = _PlainVllm(task)
        self.settings = self._vllm.settings

    def warm_up(self, requests: Sequence[ClipRequest]) -> None:
        self._vllm.generate(list(self._vllm.prompts(requests).values()), self._vllm.work.num_answer_tokens)

    def run(self, requests: Sequence[ClipRequest]) -> list[Written]:
        prompts = self._vllm.prompts(requests)
        num_tokens = self._vllm.work.num_written
        generated = self._vllm.generate(list(prompts.values()), num_tokens)
        return [
            Written(
                request_id=request_id,
                question_id=question_id,
                token_ids=token_ids,
                confidence=None,
                thinks=True,
                num_generated_tokens=num_tokens,
            )
            for (request_id, question_id), (token_ids, _) in zip(prompts, generated, strict=True)
        ]


class VllmTwoRequest:
    """One request answers; where it is unsure, a second one begins again, over the cached prefix."""

    def __init__(self, task: Task) -> None:
        self._vllm = _PlainVllm(task)
        self.settings = self._vllm.settings

    def warm_up(self, requests: Sequence[ClipRequest]) -> None:
        prompts = list(self._vllm.prompts(requests).values())
        self._vllm.generate(prompts, self._vllm.work.num_answer_tokens, with_logprobs=True)
        self._vllm.generate(prompts[: len(prompts) // 2 + 1], self._vllm.work.num_answer_tokens)

    def run(self, requests: Sequence[ClipRequest]) -> list[Written]:
        work, threshold = self._vllm.work, self._vllm.task.threshold
        prompts = self._vllm.prompts(requests)
        first = self._vllm.generate(list(prompts.values()), work.num_answer_tokens, with_logprobs=True)
        confidences = [measure_confidence(logprobs) for _, logprobs in first]
        unsure = [
            key
            for key, confidence in zip(prompts, confidences, strict=True)
            if judge("box", confidence, threshold).route == "think"
        ]
        thought = self._vllm.generate([prompts[key] for key in unsure], work.num_written) if unsure else []
        second = {key: token_ids for key, (token_ids, _) in zip(unsure, thought, strict=True)}
        return [
            Written(
                request_id=key[0],
                question_id=key[1],
                token_ids=second.get(key, token_ids),
                confidence=confidence,
                thinks=key in second,
                num_generated_tokens=len(token_ids) + len(second.get(key, ())),
            )
            for key, (token_ids, _), confidence in zip(prompts, first, confidences, strict=True)
        ]


def _key_value_bytes(config: Any, dtype: str) -> int:
    """Of one token, over all layers."""
    text = config.get_text_config()
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    item_bytes = 4 if dtype == "float32" else 2
    return 2 * text.num_hidden_layers * text.num_key_value_heads * head_size * item_bytes
