"""Strategies with several asks inside vLLM: subsets of frames, and samples that our own engine draws alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framegate.pipelines.reason.engines.own.engine import TransformersEngine
from framegate.pipelines.reason.engines.vllm.engine import VllmEngine
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.schemas.config.many_asks import (
    FrameEnsembleConfig,
    LookAgainConfig,
    SelfConsistencyConfig,
    SparseToDenseConfig,
    StreamingConfig,
)
from tests.small_checkpoints import FAMILY_NAMES, LIMITS, SURE, SYSTEM_PROMPT, UNSURE, load_checkpoint, make_request
from tests.vllm.conftest import differences, run_engine

TOKENS = {"max_answer_tokens": 12, "max_thinking_tokens": 24}
DRAWN = {"num_samples": 3, "temperature": 1.0, "top_p": 0.9, **TOKENS}
STRATEGIES = [
    make_strategy(part)
    for part in (
        LookAgainConfig(sparse_share=0.5, threshold=0.9, sparse_threshold=0.9, **TOKENS),
        SelfConsistencyConfig(threshold=0.9, **DRAWN),
        SelfConsistencyConfig(decide_by="agreement", threshold=0.9, **DRAWN),
        SparseToDenseConfig(sparse_share=0.5, **DRAWN),
        FrameEnsembleConfig(threshold=0.9, num_phases=2, **TOKENS),
        StreamingConfig(threshold=0.9, chunk_seconds=1, window_chunks=2, carry_bytes=60, **TOKENS),
    )
]
REQUESTS = tuple(
    replace(make_request(number, (SURE, UNSURE), num_frames=8), key=f"{number:016x}/0") for number in range(2)
)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_rows_are_those_of_our_own_engine(family, taught, load_model):
    folder = taught(family)
    model = load_model(folder)
    for strategy in STRATEGIES:
        theirs = run_engine(VllmEngine(model, system_prompt=SYSTEM_PROMPT, frames=LIMITS), strategy, REQUESTS)
        own = TransformersEngine(load_checkpoint(folder), system_prompt=SYSTEM_PROMPT, frames=LIMITS)
        ours = run_engine(own, strategy, REQUESTS)
        assert theirs.failures == ours.failures == {}
        for key, answer in ours.answers.items():
            other = theirs.answers[key]
            assert differences(replace(answer, asks=None), replace(other, asks=None)) == [], (strategy.name, key)
            for mine, other_ask in zip(answer.asks or (), other.asks or (), strict=True):
                assert replace(mine, confidence=None) == replace(other_ask, confidence=None)
