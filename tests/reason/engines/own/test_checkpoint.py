"""Loading a checkpoint: only safetensors, and what cannot be loaded is refused in one sentence."""

from __future__ import annotations

import pytest

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.schemas.errors import EngineError


def test_weights_that_could_run_code_are_not_read(copied):
    for path in copied.glob("*.safetensors"):
        path.rename(copied / "pytorch_model.bin")
    with pytest.raises(EngineError, match="safetensors"):
        Checkpoint(str(copied), revision=None, dtype="float32", device="cpu")


def test_weights_that_were_cut_short_are_refused_in_one_sentence(copied):
    [weights] = copied.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(EngineError, match="bytes of tensors where its header says") as raised:
        Checkpoint(str(copied), revision=None, dtype="float32", device="cpu")
    assert "\n" not in str(raised.value)


def test_pieces_are_what_the_tokenizer_decodes(bench, random_checkpoint):
    checkpoint = bench.load(random_checkpoint)
    text = "Did it? \\boxed{B} <think>naïve 東京 €</think>\n"
    token_ids = checkpoint.encode(text)
    assert b"".join(checkpoint.pieces[token_id] for token_id in token_ids).decode() == text
    assert len(checkpoint.pieces) == len(checkpoint.tokenizer)
