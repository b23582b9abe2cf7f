"""The arguments of vLLM that a job may give, in two columns: those that change answers, and those of the machine.

An argument on neither list is refused, those of a later vLLM included: some name a class, a plugin or a file that vLLM
would import, open or fetch. Values are plain: numbers, words, and lists of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

# fmt: off
ENGINE_ARGS_OF_ANSWERS: Final = frozenset((
    "quantization", "allow_deprecated_quantization", "kv_cache_dtype", "kv_cache_dtype_skip_layers",
    "attention_backend", "mm_encoder_attn_backend", "mm_encoder_attn_dtype", "linear_backend", "moe_backend",
    "all2all_backend", "enable_flashinfer_autotune", "disable_sliding_window", "disable_cascade_attn",
))
"""They change logits: part of config_id."""

ENGINE_ARGS_OF_THE_MACHINE: Final = frozenset((
    "tensor_parallel_size", "pipeline_parallel_size", "enable_expert_parallel", "distributed_executor_backend",
    "device_ids", "distributed_timeout_seconds", "max_parallel_loading_workers", "disable_custom_all_reduce",
    "mm_encoder_tp_mode", "numa_bind", "numa_bind_nodes", "numa_bind_cpus", "gpu_memory_utilization",
    "kv_cache_memory_bytes", "num_gpu_blocks_override", "block_size", "cpu_offload_gb", "offload_backend",
    "kv_offloading_size", "kv_offloading_backend", "enable_sleep_mode", "max_model_len", "max_num_seqs",
    "max_num_batched_tokens", "max_num_scheduled_tokens", "enable_chunked_prefill", "long_prefill_token_threshold",
    "scheduling_policy", "async_scheduling", "disable_chunked_mm_input", "stream_interval", "skip_mm_profiling",
    "mm_processor_cache_gb", "mm_processor_cache_type", "prefix_caching_hash_algo", "enforce_eager",
    "cudagraph_capture_sizes", "max_cudagraph_capture_size", "optimization_level", "performance_mode",
    "safetensors_load_strategy", "use_tqdm_on_load", "disable_log_stats", "log_level", "shutdown_timeout",
))
"""They say where and how fast a model runs, and change no answer: not part of config_id."""
# fmt: on

_MODEL = "the job says it as model.name, model.revision and model.dtype"
_FRAMES = "frames reach vLLM as the job's `frames` makes them"
_PROMPT = "it changes what a prompt holds"
_LOGITS = "it changes the tokens and probabilities that strategies read"
_ACTORS = "one engine runs per actor: use ray.reason_actors"
_MACHINE = "an engine runs on one machine, whose processes vLLM starts itself"
_CODE = "it names code that vLLM would import"
_FETCH = "a checkpoint is read from its folder or the hub, as safetensors, and nothing else is fetched"
_SENT = "nothing is sent or written beside the output"
_LORA = "the weights are the checkpoint's: merge an adapter into them"

REFUSED: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("model", "tokenizer", "dtype", "revision", "tokenizer_revision", "code_revision"), _MODEL)
    | dict.fromkeys(("model_weights", "hf_config_path", "hf_overrides", "config_format", "tokenizer_mode"), _MODEL)
    | dict.fromkeys(("quantization_config", "served_model_name"), _MODEL)
    | dict.fromkeys(("limit_mm_per_prompt", "mm_processor_kwargs", "media_io_kwargs"), _FRAMES)
    | dict.fromkeys(("mm_device_do_normalize", "video_pruning_rate", "video_pruning_method"), _FRAMES)
    | dict.fromkeys(("allowed_local_media_path", "allowed_media_domains"), _FRAMES)
    | dict.fromkeys(("enable_prompt_embeds", "enable_mm_embeds", "language_model_only", "mm_encoder_only"), _PROMPT)
    | dict.fromkeys(("runner", "convert", "skip_tokenizer_init", "model_class_overrides", "model_impl"), _PROMPT)
    | dict.fromkeys(("logits_processors", "logprobs_mode", "max_logprobs", "generation_config"), _LOGITS)
    | dict.fromkeys(
        ("override_generation_config", "reasoning_config", "watermark_config", "enable_trace_replay"), _LOGITS
    )
    | dict.fromkeys(
        ("speculative_config", "spec_method", "spec_model", "spec_tokens"),
        "vLLM runs no logits processor, and so no strategy, beside speculative decoding",
    )
    | dict.fromkeys(("data_parallel_size", "data_parallel_rank", "data_parallel_backend"), _ACTORS)
    | dict.fromkeys(("nnodes", "node_rank", "master_addr", "master_port", "data_parallel_address"), _MACHINE)
    | dict.fromkeys(("worker_cls", "worker_extension_cls", "scheduler_cls", "io_processor_plugin"), _CODE)
    | dict.fromkeys(("reasoning_parser_plugin", "compilation_config", "additional_config", "kernel_config"), _CODE)
    | dict.fromkeys(("logging_config", "log_config_file", "kv_transfer_config", "ec_transfer_config"), _CODE)
    | dict.fromkeys(("weight_transfer_config", "attention_config", "structured_outputs_config"), _CODE)
    | dict.fromkeys(("load_format", "download_dir", "model_loader_extra_config", "ignore_patterns"), _FETCH)
    | dict.fromkeys(("pt_load_map_location", "mm_encoder_fp8_scale_path"), _FETCH)
    | dict.fromkeys(("profiler_config", "otlp_traces_endpoint", "collect_detailed_traces"), _SENT)
    | dict.fromkeys(("kv_events_config", "ray_workers_use_nsight", "mm_encoder_fp8_scale_save_path"), _SENT)
    | dict.fromkeys(("enable_lora", "default_mm_loras", "lora_target_modules"), _LORA)
    | {
        "trust_remote_code": "no code from a checkpoint is run",
        "hf_token": "a job file is no place for secrets: set HF_TOKEN in the environment",
        "seed": "tokens are the most probable ones, or drawn by seeds of the rows",
        "enable_prefix_caching": "the questions of a clip share its prefix",
    }
)
"""Names that people know from vLLM, and why they are on neither list."""

# Elsewhere vLLM takes the name of a class for a value, and imports it.
_VALUES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"distributed_executor_backend": ("mp", "uni"), "kv_offloading_backend": ("native",)}
)
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_WORD_WITH_DOTS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # the name of a layer, such as 12.self_attn
_MOST_ITEMS: Final = 1024
_LARGEST: Final = 2**53


def check_engine_args(given: Mapping[str, Any]) -> None:
    """Raises ValueError, one sentence, for the first argument that a job may not give, or not with this value."""
    allowed = ENGINE_ARGS_OF_ANSWERS | ENGINE_ARGS_OF_THE_MACHINE
    for name, value in given.items():
        if name in REFUSED:
            raise ValueError(f"'{name}' cannot be set here: {REFUSED[name]}")
        if name not in allowed:
            nearest = difflib.get_close_matches(str(name), sorted(allowed), n=1, cutoff=0.5)
            hint = f"; did you mean {nearest[0]}?" if nearest else f"; known: {', '.join(sorted(allowed))}"
            raise ValueError(f"there is no argument '{str(name)[:64]}' that a job may give{hint}")
        _check_value(name, value)


def _check_value(name: str, value: Any) -> None:
    if name in _VALUES and value not in _VALUES[name]:
        raise ValueError(f"{name} must be {' or '.join(_VALUES[name])}, got {_short(value)}")
    items = value if isinstance(value, list | tuple) else [value]
    if len(items) > _MOST_ITEMS:
        raise ValueError(f"{name} has {len(items)} items; at most {_MOST_ITEMS} are allowed")
    word = _WORD_WITH_DOTS if name == "kv_cache_dtype_skip_layers" else _WORD
    for item in items:
        if isinstance(item, str) and not word.fullmatch(item):
            raise ValueError(f"{name} takes a word of letters, digits, _ and -, got {_short(item)}")
        if isinstance(item, int | float) and not abs(item) < _LARGEST:  # nor is NaN
            raise ValueError(f"{name} takes a number below 2^53, got {_short(item)}")
        if item is not None and not isinstance(item, str | int | float):
            raise ValueError(f"{name} takes a number, a word or a list of them, got {type(item).__name__}")


def _short(value: Any) -> str:
    """At most 64 characters; an integer that is too long to be printed is told by its length."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 64 else f"{text[:60]}..."
