"""What of the vLLM engine needs no vLLM: which arguments pass, which defaults stand, and how its absence is said."""

from __future__ import annotations

import importlib.util

import pytest

from framegate.pipelines.reason.engines.build import build_engine
from framegate.pipelines.reason.engines.vllm.arguments import (
    check_arguments,
    complete_arguments,
    count_context_tokens,
)
from framegate.pipelines.reason.models.vision_grid import VisionGrid
from framegate.pipelines.reason.strategies.bounded_thinking import BoundedThinking
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.schemas.config import FramesConfig, RunConfig
from framegate.schemas.config.engine_args import ENGINE_ARGS_OF_ANSWERS, ENGINE_ARGS_OF_THE_MACHINE, REFUSED
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Question

KNOWN = {"tensor_parallel_size", "pipeline_parallel_size", "quantization", "max_num_seqs", *REFUSED}
SIZES = {
    "context_tokens": 7000,
    "max_context_tokens": 32_768,
    "clip_tokens": 4096,
    "key_value_bytes": 1000,
    "free_bytes": 2**33,
}


def test_an_unknown_argument_is_refused_with_the_nearest_known_one():
    with pytest.raises(EngineError, match=r"no argument 'tensor_paralel_size'; did you mean tensor_parallel_size\?"):
        check_arguments({"quantization": "fp8", "tensor_paralel_size": 2}, KNOWN)
    with pytest.raises(EngineError, match=r"no argument 'zzz'$"):
        check_arguments({"zzz": 2}, KNOWN)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model", "model.name"),
        ("dtype", "model.dtype"),
        ("trust_remote_code", "no code from a checkpoint is run"),
        ("logits_processors", "that strategies read"),
        ("speculative_config", "speculative decoding"),
        ("data_parallel_size", "ray.reason_actors"),
        ("mm_processor_kwargs", "`frames`"),
        ("hf_token", "HF_TOKEN"),
    ],
)
def test_what_is_set_elsewhere_is_refused_and_says_where(name, words):
    with pytest.raises(EngineError, match=f"'{name}' cannot be set here: .*{words}"):
        check_arguments({name: 1}, KNOWN)


def test_each_argument_stands_in_one_list():
    assert set(REFUSED) & (ENGINE_ARGS_OF_THE_MACHINE | ENGINE_ARGS_OF_ANSWERS) == set()
    assert set() == ENGINE_ARGS_OF_THE_MACHINE & ENGINE_ARGS_OF_ANSWERS


def test_what_the_job_gives_wins_over_defaults():
    arguments = complete_arguments({"max_num_seqs": 7, "block_size": 64, "max_model_len": 900}, is_cpu=True, **SIZES)
    assert (arguments["max_num_seqs"], arguments["block_size"], arguments["max_model_len"]) == (7, 64, 900)
    assert arguments["kv_cache_memory_bytes"] == 7 * 900 * 1000
    assert complete_arguments({"kv_cache_memory_bytes": 5}, is_cpu=True, **SIZES)["kv_cache_memory_bytes"] == 5


def test_a_number_that_is_none_is_refused_before_anything_is_reckoned_with_it():
    with pytest.raises(EngineError, match="max_num_seqs must be a whole number, got 'many'"):
        complete_arguments({"max_num_seqs": "many"}, is_cpu=True, **SIZES)


def test_a_context_has_room_for_the_longest_answer_and_is_no_longer_than_the_model_reads():
    frames = FramesConfig(max_frames=64, max_video_tokens=4096)
    gated = Gated(threshold=0.97, max_answer_tokens=64, max_thinking_tokens=1024)
    never, auto = (gated.budgets(Question(id="q", text="?", think=think)) for think in ("never", "auto"))
    grid = VisionGrid(patch=14, merge=2, temporal_patch=2)
    tokens = count_context_tokens(frames, [*never, *auto], system_prompt="Answer.", grid=grid)
    assert 4096 + 1024 + 2 * 64 + 1024 < tokens < 8192
    assert complete_arguments({}, is_cpu=False, **SIZES | {"max_context_tokens": 4096})["max_model_len"] == 4096


def test_a_context_that_is_reset_has_room_for_a_chunk_and_what_it_carries_however_long_the_thought():
    grid = VisionGrid(patch=14, merge=2, temporal_patch=2)

    def count(*, thinking: int, chunk: int, carry: int) -> int:
        limits = {"threshold": 0.97, "max_answer_tokens": 64, "max_thinking_tokens": thinking}
        strategy = BoundedThinking(chunk_tokens=chunk, carry_tokens=carry, **limits)
        budgets = strategy.budgets(Question(id="q", text="Did it?"))
        return count_context_tokens(FramesConfig(), budgets, system_prompt="Answer.", grid=grid)

    assert count(thinking=65_536, chunk=1024, carry=512) == count(thinking=4096, chunk=1024, carry=512)
    assert count(thinking=4096, chunk=1024, carry=512) == count(thinking=4096, chunk=1024, carry=256) + 256
    assert count(thinking=65_536, chunk=1024, carry=512) < count(thinking=4096, chunk=4096, carry=512)


def test_keys_and_values_take_a_quarter_of_free_memory_at_most_and_hold_two_sequences_at_least():
    tight = complete_arguments({}, is_cpu=True, **SIZES | {"free_bytes": 40_000_000})
    assert tight["kv_cache_memory_bytes"] == 2 * 7000 * 1000
    roomy = complete_arguments({}, is_cpu=True, **SIZES | {"free_bytes": 4 * 30_000_000})
    assert roomy["kv_cache_memory_bytes"] == 30_000_000
    assert "kv_cache_memory_bytes" not in complete_arguments({}, is_cpu=False, **SIZES)


def test_a_clip_can_be_encoded_at_once_whatever_its_size():
    for is_cpu in (True, False):
        arguments = complete_arguments({}, is_cpu=is_cpu, **SIZES | {"clip_tokens": 50_000})
        assert arguments["max_num_batched_tokens"] >= 50_000


def test_more_than_one_device_runs_in_processes_of_this_machine():
    assert "distributed_executor_backend" not in complete_arguments({}, is_cpu=False, **SIZES)
    spread = complete_arguments({"tensor_parallel_size": 2}, is_cpu=False, **SIZES)
    assert spread["distributed_executor_backend"] == "mp"


def test_without_vllm_the_job_says_what_to_install(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "vllm" else find_spec(name))
    config = RunConfig.model_validate(
        {
            "input": {"videos": "-"},
            "questions": [],
            "model": {"name": "dock", "engine": "vllm"},
            "output": {"uri": "-"},
        }
    )
    with pytest.raises(EngineError, match=r"vLLM is not installed: pip install 'framegate\[vllm\]'"):
        build_engine(config, budgets=[])
