"""What each engine is capable of is known before it is loaded, and is what the engine itself says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from framegate.pipelines.reason.engines.build import CAPABILITIES, check_engine
from framegate.pipelines.reason.engines.own.engine import TransformersEngine
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.engines.vllm.engine import VllmEngine
from framegate.pipelines.reason.questions import QuestionRunner
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import CAPABILITY_MEANINGS, Capability
from framegate.schemas.config import ModelConfig
from framegate.schemas.config.gate import StrategyConfig
from framegate.schemas.errors import ConfigError, EngineError


@dataclass(frozen=True, kw_only=True)
class Needy(Gated):
    threshold: float = 0.9
    max_answer_tokens: int = 8
    max_thinking_tokens: int = 8
    needs: Any = field(default=frozenset())  # type: ignore[assignment]


def test_the_table_is_what_the_engines_say() -> None:
    assert {"transformers": TransformersEngine.capabilities, "vllm": VllmEngine.capabilities} == CAPABILITIES
    assert set(CAPABILITIES) == set(get_args(ModelConfig.model_fields["engine"].annotation))
    assert frozenset[Any]().union(*CAPABILITIES.values()) <= set(get_args(Capability))


def test_every_engine_can_what_a_job_can_name() -> None:
    for engine in CAPABILITIES:
        check_engine(engine, Needy())


def test_a_strategy_that_needs_more_is_refused_with_an_engine_that_can() -> None:
    check_engine("transformers", Needy(needs=frozenset({"distribution"})))
    with pytest.raises(
        ConfigError,
        match=r"gated needs .* \(distribution\), which the engine vllm .* use engine: transformers$",
    ):
        check_engine("vllm", Needy(needs=frozenset({"distribution"})))
    with pytest.raises(
        ConfigError,
        match=r"needs .*\(logits\), which the engine transformers .* no engine does",
    ):
        check_engine("transformers", Needy(needs=frozenset({"sampling", "logits"})))


@pytest.mark.parametrize(
    ("gate", "needs"),
    [
        ({"measures": ["margin"]}, "gate.measures: [margin] needs the distribution of each token"),
        ({"measures": ["entropy", "margin"], "strategy": "direct"}, "take entropy and margin out of gate.measures"),
        ({"measures": ["min_probability", "entropy"], "inner": "video_cot"}, "gate.measures: [entropy] needs"),
        ({"measures": ["min_probability"]}, None),
        ({"strategy": "video_cot"}, None),
        ({"inner": "video_cot"}, None),
    ],
)
def test_what_a_job_names_runs_on_an_engine_or_is_refused_in_one_sentence(
    gate: dict[str, Any], needs: str | None
) -> None:
    strategy = make_strategy(TypeAdapter(StrategyConfig).validate_python(gate))
    check_engine("transformers", strategy)
    QuestionRunner(ScriptedEngine(), strategy)
    if needs is None:
        check_engine("vllm", strategy)
        return
    with pytest.raises(ConfigError) as caught:
        check_engine("vllm", strategy)
    assert needs in str(caught.value)
    assert "which the engine vllm does not offer; use engine: transformers, or take" in str(caught.value)
    assert "\n" not in str(caught.value)

    class Plain(ScriptedEngine):
        capabilities = frozenset()

    with pytest.raises(
        EngineError, match=r"needs the distribution of each token \(distribution\), which the engine lacks"
    ):
        QuestionRunner(Plain(), strategy)


def test_an_inner_strategy_that_needs_more_is_named() -> None:
    gate = Gated(
        threshold=0.9, max_answer_tokens=8, max_thinking_tokens=8, inner=Needy(needs=frozenset({"distribution"}))
    )
    check_engine("transformers", gate)
    with pytest.raises(ConfigError, match=r"^gate.inner: gated needs the distribution .* or leave gate.inner out$"):
        check_engine("vllm", gate)


def test_each_capability_has_words_for_an_error() -> None:
    assert set(CAPABILITY_MEANINGS) == set(get_args(Capability))
