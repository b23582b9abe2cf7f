"""The arguments of vLLM that say where and how fast a model runs, and change no answer: they are not in config_id.

Every other argument may change an answer, those of a later vLLM included, and is in config_id.
"""

from __future__ import annotations

from typing import Final

# fmt: off
ENGINE_ARGS_OF_THE_MACHINE: Final = frozenset((
    "tensor_parallel_size", "pipeline_parallel_size", "enable_expert_parallel", "distributed_executor_backend",
    "device_ids", "master_addr", "master_port", "nnodes", "node_rank", "distributed_timeout_seconds",
    "ray_workers_use_nsight", "max_parallel_loading_workers", "disable_custom_all_reduce", "mm_encoder_tp_mode",
    "numa_bind", "numa_bind_nodes", "numa_bind_cpus", "gpu_memory_utilization", "kv_cache_memory_bytes",
    "num_gpu_blocks_override", "block_size", "cpu_offload_gb", "offload_backend", "kv_offloading_size",
    "kv_offloading_backend", "enable_sleep_mode", "max_model_len", "max_num_seqs", "max_num_batched_tokens",
    "max_num_scheduled_tokens", "enable_chunked_prefill", "long_prefill_token_threshold", "scheduling_policy",
    "async_scheduling", "disable_chunked_mm_input", "stream_interval", "skip_mm_profiling", "mm_processor_cache_gb",
    "mm_processor_cache_type", "prefix_caching_hash_algo", "enforce_eager", "compilation_config",
    "cudagraph_capture_sizes", "max_cudagraph_capture_size", "optimization_level", "performance_mode", "load_format",
    "download_dir", "safetensors_load_strategy", "use_tqdm_on_load", "model_loader_extra_config", "disable_log_stats",
    "log_level", "logging_config", "shutdown_timeout", "profiler_config",
))
# fmt: on
