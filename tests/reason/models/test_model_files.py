"""What is read of a model before it is loaded: where its files lie, its grid, and what identifies its bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framegate.pipelines.reason.models.fingerprint import fingerprint_model
from framegate.pipelines.reason.models.packaged import PACKAGED, model_folder
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.schemas.errors import EngineError


@pytest.mark.parametrize("name", PACKAGED)
def test_the_packaged_models_are_folders_with_weights(name):
    folder = model_folder(name)
    assert isinstance(folder, Path)
    assert list(folder.glob("*.safetensors"))


def test_a_name_that_is_neither_packaged_nor_a_folder_has_none(tmp_path):
    assert model_folder("org/name") is None
    assert model_folder(str(tmp_path)) == tmp_path


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


def test_a_model_of_another_family_is_named_with_what_is_supported(copied):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(
        json.dumps({"model_type": "llama", "vocab_size": config["text_config"]["vocab_size"]})
    )
    with pytest.raises(EngineError, match=r"type 'llama'.*supported: qwen2_5_vl, qwen3_vl"):
        read_vision_grid(str(copied))


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
