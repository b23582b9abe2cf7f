"""Attacks by a checkpoint that is loaded: what would run code is left out, and what is missing is not made up."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from framegate.pipelines.reason.models.clean_folder import make_clean_folder
from framegate.schemas.errors import EngineError
from tests.security.checkpoint_edits import WEIGHTS, config, refusal, vision
from tests.small_checkpoints import load_checkpoint, make_random_checkpoint

CODE = {
    "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForImageTextToText": "evil.Evil"},
    "_attn_implementation": "evil/kernel",
    "attn_implementation": "evil/kernel",
    "experts_implementation": "evil/kernel",
    "custom_pipelines": {"x": {"impl": "evil.Evil"}},
    "kernel_config": {"x": "evil/kernel"},
    "use_kernels": True,
    "transformers_weights": "../beside/secret.safetensors",
    "configuration_files": ["config.4.0.0.json"],
    "num_labels": 10**9,
    "per_layer_config": {"0": {}},
    "trust_remote_code": True,
    "base_model_tp_plan": {"layers.*": "evil"},
}


@pytest.mark.parametrize("key", CODE)
@pytest.mark.parametrize("place", ["", "vision_config"])
def test_a_key_that_would_fetch_or_run_code_reaches_no_engine_and_is_named(
    key: str,
    place: str,
    checkpoint: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (vision if place else config)(**{key: CODE[key]})(checkpoint)
    (checkpoint / "evil.py").write_text("raise SystemExit('code of the checkpoint ran')")
    with caplog.at_level(logging.WARNING):
        assert refusal(checkpoint) is None
    named = f"{place}.{key}" if place else key
    assert [record.getMessage() for record in caplog.records] == [
        f"model '{checkpoint}' names what is not used, and runs without it: {named} of its config.json"
    ]
    clean = make_clean_folder(str(checkpoint))
    assert key not in (clean / "config.json").read_text()
    assert not (clean / "evil.py").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoTokenizer": ["evil.Evil", None]}),
        ("tokenizer_file", "../beside/tokenizer.json"),
        ("vocab_file", "/etc/passwd"),
        ("fast_tokenizer_files", ["tokenizer.4.0.0.json"]),
        ("init_inputs", [1, 2]),
        ("tokenizer_class", "EvilTokenizer"),
        ("__class__", "x"),
    ],
)
def test_a_key_of_the_tokenizer_that_names_code_or_files_is_left_out_and_named(
    key: str,
    value: Any,
    checkpoint: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({key: value, "eos_token": "<|im_end|>"}))
    with caplog.at_level(logging.WARNING):
        assert refusal(checkpoint) is None
    assert f"{key} of its tokenizer_config.json" in caplog.text
    assert json.loads((make_clean_folder(str(checkpoint)) / "tokenizer_config.json").read_text()) == {
        "eos_token": "<|im_end|>"
    }


@pytest.mark.parametrize("template", ["{% for i in range(10**12) %}{% endfor %}", "{{ ''.__class__.__mro__ }}"])
def test_a_chat_template_is_never_seen_by_an_engine(
    template: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (checkpoint / "chat_template.jinja").write_text(template)
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    assert refusal(checkpoint) is None
    clean = make_clean_folder(str(checkpoint))
    assert not (clean / "chat_template.jinja").exists()
    assert (clean / "tokenizer_config.json").read_text() == "{}"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_checkpoint("qwen3_vl", tmp_path_factory.mktemp("small"))


@pytest.fixture
def real(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shutil.copytree(small, tmp_path / "real")


def test_an_engine_loads_what_is_left_of_a_checkpoint_with_code_in_it(real: Path, tmp_path: Path) -> None:
    plain = load_checkpoint(real)
    ran = tmp_path / "ran"
    (real / "evil.py").write_text(f"open({str(ran)!r}, 'w')")
    settings = json.loads((real / "config.json").read_text())
    settings |= CODE
    settings["text_config"] |= {"_attn_implementation": "evil/kernel", "num_labels": 10**9}
    (real / "config.json").write_text(json.dumps(settings))
    tokens = json.loads((real / "tokenizer_config.json").read_text())
    (real / "tokenizer_config.json").write_text(json.dumps({**tokens, "auto_map": {"AutoTokenizer": ["evil.E", None]}}))
    loaded = load_checkpoint(real)
    assert not ran.exists()
    assert loaded.encode("Did it?") == plain.encode("Did it?")
    assert torch.equal(loaded._model.lm_head.weight, plain._model.lm_head.weight)
    assert loaded._model.config._attn_implementation == "sdpa"


def test_weights_that_lack_a_tensor_are_refused_and_not_drawn_at_random(real: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(real / WEIGHTS)
    tensors.pop(next(name for name in tensors if name.endswith("mlp.up_proj.weight")))
    save_file(tensors, real / WEIGHTS)
    with pytest.raises(EngineError, match=r"lack 1 tensors, among them .*up_proj"):
        load_checkpoint(real)


def test_a_clean_folder_that_somebody_changed_is_made_anew(real: Path) -> None:
    clean = make_clean_folder(str(real))
    (clean / "config.json").write_text("{}")
    (clean / "evil.safetensors").write_bytes(b"")
    assert make_clean_folder(str(real)) == clean
    assert json.loads((clean / "config.json").read_text())["model_type"] == "qwen3_vl"
    assert not (clean / "evil.safetensors").exists()
