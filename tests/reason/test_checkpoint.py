"""Loading: what is refused, in one sentence, and what stands for a model's bytes."""

from __future__ import annotations

import json
import shutil

import pytest

from pipelines.reason.engines.checkpoint import Checkpoint, check_model
from pipelines.reason.engines.families import FAMILIES
from pipelines.reason.engines.fingerprint import fingerprint_model
from pipelines.reason.engines.vocabulary import token_pieces
from schemas.errors import EngineError


@pytest.fixture
def copied(random_checkpoint, tmp_path):
    return shutil.copytree(random_checkpoint, tmp_path / "checkpoint")


def test_the_family_is_read_from_the_configuration(random_checkpoints):
    for name, folder in random_checkpoints.items():
        assert check_model(str(folder)) == FAMILIES[name]


@pytest.mark.parametrize("ask", [check_model, fingerprint_model])
def test_a_path_that_is_no_folder_is_named(ask, tmp_path):
    with pytest.raises(EngineError, match="nowhere' is not a folder"):
        ask(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("pattern", ["config.json", "*.safetensors"])
def test_an_incomplete_checkpoint_is_refused_before_any_weight_is_read(copied, pattern):
    for path in copied.glob(pattern):
        path.unlink()
    for ask in (check_model, fingerprint_model):
        with pytest.raises(EngineError, match="not a complete checkpoint"):
            ask(str(copied))


def test_weights_that_could_run_code_are_not_read(copied):
    for path in copied.glob("*.safetensors"):
        path.rename(copied / "pytorch_model.bin")
    with pytest.raises(EngineError, match="safetensors"):
        Checkpoint(str(copied), revision=None, dtype="float32", device="cpu")


def test_a_model_of_another_family_is_named_with_what_is_supported(copied):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(
        json.dumps({"model_type": "llama", "vocab_size": config["text_config"]["vocab_size"]})
    )
    with pytest.raises(EngineError, match=r"type 'llama'.*supported: qwen2_5_vl, qwen3_vl"):
        check_model(str(copied))


def test_pieces_are_what_the_tokenizer_decodes(bench, random_checkpoint):
    checkpoint = bench.load(random_checkpoint)
    text = "Did it? \\boxed{B} <think>naïve 東京 €</think>\n"
    token_ids = checkpoint.encode(text)
    assert b"".join(checkpoint.pieces[token_id] for token_id in token_ids).decode() == text
    assert len(checkpoint.pieces) == len(checkpoint.tokenizer)


def test_a_tokenizer_that_is_not_byte_level_is_refused():
    with pytest.raises(EngineError, match="not byte-level BPE"):
        token_pieces({"▁the": 0}, {}, num_ids=1)


def test_ids_that_no_token_has_write_nothing():
    assert token_pieces({"a": 0}, {2: "<think>"}, num_ids=4) == [b"a", b"", b"<think>", b""]


def test_the_fingerprint_follows_the_bytes_and_not_the_place(copied, random_checkpoint):
    before = fingerprint_model(str(copied))
    assert before == fingerprint_model(str(random_checkpoint))
    (copied / "README.md").write_text("words change nothing")
    assert fingerprint_model(str(copied)) == before
    weights = next(copied.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert fingerprint_model(str(copied)) != before
