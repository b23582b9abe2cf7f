"""What vLLM is built with: the job's engine_args, our own, and defaults for the rest.

`schemas.config.engine_args` lists those that a job may give; of them, this vLLM's EngineArgs may know fewer. What is
given is passed on as it is. Free of vLLM: names and values only.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from framegate.pipelines.reason.models.vision_grid import VisionGrid
from framegate.pipelines.reason.strategies.protocol import TokenBudget
from framegate.schemas.config import FramesConfig
from framegate.schemas.config.engine_args import check_engine_args
from framegate.schemas.errors import EngineError

_QUESTION_TOKENS = 1024  # room for a question, options included, however short those of a bank are
_MAX_QUESTION_TOKENS = 8192  # longer ones may not fit: memory must hold one sequence of the longest kind
_STAMP_TOKENS = 16  # `<1234.5 seconds>` and two markers, digit by digit
_CPU_SEQUENCES = 32


def check_arguments(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises EngineError for the first argument that vLLM's EngineArgs do not know, or that a job may not give."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise EngineError(f"model.engine_args: this vLLM knows no argument '{name}'{hint}")
    try:
        check_engine_args(given)
    except ValueError as error:
        raise EngineError(f"model.engine_args: {error}") from None


def count_context_tokens(
    frames: FramesConfig,
    budgets: Iterable[TokenBudget],
    *,
    system_prompt: str,
    grid: VisionGrid,
    question_bytes: int = 0,
) -> int:
    """The longest sequence that the job can lead to, from above: video, stamps, question, and what an ask may carry and
    write."""
    num_steps = -(-frames.max_frames // grid.temporal_patch)
    question = max(_QUESTION_TOKENS, min(question_bytes, _MAX_QUESTION_TOKENS))
    prompt = len(system_prompt.encode()) + frames.max_video_tokens + num_steps * _STAMP_TOKENS + question
    # A text has at most as many tokens as bytes.
    return prompt + max(
        (budget.num_carried + budget.max_tokens(lambda text: len(text.encode())) for budget in budgets), default=0
    )


def complete_arguments(
    given: Mapping[str, Any],
    *,
    is_cpu: bool,
    context_tokens: int,
    max_context_tokens: int,
    clip_tokens: int,
    key_value_bytes: int,
    free_bytes: int,
) -> dict[str, Any]:
    """`given` and what the job leaves open.

    context_tokens      the longest sequence of the job; `max_context_tokens` is the most that the model reads
    clip_tokens         video tokens of the largest clip, which vLLM must be able to encode at once
    key_value_bytes     per token; on a CPU, where vLLM would take its share of the whole machine's memory, keys and
                        values get what all sequences at their longest need, and at most a quarter of what is free
    """
    for name in ("max_model_len", "max_num_seqs", "tensor_parallel_size", "pipeline_parallel_size"):
        if not isinstance(given.get(name, 1), int):
            raise EngineError(f"model.engine_args: {name} must be a whole number, got {given[name]!r}")
    arguments: dict[str, Any] = {
        "max_model_len": min(context_tokens, max_context_tokens),
        "skip_mm_profiling": True,  # it would run the largest video that the model knows, not the job's
        "mm_processor_cache_gb": 0,  # a clip is processed once, by us
        "async_scheduling": False,  # the next step would be under way before a course has had its token
        "disable_log_stats": True,
    }
    parallel = given.get("tensor_parallel_size", 1) * given.get("pipeline_parallel_size", 1)
    if parallel > 1:
        arguments["distributed_executor_backend"] = "mp"
    batched = max(2048 if is_cpu else 8192, clip_tokens)
    arguments["max_num_batched_tokens"] = batched
    if is_cpu:
        arguments |= {"max_num_seqs": _CPU_SEQUENCES, "block_size": 32}
    arguments |= given
    if is_cpu and "kv_cache_memory_bytes" not in given:
        longest = arguments["max_model_len"] * key_value_bytes
        arguments["kv_cache_memory_bytes"] = max(2 * longest, min(arguments["max_num_seqs"] * longest, free_bytes // 4))
    return arguments
