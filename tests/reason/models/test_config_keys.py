"""The settings that are used are those that transformers' classes of the families have."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from transformers import Qwen2_5_VLConfig, Qwen3VLConfig

from framegate.pipelines.reason.models.config_keys import used_settings
from framegate.pipelines.reason.models.packaged import PACKAGED, model_folder

# What no answer depends on, or what the base class has for other models.
LEFT_OUT = {
    "architectures", "chunk_size_feed_forward", "dtype", "id2label", "is_encoder_decoder", "label2id",
    "output_hidden_states", "problem_type", "return_dict", "transformers_version", "use_cache",
}  # fmt: skip


def _document(config: Any) -> dict[str, Any]:
    return json.loads(config.to_json_string(use_diff=False))


def _fields(config: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize("kind", [Qwen2_5_VLConfig, Qwen3VLConfig], ids=lambda kind: kind.__name__)
def test_every_field_of_a_family_is_used_or_left_out_on_purpose(kind: Any) -> None:
    config = kind()
    document = _document(config)
    used, _ = used_settings(document, "it")
    for section, own in (("text_config", config.text_config), ("vision_config", config.vision_config)):
        said = {key for key in _fields(own) if document[section].get(key) is not None}
        assert said - LEFT_OUT - set(used[section]) == set()
    said = {key for key in _fields(config) if document.get(key) is not None}
    assert said - LEFT_OUT - set(used) == set()


@pytest.mark.parametrize("kind", [Qwen2_5_VLConfig, Qwen3VLConfig], ids=lambda kind: kind.__name__)
def test_what_is_used_means_the_same_to_transformers(kind: Any) -> None:
    config = kind()
    used, _ = used_settings(_document(config), "it")
    again = kind(**{key: value for key, value in used.items() if key not in ("architectures", "model_type")})
    for section in ("text_config", "vision_config"):
        one, other = getattr(config, section).to_dict(), getattr(again, section).to_dict()
        assert one == other


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_model_names_nothing_that_is_not_used(name: str) -> None:
    folder = model_folder(name)
    assert folder is not None
    _, unused = used_settings(json.loads((folder / "config.json").read_text()), name)
    assert unused == []
