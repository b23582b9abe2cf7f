"""config_id changes exactly when an answer can; parts refuse what they do not know."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.schemas.config import (
    NAMED,
    ClipsConfig,
    DecodeConfig,
    FramesConfig,
    RunConfig,
    answer_document,
    config_id,
    differences,
)
from framegate.schemas.config.gate import AlwaysThinkConfig, DirectConfig, GatedConfig

BASE: dict[str, Any] = {
    "input": {"videos": "s3://archive/2026"},
    "questions": "questions.yaml",
    "model": {"name": "org/model"},
    "output": {"uri": "s3://index/cameras"},
}
IDENTITY: dict[str, Any] = {"wording": "system turn", "model_fingerprint": "f00d", "decoders": [{"name": "pyav"}]}


def make_config(**changes: Any) -> RunConfig:
    """BASE with `part__key=value` changed."""
    values = copy.deepcopy(BASE)
    for name, value in changes.items():
        part, _, key = name.partition("__")
        if key:
            values.setdefault(part, {})[key] = value
        else:
            values[part] = value
    return RunConfig.model_validate(values)


def make_id(config: RunConfig, **identity: Any) -> str:
    decoders = [{"name": name, "golden_frames": "beef"} for name in config.frames.decoders]
    strategy = make_strategy(config.gate).document()
    return config_id(answer_document(config, **{**IDENTITY, "decoders": decoders, **identity}, strategy=strategy))


@pytest.mark.parametrize(
    "change",
    [
        {"model__dtype": "float32"},
        {"model__engine": "vllm"},
        {"clips__seconds": 10},
        {"clips__stride_seconds": 15},
        {"clips__whole_video": True},
        {"clips__min_seconds": 2},
        {"clips__scenes": True},
        {"clips__same_within": 0.5},
        {"clips": {"scenes": True, "scene_threshold": 0.2}},
        {"frames__policy": "uniform"},
        {"frames__fps": 1},
        {"frames__max_frames": 32},
        {"frames__max_video_tokens": 1024},
        {"frames__min_frame_pixels": 1},
        {"frames__max_frame_pixels": 200_000},
        {"frames__same_within": 2},
        {"frames__prune": {"method": "change", "threshold": 0.1}},
        {"frames__prune": {"method": "change", "threshold": 0.2}},
        {"frames__prune": {"method": "evs", "rate": 0.1}},
        {"frames__decoder": "decord"},
        {"frames__decoder": ("decord", "pyav")},
        {"frames__decoder": ("pyav", "decord")},
        {"gate__strategy": "direct"},
        {"gate__max_answer_tokens": 8},
        {"gate__max_thinking_tokens": 8},
    ],
    ids=str,
)
def test_what_can_change_an_answer_changes_the_id(change: dict[str, Any]) -> None:
    assert make_id(make_config(**change)) != make_id(make_config())


@pytest.mark.parametrize("part", IDENTITY)
def test_wording_weights_and_decoders_change_the_id(part: str) -> None:
    assert make_id(make_config(), **{part: [{"name": "another"}]}) != make_id(make_config())


@pytest.mark.parametrize(
    "change",
    [
        {"gate__threshold": 0.5},
        {"frames__same_within": 0},
        {"frames__prune": None},
        {"model__name": "org/other"},  # what it holds is told by its fingerprint
        {"model__revision": "v2"},
        {"adopt": "abcdef0123456789"},
        {"questions": [{"id": "q", "text": "?"}]},
        {"input__videos": "other/"},
        {"input__storage_options": {"endpoint_url": "http://127.0.0.1:1"}},
        {"output__uri": "elsewhere"},
        {"ray__decode_workers": 9},
        {"ray__reason_actors": {"min": 2, "max": 8}},
        {"ray__gpus_per_actor": 1},
        {"clips__stride_seconds": 30},  # the default, spelled out
        {"frames__fps": 2},
        {"frames__decoder": ("pyav",)},
        {"decode__frame_seconds": 5},
        {"decode__memory_mib": 512},
        {"gate__strategy": "gated"},
        {"cost": {"gpu_hour": 2.5, "currency": "USD"}},
    ],
    ids=str,
)
def test_what_cannot_change_an_answer_leaves_the_id(change: dict[str, Any]) -> None:
    assert make_id(make_config(**change)) == make_id(make_config())


def test_the_same_checkpoint_in_another_folder_has_the_same_id() -> None:
    assert make_id(make_config(model__name="/a/checkpoint")) == make_id(make_config(model__name="./checkpoint"))


@given(st.text(max_size=40), st.text(alphabet="0123456789abcdef", max_size=16))
def test_an_id_is_16_hex_digits_and_begins_with_a_letter(wording: str, fingerprint: str) -> None:
    made = make_id(make_config(), wording=wording, model_fingerprint=fingerprint)
    assert len(made) == 16
    assert made[0] in "abcdef"
    assert int(made, 16) >= 0


# As this release computes them: rows are filed under them.
@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({}, "d01645e498316591"),
        (
            {"strategy": "direct", "threshold": 0.5, "max_answer_tokens": 16, "max_thinking_tokens": 224},
            "e4eeb1d01b38a7c5",
        ),
        ({"strategy": "always_think", "max_thinking_tokens": 7}, "fc5fe3e2615dc7ff"),
    ],
)
def test_ids_are_what_they_were(gate: dict[str, Any], expected: str) -> None:
    assert make_id(make_config(gate=gate)) == expected


def test_what_is_named_for_people_does_not_count() -> None:
    document = answer_document(make_config(), **IDENTITY, strategy={})
    assert config_id({**document, NAMED: {"model": "org/model"}}) == config_id(document)
    assert differences(document, {**document, NAMED: {"model": "org/model"}}) == {}


def test_two_documents_differ_in_keys() -> None:
    there, here = (answer_document(make_config(frames__fps=fps), **IDENTITY, strategy={}) for fps in (2, 3))
    assert differences(there, {**here, "more": {"of": 1}}) == {"frames.fps": (2.0, 3.0), "more.of": (None, 1)}


def test_a_gate_without_a_strategy_is_gated() -> None:
    assert make_config(gate={"threshold": 0.9}).gate == GatedConfig(threshold=0.9)
    assert make_config(gate=DirectConfig()).gate == make_config(gate={"strategy": "direct"}).gate == DirectConfig()


@pytest.mark.parametrize("strategy", ["direct", "always_think"])
def test_a_threshold_is_accepted_where_it_is_without_effect(strategy: str) -> None:
    with_threshold = make_config(gate={"strategy": strategy, "threshold": 0.5})
    assert make_strategy(with_threshold.gate) == make_strategy(make_config(gate={"strategy": strategy}).gate)


def test_the_document_says_what_the_id_stands_for() -> None:
    document = answer_document(make_config(), **IDENTITY, strategy=make_strategy(make_config().gate).document())
    assert document["model"]["fingerprint"] == "f00d"
    assert "threshold" not in str(document)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (GatedConfig, {"threshold": 1.01}),
        (GatedConfig, {"threshold": -0.1}),
        (GatedConfig, {"max_answer_tokens": 0}),
        (GatedConfig, {"strategy": "sometimes"}),
        (DirectConfig, {"threshold": 1.01}),
        (AlwaysThinkConfig, {"max_thinking_tokens": 0}),
        (ClipsConfig, {"seconds": 0}),
        (ClipsConfig, {"stride_seconds": 0}),
        (ClipsConfig, {"seconds": 10, "whole_video": True}),
        (ClipsConfig, {"scenes": True, "whole_video": True}),
        (ClipsConfig, {"same_within": 2, "whole_video": True}),
        (ClipsConfig, {"same_within": -0.1}),
        (ClipsConfig, {"scenes": True, "stride_seconds": 5}),
        (ClipsConfig, {"scene_threshold": 0.5}),
        (ClipsConfig, {"seconds": 5, "min_seconds": 6}),
        (FramesConfig, {"fps": 0}),
        (FramesConfig, {"max_frames": 0}),
        (FramesConfig, {"min_frame_pixels": 5000, "max_frame_pixels": 4000}),
        (FramesConfig, {"decoder": "ffmpeg"}),
        (FramesConfig, {"decoder": ("pyav", "ffmpeg")}),
        (FramesConfig, {"decoder": ("pyav", "pyav")}),
        (FramesConfig, {"decoder": ()}),
        (FramesConfig, {"policy": "uniform", "fps": 1}),
        (DecodeConfig, {"frame_seconds": 0}),
        (DecodeConfig, {"memory_mib": 1}),
    ],
)
def test_values_out_of_range_are_refused(part: type, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        part(**values)


def test_decord_is_never_let_out_of_the_sandbox() -> None:
    assert make_config(decode__sandbox=False).frames.decoders == ("pyav",)
    with pytest.raises(ValidationError, match=r"leave decode\.sandbox on"):
        make_config(decode__sandbox=False, frames__decoder=["pyav", "decord"])


def test_a_part_is_frozen_and_refuses_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        GatedConfig().threshold = 0.5  # type: ignore[misc]
    with pytest.raises(ValidationError, match="did you mean 'threshold'"):
        GatedConfig(treshold=0.5)  # type: ignore[call-arg]


def test_engine_args_that_can_change_an_answer_make_another_configuration():
    plain = make_id(make_config(model__engine="vllm"))
    quantized = {"quantization": "fp8"}
    ids = {
        make_id(make_config(model__engine="vllm", model__engine_args=args))
        for args in (quantized, {"quantization": "awq"}, {"kv_cache_dtype": "fp8"})
    }
    assert len(ids | {plain}) == 4
    spread = {"tensor_parallel_size": 4, "gpu_memory_utilization": 0.8, "max_num_seqs": 64}
    assert make_id(make_config(model__engine="vllm", model__engine_args=spread)) == plain
    both = make_id(make_config(model__engine="vllm", model__engine_args={**spread, **quantized}))
    assert both == make_id(make_config(model__engine="vllm", model__engine_args=quantized))
    with pytest.raises(ValidationError, match=r"no argument 'quantisation' .*did you mean quantization\?"):
        make_config(model__engine="vllm", model__engine_args={"quantisation": "fp8"})


@pytest.mark.parametrize(
    ("every", "seconds", "units"),
    [("30m", 1800, None), ("1.5h", 5400, None), (5000, None, 5000), ("never", None, None)],
)
def test_a_run_seals_each_so_often_or_so_many_units(every: object, seconds: float | None, units: int | None) -> None:
    config = make_config(seal__every=every).seal
    assert (config.every_seconds, config.every_units) == (seconds, units)
    assert make_id(make_config(seal__every=every)) == make_id(make_config())


@pytest.mark.parametrize("every", ["30", "0s", "200h", "30 minutes", 0, -1, True, None, 1.5, ""])
def test_what_is_neither_a_time_nor_a_number_of_units_is_refused(every: object) -> None:
    with pytest.raises(ValidationError, match="neither a time from 1s to 168h, such as 30m or 2h, nor a number of"):
        make_config(seal__every=every)


@pytest.mark.parametrize(
    ("ray", "said"),
    [
        ({}, "2.50 EUR"),  # on the CPU an engine counts as one
        ({"gpus_per_actor": 1}, "2.50 EUR"),
        ({"gpus_per_actor": 0.5, "reason_actors": {"min": 4, "max": 4}}, "5.00 EUR"),
        ({"gpus_per_actor": 2, "reason_actors": {"min": 300, "max": 800}}, "at least 1,500.00 EUR"),
    ],
)
def test_the_cost_of_a_run_counts_each_gpu_for_the_whole_run(ray: dict[str, Any], said: str) -> None:
    config = make_config(cost={"gpu_hour": 2.5}, ray=ray)
    assert str(config.cost.describe_run(3600, config.ray)) == said
    assert config.cost.of_run(0, config.ray) == 0


def test_decode_workers_cost_what_their_cores_do() -> None:
    ray = {"decode_workers": 8, "gpus_per_actor": 1}
    both = make_config(cost={"gpu_hour": 2.5, "cpu_hour": 0.04}, ray=ray)
    assert both.cost.per_hour(both.ray) == pytest.approx(2.5 + 8 * 0.04)
    cores = make_config(cost={"cpu_hour": 0.04, "currency": "USD"}, ray=ray)
    assert str(cores.cost.describe_run(3600, cores.ray)) == "0.32 USD"


def test_without_a_price_there_is_no_cost() -> None:
    config = make_config()
    assert config.cost.of_run(3600, config.ray) is None
    assert config.cost.describe_run(3600, config.ray) is None


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        ({"gpu_hour": -1}, "greater than or equal to 0"),
        ({"gpu_hour": float("nan")}, "finite"),
        ({"gpu_hour": float("inf")}, "finite"),
        ({"currency": "euro"}, "currency"),
        ({"currency": "\x1b[31"}, "currency"),
        ({"gpu_hours": 2}, "did you mean 'gpu_hour'"),
    ],
)
def test_a_wrong_price_is_refused(cost: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        make_config(cost=cost)


def test_steps_that_are_nearly_the_same_are_our_own_engines_alone() -> None:
    assert make_config(frames__same_within=2).frames.same_within == 2
    with pytest.raises(ValidationError, match="vLLM compares no steps: leave it out, or say engine: transformers"):
        make_config(frames__same_within=2, model__engine="vllm")


@pytest.mark.parametrize("strategy", ["entropy_switch", "bounded_thinking"])
def test_a_strategy_that_thinks_in_its_own_way_takes_no_inner_one(strategy: str) -> None:
    make_config(gate={"strategy": strategy, "threshold": 0.9})
    with pytest.raises(ValidationError, match="unknown key 'inner'"):
        make_config(gate={"strategy": strategy, "inner": "video_cot"})
