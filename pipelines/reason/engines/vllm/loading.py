"""Imports and builds vLLM with what holds for every engine of ours: one thread, one process, our logits processor."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from framegate.pipelines.reason.engines.vllm.cpu import declare_torchvision_operators
from framegate.pipelines.reason.engines.vllm.requirements import check_installed
from framegate.schemas.errors import EngineError

# Read by vLLM when it is imported or built. What the user has set stands, but for the model runner.
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one thread drives the engine; a core of its own would run ahead of it
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the newer runner has another interface for logits processors
    "VLLM_NO_USAGE_STATS": "1",  # nothing is sent home
    "VLLM_LOGGING_LEVEL": "ERROR",
}


def import_vllm() -> None:
    """Set vLLM's environment, before anything of it is imported. Raises EngineError where it is not installed."""
    check_installed()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    declare_torchvision_operators()


def build_llm(where: str, *, name: str, dtype: str, arguments: Mapping[str, Any], architectures: Sequence[str]) -> Any:
    """vLLM's LLMEngine, weights loaded. `where` is the clean folder of the model `name`, `architectures` are looked at
    in this process. Raises EngineError."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    from framegate.pipelines.reason.engines.vllm.processor import CourseProcessor

    _register_models(architectures)
    try:
        return LLMEngine.from_engine_args(
            EngineArgs(
                model=where,
                load_format="safetensors",
                dtype=dtype,
                seed=0,
                trust_remote_code=False,
                enable_prefix_caching=True,
                limit_mm_per_prompt={"video": 1, "image": 0},
                mm_device_do_normalize=False,  # our patches are normalised
                generation_config="vllm",  # greedy, whatever the checkpoint recommends
                logits_processors=[CourseProcessor],
                **arguments,
            )
        )
    except Exception as error:
        raise EngineError(f"vLLM cannot run '{name}': {_one_line(error).replace(where, name)}") from error


def _register_models(architectures: Sequence[str]) -> None:
    """Load the classes here, so that vLLM need not look at them elsewhere."""
    from vllm import ModelRegistry

    for architecture in architectures:
        if (model := ModelRegistry.models.get(architecture)) is not None:
            ModelRegistry.register_model(architecture, model.load_model_cls())


def count_key_value_bytes(text_config: Any, item_bytes: int) -> int:
    """What one token of one sequence keeps, over all layers."""
    head_size = getattr(text_config, "head_dim", None) or text_config.hidden_size // text_config.num_attention_heads
    return 2 * text_config.num_hidden_layers * text_config.num_key_value_heads * head_size * item_bytes


def _one_line(error: Exception) -> str:
    """Of a pydantic error the first complaint, of any other its first line."""
    if isinstance(error, ValidationError):
        return error.errors()[0]["msg"]
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
