"""Loading: what is refused, in one sentence, and what stands for a model's bytes."""

from __future__ import annotations

import json
import shutil

import pytest

from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.models.fingerprint import fingerprint_model
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.pipelines.reason.models.vocabulary import token_pieces
from framegate.schemas.errors import EngineError


@pytest.fixture
def copied(random_checkpoint, tmp_path):
    return shutil.copytree(random_checkpoint, tmp_path / "checkpoint")


def test_the_grid_is_read_from_the_configuration(random_checkpoints):
    assert read_vision_grid(str(random_checkpoints["qwen2_5_vl"])).factor == 28
    assert read_vision_grid(str(random_checkpoints["qwen3_vl"])).factor == 32
    assert read_vision_grid(str(random_checkpoints["qwen3_vl"])).temporal_patch == 2


@pytest.mark.parametrize("ask", [read_vision_grid, fingerprint_model])
def test_a_path_that_is_no_folder_is_named(ask, tmp_path):
    with pytest.raises(EngineError, match="nowhere' is not a folder"):
        ask(str(tmp_path / "nowhere"))


def test_an_incomplete_checkpoint_is_refused_before_any_weight_is_read(copied):
    for path in copied.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(EngineError, match=r"no \*\.safetensors: it is not a complete checkpoint"):
        fingerprint_model(str(copied))
    (copied / "config.json").unlink()
    for ask in (read_vision_grid, fingerprint_model):
        with pytest.raises(EngineError, match=r"no config\.json: it is not a complete checkpoint"):
            ask(str(copied))


@pytest.mark.parametrize(
    ("content", "message"), [("{", "no JSON"), ('{"model_type": "qwen3_vl"}', "no 'vision_config'")]
)
def test_a_configuration_that_says_too_little_is_refused(copied, content, message):
    (copied / "config.json").write_text(content)
    with pytest.raises(EngineError, match=message):
        read_vision_grid(str(copied))


def test_weights_that_could_run_code_are_not_read(copied):
    for path in copied.glob("*.safetensors"):
        path.rename(copied / "pytorch_model.bin")
    with pytest.raises(EngineError, match="safetensors"):
        Checkpoint(str(copied), revision=None, dtype="float32", device="cpu")


def test_weights_that_were_cut_short_are_refused_in_one_sentence(copied):
    [weights] = copied.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(EngineError, match="cannot be loaded") as raised:
        Checkpoint(str(copied), revision=None, dtype="float32", device="cpu")
    assert "\n" not in str(raised.value)


def test_a_model_of_another_family_is_named_with_what_is_supported(copied):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(
        json.dumps({"model_type": "llama", "vocab_size": config["text_config"]["vocab_size"]})
    )
    with pytest.raises(EngineError, match=r"type 'llama'.*supported: qwen2_5_vl, qwen3_vl"):
        read_vision_grid(str(copied))


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
