"""What each engine is capable of is known before it is loaded, and is what the engine itself says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

import pytest

from framegate.pipelines.reason.engines.build import CAPABILITIES, check_engine
from framegate.pipelines.reason.engines.own.engine import TransformersEngine
from framegate.pipelines.reason.engines.vllm.engine import VllmEngine
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Capability
from framegate.schemas.config import ModelConfig
from framegate.schemas.errors import ConfigError


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
    check_engine("transformers", Needy(needs=frozenset({"sampling"})))
    with pytest.raises(ConfigError, match=r"gated needs sampling, which the engine vllm .* use engine: transformers$"):
        check_engine("vllm", Needy(needs=frozenset({"sampling"})))
    with pytest.raises(ConfigError, match=r"needs logits, which the engine transformers .* no engine does"):
        check_engine("transformers", Needy(needs=frozenset({"sampling", "logits"})))
